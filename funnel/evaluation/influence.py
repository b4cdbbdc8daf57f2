"""How much each row moves a figure: what the figure changes by, to first order, for each time more that the row is counted.

Where row i is counted c_i times, a figure S becomes about S + sum_i (c_i - 1) influence_i: a bootstrap over many rows, variants
and seeds is then a product of two matrices. The influences of all rows add up to 0. They are given along the rows as they came,
or, by the functions of a `Ranked`, along its order.

Labels may be soft: a row of label q is a positive of weight q and a negative of weight 1 - q, as it is on average where its
label is drawn with the chance q.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from funnel.evaluation.ranked import TINY, Ranked, Runs

Floats = NDArray[np.float64]


def auc_influence(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, Floats]:
    """The AUC, and each row's influence on it.

    With P and N the weights of all positives and negatives, a row with the share p of P and the share n of N has the influence
    p (V - A) + n (U - A), where V is the share of N that scores below it, U the share of P that scores above it, ties counted
    one half. A row with a soft label is also compared to itself, which is a tie.

    Args:
        labels: Between 0 and 1, shape [n].
        scores: Numbers in any order-keeping scale, shape [n]; may be infinite, not NaN.
        weights: Finite, at least 0, shape [n]. Default: 1 each.

    Returns:
        The AUC, which for labels of 0 and 1 is that of `metrics.auc`, and float64 [n]; NaN and zeros where a class has no
        weight.

    Raises:
        ValueError: Shapes differ, or values are not as described.
    """
    label, score, weight = _checked(labels, scores, weights)
    ranked = Ranked.of(label, score, weight, np.arange(score.size, dtype=np.int32))
    influence = np.zeros(score.size)
    if not ranked.two_classes:
        return math.nan, influence
    for runs, of_positive, of_negative in area_influence(ranked):
        influence[ranked.marked(runs)] = ranked.of_rows(runs, of_positive, of_negative)
    return ranked.area, influence


def calibration_influence(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, Floats]:
    """Predicted over observed, sum(w p) / sum(w y), and each row's influence on it: w (p - ratio y) / sum(w y).

    Args:
        labels: Between 0 and 1, shape [n].
        probabilities: Between 0 and 1, shape [n].
        weights: Finite, at least 0, shape [n]. Default: 1 each.

    Returns:
        The ratio and float64 [n]; NaN and zeros where there are no positives.

    Raises:
        ValueError: Shapes differ, or values are not as described.
    """
    label, probability, weight = _checked(labels, probabilities, weights)
    observed = float(np.dot(weight, label))
    if not observed > 0:
        return math.nan, np.zeros(label.size)
    ratio = float(np.dot(weight, probability)) / observed
    return ratio, weight * (probability - ratio * label) / observed


# Of a positive and of a negative row of weight 1 in each run, part by part: the runs, and float64 [runs] both. There are two
# classes.

ByClass = tuple[Runs, Floats, Floats]


def area_influence(ranked: Ranked) -> Iterator[ByClass]:
    """On the AUC: what the row's share of its own class wins, less what is won on average."""
    area, positives, negatives = ranked.area, ranked.positives, ranked.negatives
    for runs in ranked.parts():
        yield runs, (ranked.beaten(runs) - area) / positives, (ranked.lost_to(runs) - area) / negatives


def precision_influence(ranked: Ranked) -> Iterator[ByClass]:
    """On the average precision: a row moves its own share, if it is a positive, and the precision at every lower score."""
    average, total = ranked.average_precision, ranked.positives
    lifted = lowered = 0.0  # up to here
    for runs in ranked.parts():
        precision, (_, rows) = runs.precision, runs.at_least
        per_row = runs.positive / np.maximum(rows, TINY)
        lifts = lifted + np.cumsum(per_row * (1 - precision))
        lowers = lowered + np.cumsum(per_row * precision)
        lifted, lowered = float(lifts[-1]), float(lowers[-1])
        yield runs, (precision - average + lifts) / total, -lowers / total


def gap_influence(ranked: Ranked, gaps: Floats) -> Iterator[ByClass]:
    """On the expected calibration error, the bins being what they are.

    Args:
        ranked: The rows, by probability.
        gaps: By bin: predicted less observed positives.
    """
    total = ranked.total
    error = float(np.abs(gaps).sum() / total)
    for runs in ranked.parts():
        side = np.sign(gaps)[ranked.bins(runs, len(gaps))]
        yield runs, (side * (runs.scores - 1) - error) / total, (side * runs.scores - error) / total


def _checked(labels: ArrayLike, values: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    label, value = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    weight = np.ones_like(label) if weights is None else np.asarray(weights, np.float64)
    if not label.ndim == 1 or not label.shape == value.shape == weight.shape:
        raise ValueError(f"got the shapes {label.shape}, {value.shape} and {weight.shape}, expected one shape, [n].")
    if not ((label >= 0) & (label <= 1)).all():
        raise ValueError("got labels that are not between 0 and 1, expected shares of a positive.")
    if np.isnan(value).any():
        raise ValueError("got values that are not numbers, expected numbers.")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError("got weights that are negative or not finite, expected finite numbers of at least 0.")
    return label, value, weight
