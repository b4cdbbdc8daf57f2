"""How often each stage is reached, by value of a feature: learnt on one half of a sample, judged on the other.

Letters: K different values, C columns of counts as a `Sample` has them, R rows of a source, E entries of a bag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.doctor.sample import Sample
from funnel.evaluation.metrics import auc
from funnel.schema.features import Bag, Numeric

FINE, COARSE = 4096, 64
MOST_ENTRIES = 20_000_000
DENSE = 1 << 22
SMOOTH = 10.0
LEAST = 20

Floats = NDArray[np.float64]
Keys = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Tally:
    """Facts by value, and those of them that each column counts.

    Attributes:
        what: What the value is, as messages say it: `its ids`.
        learn: Of one half: [K, C].
        judge: Of the other half: [K, C].
        ordered: Whether the values ascend, and are their own score.
    """

    what: str
    learn: Floats
    judge: Floats
    ordered: bool = False

    @property
    def whole(self) -> Floats:
        """Of both halves, without values that have no facts: [K, C]."""
        both = self.learn + self.judge
        return both[both[:, 0] > 0]

    def auc(self, reached: int, of: int) -> float:
        """How well the value alone tells a stage, on the half that is judged.

        Args:
            reached: The column of the facts that reached the stage.
            of: The column of the facts among which these are told.

        Returns:
            At least .5 but for chance; NaN where there are fewer than LEAST rows of a kind.
        """
        judge = self.judge[:, of]
        if not self.ordered:
            return judged(self.judge[:, reached], judge, rates(self.learn[:, reached], self.learn[:, of]))
        found = judged(self.judge[:, reached], judge, np.arange(len(judge), dtype=np.float64))
        return max(found, 1 - found)


def rates(reached: Floats, of: Floats) -> Floats:
    """The rate of each value, drawn towards that of all as if by SMOOTH more rows: [K]."""
    prior = reached.sum() / max(1.0, of.sum())
    return np.asarray((reached + SMOOTH * prior) / (of + SMOOTH))


def judged(reached: Floats, of: Floats, scores: Floats) -> float:
    """The AUC of scores, each for some rows: NaN where there are fewer than LEAST rows of a kind.

    Args:
        reached: Rows with the stage, by score: [K].
        of: Rows, by score: [K].
        scores: [K].
    """
    missed = of - reached
    if min(reached.sum(), missed.sum()) < LEAST:
        return float("nan")
    won, lost = reached > 0, missed > 0
    labels = np.concatenate([np.ones(won.sum(), bool), np.zeros(lost.sum(), bool)])
    return auc(labels, np.concatenate([scores[won], scores[lost]]), np.concatenate([reached[won], missed[lost]]))


def tallies(sample: Sample, feature: Any) -> Iterator[Tally]:
    """What of a feature can be told apart: its ids; a number, and the bins that it falls in; how long a bag is."""
    learn, judge = sample.counted(sample.schema.source_of(feature))
    if isinstance(feature, Bag):
        _, lengths, weights = sample.bag(feature, MOST_ENTRIES)
        rows = len(lengths)
        yield from _of_numbers("how many entries it has", lengths.astype(np.float64), learn[:rows], judge[:rows])
        if weights is not None:
            sums = weighed(owners(lengths), weights, rows)
            yield from _of_numbers("the sum of its weights", sums, learn[:rows], judge[:rows])
    elif isinstance(feature, Numeric):
        yield from _of_numbers("its number", sample.column(feature).astype(np.float64), learn, judge)
    else:
        keys = compact(sample.column(feature))
        yield Tally("its ids", summed(keys, learn), summed(keys, judge))


def _of_numbers(what: str, numbers: Floats, learn: NDArray[Any], judge: NDArray[Any]) -> Iterator[Tally]:
    # What is missing comes first, as if less than everything.
    values, inverse = np.unique(np.where(np.isnan(numbers), -np.inf, numbers), return_inverse=True)
    keys: Keys = inverse
    if len(values) > FINE:
        keys = _equal_bins(summed(keys, learn[:, :1] + judge[:, :1])[:, 0], FINE)[keys]
    fine = Tally(what, summed(keys, learn), summed(keys, judge), ordered=True)
    yield fine
    coarse = _equal_bins(fine.learn[:, 0], COARSE)
    yield Tally(f"{what}, in bins", summed(coarse, fine.learn), summed(coarse, fine.judge))


def _equal_bins(masses: Floats, bins: int) -> Keys:
    """For ascending values, the bin where the middle of each one's mass falls: [K]."""
    return np.floor(bins * (np.cumsum(masses) - masses / 2) / max(1.0, masses.sum()) - 1e-9).clip(0).astype(np.int64)


def summed(keys: Keys, counts: NDArray[Any]) -> Floats:
    """Counts of rows, added up by key: [R] and [R, C] -> [K, C]."""
    size = int(keys.max(initial=-1)) + 1
    return np.stack([weighed(keys, column, size) for column in counts.T], axis=1)


def weighed(keys: Keys, weights: NDArray[Any], size: int) -> Floats:
    """The sum of the weights of each key: [n] and [n] -> float64 [size]."""
    return np.bincount(keys, weights=weights, minlength=size).astype(np.float64, copy=False)


def compact(ids: NDArray[Any]) -> Keys:
    """Numbers for ids, none much greater than there are rows."""
    if int(ids.max(initial=0)) < DENSE:
        return ids
    return np.unique(ids, return_inverse=True)[1]


def owners(lengths: NDArray[np.int64]) -> Keys:
    """The row of each entry: [E]."""
    return np.repeat(np.arange(len(lengths)), lengths)


class Entries:
    """The entries of a bag, of which the mean rate is a score.

    Args:
        sample: The rows.
        bag: The feature.
    """

    what = "its entries"

    def __init__(self, sample: Sample, bag: Bag) -> None:
        ids, lengths, _ = sample.bag(bag, MOST_ENTRIES)
        learn, judge = sample.counted(sample.schema.source_of(bag))
        self._ids, self._owners, self._lengths = compact(ids), owners(lengths), lengths
        self._learn, self._judge = learn[: len(lengths)], judge[: len(lengths)]
        self._by_id: dict[int, Floats] = {}

    def auc(self, reached: int, of: int) -> float:
        """As `Tally.auc`; a row without entries has the rate of all such."""
        each = rates(self._of_ids(reached), self._of_ids(of))
        sums = weighed(self._owners, each[self._ids], len(self._lengths))
        empty = self._lengths == 0
        nothing, among = (self._learn[empty, column].sum(keepdims=True).astype(np.float64) for column in (reached, of))
        scores = np.where(empty, rates(nothing, among), sums / np.maximum(1, self._lengths))
        return judged(self._judge[:, reached].astype(np.float64), self._judge[:, of].astype(np.float64), scores)

    def _of_ids(self, column: int) -> Floats:
        if column not in self._by_id:
            self._by_id[column] = summed(self._ids, self._learn[self._owners, column][:, None])[:, 0]
        return self._by_id[column]
