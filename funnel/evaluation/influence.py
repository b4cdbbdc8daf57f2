"""How much each row moves a score: what the score changes by, to first order, for each time more that the row is counted.

Where row i is counted c_i times, a score S becomes about S + sum_i (c_i - 1) influence_i: a bootstrap over many rows, variants
and seeds is then a product of two matrices. The influences of all rows add up to 0.

Labels may be soft: a row of label q is a positive of weight q and a negative of weight 1 - q, as it is on average where its
label is drawn with the chance q.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    order = np.argsort(score, kind="stable")
    sorted_scores = score[order]
    starts = np.flatnonzero(np.concatenate((np.ones(min(1, score.size), bool), sorted_scores[1:] != sorted_scores[:-1])))
    positive, negative = (weight * label)[order], (weight * (1 - label))[order]
    positives, negatives = positive.sum(), negative.sum()
    influence = np.zeros(score.size)
    if not (positives > 0 and negatives > 0):
        return math.nan, influence
    lengths = np.diff(np.append(starts, score.size))
    beaten = np.repeat(_middle(np.add.reduceat(negative, starts)), lengths) / negatives
    lost_to = 1 - np.repeat(_middle(np.add.reduceat(positive, starts)), lengths) / positives
    area = float(np.clip(np.dot(positive, beaten) / positives, 0.0, 1.0))
    influence[order] = positive / positives * (beaten - area) + negative / negatives * (lost_to - area)
    return area, influence


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


def _middle(masses: Floats) -> Floats:
    """What is below the middle of each run."""
    return np.cumsum(masses) - masses / 2


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
