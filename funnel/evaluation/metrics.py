"""Order and calibration of binary predictions, in NumPy alone.

Labels, predictions and weights are arrays or sequences of any boolean, integer or float dtype; counted in float64.
Weights say how many rows a row stands for: 1 where there are none given, while a row of weight 0 is as good as absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from funnel.evaluation.binned import Bins
from funnel.evaluation.cumulative import softplus
from funnel.evaluation.grouped import group_areas
from funnel.evaluation.ranked import Ranked

Floats = NDArray[np.float64]


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The chance that a positive row scores above a negative one, ties counted one half (Mann & Whitney, 1947).

    Exact: no thresholds, and no error but rounding. O(n log n).

    Args:
        labels: 0 or 1, shape [n].
        scores: Logits, probabilities, or anything else in the same order, shape [n]; may be infinite.
        weights: Finite, at least 0, shape [n].

    Returns:
        Between 0 and 1; NaN where a class has no rows, or none with a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    return _ranked(labels, scores, "scores", weights).area


def group_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, int]:
    """GAUC: the mean of the groups' AUCs, weighted by their impressions (Zhou et al., 2018, DIN). O(n log n).

    Args:
        labels: 0 or 1, shape [n].
        scores: Logits, probabilities, or anything else in the same order, shape [n]; may be infinite.
        groups: Whose impression each row is, such as the user's; any integer dtype, any order, shape [n].
        weights: Finite, at least 0, shape [n]. A group's impressions are their sum.

    Returns:
        GAUC, between 0 and 1, and how many groups it counts: those with both classes. NaN and 0 where none has.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    keys = np.asarray(groups)
    if keys.size and keys.dtype.kind not in "iu":
        raise ValueError(f"got groups of dtype {keys.dtype}, expected integers.")
    positive, score, weight = _rows(labels, scores, "scores", weights)
    _require_shape(keys, "groups", score.shape)
    given = None if weights is None else weight
    _, areas, impressions = group_areas(positive, score, numbered(keys), given)
    return weighted_mean(areas, impressions), len(areas)


def numbered(groups: NDArray[np.generic]) -> NDArray[np.int32]:
    """Groups by their rank, from 0: int32 [n]."""
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int32)


def auc_standard_error(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The standard error of `auc` (DeLong et al., 1988), through ranks in O(n log n) (Sun & Xu, 2014).

    With weights it is the root of the summed squares of the rows' influences, each times n / (n - 1) for the n rows of its
    class; without, this is DeLong's. A weight says how much a row counts, not how many independent rows there are: a row of
    weight 2 leaves a greater error than two rows of weight 1.

    Args:
        labels: 0 or 1, shape [n].
        scores: Logits, probabilities, or anything else in the same order, shape [n]; may be infinite.
        weights: Finite, at least 0, shape [n].

    Returns:
        At least 0, and 0 where no scores of the classes overlap; NaN where a class has fewer than two rows with a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    rows, score, weight = _rows(labels, scores, "scores", weights)
    weight = weight / weight.max() if weight.any() else weight  # squares neither vanish nor overflow
    counts = [int(np.count_nonzero(weight[of_class])) for of_class in (rows, ~rows)]
    if min(counts) < 2:
        return math.nan
    ranked, squares = Ranked.of(rows, score, weight), Ranked.of(rows, score, weight**2)
    both = list(zip(ranked.parts(), squares.parts(), strict=True))
    of_positive, of_negative = (
        [(ranked.beaten(runs), runs.positive, square.positive) for runs, square in both],
        [(ranked.lost_to(runs), runs.negative, square.negative) for runs, square in both],
    )
    return math.sqrt(_variance_of_mean(of_positive, counts[0]) + _variance_of_mean(of_negative, counts[1]))


def average_precision(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The area under the precision-recall curve (PR-AUC), as the mean of the precision at each positive's score.

    The curve is a step function: nothing is interpolated, which would be too good (Davis & Goadrich, 2006).

    Args:
        labels: 0 or 1, shape [n].
        scores: Logits, probabilities, or anything else in the same order, shape [n]; may be infinite.
        weights: Finite, at least 0, shape [n].

    Returns:
        Between the share of the positives, where the order is random, and 1; NaN where a class has no rows with a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    return _ranked(labels, scores, "scores", weights).average_precision


def log_loss_from_logits(labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The mean of -log P(label) in nats: log(1 + exp(z)), where z is the logit of what did not happen.

    Never forms a probability, so that no logit is too large; an infinite one on the wrong side costs infinity.

    Args:
        labels: 0 or 1, shape [n].
        logits: log(p / (1 - p)), shape [n]; may be infinite.
        weights: Finite, at least 0, shape [n].

    Returns:
        At least 0; NaN where there are no rows, or none with a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    positive, logit, weight = _rows(labels, logits, "logits", weights)
    return weighted_mean(surprise(positive, logit.astype(np.float64, copy=False)), weight)


def surprise(positive: NDArray[np.bool_], logits: Floats) -> Floats:
    """-log P(label) of each row, in nats: float64 [n]."""
    return softplus(np.where(positive, -logits, logits))


def normalized_entropy(labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Log loss over the entropy of the observed rate (He et al., 2014, Practical Lessons ... Clicks on Ads).

    Args:
        labels: 0 or 1, shape [n].
        logits: log(p / (1 - p)), shape [n]; may be infinite.
        weights: Finite, at least 0, shape [n].

    Returns:
        At least 0, and 1 where as good as the rate itself; NaN where the rate is 0 or 1, or no row has a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    positive, _, weight = _rows(labels, logits, "logits", weights)
    rate = weighted_mean(positive.astype(np.float64), weight)
    entropy = -rate * math.log(rate) - (1 - rate) * math.log1p(-rate) if 0 < rate < 1 else math.nan
    return log_loss_from_logits(labels, logits, weights) / entropy


def predicted_over_observed(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """How many positives are predicted for each that is observed: what He et al., 2014, call calibration.

    Args:
        labels: 0 or 1, shape [n].
        probabilities: Between 0 and 1, shape [n].
        weights: Finite, at least 0, shape [n].

    Returns:
        At least 0, and 1 where right on average; NaN where there are no positives, or none with a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    positive, probability, weight = _rows(labels, probabilities, "probabilities", weights)
    observed = np.sum(weight[positive])
    return float(np.sum(weight * probability) / observed) if observed > 0 else math.nan


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 20, weights: ArrayLike | None = None
) -> float:
    """The mean gap of predicted and observed rate over bins (Naeini et al., 2015) of equal mass (Nixon et al., 2019).

    Equal probabilities share a bin, the one where the middle of their mass falls. Bins may thus be uneven, even empty.

    Args:
        labels: 0 or 1, shape [n].
        probabilities: Between 0 and 1, shape [n].
        bins: At least 1.
        weights: Finite, at least 0, shape [n].

    Returns:
        Between 0 and 1, and above 0 by chance even for a perfect model; NaN where no row has a weight.

    Raises:
        ValueError: Shapes, dtypes or values are not as described, or some are NaN.
    """
    if bins < 1:
        raise ValueError(f"got {bins} bins, expected at least 1.")
    return Bins.of(_ranked(labels, probabilities, "probabilities", weights), bins).error


def _ranked(labels: ArrayLike, values: ArrayLike, name: str, weights: ArrayLike | None) -> Ranked:
    positive, value, weight = _rows(labels, values, name, weights)
    return Ranked.of(positive, value, None if weights is None else weight)


def _rows(
    labels: ArrayLike, values: ArrayLike, name: str, weights: ArrayLike | None
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    label, value = _floats(labels, "labels"), _floats(values, name, single=True)
    if label.ndim != 1:
        raise ValueError(f"got labels of shape {label.shape}, expected one dimension, [n].")
    _require_shape(value, name, label.shape)
    _require((label == 0) | (label == 1), label, "labels", "only 0 and 1")
    low, high = (0, 1) if name == "probabilities" else (-math.inf, math.inf)
    _require((value >= low) & (value <= high), value, name, f"numbers between {low} and {high}")
    weight = np.ones(value.shape) if weights is None else _floats(weights, "weights")
    _require_shape(weight, "weights", label.shape)
    _require(np.isfinite(weight) & (weight >= 0), weight, "weights", "finite numbers of at least 0")
    return label == 1, value, weight


def _floats(given: ArrayLike, name: str, *, single: bool = False) -> Floats:
    """As float64; float32 stays where it may: it is sorted faster."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"got {name} of dtype {array.dtype}, expected booleans, integers or floats.")
    return array if single and array.dtype == np.float32 else array.astype(np.float64, copy=False)


def _require_shape(array: NDArray[np.generic], name: str, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"got {name} of shape {array.shape}, expected {shape}, the shape of the labels.")


def _require(valid: NDArray[np.bool_], array: Floats, name: str, expected: str) -> None:
    if not valid.all():
        row = int(np.argmin(valid))
        raise ValueError(f"got {array[row]} among the {name}, at row {row}, expected {expected}.")


def weighted_mean(values: NDArray[Any], weights: Floats | None) -> float:
    """The mean of the rows that have a weight, of which None is 1 each; NaN where none has."""
    if weights is None:
        return float(np.mean(values, dtype=np.float64)) if len(values) else math.nan
    # 0 times infinity is not 0.
    products = np.multiply(values, weights, out=np.zeros(len(weights)), where=weights > 0)
    return float(np.sum(products) / np.sum(weights)) if weights.any() else math.nan


def _variance_of_mean(parts: Sequence[tuple[Floats, Floats, Floats]], rows: int) -> float:
    """The variance of a weighted mean of independent rows, by run: its value, weight and the sum of its squared weights."""
    values, weights, squares = (np.concatenate(column) for column in zip(*parts, strict=True))
    gaps = (values - weighted_mean(values, weights)) ** 2
    return float(np.sum(squares * gaps) / weights.sum() ** 2 * rows / (rows - 1))
