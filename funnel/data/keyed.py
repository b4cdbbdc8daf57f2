"""Facts about codes, gathered piece by piece and merged code by code; on disk where there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import REACH, Codes, CollisionError, mixed

LIMIT = 2_000_000  # rows held in memory: about 40 MB
PARTS = 64


class Keyed:
    """Rows of `code` and one more column, merged now and then.

    Args:
        folder: Where they go when there are too many for memory.
        merge: Makes as few rows as possible of some; merging merged rows again changes nothing.
        limit: Rows held in memory.
    """

    def __init__(self, folder: Path, merge: Callable[[pl.DataFrame], pl.DataFrame], limit: int = LIMIT) -> None:
        self._folder, self._merge, self._limit = folder, merge, limit
        self._pending: list[pl.DataFrame] = []
        self._rows, self._files = 0, 0
        self._lock = Lock()

    @property
    def spilled(self) -> bool:
        """Whether some are on disk."""
        return self._files > 0

    def add(self, rows: pl.DataFrame) -> None:
        """Some more rows."""
        if not rows.height:
            return
        with self._lock:
            self._pending.append(rows)
            self._rows += rows.height
            if self._rows > self._limit:
                self._pending = [self._merged(self._pending)]
                self._rows = self._pending[0].height
                # Merging again and again what does not shrink would cost more than writing it.
                if self._rows > self._limit // 2:
                    self._spill()

    def parts(self, parts: int = 1) -> Iterator[pl.DataFrame]:
        """Merged rows; part k holds the codes that hash to k.

        Args:
            parts: 1, or PARTS: two gathered things are joined part by part when they are asked for as many.
        """
        if parts == 1 and not self.spilled:
            yield self._merged(self._pending) if self._pending else pl.DataFrame()
            return
        if self._pending:
            self._spill()
        for number in range(PARTS):
            files = [self._folder / str(number) / f"{file}.arrow" for file in range(self._files)]
            found = [pl.read_ipc(file) for file in files if file.exists()]
            yield self._merged(found) if found else pl.DataFrame()

    def _merged(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        return self._merge(pl.concat(frames))

    def _spill(self) -> None:
        rows = pl.concat(self._pending)
        part = pl.Series("part", (mixed(rows["code"].to_numpy()) >> np.uint64(58)).astype(np.uint8))
        for (number,), frame in rows.with_columns(part).partition_by("part", as_dict=True, include_key=False).items():
            target = self._folder / str(number)
            target.mkdir(parents=True, exist_ok=True)
            frame.write_ipc(target / f"{self._files}.arrow")
        self._files += 1
        self._pending, self._rows = [], 0


class Tally(Keyed):
    """How often each code is seen: `code` and `count`.

    Codes of 0 and above that lie close together are counted in an array, which is never sorted nor merged; others as rows.
    """

    def __init__(self, folder: Path, limit: int = LIMIT, reach: int = REACH) -> None:
        super().__init__(folder, lambda rows: rows.group_by("code").agg(pl.col("count").sum()), limit)
        self._reach, self._array_lock = reach, Lock()
        self._least, self._array = 0, np.zeros(0, np.int64)

    def count(self, codes: Codes, counts: NDArray[np.int64]) -> None:
        """Some more: codes ascending, each once: int64 [n]; and how often each is seen: int64 [n]."""
        if not len(codes):
            return
        with self._array_lock:
            if self._holds(int(codes[0]), int(codes[-1])):
                self._array[codes - self._least] += counts
                return
        self.add(pl.DataFrame({"code": codes, "count": counts}))

    def parts(self, parts: int = 1) -> Iterator[pl.DataFrame]:
        """Merged rows; part k holds the codes that hash to k."""
        counted = np.flatnonzero(self._array)
        rows = pl.DataFrame({"code": counted + self._least, "count": self._array[counted]})
        if parts == 1 and not self.spilled:
            # Adding them could spill: then there would be more parts than were asked for.
            yield self._merged([*self._pending, rows])
            return
        self._array = np.zeros(0, np.int64)
        self.add(rows)
        yield from super().parts(parts)

    def _holds(self, least: int, most: int) -> bool:
        """Make the array reach from one code to another, where that is not too far."""
        if len(self._array):
            least, most = min(least, self._least), max(most, self._least + len(self._array) - 1)
        if least < 0 or most - least >= self._reach:
            return False
        before, after = self._least - least if len(self._array) else 0, most - least + 1 - len(self._array)
        if before or after > before:
            self._array = np.pad(self._array, (before, after - before))
        self._least = least
        return True


def texts(folder: Path, limit: int = LIMIT) -> Keyed:
    """Gathers `code` and `text`: each pair once."""
    return Keyed(folder, lambda rows: rows.unique(), limit)


def require_injective(spellings: Keyed) -> None:
    """Make sure that no two texts have one code.

    Raises:
        CollisionError: Two do.
    """
    for (part,) in parts_of(spellings):
        if part.height and part["code"].is_duplicated().any():
            raise CollisionError


def parts_of(*gathered: Keyed) -> Iterator[tuple[pl.DataFrame, ...]]:
    """Several gathered things side by side: each code is in the same part of all."""
    parts = PARTS if any(one.spilled for one in gathered) else 1
    return zip(*(one.parts(parts) for one in gathered), strict=True)
