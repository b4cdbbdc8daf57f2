"""Facts, the dimension rows that they use, and the way from one to the other: what a shard holds, and a batch is cut from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.arrays import Arrays, read_arrays, write_arrays
from funnel.data.columns import Columns
from funnel.schema.data import FACTS

INDEX, LABELS, WEIGHTS, POSITION = "index", "labels", "weights", "position"
GROUPS = "groups of"  # a dimension may be called `groups`, but its name has no space


@dataclass(frozen=True)
class Star:
    """Some facts. The facts of one row of the first dimension stand together.

    Attributes:
        sources: By source, the facts first: its columns. Ids are rows of embedding tables, int32; numbers float32, NaN where
            missing.
        index: By dimension: each fact's row, int32 [facts].
        position: Where each fact stood among those that were read: int64 [facts].
        labels: 0, 1, UNKNOWN or ABSENT: uint8 [facts, stages]; None where none were read.
        groups: The facts' groups for the evaluation, int64: [facts], or [rows] of the dimension `grouped_by`; None where none
            are declared.
        grouped_by: The source whose rows `groups` describes.
        weights: What each row counts, from a column: float32 [facts]; None where none is declared.
    """

    sources: dict[str, Columns]
    index: dict[str, NDArray[Any]]
    position: NDArray[Any]
    labels: NDArray[np.uint8] | None = None
    groups: NDArray[np.int64] | None = None
    grouped_by: str = FACTS
    weights: NDArray[np.float32] | None = None

    @property
    def rows(self) -> int:
        """How many facts."""
        return len(self.position)

    @property
    def fact_groups(self) -> NDArray[np.int64] | None:
        """The group of each fact: int64 [facts]."""
        if self.groups is None or self.grouped_by == FACTS:
            return self.groups
        return self.groups[self.index[self.grouped_by]]

    def group_starts(self) -> NDArray[np.int64]:
        """Where the facts of each row of the first dimension begin, and where the last ones end: int64 [groups + 1]."""
        if not self.index:
            return np.arange(self.rows + 1)
        first = next(iter(self.index.values()))
        return np.concatenate([[0], np.flatnonzero(np.diff(first)) + 1, [self.rows]])

    def save(self, path: Path, **others: NDArray[Any]) -> None:
        """Write a file of named arrays.

        Raises:
            OSError: The disk is full.
        """
        arrays: Arrays = {
            f"{source}/{name}": array for source, columns in self.sources.items() for name, array in columns.items()
        }
        arrays |= {f"{INDEX}/{name}": array for name, array in self.index.items()} | {POSITION: self.position}
        if self.labels is not None:
            arrays[LABELS] = self.labels
        if self.weights is not None:
            arrays[WEIGHTS] = self.weights
        if self.groups is not None:
            arrays[f"{GROUPS}/{self.grouped_by}"] = self.groups
        write_arrays(path, arrays | others)

    @classmethod
    def load(cls, path: Path, sources: tuple[str, ...]) -> tuple[Star, Arrays]:
        """Map what `save` wrote; also gives the other arrays."""
        arrays = read_arrays(path)
        found: dict[str, Columns] = {source: {} for source in sources}
        index: dict[str, NDArray[Any]] = {}
        groups, grouped_by = None, FACTS
        others: Arrays = {}
        for name, array in arrays.items():
            first, _, rest = name.partition("/")
            if name in (LABELS, WEIGHTS, POSITION):
                continue  # a dimension may be called so, too
            if first == INDEX:
                index[rest] = array
            elif first == GROUPS:
                groups, grouped_by = array, rest
            elif first in found:
                found[first][rest] = array
            else:
                others[name] = array
        ordered = {source: index[source] for source in sources if source in index}
        star = cls(found, ordered, arrays[POSITION], arrays.get(LABELS), groups, grouped_by, arrays.get(WEIGHTS))
        return star, others


def smallest(numbers: NDArray[Any], most: int) -> NDArray[Any]:
    """Whole numbers of at least 0 in the narrowest type that holds `most`."""
    return numbers.astype(np.uint32 if most < 2**32 else np.int64, copy=False)
