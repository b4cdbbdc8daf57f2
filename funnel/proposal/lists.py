"""Columns of many ids a row: lists, or texts with a separator; and which of them are the weights of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.proposal.columns import Column, as_text, numbers_of
from funnel.proposal.splits import words
from funnel.proposal.tables import Table
from funnel.proposal.words import WEIGHTS, suggests

SEPARATORS = "|;,"
BRACKETS = r"[\[\](){}<>]"  # `[10,100)` is a range
LONGEST = 40  # letters of an id
OFTEN = 0.02  # so many values have the separator, at least
FEW = 3  # values with it, at least


@dataclass(frozen=True)
class Lists:
    """A column of lists.

    Attributes:
        separator: Between two entries of a text; None for lists.
        lengths: Entries of each sampled row: [R].
        ids: Different entries in the sample.
        fractions: Whether some entries are no whole numbers, and all are numbers.
        numeric: Whether all entries are numbers.
    """

    separator: str | None
    lengths: NDArray[np.int64]
    ids: int
    fractions: bool
    numeric: bool


def lists_in(table: Table) -> dict[str, Lists]:
    """The columns that are lists, by name."""
    found = {name: _lists(table.sample[name], column) for name, column in table.columns.items()}
    return {name: lists for name, lists in found.items() if lists is not None}


def weights_in(lists: Mapping[str, Lists]) -> dict[str, str]:
    """For each bag with weights beside it: their column. Numbers, as many as the ids in every row, and of a like name."""
    found: dict[str, str] = {}
    for name, numbers in lists.items():
        if not numbers.numeric or not (numbers.fractions or suggests(name, WEIGHTS)):
            continue
        others = [
            other
            for other, ids in lists.items()
            if other != name
            and other not in found
            and not ids.fractions
            and ids.separator == numbers.separator
            and np.array_equal(ids.lengths, numbers.lengths)
            and ids.lengths.max(initial=0) > 1
        ]
        others = [other for other in others if other not in found.values() and _alike(other, name)] or [
            other for other in others if len(others) == 1 and not suggests(other, WEIGHTS)
        ]
        if others:
            found[min(others, key=len)] = name
    return found


def _lists(values: pl.Series, column: Column) -> Lists | None:
    separator = None
    if column.kind == "list":
        lists = values if values.dtype.base_type() == pl.List else values.arr.to_list()
    elif column.kind == "text" and (separator := _separator(values.drop_nulls())) is not None:
        lists = values.str.split(separator)
    else:
        return None
    lengths = lists.list.len().fill_null(0)
    entries = lists.filter(lengths > 0).explode().drop_nulls() if lengths.sum() else pl.Series([], dtype=pl.String)
    numbers = numbers_of(entries)
    numeric = len(entries) > 0 and not numbers.null_count()
    fractions = numeric and bool((entries.dtype.is_float()) or (numbers != numbers.floor()).any())
    return Lists(separator, lengths.to_numpy().astype(np.int64), as_text(entries).n_unique(), fractions, numeric)


def _separator(values: pl.Series) -> str | None:
    """What stands between the entries of texts; None where they are one each."""
    for separator in SEPARATORS:
        with_it = values.str.contains(separator, literal=True)
        often = int(with_it.sum())
        if often < max(FEW, OFTEN * len(values)) or values.str.contains(BRACKETS).any():
            continue
        lists = values.str.split(separator)
        entries = lists.explode()
        # Pairs such as `48.1,11.6` are as long in every row; sentences have spaces after their commas.
        if lists.list.len().n_unique() < 2 or entries.str.contains(r"^\s|\s\S+\s").any():
            continue
        if (entries.str.len_chars() > LONGEST).any():
            continue
        if entries.n_unique() < values.n_unique() or 2 * entries.n_unique() <= len(entries):
            return separator
    return None


def _alike(ids: str, numbers: str) -> bool:
    """`favourites` and `favourite_counts`."""
    mine, theirs = ({word.removesuffix("s") for word in words(name)} for name in (ids, numbers))
    return bool(mine & theirs)
