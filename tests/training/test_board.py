import importlib.util
from pathlib import Path
from typing import Any

import pytest

import funnel
from funnel.model._keras import tf
from tests import shop
from tests.training.fits import Halt, stop_after


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


@pytest.mark.parametrize("stop", [25, *(pytest.param(n, marks=pytest.mark.long) for n in (11, 12, 31))])
def test_a_fit_that_is_stopped_while_it_is_profiled_leaves_the_profiler_to_the_next(tmp_path: Path, stop: int) -> None:
    train = {"profile": True, "batch_size": 16, "checkpoint": {"steps": 1}}
    with pytest.raises(Halt):
        funnel.fit(shop.tree() | {"train": train}, shop.frames(rows=400), out=tmp_path / "run", watch=stop_after(stop))
    assert list((tmp_path / "run.unfinished" / "logs").glob("plugins/profile/*/*.xplane.pb"))
    logs = fitted(tmp_path / "other", profile=True)
    (found,) = logs.glob("plugins/profile/*/*.xplane.pb")
    assert found.stat().st_size > 1000


def test_a_fit_of_fewer_steps_than_are_skipped_has_no_profile(tmp_path: Path) -> None:
    assert not list(fitted(tmp_path, profile=True, batch_size=100, epochs=1).glob("plugins"))


def test_a_fit_that_went_on_keeps_the_logs_of_before(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    made = shop.tree() | {"train": {"batch_size": 64, "epochs": 3, "checkpoint": {"steps": 1}, "early_stopping": None}}
    with pytest.raises(Halt):
        funnel.fit(made, shop.frames(rows=400), out=tmp_path / "run", watch=stop_after(8))
    run = funnel.fit(made, shop.frames(rows=400), out=tmp_path / "run", resume=True)
    logs = tmp_path / "run" / "logs"
    assert len(list(logs.glob("events.out.tfevents.*"))) == 2
    steps: dict[int, float] = {}
    for file in logs.glob("events.out.tfevents.*"):
        read = events.EventAccumulator(str(file))
        read.Reload()
        if "epoch/loss" in read.Tags()["tensors"]:
            steps |= {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in read.Tensors("epoch/loss")}
    assert steps == pytest.approx({epoch["step"]: epoch["losses"]["loss"] for epoch in run.history})
