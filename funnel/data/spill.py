"""Rows of one split on their way into shards: in memory while they are few, on disk when they are many.

Facts are sorted into buckets, so that all facts of a dimension row come out together. Dimension rows are found by their key.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.arrays import read_arrays, write_arrays
from funnel.data.codes import Codes, mixed
from funnel.data.columns import Columns, Positions, concat, part, take
from funnel.data.pieces import Place

BUFFER_BYTES = 64 << 20
BUCKETS = 4096
BUCKET_SHIFT = np.uint64(64 - 12)  # the upper 12 bits of a mixed code


@dataclass
class _Block:
    """Some rows, in memory or in a file."""

    first: int
    rows: int
    columns: Columns | Path

    def open(self) -> Columns:
        """The columns; those of a file are mapped only as long as somebody holds them, so that memory does not grow."""
        return read_arrays(self.columns) if isinstance(self.columns, Path) else self.columns


class Spill:
    """Rows that come in pieces.

    Args:
        folder: Where they go when they outgrow the buffer.
        buffer: Bytes held in memory.
    """

    def __init__(self, folder: Path, buffer: int = BUFFER_BYTES) -> None:
        self._folder, self._limit = folder, buffer
        self._parts: list[Columns] = []
        self._bytes = 0
        self.rows = 0
        self.blocks: list[_Block] = []

    def add(self, rows: int, columns: Columns) -> None:
        """Some more rows.

        Raises:
            OSError: The disk is full.
        """
        self._parts.append(columns)
        self._bytes += sum(array.nbytes for array in columns.values())
        self.rows += rows
        if self._bytes > self._limit:
            self._close_block(to_disk=True)

    def finish(self, *, to_disk: bool = False) -> None:
        """No more rows come. What is small enough stays in memory, unless it is to be on disk."""
        if self._parts:
            self._close_block(to_disk=to_disk or bool(self.blocks))

    def attach(self, path: Path, rows: int) -> None:
        """Rows of a block that another spill wrote, after those there are; its file stays where it is."""
        self.blocks.append(_Block(self.rows, rows, path))
        self.rows += rows

    def remove(self) -> None:
        """Nothing is read any more."""
        self.blocks = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def arranged(self, columns: Columns) -> Columns:
        """The rows of a block, in the order in which they are kept."""
        return columns

    def _close_block(self, *, to_disk: bool) -> None:
        columns = self.arranged(concat(self._parts))
        first = sum(block.rows for block in self.blocks)
        rows = self.rows - first
        self._parts, self._bytes = [], 0
        if to_disk:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{len(self.blocks)}.rows"
            write_arrays(path, columns)
            self.blocks.append(_Block(first, rows, path))
        else:
            self.blocks.append(_Block(first, rows, columns))


class FactSpill(Spill):
    """Facts, sorted into buckets; their order within a bucket is that in which they came."""

    def __init__(self, folder: Path, buffer: int = BUFFER_BYTES) -> None:
        super().__init__(folder, buffer)
        self._starts: list[NDArray[np.int64]] = []
        self._shifts: dict[int, dict[str, int]] = {}
        self.sizes = np.zeros(BUCKETS, np.int64)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the facts of each bucket begin in each block, and where the last ones end: int64 [blocks, BUCKETS + 1]."""
        return np.array(self._starts, np.int64).reshape(-1, BUCKETS + 1)

    def attach_sorted(self, path: Path, starts: NDArray[np.int64], shifts: dict[str, int]) -> None:
        """Facts of a block that another spill wrote; see `attach`.

        Args:
            path: The block.
            starts: Of its buckets: int64 [BUCKETS + 1].
            shifts: By column: what is added to its numbers.
        """
        self._shifts[len(self.blocks)] = shifts
        self._starts.append(starts)
        self.sizes += np.diff(starts)
        self.attach(path, int(starts[-1]))

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """One column, block by block, in the order in which it is kept."""
        for number, block in enumerate(self.blocks):
            yield block.open()[name] + self._shifts.get(number, {}).get(name, 0)

    def arranged(self, columns: Columns) -> Columns:
        """Sorted by the column `fact bucket`, which goes."""
        buckets = columns.pop("fact bucket")
        order = np.argsort(buckets, kind="stable")
        starts = np.searchsorted(buckets[order], np.arange(BUCKETS + 1))
        self._starts.append(starts)
        self.sizes += np.diff(starts)
        return take(columns, order)

    def read(self, first: int, last: int, most: int) -> Iterator[Columns]:
        """The facts of buckets [first, last), in the order in which they came, at most so many at a time."""
        held: list[Columns] = []
        rows = 0
        for number, (block, starts) in enumerate(zip(self.blocks, self._starts, strict=True)):
            begin, end = int(starts[first]), int(starts[last])
            while end > begin:
                stop = min(end, begin + most - rows)
                # A copy: the block's file is closed again.
                held.append({name: array.copy() for name, array in part(block.open(), begin, stop).items()})
                for name, shift in self._shifts.get(number, {}).items():
                    held[-1][name] += shift
                rows += stop - begin
                begin = stop
                if rows == most:
                    yield concat(held)
                    held, rows = [], 0
        if rows:
            yield concat(held)


class DimensionSpill(Spill):
    """Rows of a dimension, in the order in which they came, each found by its key. Keeps 16 bytes a row in memory."""

    def __init__(self, folder: Path, key: str, buffer: int = BUFFER_BYTES) -> None:
        super().__init__(folder, buffer)
        self._key = key
        self._keys: list[Codes] = []
        self._sorted = np.zeros(0, np.int64)
        self._places = np.zeros(0, np.int32)
        self._origins: list[tuple[int, Place, NDArray[np.int32]]] = []

    def add_piece(self, rows: int, columns: Columns, place: Place, places: NDArray[Any]) -> None:
        """Some more rows, and where they were read."""
        self._origins.append((self.rows, place, places.astype(np.int32)))
        self._keys.append(columns.pop(self._key))
        self.add(rows, columns)

    def attach_keyed(self, path: Path, rows: int, keys: Codes) -> None:
        """Rows of a block that another spill wrote, and their keys: int64 [rows]; see `attach`."""
        self._keys.append(keys)
        self.attach(path, rows)

    @property
    def keys(self) -> Codes:
        """The keys, ascending: int64 [rows]."""
        return self._sorted

    @property
    def keys_as_read(self) -> Codes:
        """The keys of all rows, in the order in which they came, before they were sorted: int64 [rows]."""
        return np.concatenate(self._keys) if self._keys else np.zeros(0, np.int64)

    def index(self) -> tuple[NDArray[np.int64], Codes]:
        """Sort the keys.

        Returns:
            The rows, from the second, that repeat a key, and their keys; they are never found.
        """
        keys = self.keys_as_read
        self._keys = []
        order = np.argsort(keys, kind="stable")
        first = np.concatenate([np.ones(min(len(keys), 1), bool), np.diff(keys[order]) != 0])
        self._sorted, self._places = keys[order[first]], order[first].astype(np.int32 if len(keys) < 2**31 else np.int64)
        again = np.sort(order[~first])
        return again, keys[again]

    def find(self, keys: Codes) -> NDArray[np.int64]:
        """The rows of keys, -1 where there is none: int64 [n]."""
        if not len(self._sorted):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[place] == keys, self._places[place], -1).astype(np.int64)

    def keys_by_row(self) -> Codes:
        """The key of each row, in their order; 0 for those that repeat one: int64 [rows]."""
        by_row = np.zeros(self.rows, np.int64)
        by_row[self._places] = self._sorted
        return by_row

    def sizes_of_buckets(self) -> NDArray[np.int64]:
        """How many rows belong to each bucket of facts: int64 [BUCKETS]."""
        return np.bincount((mixed(self._sorted) >> BUCKET_SHIFT).astype(np.int64), minlength=BUCKETS)

    def at(self, row: int) -> str:
        """Where a row was read, for messages."""
        first, place, places = next(entry for entry in reversed(self._origins) if entry[0] <= row)
        return place.at(int(places[row - first]))

    def take(self, rows: Positions) -> Columns:
        """Some rows, in their order: [n]."""
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], [block.first for block in self.blocks] + [self.rows])
        parts = []
        for block, begin, end in zip(self.blocks, bounds[:-1], bounds[1:], strict=True):
            if end > begin:
                parts.append(take(block.open(), rows[order[begin:end]] - block.first))
        taken = concat(parts) if parts else take(self.blocks[0].open(), rows)
        if (np.diff(order) == 1).all():
            return taken
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return take(taken, back)
