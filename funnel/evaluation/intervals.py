"""Intervals of figures: a bootstrap of clusters by their influences, each figure on the scale where its errors are even.

A share such as an AUC is drawn as its log odds, a ratio as its logarithm: an interval then stays inside what is possible, and
is as long on the side where there is more room, as it should be where rows are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.bootstrap import paired_intervals

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Scale = Literal["share", "ratio", "size", "change"]

LEVEL = 0.95
MOST = 700.0  # that the exponential can take
AT_ONCE = 256  # figures, that the influences of many need not be in memory twice


@dataclass(frozen=True)
class Estimate:
    """A figure, and how it varies.

    Attributes:
        value: The figure.
        influence: Of each cluster on it: float64 [clusters].
        scale: `share` lies between 0 and 1, `ratio` above 0, `size` not below 0; a `change` may be anything.
        least: Of a share: how many independent rows, at least, say that it is 0 or 1, where it is.
    """

    value: float
    influence: Floats
    scale: Scale
    least: int = 0


def intervals(estimates: Sequence[Estimate], clusters: int, *, seed: int = 0) -> list[Interval | None]:
    """95 % intervals, of one and the same resamples; None where a figure has none.

    A share of 0 or 1 does not vary over resamples; the interval then is that of as many trials that all came out so (Clopper &
    Pearson, 1934).
    """
    found: list[Interval | None] = []
    for begin in range(0, len(estimates), AT_ONCE):
        block = estimates[begin : begin + AT_ONCE]
        moved = [_forth(one) for one in block]
        influences = np.stack([influence for _, influence in moved])[:, None, :]
        values = np.array([[value] for value, _ in moved])
        ends = (
            paired_intervals(values, influences, level=LEVEL, seed=seed) if clusters > 1 else np.full([len(block), 2], np.nan)
        )
        found.extend(_back(one, *map(float, pair)) for one, pair in zip(block, ends, strict=True))
    return found


def _forth(estimate: Estimate) -> tuple[float, Floats]:
    """The figure on the scale that it is drawn on, and the influences there."""
    value, influence = estimate.value, estimate.influence
    if estimate.scale == "share" and 0 < value < 1:
        return math.log(value) - math.log1p(-value), influence / (value * (1 - value))
    if estimate.scale == "ratio" and value > 0:
        return math.log(value), influence / value
    return value, influence


def _back(estimate: Estimate, low: float, high: float) -> Interval | None:
    if not (math.isfinite(estimate.value) and math.isfinite(low) and math.isfinite(high)):
        return None
    if estimate.scale == "share":
        if estimate.value in (0, 1):
            far = ((1 - LEVEL) / 2) ** (1 / max(1, estimate.least))
            return (far, 1.0) if estimate.value == 1 else (0.0, 1 - far)
        return _share(low), _share(high)
    if estimate.scale == "ratio":
        return (math.exp(min(low, MOST)), math.exp(min(high, MOST))) if estimate.value > 0 else (0.0, 0.0)
    return (low, high) if estimate.scale == "change" else (max(0.0, low), max(0.0, high))


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -MOST else 0.0
