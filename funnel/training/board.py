"""Scalars for TensorBoard, where it is installed."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from funnel.errors import RunError
from funnel.model._keras import tf
from funnel.training.checkpoint import first_line
from funnel.training.events import Epoch, Step


class Board:
    """Writes losses, speed and validation scores.

    Args:
        folder: The event files' folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = tf.summary.create_file_writer(str(folder))

    def watch(self, event: Any) -> None:
        """Write what an event of the fit tells; other events tell nothing.

        Raises:
            RunError: The disk is full, say.
        """
        match event:
            case Step():
                found = {f"train/{name}": value for name, value in event.losses.items()}
                found["train/rows_per_second"] = event.rows_per_second
            case Epoch():
                found = {f"epoch/{name}": value for name, value in event.losses.items()}
                found |= {f"validation/{name}": value for name, value in event.scores.items()}
            case _:
                return
        try:
            with self._writer.as_default(step=event.step):
                for name, value in found.items():
                    tf.summary.scalar(name, value)
            self._writer.flush()
        except tf.errors.OpError as error:
            raise RunError(
                f"{self._folder}: cannot be written: {first_line(error)}. Make room, and go on (--resume)."
            ) from None

    def close(self) -> None:
        """No more events."""
        with suppress(tf.errors.OpError):  # what it could not write, `watch` has told
            self._writer.close()


def board(folder: Path) -> Board | None:
    """A board, where TensorBoard is installed."""
    return Board(folder) if find_spec("tensorboard") is not None else None
