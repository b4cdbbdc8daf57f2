"""What one probability is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.cumulative import Cumulative

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """What one probability is judged on: arrays of [n].

    Attributes:
        labels: bool.
        chances: The probabilities, as `predict` gives them: float32.
        logits: Those behind them: floats.
        weights: How many rows each stands for: float64; None is 1 each.
        groups: Whose each row is: int32 of at least 0; None where no groups are declared.
        clusters: What the bootstrap draws together: int32 of at least 0; None for no intervals.
    """

    labels: NDArray[np.bool_]
    chances: NDArray[np.float32]
    logits: NDArray[Any] | Cumulative
    weights: Floats | None = None
    groups: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None
