"""How fast a fit of Keras goes."""

from __future__ import annotations

import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf


class Clock(tf.keras.callbacks.Callback):
    """Stops the fit in time, and keeps what was measured.

    Args:
        warm_up: Seconds that are not measured.
        seconds: That are.
    """

    def __init__(self, warm_up: float, seconds: float) -> None:
        super().__init__()
        self.warm_up, self.seconds = warm_up, seconds
        self.first = self.begun = self.ended = 0.0
        self.sums: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """After each step; `logs` has the mean loss of all steps so far."""
        now = time.perf_counter()
        # The first step makes the graph.
        self.first = self.first or now
        if not self.begun and now - self.first < self.warm_up:
            return
        self.begun = self.begun or now
        self.sums.append(logs["loss"] * (batch + 1))
        self.ended = now
        self.model.stop_training = now - self.begun >= self.seconds and len(self.sums) > 1

    def measured(self, batch_size: int) -> dict[str, Any]:
        """Samples a second, steps, and the mean loss of each tenth of the steps."""
        losses = np.diff(self.sums)
        tenths = [float(part.mean()) for part in np.array_split(losses, 10) if len(part)]
        return {"rate": len(losses) * batch_size / (self.ended - self.begun), "steps": len(losses), "losses": tenths}
