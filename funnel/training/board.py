"""Scalars for TensorBoard, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from funnel.model._keras import tf
from funnel.training.events import Epoch, Step


class Board:
    """Writes losses, speed and validation scores.

    Args:
        folder: The event files' folder.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def watch(self, event: Any) -> None:
        """Write what an event of the fit tells; other events tell nothing."""
        match event:
            case Step():
                found = {f"train/{name}": value for name, value in event.losses.items()}
                found["train/rows_per_second"] = event.rows_per_second
            case Epoch():
                found = {f"epoch/{name}": value for name, value in event.losses.items()}
                found |= {f"validation/{name}": value for name, value in event.scores.items()}
            case _:
                return
        with self._writer.as_default(step=event.step):
            for name, value in found.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def close(self) -> None:
        """No more events."""
        self._writer.close()


def board(folder: Path) -> Board | None:
    """A board, where TensorBoard is installed."""
    return Board(folder) if find_spec("tensorboard") is not None else None
