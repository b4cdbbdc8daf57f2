"""The curves behind the figures, short enough to keep: ROC, and observed rates against predicted ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.ranked import Ranked

POINTS = 201
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Bin:
    """Rows of about one probability.

    Attributes:
        rows: How many; where rows have weights, how many they stand for.
        predicted: Their mean probability.
        observed: The share of them that reached the stage.
        low: Lower end of its 95 % interval (Wilson, 1927), the rows taken for independent.
        high: Upper end.
    """

    rows: float
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Curves:
    """Of one probability over one sample space.

    Attributes:
        roc: From (0, 0) to (1, 1): the shares of the negatives, and of the positives, above a score. At most 201 of the points.
            Empty where a class has no rows.
        calibration: By bins of equal mass, ascending.
    """

    roc: tuple[tuple[float, float], ...]
    calibration: tuple[Bin, ...]


def curves_of(ranked: Ranked, weights: NDArray[np.float64] | None, bins: int) -> Curves:
    """The curves of rows in their order."""
    return Curves(_roc(ranked), _calibration(ranked, weights, bins))


def _roc(ranked: Ranked) -> tuple[tuple[float, float], ...]:
    if not ranked.two_classes:
        return ()
    positive, rows = (one[::-1] for one in ranked.above)  # from the greatest score on
    true = np.concatenate(([0.0], positive / ranked.positives))
    false = np.concatenate(([0.0], (rows - positive) / ranked.negatives))
    wanted = np.searchsorted(true + false, np.linspace(0, 2, POINTS)).clip(max=len(true) - 1)
    kept = np.unique(np.concatenate(([0], wanted, [len(true) - 1])))[: POINTS - 1]
    kept = np.append(kept[kept < len(true) - 1], len(true) - 1)
    points = np.clip(np.column_stack((false[kept], true[kept])), 0.0, 1.0)
    return tuple((float(x), float(y)) for x, y in points)


def _calibration(ranked: Ranked, weights: NDArray[np.float64] | None, bins: int) -> tuple[Bin, ...]:
    if not ranked.positives + ranked.negatives > 0:
        return ()
    which = ranked.bins(bins)
    mass = ranked.positive + ranked.negative
    rows, positives = (np.bincount(which, weights=one, minlength=bins) for one in (mass, ranked.positive))
    predicted = np.bincount(which, weights=mass * ranked.scores.astype(np.float64), minlength=bins)
    squares = rows
    if weights is not None:
        squares = np.bincount(which, weights=np.add.reduceat(weights[ranked.order] ** 2, ranked.starts), minlength=bins)
    return tuple(
        Bin(
            float(rows[b]),
            float(predicted[b] / rows[b]),
            float(positives[b] / rows[b]),
            *wilson(float(positives[b] / rows[b]), float(rows[b] ** 2 / squares[b])),
        )
        for b in range(bins)
        if rows[b] > 0
    )


def wilson(rate: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a rate that was observed over so many independent rows."""
    middle = rate + Z**2 / (2 * rows)
    spread = Z * math.sqrt(max(0.0, rate * (1 - rate)) / rows + (Z / (2 * rows)) ** 2)
    return max(0.0, (middle - spread) / (1 + Z**2 / rows)), min(1.0, (middle + spread) / (1 + Z**2 / rows))
