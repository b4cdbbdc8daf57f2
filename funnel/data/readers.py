"""Files and frames -> pieces: some rows of a source, with the columns that are wanted and the place that they came from.

Whatever the size of the files, a piece has about PIECE_BYTES of them.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from polars.exceptions import PolarsError
from pyarrow import ArrowException

from funnel.data import pieces
from funnel.data.feature_list import Kind
from funnel.data.pieces import Load, Piece, Place, require_columns
from funnel.data.portion import WHOLE, Span
from funnel.data.text import Text, unreadable
from funnel.errors import DataError, have
from funnel.locations.location import Location, folder_of, matching
from funnel.locations.remote import Remote
from funnel.locations.transfer import in_turn
from funnel.schema.data import Csv, FeatureList, SkipBadRows, Source

Wanted = Iterable[tuple[str, Kind]]


def find_files(root: Location, patterns: Sequence[str], what: str) -> list[Location]:
    """The files that patterns name, sorted.

    Raises:
        DataError: A pattern that names no file.
        RemoteError: A URL that cannot be looked at.
    """
    found: list[Location] = []
    for pattern in patterns:
        matches = _matching(*folder_of(root, pattern))
        if not matches:
            there = sorted(path.name for path in root.iterdir() if path.is_file()) if root.is_dir() else []
            place = f"{root} {have(pattern, there)}" if root.is_dir() else f"{root}, which is not a folder."
            raise DataError(f"{what}: got no file for {pattern!r} in {place} Correct the pattern, or give `--data DIR`.")
        found += [path for path in matches if path not in found]
    return found


def has_files(root: Location, patterns: Sequence[str]) -> bool:
    """Whether patterns name any file at all."""
    return any(_matching(*folder_of(root, pattern)) for pattern in patterns)


def _matching(root: Location, pattern: str) -> Sequence[Location]:
    if isinstance(root, Remote):
        return matching(root, pattern)
    # A pattern may be absolute.
    return sorted(Path(name) for name in glob.glob(str(Path(glob.escape(str(root)), pattern))) if Path(name).is_file())  # noqa: PTH207


def read_files(
    files: Source, paths: Sequence[Location], wanted: Wanted, bad_rows: Any, spans: Sequence[Span] | None = None
) -> Iterator[Load]:
    """Read files piece by piece.

    Args:
        files: The format.
        paths: The files; those behind URLs are here while they are read, two at a time.
        wanted: The columns to keep; for a feature list's fields, also how they are read.
        bad_rows: What becomes of lines with too few or too many columns: `data.bad_rows`.
        spans: By file: which pieces of it are read; None for all of all.

    Raises:
        DataError: Unreadable files, missing columns; from the pieces, a bad line where these are refused.
    """
    names = list(dict.fromkeys(name for name, _ in wanted))
    with closing(in_turn(paths)) as copies:
        for (path, copy), span in zip(copies, spans or [WHOLE] * len(paths), strict=True):
            try:
                if isinstance(files, Csv | FeatureList):
                    yield from Text(files, copy, names, skip=isinstance(bad_rows, SkipBadRows), where=str(path)).loads(span)
                else:
                    yield from _read_parquet(copy, names, str(path), span)
            except (PolarsError, ArrowException, OSError, UnicodeDecodeError) as error:
                raise DataError(unreadable(path, files.format, error, 0)) from None


def _read_parquet(path: Path, names: Sequence[str], where: str, span: Span) -> Iterator[Load]:
    first, whole = 0, path.stat().st_size
    with pq.ParquetFile(path) as table:
        require_columns(names, table.schema_arrow.names, where)
        meta = table.metadata
        size = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
        rows = max(1, min(pieces.PIECE_ROWS, pieces.PIECE_BYTES * max(1, meta.num_rows) // max(1, size)))
        for groups, last in _runs(meta, rows):
            if span.holds(max(1, whole * last // meta.num_rows)):
                for batch in table.iter_batches(rows, row_groups=groups, columns=list(names)):
                    done = whole * (first + batch.num_rows) // meta.num_rows
                    yield partial(Piece, Place(where, first), pl.DataFrame(pl.from_arrow(batch)), done=done)
                    first += batch.num_rows
            first = last


def _runs(meta: Any, rows: int) -> Iterator[tuple[list[int], int]]:
    """Row groups that follow each other, so many that a piece is full, and how many rows there are up to their end.

    No piece reaches from one run into the next, so that any machine can take any of them without those before it.
    """
    groups: list[int] = []
    first = last = 0
    for group in range(meta.num_row_groups):
        groups.append(group)
        last += meta.row_group(group).num_rows
        if last > first and (last - first >= rows or group == meta.num_row_groups - 1):
            yield groups, last
            groups, first = [], last


def read_frame(frame: Any, wanted: Wanted, what: str, files: Source) -> Iterator[Load]:
    """A pandas or polars frame, with the wanted columns. A feature list stays one text a row, as in its files.

    Raises:
        DataError: Something else than a frame, no rows, or a missing column.
    """
    names = list(dict.fromkeys(name for name, _ in wanted))
    if isinstance(files, FeatureList):
        plain = [name for name in names if name in files.columns]
        names = [*dict.fromkeys([*plain, files.list, *([files.count] if files.count else [])])]
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame):
        if not hasattr(frame, "iloc"):
            raise DataError(f"{what}: got {type(frame).__name__}, expected a pandas or polars frame.")
        frame = frame.rename(columns=str)
        require_columns(names, list(frame.columns), what)
        try:
            frame = pl.from_pandas(frame[names], nan_to_null=True)
        except (TypeError, ValueError, ArrowException) as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(f"{what}: a column mixes types: {reason}. Give each column one type.") from None
    if frame.height == 0:
        raise DataError(f"{what}: got a frame without rows, expected some.")
    require_columns(names, frame.columns, what)
    frame = frame.select(names)
    size = int(max(1, frame.estimated_size()))
    rows = max(1, min(pieces.PIECE_ROWS, pieces.PIECE_BYTES * frame.height // size))
    for first in range(0, frame.height, rows):
        some = frame[first : first + rows]
        done = size * min(frame.height, first + rows) // frame.height
        if isinstance(files, FeatureList):
            lists = some[files.list].cast(pl.String).to_arrow()
            yield partial(Piece, Place(what, first), some.drop(files.list), lists, done=done)
        else:
            yield partial(Piece, Place(what, first), some, done=done)
