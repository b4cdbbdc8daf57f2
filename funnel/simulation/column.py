"""A simulated column: as it is written, and as the truth sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Column:
    """A column: as it is written, and as the truth sees it."""

    series: pl.Series  # ids as text, lists of them, or numbers: [rows]
    codes: Ints | None = None  # each id's position among `size`, -1 where missing: [rows], or [entries] of lists
    size: int = 0  # how many ids there are
    latent: Floats | None = None  # what stands behind a number, 0 where missing: [rows]
    rows: Ints | None = None  # each entry's row, where there are lists: [entries]
    weights: Floats | None = None  # each entry's weight, where there are lists: [entries]
    separator: str | None = None  # between the entries, where a list is one text
    key: bool = False  # whether the ids are a dimension's


Columns = dict[str, Column]


def text(values: Ints, missing: NDArray[np.bool_] | None = None) -> pl.Series:
    """Ids as text, null where missing: [rows]."""
    ids = pl.Series(values).cast(pl.String)
    return ids if missing is None else ids.set(pl.Series(missing), None)


def listed(values: pl.Series, lengths: Ints, missing: NDArray[np.bool_]) -> pl.Series:
    """A list column over flat values, null where missing."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values.to_arrow(), mask=pa.array(missing))
    return pl.Series(pl.from_arrow(lists))
