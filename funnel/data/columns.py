"""Columns of some rows, as flat arrays; the one form that everything has between a file and a batch.

A column of numbers or ids is one array [rows] under its name. A column of lists is its entries [entries] under its name,
beside them `NAME/offsets` [rows + 1], so that row r holds the entries from offsets[r] to offsets[r + 1], and maybe
`NAME/weights` [entries].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Positions = NDArray[np.integer[Any]]

OFFSETS, WEIGHTS = "/offsets", "/weights"


def names_of(columns: Iterable[str]) -> list[str]:
    """The columns' names, without what belongs to lists."""
    return [name for name in columns if not name.endswith((OFFSETS, WEIGHTS))]


def take(columns: Mapping[str, NDArray[Any]], rows: Positions) -> Columns:
    """Some rows, in any order and any number of times; offsets become int32 where they fit."""
    taken: Columns = {}
    for name in names_of(columns):
        offsets = columns.get(name + OFFSETS)
        if offsets is None:
            taken[name] = columns[name][rows]
            continue
        entries, new = entries_of(offsets, rows)
        taken |= {name: columns[name][entries], name + OFFSETS: new}
        if name + WEIGHTS in columns:
            taken[name + WEIGHTS] = columns[name + WEIGHTS][entries]
    return taken


def part(columns: Mapping[str, NDArray[Any]], begin: int, end: int) -> Columns:
    """Rows that follow each other, without a copy of their entries."""
    cut: Columns = {}
    for name in names_of(columns):
        offsets = columns.get(name + OFFSETS)
        if offsets is None:
            cut[name] = columns[name][begin:end]
            continue
        first, last = int(offsets[begin]), int(offsets[end])
        cut |= {name: columns[name][first:last], name + OFFSETS: offsets[begin : end + 1] - offsets[begin]}
        if name + WEIGHTS in columns:
            cut[name + WEIGHTS] = columns[name + WEIGHTS][first:last]
    return cut


def concat(parts: Sequence[Mapping[str, NDArray[Any]]]) -> Columns:
    """The rows of all parts, one after the other."""
    if len(parts) == 1:
        return dict(parts[0])
    joined: Columns = {}
    for name in parts[0]:
        if not name.endswith(OFFSETS):
            joined[name] = np.concatenate([one[name] for one in parts])
            continue
        ends = np.cumsum([0, *(int(one[name][-1]) for one in parts)])
        kind = np.int32 if ends[-1] <= np.iinfo(np.int32).max else np.int64
        pieces = [(one[name][1:] + end).astype(kind) for one, end in zip(parts, ends, strict=False)]
        joined[name] = np.concatenate([np.zeros(1, kind), *pieces])
    return joined


def entries_of(offsets: NDArray[Any], rows: Positions) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Where the entries of some rows' lists stand.

    Args:
        offsets: [n + 1].
        rows: Positions in [0, n), any order, any number of times: [rows].

    Returns:
        Positions of the entries, row after row: int64 [entries]; and the offsets of the new lists [rows + 1], int32 where they
        fit.
    """
    begins = offsets[rows]
    lengths = offsets[rows + 1] - begins
    new = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=new[1:])
    entries = np.repeat(begins - new[:-1], lengths)
    entries += np.arange(new[-1])
    return entries, new.astype(np.int32) if new[-1] <= np.iinfo(np.int32).max else new
