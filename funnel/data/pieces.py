"""Pieces: some rows of a source as they were read, and where they stood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.errors import DataError, have

PIECE_BYTES = 16 << 20
PIECE_ROWS = 1 << 18


@dataclass(frozen=True)
class Place:
    """Where the rows of a piece stood, for messages.

    Attributes:
        where: The file or frame.
        first: The line (from 1) or row (from 0) of the first of them.
        numbers: The line of each, where they do not follow each other: int64 [rows].
        lined: Whether a row is a line of text, rather than a row of a table.
    """

    where: str
    first: int
    numbers: NDArray[np.int64] | None = None
    lined: bool = False

    def at(self, row: int) -> str:
        """The place of a row."""
        number = self.first + row if self.numbers is None else int(self.numbers[row])
        return f"{self.where}:{number}" if self.lined else f"{self.where}, row {number + 1:,}"


@dataclass(frozen=True)
class Piece:
    """Some rows as they were read.

    Attributes:
        place: Where they stood.
        frame: The columns that stand alone under their own names.
        lists: The column of a feature list: an Arrow array of text [rows]; None in other formats.
        cuts: What is wrong with each line left out, since it has too few or too many columns.
        ordinals: Which each row is among all of the piece, lines left out among them: int64 [rows]; None where none were.
        done: How many bytes of the file were read so far.
    """

    place: Place
    frame: pl.DataFrame
    lists: Any = None
    cuts: Sequence[str] = ()
    ordinals: NDArray[np.int64] | None = None
    done: int = 0

    @property
    def where(self) -> str:
        """The file or frame."""
        return self.place.where

    def at(self, row: int) -> str:
        """The place of a row, for messages."""
        return self.place.at(row)


Load = Callable[[], Piece]  # reading takes place when it is called: on another core, it may be


def require_columns(names: Sequence[str], there: Sequence[str], where: str) -> None:
    """Refuse a file or frame that lacks a column.

    Raises:
        DataError: Of each a line, with the columns there are, and the nearest.
    """
    if lacking := [name for name in dict.fromkeys(names) if name not in there]:
        lines = (f"{where}: has no column {name!r} {have(name, there)} Correct the schema's column name." for name in lacking)
        raise DataError("\n".join(lines))
