"""Small fits that can be stopped, and what is compared of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.training.events import Resumed, Saved, Step
from tests import shop

STEPS = 6  # of an epoch of `tree` on 400 rows, the last with fewer rows


def tree(**train: Any) -> dict[str, Any]:
    """Three epochs, with a checkpoint after each step, and dropout."""
    made = shop.tree()
    made["model"]["tower"] |= {"dropout": 0.2, "activation": "prelu"}
    made["train"] |= {"epochs": 3, "batch_size": 64, "checkpoint": {"steps": 1}} | train
    return made


def weights(run: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in run.model.network.variables]


def history(run: Any) -> list[dict[str, Any]]:
    """All but the seconds, as text, in which NaN equals NaN."""
    return [{key: repr(value) for key, value in epoch.items() if key != "seconds"} for epoch in run.history]


def same(one: Any, other: Any) -> bool:
    return history(one) == history(other) and all(
        np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True)
    )


class Halt(Exception):  # noqa: N818  # no error: a caller that leaves off
    pass


def stop_after(steps: int, kind: type[BaseException] = Halt) -> Callable[[Any], None]:
    """Leaves off at the first step that is told of from so many steps on."""

    def watch(event: Any) -> None:
        if isinstance(event, Saved | Step) and event.step >= steps:
            raise kind

    return watch


def stopped(folder: Path, data: Any, steps: int = 9, **train: Any) -> list[Path]:
    """A fit at `run` in the folder that was stopped there: its checkpoints, newest last."""
    with pytest.raises(Halt):
        funnel.fit(tree(**train), data, out=folder / "run", watch=stop_after(steps))
    return sorted((folder / "run.unfinished" / "checkpoints").glob("step-*"))


def resumed(folder: Path, data: Any, **train: Any) -> tuple[Any, Resumed]:
    """The run that it comes to, and where it went on from."""
    events: list[Any] = []
    run = funnel.fit(tree(**train), data, out=folder / "run", resume=True, watch=events.append)
    (found,) = [event for event in events if isinstance(event, Resumed)]
    return run, found
