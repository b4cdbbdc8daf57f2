"""The first shards of a split, to which facts are assigned at random, with what reached each stage counted row by row.

Letters: R rows of a source, E entries of a bag, C columns of counts: all facts, then what `Sample.columns` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.columns import OFFSETS, WEIGHTS
from funnel.data.labels import Labels, in_space, is_known
from funnel.data.origin import Split
from funnel.data.shards import rows_of
from funnel.data.star import Star
from funnel.data.store import Store
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.topology import Place

MOST = 2_000_000

Counts = NDArray[Any]
Pair = tuple[int, int]  # of columns: the facts that reached a stage, and those that might have, all with a known label


class Sample:
    """Some facts of a split. Their arrays are memory-mapped: what is looked at is read, a feature at a time.

    Args:
        schema: The declaration.
        store: The rows.
        split: Which of them.
        most: Facts, about: whole shards are taken until there are so many.
    """

    def __init__(self, schema: FunnelSchema, store: Store, split: Split, most: int = MOST) -> None:
        shards = store.shards(split)
        taken = min(len(shards), int(np.searchsorted(np.cumsum(shards.sizes), most)) + 1)
        self.schema = schema
        self.stars: list[Star] = [shards[number] for number in range(taken)]
        self.rows = sum(star.rows for star in self.stars)
        self.of = shards.rows
        self.cumulative: list[Pair] = []  # by stage: among all facts
        self.conditional: list[Pair] = []  # by stage: among the facts that its conditional is about
        self._columns: list[Callable[[Labels], NDArray[np.bool_]]] = [lambda labels: np.ones(len(labels), bool)]
        self._plan()
        self._counted: dict[str, tuple[Counts, Counts]] = {}

    def _plan(self) -> None:
        """Which columns are counted: where all labels are known, one column serves several purposes."""
        whole = all(is_known(star.labels).all() for star in self.stars if star.labels is not None)

        def add(column: Callable[[Labels], NDArray[np.bool_]]) -> int:
            self._columns.append(column)
            return len(self._columns) - 1

        for stage, place in enumerate(self.schema.topology):

            def reached(labels: Labels, stage: int = stage) -> NDArray[np.bool_]:
                return labels[:, stage] == 1

            def known(labels: Labels, stage: int = stage) -> NDArray[np.bool_]:
                return is_known(labels[:, stage])

            def given(labels: Labels, stage: int = stage, place: Place = place) -> NDArray[np.bool_]:
                return in_space(labels, place) & is_known(labels[:, stage])

            def passed(labels: Labels, stage: int = stage, place: Place = place) -> NDArray[np.bool_]:
                return in_space(labels, place) & (labels[:, stage] == 1)

            self.cumulative.append((add(reached), 0 if whole else add(known)))
            if not whole:
                self.conditional.append((add(passed), add(given)))
            elif place.excluded:
                self.conditional.append((self.cumulative[stage][0], add(given)))
            else:
                self.conditional.append(
                    (self.cumulative[stage][0], self.cumulative[place.parent][0] if place.parent >= 0 else 0)
                )

    def counted(self, source: str) -> tuple[Counts, Counts]:
        """For each row of a source, its facts, and those of them that each column counts.

        Returns:
            Of a random half of the facts, to learn from; and of the other half, to judge on: [R, C] each.
        """
        if source not in self._counted:
            parts = [self._count(number, star, source) for number, star in enumerate(self.stars)]
            learn, judge = zip(*parts, strict=True)
            self._counted[source] = np.concatenate(learn), np.concatenate(judge)
        return self._counted[source]

    def _count(self, number: int, star: Star, source: str) -> tuple[Counts, Counts]:
        labels = star.labels if star.labels is not None else np.zeros((star.rows, len(self.schema.stages)), np.uint8)
        facts = np.stack([column(labels) for column in self._columns], axis=1).astype(np.uint8)
        learn = np.random.default_rng(number).random(star.rows) < 0.5
        if source == FACTS:
            return facts * learn[:, None], facts * ~learn[:, None]
        index, rows = star.index[source], rows_of(star, source)

        def of(half: NDArray[np.bool_]) -> Counts:
            columns = [np.bincount(index[half], weights=column, minlength=rows) for column in facts[half].T]
            return np.stack(columns, axis=1).astype(np.int32)

        return of(learn), of(~learn)

    def uses(self, feature: Any) -> Counts:
        """How many facts use each row of a feature's source: [R]."""
        source = self.schema.source_of(feature)
        if source == FACTS:
            return np.ones(self.rows, np.int64)
        return np.concatenate([np.bincount(star.index[source], minlength=rows_of(star, source)) for star in self.stars])

    def column(self, feature: Any) -> NDArray[Any]:
        """The values of a feature that is no bag: ids, or numbers with NaN where missing: [R]."""
        return np.concatenate([self._column(star, feature, "") for star in self.stars])

    def bag(self, feature: Any, most: int) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any] | None]:
        """A bag's entries.

        Args:
            feature: The bag.
            most: Entries, about: the rows after so many are not looked at, and not given.

        Returns:
            Ids [E], the length of each row's list [R], and the weights [E], None where it is not weighted. R may be less than
            that of the source.
        """
        ids, lengths, weights, entries = [], [], [], 0
        for star in self.stars:
            offsets = self._column(star, feature, OFFSETS)
            rows = min(len(offsets) - 1, int(np.searchsorted(offsets, most - entries)))
            last = int(offsets[rows])
            ids.append(self._column(star, feature, "")[:last])
            lengths.append(np.diff(offsets[: rows + 1]).astype(np.int64))
            if feature.weighted:
                weights.append(self._column(star, feature, WEIGHTS)[:last])
            entries += last
            if rows < len(offsets) - 1:
                break
        return np.concatenate(ids), np.concatenate(lengths), np.concatenate(weights) if weights else None

    def _column(self, star: Star, feature: Any, part: str) -> NDArray[Any]:
        return star.sources[self.schema.source_of(feature)][feature.name + part]
