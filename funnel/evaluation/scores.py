"""How good one probability is over one sample space: every figure, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.binned import Bins
from funnel.evaluation.bootstrap import pooled, widening
from funnel.evaluation.grouped import group_areas
from funnel.evaluation.influence import ByClass, area_influence, gap_influence, precision_influence
from funnel.evaluation.intervals import LEVEL, Estimate, Interval, intervals
from funnel.evaluation.metrics import weighted_mean
from funnel.evaluation.ranked import Ranked
from funnel.evaluation.rows import Rows
from funnel.evaluation.totals import Totals

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
class Measured:
    """Scores whose intervals are still to be found, and what these are found from.

    Attributes:
        scores: Without intervals.
        estimates: By figure: what the bootstrap needs.
        ranked: The rows in their order; None where they are no longer needed.
        bins: They in bins of equal mass.
    """

    scores: Scores
    estimates: dict[str, Estimate]
    ranked: Ranked | None
    bins: Bins

    def without_order(self) -> Measured:
        """The same, which no longer holds what is as long as the rows."""
        return replace(self, ranked=None)


def measure(name: str, space: str, rows: Rows, clusters: int | None = None) -> Measured:
    """Every figure of one probability.

    Args:
        name: The probability.
        space: What the rows are called.
        rows: The rows.
        clusters: How many there are, of all rows. Default: up to the greatest of these.
    """
    if clusters is None:
        clusters = 0 if rows.clusters is None else int(rows.clusters.max(initial=-1)) + 1
    with ThreadPoolExecutor(1) as other_core:
        of_groups, of_totals = other_core.submit(_group_auc, rows, clusters), other_core.submit(Totals.of, rows, clusters)
        ranked = Ranked.of(rows.labels, rows.chances, rows.weights, rows.clusters)
        area, precision, bins = ranked.area, ranked.average_precision, Bins.of(ranked, BINS)
        (group_auc, groups, of_group_auc), totals = of_groups.result(), of_totals.result()
    loss, of_loss = totals.loss.over(totals.weight)
    ratio, of_ratio = totals.chance.over(totals.label)
    entropy, of_entropy = _normalized(totals)
    scores = Scores(
        name=name,
        space=space,
        rows=len(rows.labels),
        positives=round(totals.positives.total),
        auc=area,
        group_auc=group_auc,
        groups=groups,
        pr_auc=precision,
        log_loss=loss,
        normalized_entropy=entropy,
        predicted_over_observed=ratio,
        calibration_error=bins.error,
        calibration_error_by_chance=bins.error_by_chance,
    )
    estimates: dict[str, Estimate] = {}
    if rows.clusters is not None:
        estimates |= _of_order(ranked, bins, totals, clusters)
        if group_auc is not None:
            estimates["group_auc"] = Estimate(group_auc, of_group_auc, "share", groups or 0)
        estimates["log_loss"] = Estimate(loss, of_loss, "ratio")
        estimates["normalized_entropy"] = Estimate(entropy, of_entropy, "ratio")
        estimates["predicted_over_observed"] = Estimate(ratio, of_ratio, "ratio")
    known = {figure: one for figure, one in estimates.items() if math.isfinite(one.value)}
    return Measured(scores, known, ranked, bins)


def with_intervals(measured: Sequence[Measured], clusters: int) -> Iterator[Scores]:
    """Scores with their intervals: all are of the same resamples."""
    found = intervals([estimate for one in measured for estimate in one.estimates.values()], clusters)
    for one in measured:
        ends, found = found[: len(one.estimates)], found[len(one.estimates) :]
        known = {figure: pair for figure, pair in zip(one.estimates, ends, strict=True) if pair is not None}
        yield replace(one.scores, intervals=known)


def _of_order(ranked: Ranked, bins: Bins, totals: Totals, clusters: int) -> dict[str, Estimate]:
    """The figures that are about an order, and how they vary.

    Those of areas are not known where a class is of one cluster: how much others would differ from it, nothing tells.
    """
    if not ranked.total > 0:
        return {}
    of_error = _pooled(ranked, gap_influence(ranked, bins.gaps), clusters)
    found = {"calibration_error": Estimate(bins.error, of_error, "size")}
    if not ranked.two_classes:
        return found
    negatives = totals.rows.less(totals.positives)
    independent = totals.positives.independent, negatives.independent
    if min(independent) < 2 and ranked.area not in (0, 1):
        return found
    wider = [widening(max(2, count), LEVEL) for count in independent]
    least = round(min(totals.positives.total, negatives.total))
    found["auc"] = Estimate(ranked.area, _pooled(ranked, area_influence(ranked), clusters, wider), "share", least)
    found["pr_auc"] = Estimate(ranked.average_precision, _pooled(ranked, precision_influence(ranked), clusters), "share")
    return found


def _pooled(ranked: Ranked, influence: Iterable[ByClass], clusters: int, times: Sequence[float] = (1.0, 1.0)) -> Floats:
    """Influences, those of positives and of negatives so many times, added up by cluster: float64 [clusters]."""
    found = np.zeros(clusters)
    for runs, of_positive, of_negative in influence:
        of_rows = ranked.of_rows(runs, times[0] * of_positive, times[1] * of_negative)
        found += pooled(of_rows, ranked.marked(runs), clusters)
    return found


def _group_auc(rows: Rows, clusters: int) -> tuple[float | None, int | None, Floats]:
    """GAUC, how many groups it counts, and each cluster's influence on it."""
    influence = np.zeros(clusters)
    if rows.groups is None:
        return None, None, influence
    names, areas, mass = group_areas(rows.labels, rows.chances, rows.groups, rows.weights)
    mean = weighted_mean(areas, mass)
    if rows.clusters is not None and len(names):
        # Each group lies in one cluster.
        cluster = np.zeros(int(rows.groups.max()) + 1, np.int32)
        cluster[rows.groups] = rows.clusters
        influence = pooled(mass / mass.sum() * (areas - mean), cluster[names], clusters)
    return mean, len(names), influence


def _normalized(totals: Totals) -> tuple[float, Floats]:
    """Log loss over the entropy of the observed rate, and each cluster's influence on it; NaN where the rate is 0 or 1."""
    loss, of_loss = totals.loss.over(totals.weight)
    rate, of_rate = totals.label.over(totals.weight)
    if not 0 < rate < 1:
        return math.nan, of_loss
    entropy = -rate * math.log(rate) - (1 - rate) * math.log1p(-rate)
    ratio = loss / entropy
    if not math.isfinite(ratio):
        return ratio, of_loss
    return ratio, (of_loss - ratio * math.log((1 - rate) / rate) * of_rate) / entropy
