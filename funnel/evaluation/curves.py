"""The curves behind the figures, short enough to keep: ROC, and observed rates against predicted ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from funnel.evaluation.binned import Bins
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


def curves_of(ranked: Ranked, bins: Bins) -> Curves:
    """The curves of rows in their order, and in bins."""
    return Curves(_roc(ranked), _calibration(bins))


def _roc(ranked: Ranked) -> tuple[tuple[float, float], ...]:
    if not ranked.two_classes:
        return ()
    wanted = np.linspace(0, 2, POINTS)[1:-1]  # sums of both shares
    found = np.empty([len(wanted), 2])
    for runs in ranked.parts():
        positive, rows = (one[::-1] for one in runs.at_least)  # from the greatest score on
        false, true = (rows - positive) / ranked.negatives, positive / ranked.positives
        kept = np.searchsorted(false + true, wanted)
        here = kept < len(true)
        kept = kept[here]
        found[here] = np.column_stack((false[kept], true[kept]))  # where a part of greater scores has a point, it takes over
    points = np.unique(np.clip(np.concatenate(([[0, 0]], found, [[1, 1]])), 0.0, 1.0), axis=0)
    return tuple((float(x), float(y)) for x, y in points)


def _calibration(bins: Bins) -> tuple[Bin, ...]:
    found = zip(bins.mass, bins.predicted, bins.positive, bins.squares, strict=True)
    return tuple(
        Bin(
            float(mass),
            float(predicted / mass),
            float(positive / mass),
            *wilson(float(positive / mass), float(mass**2 / squares)),
        )
        for mass, predicted, positive, squares in found
        if mass > 0
    )


def wilson(rate: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a rate that was observed over so many independent rows."""
    middle = rate + Z**2 / (2 * rows)
    spread = Z * math.sqrt(max(0.0, rate * (1 - rate)) / rows + (Z / (2 * rows)) ** 2)
    return max(0.0, (middle - spread) / (1 + Z**2 / rows)), min(1.0, (middle + spread) / (1 + Z**2 / rows))
