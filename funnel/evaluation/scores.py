"""How good one probability is over one sample space: every figure, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.bootstrap import pooled, widening
from funnel.evaluation.influence import area_influence, gap_influence, mean_influence, precision_influence
from funnel.evaluation.intervals import LEVEL, Estimate, Interval, intervals
from funnel.evaluation.metrics import calibration_gaps, surprise, weighted_mean
from funnel.evaluation.ranked import Ranked, group_areas

Floats = NDArray[np.float64]

BINS = 20  # of the calibration error and its curve


@dataclass(frozen=True)
class Scores:
    """How good one probability is over one sample space; NaN where a figure is undefined.

    Attributes:
        name: The probability: `buy`, `buy_given_click`.
        space: The rows that it is judged on: the space, or the parent stage.
        rows: How many were judged: those whose label is known.
        positives: How many of them reached the stage.
        auc: Exact rank AUC.
        group_auc: Mean AUC within groups, weighted by their rows (GAUC); None where no groups are declared.
        groups: How many groups that counts: those with both classes; None likewise.
        pr_auc: Average precision, the area under the precision-recall curve.
        log_loss: Mean cross-entropy, in nats.
        normalized_entropy: log_loss over that of the observed rate; below 1 is better than a constant.
        predicted_over_observed: Sum of the probabilities over the positives; 1 is calibrated.
        calibration_error: Mean gap of predicted and observed rate over 20 bins of equal mass (ECE).
        calibration_error_by_chance: What that would be on so many rows were every probability true.
        intervals: By figure: its 95 % interval, where it has one.
    """

    name: str
    space: str
    rows: int
    positives: int
    auc: float
    group_auc: float | None
    groups: int | None
    pr_auc: float
    log_loss: float
    normalized_entropy: float
    predicted_over_observed: float
    calibration_error: float
    calibration_error_by_chance: float
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """What one probability is judged on: arrays of [n].

    Attributes:
        labels: bool.
        chances: The probabilities, as `predict` gives them: float32.
        logits: Those behind them: float64.
        weights: How many rows each stands for: float64; None is 1 each.
        groups: Whose each row is: int32 of at least 0; None where no groups are declared.
        clusters: What the bootstrap draws together: int32 of at least 0; None for no intervals.
    """

    labels: NDArray[np.bool_]
    chances: NDArray[np.float32]
    logits: Floats
    weights: Floats | None = None
    groups: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Measured:
    """Scores whose intervals are still to be found, and what these are found from.

    Attributes:
        scores: Without intervals.
        estimates: By figure: what the bootstrap needs.
        ranked: The rows in their order; None where they are no longer needed.
    """

    scores: Scores
    estimates: dict[str, Estimate]
    ranked: Ranked | None

    def without_order(self) -> Measured:
        """The same, which no longer holds what is as long as the rows."""
        return replace(self, ranked=None)


def measure(name: str, space: str, rows: Rows, clusters: int = 0) -> Measured:
    """Every figure of one probability.

    Args:
        name: The probability.
        space: What the rows are called.
        rows: The rows.
        clusters: How many there are, of all rows.
    """
    ranked = Ranked.of(rows.labels, rows.chances, rows.weights)
    total = ranked.positives + ranked.negatives
    estimates: dict[str, Estimate] = {}
    pool = None if rows.clusters is None else _Pool(rows, ranked, clusters)
    if pool is not None and ranked.two_classes:
        _ranking(rows, ranked, pool, estimates)
    group_auc, groups = _group_auc(rows, ranked, pool, estimates)
    gaps = calibration_gaps(ranked, BINS) if total > 0 else np.zeros(BINS)
    error = float(np.abs(gaps).sum() / total) if total > 0 else math.nan
    if pool is not None and total > 0:
        estimates["calibration_error"] = Estimate(error, pool.by_class(*gap_influence(ranked, gaps, BINS)), "size")
    loss, entropy = _losses(rows, pool, estimates)
    scores = Scores(
        name=name,
        space=space,
        rows=len(rows.labels),
        positives=int(np.count_nonzero(rows.labels)),
        auc=ranked.area,
        group_auc=group_auc,
        groups=groups,
        pr_auc=ranked.average_precision,
        log_loss=loss,
        normalized_entropy=entropy,
        predicted_over_observed=_calibration(rows, ranked, pool, estimates),
        calibration_error=error,
        calibration_error_by_chance=_by_chance(rows, ranked) if total > 0 else math.nan,
    )
    return Measured(scores, estimates, ranked)


def with_intervals(measured: Sequence[Measured], clusters: int) -> Iterator[Scores]:
    """Scores with their intervals: all are of the same resamples."""
    found = intervals([estimate for one in measured for estimate in one.estimates.values()], clusters)
    for one in measured:
        ends, found = found[: len(one.estimates)], found[len(one.estimates) :]
        known = {figure: pair for figure, pair in zip(one.estimates, ends, strict=True) if pair is not None}
        yield replace(one.scores, intervals=known)


class _Pool:
    """Adds the influences of rows up by cluster."""

    def __init__(self, rows: Rows, ranked: Ranked, count: int) -> None:
        if rows.clusters is None:
            raise ValueError("got rows without clusters, expected some.")
        self._clusters, self._ranked, self._count = rows.clusters, ranked, count
        self._ordered = rows.clusters[ranked.order]
        self._labels = rows.labels[ranked.order]
        self._weights = None if rows.weights is None else rows.weights[ranked.order]
        self.positives = int(np.count_nonzero(rows.labels))

    def by_row(self, influence: Floats) -> Floats:
        """Of influences along the rows: float64 [clusters]."""
        return pooled(influence, self._clusters, self._count)

    def by_class(self, of_positive: Floats, of_negative: Floats) -> Floats:
        """Of influences of a positive and a negative row of each run: float64 [clusters]."""
        influence = np.where(self._labels, self._ranked.by_row(of_positive), self._ranked.by_row(of_negative))
        if self._weights is not None:
            influence *= self._weights
        return pooled(influence, self._ordered, self._count)

    def independent(self, rows: NDArray[np.bool_]) -> int:
        """How many clusters some rows are of: those of uneven size count for fewer even ones (Kish, 1965)."""
        sizes = np.bincount(self._clusters[rows]).astype(np.float64)
        return round(sizes.sum() ** 2 / (sizes**2).sum())

    def of_groups(self, groups: NDArray[np.int32], names: NDArray[np.int64], influence: Floats) -> Floats:
        """Of the influence of some groups, each of which lies in one cluster."""
        cluster = np.zeros(int(groups.max(initial=-1)) + 1, np.int32)
        cluster[groups] = self._clusters
        return pooled(influence, cluster[names], self._count)


def _ranking(rows: Rows, ranked: Ranked, pool: _Pool, estimates: dict[str, Estimate]) -> None:
    """How the areas vary; nothing where a class is of one cluster: how much others would differ from it, nothing tells."""
    independent = pool.independent(rows.labels), pool.independent(~rows.labels)
    if min(independent) < 2 and ranked.area not in (0, 1):
        return
    of_positive, of_negative = area_influence(ranked)
    shares = [widening(max(2, count), LEVEL) for count in independent]
    least = min(len(rows.labels) - pool.positives, pool.positives)
    estimates["auc"] = Estimate(ranked.area, pool.by_class(of_positive * shares[0], of_negative * shares[1]), "share", least)
    precision = pool.by_class(*precision_influence(ranked))
    estimates["pr_auc"] = Estimate(ranked.average_precision, precision, "share")


def _group_auc(
    rows: Rows, ranked: Ranked, pool: _Pool | None, estimates: dict[str, Estimate]
) -> tuple[float | None, int | None]:
    if rows.groups is None:
        return None, None
    names, areas, mass = group_areas(ranked, rows.labels, rows.groups, rows.weights)
    if not len(names):
        return math.nan, 0
    mean = weighted_mean(areas, mass)
    if pool is not None:
        influence = mass / mass.sum() * (areas - mean)
        estimates["group_auc"] = Estimate(mean, pool.of_groups(rows.groups, names, influence), "share", len(names))
    return mean, len(names)


def _losses(rows: Rows, pool: _Pool | None, estimates: dict[str, Estimate]) -> tuple[float, float]:
    """Log loss, and the same over the entropy of the observed rate."""
    losses = surprise(rows.labels, rows.logits)
    loss = weighted_mean(losses, rows.weights)
    label = rows.labels
    rate = weighted_mean(label, rows.weights)
    if pool is not None and math.isfinite(loss):
        of_loss = pool.by_row(mean_influence(losses, rows.weights, loss))
        estimates["log_loss"] = Estimate(loss, of_loss, "ratio")
    if not 0 < rate < 1:
        return loss, math.nan
    entropy = -rate * math.log(rate) - (1 - rate) * math.log1p(-rate)
    if "log_loss" in estimates and pool is not None:
        of_rate = pool.by_row(mean_influence(label, rows.weights, rate)) * math.log((1 - rate) / rate)
        estimates["normalized_entropy"] = Estimate(loss / entropy, (of_loss - loss / entropy * of_rate) / entropy, "ratio")
    return loss, loss / entropy


def _calibration(rows: Rows, ranked: Ranked, pool: _Pool | None, estimates: dict[str, Estimate]) -> float:
    observed = ranked.positives
    if not observed > 0:
        return math.nan
    chances = rows.chances.astype(np.float64)
    if rows.weights is not None:
        chances *= rows.weights
    ratio = float(chances.sum()) / observed
    if pool is not None:
        chances -= ratio * (rows.labels if rows.weights is None else rows.labels * rows.weights)
        estimates["predicted_over_observed"] = Estimate(ratio, pool.by_row(chances / observed), "ratio")
    return ratio


def _by_chance(rows: Rows, ranked: Ranked) -> float:
    """The mean of the calibration error were every probability true: by bin, the mean size of a normal deviation."""
    chances = ranked.scores.astype(np.float64)
    variance = chances * (1 - chances)
    if rows.weights is None:
        squares = (ranked.positive + ranked.negative).astype(np.float64)
    else:
        squares = np.add.reduceat(rows.weights[ranked.order] ** 2, ranked.starts)
    by_bin = np.bincount(ranked.bins(BINS), weights=squares * variance)
    return float(np.sqrt(by_bin * 2 / math.pi).sum() / (ranked.positives + ranked.negatives))
