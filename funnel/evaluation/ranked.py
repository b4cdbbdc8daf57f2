"""Rows in ascending order of their scores: what every figure that is about an order is read off.

A figure is a sum over the scores, of what was counted up to each. It is made of one part of the rows after the other, which
takes little memory, and half the time: a part stays in a core's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.sorting import HALF, MOST, ascending, blocks, changes, ordinals, parts, scores_of, sort, sums_by_class

Floats = NDArray[np.float64]
TINY = np.finfo(np.float64).tiny  # above 0


@dataclass(frozen=True)
class Runs:
    """Some runs, one after the other: rows of one score each.

    Attributes:
        rows: Where their rows are, in ascending order.
        starts: Where each run begins, counted from the first of these rows: int64 [runs].
        scores: Of each run, ascending: float64 [runs].
        positive: Weight of each run's positives: float64 [runs].
        negative: Of its negatives, likewise.
        below: The weight of the positives, and of the negatives, with a smaller score than all of these.
        above: With a greater one.
    """

    rows: slice
    starts: NDArray[np.int64]
    scores: Floats
    positive: Floats
    negative: Floats
    below: tuple[float, float]
    above: tuple[float, float]

    @cached_property
    def mass(self) -> Floats:
        """The weight of each run: float64 [runs]."""
        return self.positive + self.negative

    @cached_property
    def positive_below(self) -> Floats:
        """The weight of the positives with a smaller score, and half that of those with the same: float64 [runs]."""
        return _middle(self.positive, self.below[0])

    @cached_property
    def negative_below(self) -> Floats:
        """Of the negatives, likewise: float64 [runs]."""
        return _middle(self.negative, self.below[1])

    @cached_property
    def at_least(self) -> tuple[Floats, Floats]:
        """The weight of the positives, and of all rows, with the score or a greater one: float64 [runs] each."""
        positive, rows = (np.cumsum(one[::-1])[::-1] for one in (self.positive, self.mass))
        return positive + self.above[0], rows + sum(self.above)

    @property
    def precision(self) -> Floats:
        """The share of positives among the rows with the score or a greater one: float64 [runs]."""
        positive, rows = self.at_least
        return positive / np.maximum(rows, TINY)  # rows of weight 0 have a precision of 0

    def by_row(self, of_runs: NDArray[Any]) -> NDArray[Any]:
        """What holds for each run, for its rows in ascending order: [rows]."""
        return np.repeat(of_runs, np.diff(self.starts, append=self.rows.stop - self.rows.start))


@dataclass(frozen=True)
class Ranked:
    """Rows by ascending score; those of one score are a run.

    Attributes:
        scores: Ascending: [n].
        positive: The weight of each row's positive: bool, where rows have no weights and labels are 0 or 1, else float64: [n].
        whole: The weight of each row, float64 [n]; None is 1 each.
        marks: What each row carries: whole numbers, [n]; None where nothing was given.
    """

    scores: NDArray[Any]
    positive: NDArray[Any]
    whole: Floats | None
    marks: NDArray[Any] | None

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        scores: NDArray[Any],
        weights: Floats | None = None,
        marks: NDArray[np.int32] | None = None,
    ) -> Ranked:
        """Sort rows.

        Args:
            labels: bool, or soft labels between 0 and 1, float64: a row of label q is a positive of weight q and a negative of
                weight 1 - q: [n].
            scores: Floats without NaN, [n].
            weights: [n]; None is 1 each.
            marks: What is wanted of each row when it has its place, such as its number: at least 0, [n].
        """
        plain = weights is None and labels.dtype == np.bool_
        if plain and scores.dtype == np.float32:
            return cls._packed(labels, scores, marks)
        order = ascending(scores)
        carried = None if marks is None else marks[order]
        if plain:
            return cls(scores[order], labels[order], None, carried)
        whole = np.ones(len(order)) if weights is None else weights[order]
        return cls(scores[order], whole * labels[order], whole, carried)

    @classmethod
    def _packed(cls, labels: NDArray[np.bool_], scores: NDArray[np.float32], marks: NDArray[np.int32] | None) -> Ranked:
        """Sort numbers that hold score, label and mark of each row."""
        keys = np.empty(len(scores), np.uint64)
        for rows in blocks(len(keys)):
            key = ordinals(scores[rows]).astype(np.uint64)
            key <<= np.uint64(1)
            key |= labels[rows]
            key <<= HALF - np.uint64(1)
            if marks is not None:
                key |= marks[rows].astype(np.uint64)
            keys[rows] = key
        sort(keys)
        ordered, positive = np.empty(len(keys), np.float32), np.empty(len(keys), np.bool_)
        carried = None if marks is None else np.empty(len(keys), np.int32)
        for rows in blocks(len(keys)):
            key = keys[rows]
            ordered[rows] = scores_of((key >> HALF).astype(np.uint32))
            low = key.astype(np.uint32)
            positive[rows] = low >= MOST
            if carried is not None:
                carried[rows] = low & np.uint32(MOST - 1)
        return cls(ordered, positive, None, carried)

    @cached_property
    def positives(self) -> float:
        """The weight of all positives."""
        return float(self._masses[0].sum())

    @cached_property
    def negatives(self) -> float:
        """The weight of all negatives."""
        return float(self._masses[1].sum())

    @property
    def total(self) -> float:
        """The weight of all rows."""
        return self.positives + self.negatives

    @property
    def two_classes(self) -> bool:
        """Whether there is an order to speak of."""
        return self.positives > 0 and self.negatives > 0

    @property
    def area(self) -> float:
        """The chance that a positive scores above a negative, ties counted one half; NaN where a class has no weight."""
        return self._areas[0]

    @property
    def average_precision(self) -> float:
        """The precision at each positive's score, in the mean over the positives; NaN where a class has no weight."""
        return self._areas[1]

    def parts(self) -> Iterator[Runs]:
        """All runs, some at a time, in ascending order."""
        below, above = _before(self._masses), _before(self._masses[:, ::-1])[:, ::-1]
        for part, rows in enumerate(self._parts):
            scores = self.scores[rows]
            starts = np.flatnonzero(changes(scores))
            whole = None if self.whole is None else self.whole[rows]
            by_class = sums_by_class(self.positive[rows], whole, starts)
            outside = ((float(one[0, part]), float(one[1, part])) for one in (below, above))
            yield Runs(rows, starts, scores[starts].astype(np.float64), *by_class, *outside)

    def beaten(self, runs: Runs) -> Floats:
        """The share of the negatives that a score beats, ties counted one half: float64 [runs]."""
        return runs.negative_below / self.negatives

    def lost_to(self, runs: Runs) -> Floats:
        """The share of the positives that beat a score, ties counted one half: float64 [runs]."""
        return 1 - runs.positive_below / self.positives

    def bins(self, runs: Runs, count: int) -> NDArray[np.intp]:
        """Which of so many bins of equal mass each run falls into, by the middle of its own mass: [runs]."""
        # Multiplied before divided: whole weights then meet the edges between bins exactly.
        found = _middle(runs.mass, sum(runs.below))
        found *= count
        found /= self.total
        return np.minimum(found, count - 1, out=found).astype(np.intp)

    def of_rows(self, runs: Runs, of_positive: Floats, of_negative: Floats) -> Floats:
        """What holds for a positive and a negative of each run, for its rows, times their weights: float64 [rows]."""
        positive, of_positive, of_negative = self.positive[runs.rows], runs.by_row(of_positive), runs.by_row(of_negative)
        if self.whole is None:
            return np.where(positive, of_positive, of_negative)
        return positive * of_positive + (self.whole[runs.rows] - positive) * of_negative

    def marked(self, runs: Runs) -> NDArray[Any]:
        """What the rows of some runs carry: whole numbers, [rows]."""
        if self.marks is None:
            raise ValueError("got rows without marks, expected some.")
        return self.marks[runs.rows]

    @cached_property
    def _parts(self) -> list[slice]:
        return parts(self.scores)

    @cached_property
    def _masses(self) -> Floats:
        """The weight of the positives, and of the negatives, of each part: [2, parts]."""
        if self.whole is None:
            positives = np.array([np.count_nonzero(self.positive[rows]) for rows in self._parts], np.float64)
            return np.stack((positives, [rows.stop - rows.start for rows in self._parts] - positives))
        both = [(self.positive[rows].sum(), (self.whole[rows] - self.positive[rows]).sum()) for rows in self._parts]
        return np.array(both, np.float64).reshape(-1, 2).T

    @cached_property
    def _areas(self) -> tuple[float, float]:
        """Under the ROC curve, and under that of precision and recall."""
        if not self.two_classes:
            return math.nan, math.nan
        won = precise = 0.0
        for runs in self.parts():
            won += float((runs.positive * runs.negative_below).sum())
            precise += float((runs.positive * runs.precision).sum())
        return min(1.0, max(0.0, won / (self.positives * self.negatives))), precise / self.positives


def _middle(masses: Floats, before: float) -> Floats:
    """What is before the middle of each run."""
    found = np.cumsum(masses)
    found -= masses / 2
    found += before
    return found


def _before(masses: Floats) -> Floats:
    """The sum of all parts before each one: [2, parts]."""
    return np.concatenate((np.zeros([2, 1]), np.cumsum(masses, axis=1)), axis=1)[:, :-1]
