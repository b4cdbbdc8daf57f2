"""Sums over rows, in all and by cluster: what every figure that is a ratio of two of them is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.metrics import surprise
from funnel.evaluation.rows import Rows
from funnel.evaluation.sorting import blocks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sum:
    """A sum over rows.

    Attributes:
        total: Of all.
        by_cluster: Of those of each cluster: float64 [clusters].
    """

    total: float
    by_cluster: Floats

    @property
    def independent(self) -> int:
        """Of counted rows: how many clusters these are of; those of uneven size count for fewer even ones (Kish, 1965)."""
        return round(self.by_cluster.sum() ** 2 / (self.by_cluster**2).sum())

    def less(self, other: Sum) -> Sum:
        """The sum over the other rows."""
        return Sum(self.total - other.total, self.by_cluster - other.by_cluster)

    def over(self, other: Sum) -> tuple[float, Floats]:
        """The ratio of two sums, and each cluster's influence on it; NaN where the other is 0."""
        if not other.total > 0:
            return math.nan, np.zeros_like(self.by_cluster)
        ratio = self.total / other.total
        if not math.isfinite(ratio):
            return ratio, np.zeros_like(self.by_cluster)
        return ratio, (self.by_cluster - ratio * other.by_cluster) / other.total


@dataclass(frozen=True)
class Totals:
    """Sums over rows.

    Attributes:
        rows: Their number.
        positives: That of the positives.
        weight: Their weights.
        label: Those of the positives.
        chance: Probabilities times weights.
        loss: Each row's -log P(label), in nats, times weights.
    """

    rows: Sum
    positives: Sum
    weight: Sum
    label: Sum
    chance: Sum
    loss: Sum

    @classmethod
    def of(cls, rows: Rows, clusters: int) -> Totals:
        """Add rows up.

        Args:
            rows: The rows.
            clusters: How many there are, of all rows.
        """
        totals: list[list[float]] = [[] for _ in range(6)]
        by_cluster = np.zeros([6, 0 if rows.clusters is None else clusters])
        for part in blocks(len(rows.labels)):
            mark = None if rows.clusters is None else rows.clusters[part].astype(np.intp)
            for number, values in enumerate(_summed(rows, part)):
                totals[number].append(float(values.sum(dtype=np.float64)))
                if mark is not None:
                    by_cluster[number] += np.bincount(mark, weights=values, minlength=clusters)
        return cls(*(Sum(math.fsum(parts), column) for parts, column in zip(totals, by_cluster, strict=True)))


def _summed(rows: Rows, part: slice) -> tuple[NDArray[Any], ...]:
    """What the sums are of, for some rows."""
    label, chance = rows.labels[part], rows.chances[part].astype(np.float64)
    loss = surprise(label, rows.logits[part].astype(np.float64, copy=False))
    one = np.ones(len(label))
    if rows.weights is None:
        return one, label, one, label, chance, loss
    weight = rows.weights[part]
    # 0 times infinity is not 0.
    return one, label, weight, weight * label, weight * chance, np.multiply(weight, loss, out=0 * one, where=weight > 0)
