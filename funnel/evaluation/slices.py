"""Parts of the rows, by what a column says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.star import Star
from funnel.data.vocabulary import Vocabulary
from funnel.errors import DataError, have
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Categorical, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import FIRST, MISSING, OOV

MOST = 30  # values of a column; the rows of all others are one part
PARTS = 5  # of numbers


@dataclass(frozen=True)
class Cut:
    """A column that rows are parted by.

    Attributes:
        column: Its name.
        values: What the parts are called: numbers ascending, else those with the most rows first.
        parts: Which part each row is in: int32 [rows].
    """

    column: str
    values: tuple[str, ...]
    parts: NDArray[np.int32]

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        order = np.argsort(self.parts, kind="stable")
        ends = np.cumsum(np.bincount(self.parts, minlength=len(self.values)))
        for part, value in enumerate(self.values):
            yield value, order[ends[part - 1] if part else 0 : ends[part]]


def require_sliceable(schema: FunnelSchema, columns: Sequence[str]) -> tuple[str, ...]:
    """The features that rows can be parted by, by their names or their columns.

    Raises:
        DataError: Something else was asked for.
    """
    found = []
    able = [feature for feature in schema.features if isinstance(feature, Categorical | Numeric)]
    for wanted in columns:
        match = [one for one in able if wanted == one.name] or [one for one in able if wanted == one.column]
        if match:
            found.append(match[0].name)
            continue
        kind = next((one.kind for one in schema.features if one.name == wanted), None)
        problem = f"is a {kind}" if kind is not None else "is no feature"
        raise DataError(
            f"slice {wanted!r}: {problem}, expected a categorical or numeric feature "
            f"{have(wanted, [feature.name for feature in able])} Correct the name, or declare the column as a feature."
        )
    return tuple(dict.fromkeys(found))


def column_of(schema: FunnelSchema, star: Star, name: str) -> NDArray[Any]:
    """What a feature says of each fact: rows of its table, int32, or numbers, float32: [facts]."""
    source = schema.source_of(schema.feature(name))
    column = star.sources[source][name]
    return np.asarray(column if source == FACTS else column[star.index[source]])


def cut(schema: FunnelSchema, vocabulary: Vocabulary, name: str, column: NDArray[Any]) -> Cut:
    """Parts of rows by a feature.

    Args:
        schema: The declaration.
        vocabulary: The run's ids.
        name: A categorical or numeric feature.
        column: What it says of each row, as `column_of` has it: [rows].
    """
    feature = schema.feature(name)
    if isinstance(feature, Bag):
        raise ValueError("got a bag, expected a feature with one value a row")
    if isinstance(feature, Numeric):
        return _by_number(name, column)
    terms = vocabulary.terms.get(feature.table_name)
    present, parts = np.unique(column, return_inverse=True)
    words = {MISSING: "(missing)", OOV: "(unknown)"}
    texts = [words.get(int(row)) or (f"#{row - FIRST}" if terms is None else str(terms[int(row) - FIRST])) for row in present]
    return _most(name, texts, parts.reshape(-1))


def _by_number(name: str, column: NDArray[np.float32]) -> Cut:
    known = ~np.isnan(column)
    present = np.unique(column[known])
    if len(present) <= MOST:
        parts = np.where(known, np.searchsorted(present, column), len(present))
        return _most(name, [*(f"{value:.6g}" for value in present), "(missing)"], parts)
    edges = np.unique(np.quantile(column[known], np.arange(1, PARTS) / PARTS))
    parts = np.where(known, np.searchsorted(edges, column, side="right"), len(edges) + 1)
    words = [f"below {edges[0]:.6g}", *(f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges))]
    words = [*words, f"{edges[-1]:.6g} and more", "(missing)"]
    there, kept = np.unique(parts, return_inverse=True)
    return Cut(name, tuple(words[part] for part in there), kept.reshape(-1).astype(np.int32))


def _most(name: str, texts: list[str], parts: NDArray[Any]) -> Cut:
    """The values with the most rows, and what is left of them as one."""
    sizes = np.bincount(parts, minlength=len(texts))
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    kept, others = order[:MOST], order[MOST:]
    place = np.full(len(texts), len(kept), np.int32)
    place[kept] = np.arange(len(kept))
    values = [texts[part] for part in kept]
    return Cut(name, (*values, f"({len(others):,} others)") if len(others) else tuple(values), place[parts])
