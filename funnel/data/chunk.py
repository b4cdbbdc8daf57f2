"""Rows of one source, taken apart into columns of four kinds, whatever format they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Lists:
    """A list of ids for each row, one after the other.

    Attributes:
        values: Text [entries].
        offsets: int64 [rows + 1]; row r holds `values[offsets[r]:offsets[r + 1]]`.
        weights: float32 [entries], or None.
    """

    values: pl.Series
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32] | None

    def take(self, rows: NDArray[np.int64]) -> Lists:
        """The lists of some rows, in their order."""
        entries, offsets = entries_of(self.offsets, rows)
        return Lists(self.values.gather(entries), offsets, None if self.weights is None else self.weights[entries])


@dataclass(frozen=True)
class Chunk:
    """Rows of one source.

    Attributes:
        rows: How many.
        ids: By categorical feature: text [rows], null where missing.
        lists: By bag.
        numbers: By numeric feature: float64 [rows], NaN where missing.
        plain: By role (a dimension's key, a stage's label, the time): [rows].
    """

    rows: int
    ids: dict[str, pl.Series]
    lists: dict[str, Lists]
    numbers: dict[str, NDArray[np.float64]]
    plain: dict[str, pl.Series]

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        """Some of the rows, in their order."""
        return Chunk(
            len(rows),
            {name: series.gather(rows) for name, series in self.ids.items()},
            {name: lists.take(rows) for name, lists in self.lists.items()},
            {name: numbers[rows] for name, numbers in self.numbers.items()},
            {name: series.gather(rows) for name, series in self.plain.items()},
        )


def concat(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of the same columns as one."""
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    return Chunk(
        sum(chunk.rows for chunk in chunks),
        {name: pl.concat([chunk.ids[name] for chunk in chunks]) for name in first.ids},
        {name: _concat_lists([chunk.lists[name] for chunk in chunks]) for name in first.lists},
        {name: np.concatenate([chunk.numbers[name] for chunk in chunks]) for name in first.numbers},
        {name: _concat_plain([chunk.plain[name] for chunk in chunks]) for name in first.plain},
    )


def _concat_plain(parts: Sequence[pl.Series]) -> pl.Series:
    """Files may differ in the width of a number, or hold numbers that in others are text."""
    return pl.concat([part.rename("plain").to_frame() for part in parts], how="vertical_relaxed").to_series()


def _concat_lists(parts: Sequence[Lists]) -> Lists:
    begins = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    offsets = np.concatenate([[0], *(part.offsets[1:] + begin for part, begin in zip(parts, begins, strict=False))])
    weights = [part.weights for part in parts if part.weights is not None]
    return Lists(pl.concat([part.values for part in parts]), offsets, np.concatenate(weights) if weights else None)


def entries_of(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of some rows' lists stand.

    Args:
        offsets: int64 [n + 1].
        rows: Positions in [0, n), any order, any number of times: [rows].

    Returns:
        Positions of the entries, row after row: int64 [entries]; and the offsets of the new lists: int64 [rows + 1].
    """
    begins = offsets[rows]
    lengths = offsets[rows + 1] - begins
    new = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=new[1:])
    return np.arange(new[-1]) + np.repeat(begins - new[:-1], lengths), new
