"""Rows in ascending order of their scores: what every figure that is about an order is read off.

Sorting is all that is dear here. Scores of 32 bits are sorted together with their places as whole numbers of 64 bits, several
times as fast as `numpy.argsort`. Everything else runs along the sorted rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PLACE_BITS, SIGN = 32, np.uint32(1 << 31)


@dataclass(frozen=True)
class Ranked:
    """Rows by ascending score, those of one score together in a run.

    Attributes:
        order: Which row stands where: whole numbers, [n].
        starts: Where each run begins: int64 [runs].
        scores: Of each run, ascending: [runs].
        positive: Weight of each run's positives: [runs], whole numbers where rows have no weights and labels are 0 or 1.
        negative: Of its negatives, likewise.
    """

    order: NDArray[Any]
    starts: NDArray[np.int64]
    scores: NDArray[Any]
    positive: NDArray[Any]
    negative: NDArray[Any]

    @classmethod
    def of(cls, labels: NDArray[Any], scores: NDArray[Any], weights: Floats | None = None) -> Ranked:
        """Sort rows.

        Args:
            labels: bool, or soft labels between 0 and 1, float64: a row of label q is a positive of weight q and a negative of
                weight 1 - q: [n].
            scores: Floats without NaN, [n].
            weights: [n]; None is 1 each.
        """
        order = ascending(scores)
        ordered = scores[order]
        starts = np.flatnonzero(changes(ordered))
        values = ordered[starts]
        del ordered
        lengths = np.diff(starts, append=len(order))
        if weights is None and labels.dtype == np.bool_:
            positive: NDArray[Any] = _sums(labels[order], starts, np.int32)
            return cls(order, starts, values, positive, lengths.astype(np.int32) - positive)
        whole = np.ones(len(order)) if weights is None else weights[order]
        positives = whole * labels[order]
        return cls(order, starts, values, _sums(positives, starts, np.float64), _sums(whole - positives, starts, np.float64))

    @cached_property
    def positives(self) -> float:
        """The weight of all positives."""
        return float(self.positive.sum(dtype=np.float64))

    @cached_property
    def negatives(self) -> float:
        """The weight of all negatives."""
        return float(self.negative.sum(dtype=np.float64))

    @property
    def two_classes(self) -> bool:
        """Whether there is an order to speak of."""
        return self.positives > 0 and self.negatives > 0

    @property
    def beaten(self) -> Floats:
        """The share of the negatives that a score beats, ties counted one half: float64 [runs]."""
        return _middle(self.negative) / self.negatives

    @property
    def lost_to(self) -> Floats:
        """The share of the positives that beat a score, ties counted one half: float64 [runs]."""
        return 1 - _middle(self.positive) / self.positives

    @cached_property
    def area(self) -> float:
        """The chance that a positive scores above a negative, ties counted one half; NaN where a class has no weight."""
        if not self.two_classes:
            return math.nan
        won = float(np.dot(self.positive, _middle(self.negative)))
        return min(1.0, max(0.0, won / (self.positives * self.negatives)))

    @property
    def above(self) -> tuple[Floats, Floats]:
        """The weight of the positives, and of all rows, with a score or a greater one: float64 [runs] each."""
        positive = np.cumsum(self.positive[::-1], dtype=np.float64)[::-1]
        return positive, positive + np.cumsum(self.negative[::-1], dtype=np.float64)[::-1]

    @cached_property
    def average_precision(self) -> float:
        """The precision at each positive's score, in the mean over the positives; NaN where a class has no weight."""
        if not self.two_classes:
            return math.nan
        positive, rows = self.above
        precision = np.divide(positive, rows, out=np.zeros_like(rows), where=rows > 0)
        return float(np.dot(self.positive, precision) / self.positives)

    def bins(self, count: int) -> NDArray[np.intp]:
        """Which of so many bins of equal mass each run falls into, by the middle of its own mass: [runs]."""
        mass = self.positive + self.negative
        # Multiplied before divided: whole weights then meet the edges between bins exactly.
        return np.floor(count * _middle(mass) / mass.sum(dtype=np.float64)).astype(np.intp)

    def by_row(self, of_runs: NDArray[Any]) -> NDArray[Any]:
        """What holds for each run, for its rows in ascending order: [n]."""
        return np.repeat(of_runs, np.diff(self.starts, append=len(self.order)))


def ascending(scores: NDArray[Any]) -> NDArray[Any]:
    """The places of numbers in ascending order, equal ones as they came: whole numbers, [n]."""
    if scores.dtype != np.float32 or len(scores) >> PLACE_BITS:
        return np.argsort(scores, kind="stable")
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 is 0
    # The bits of numbers below 0 descend: turned round, all ascend.
    bits = np.where(bits & SIGN, ~bits, bits | SIGN)
    return _with_places(bits)


def by_group(groups: NDArray[Any]) -> NDArray[Any]:
    """The places of groups, int32 of at least 0, in ascending order, those of a group as they came: [n]."""
    return np.argsort(groups, kind="stable") if len(groups) >> PLACE_BITS else _with_places(groups.astype(np.uint32))


def changes(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Where something else begins: bool [n]."""
    return np.concatenate((np.ones(min(ordered.size, 1), dtype=np.bool_), ordered[1:] != ordered[:-1]))


def group_areas(
    ranked: Ranked, labels: NDArray[np.bool_], groups: NDArray[np.int32], weights: Floats | None = None
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The AUC within each group that has both classes.

    Args:
        ranked: The rows, sorted with these labels and weights.
        labels: [n].
        groups: Of at least 0, [n].
        weights: [n]; None is 1 each.

    Returns:
        The groups, ascending; their AUCs; and their weight: [groups with both classes] each.
    """
    count = int(groups.max(initial=-1)) + 1
    mass = np.bincount(groups, weights=weights, minlength=count).astype(np.float64)
    ones = np.bincount(groups[labels], weights=None if weights is None else weights[labels], minlength=count)
    zeros = np.bincount(groups[~labels], weights=None if weights is None else weights[~labels], minlength=count)
    mixed = (ones > 0) & (zeros > 0)
    runs = ranked.by_row(np.arange(len(ranked.starts), dtype=np.int32))
    used = mixed[groups[ranked.order]]  # the others take no part: for rare events, most rows
    rows, runs = ranked.order[used], runs[used]
    order = by_group(groups[rows])
    rows, runs = rows[order], runs[order]
    group = groups[rows]
    new_group = changes(group)
    starts = np.flatnonzero(new_group | changes(runs))
    first = np.flatnonzero(new_group[starts])  # each group's first run
    whole = np.ones(len(rows)) if weights is None else weights[rows]
    positive = _sums(np.where(labels[rows], whole, 0.0), starts, np.float64)
    negative = _sums(np.where(labels[rows], 0.0, whole), starts, np.float64)
    positives, negatives = (_sums(one, first, np.float64) for one in (positive, negative))
    # Back to 0 at every group: the running sum stays as small, and so as precise, as the group's own.
    steps = negative.copy()
    steps[first[1:]] -= negatives[:-1]
    won = _sums(positive * (np.cumsum(steps) - negative / 2), first, np.float64)
    names = np.flatnonzero(mixed)
    return names, np.clip(won / (positives * negatives), 0.0, 1.0), mass[names]


def _with_places(keys: NDArray[np.uint32]) -> NDArray[np.uint32]:
    pairs = keys.astype(np.uint64)
    pairs <<= np.uint64(PLACE_BITS)
    pairs |= np.arange(len(keys), dtype=np.uint32)
    pairs.sort()
    return pairs.astype(np.uint32)  # the lower half


def _middle(masses: NDArray[Any]) -> Floats:
    """What is below the middle of each run."""
    found = np.cumsum(masses, dtype=np.float64)
    found -= masses / 2
    return found


def _sums(values: NDArray[Any], starts: NDArray[np.int64], kind: Any) -> NDArray[Any]:
    return np.add.reduceat(values, starts, dtype=kind) if len(starts) else np.zeros(0, kind)
