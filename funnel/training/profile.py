"""A TensorBoard profile of some steps."""

from __future__ import annotations

from pathlib import Path

from funnel.model._keras import tf

FIRST, LAST = 10, 30  # steps: before these, TensorFlow still plans and allocates


class Profile:
    """Records steps 10 to 30 of a process, or as many as there are.

    Args:
        folder: Where TensorBoard's profiler will look for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._on = folder, False

    def before_step(self, number: int) -> None:
        """Called before each step, counted from 0 in this process."""
        if number == FIRST:
            tf.profiler.experimental.start(str(self._folder))
            self._on = True
        elif number == LAST:
            self.stop()

    def stop(self) -> None:
        """Write what was recorded, if anything is being recorded."""
        if self._on:
            tf.profiler.experimental.stop()
            self._on = False
