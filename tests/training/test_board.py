import importlib.util
from pathlib import Path
from typing import Any

import pytest

import funnel
from tests import shop


def fitted(folder: Path, **train: Any) -> Path:
    tree = shop.tree()
    tree["train"] |= {"epochs": 2, "batch_size": 16} | train
    funnel.fit(tree, shop.frames(rows=400), out=folder / "run")
    return folder / "run" / "logs"


def test_scalars_are_written_where_tensorboard_is_installed(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = events.EventAccumulator(str(fitted(tmp_path)))
    read.Reload()
    assert {"epoch/loss", "epoch/buy_loss", "validation/click", "validation/buy"} <= set(read.Tags()["tensors"])


def test_without_tensorboard_there_are_no_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("funnel.training.board.find_spec", lambda name: None if name == "tensorboard" else real(name))
    assert not fitted(tmp_path).exists()


def test_a_profile_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    logs = fitted(tmp_path, profile=True)
    (found,) = logs.glob("plugins/profile/*/*.xplane.pb")
    assert found.stat().st_size > 1000
