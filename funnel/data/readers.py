"""Files and frames -> raw frames with the columns that a source needs, each with the place it came from."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from polars.exceptions import PolarsError
from pyarrow import ArrowException

from funnel.data.feature_list import Kind, spread_fields
from funnel.errors import DataError, have, listed
from funnel.schema.data import Csv, FeatureList, Source

ROWS_AT_ONCE = 1 << 19


def find_files(root: Path, patterns: Sequence[str], what: str) -> list[Path]:
    """The files that patterns name, sorted.

    Raises:
        DataError: A pattern that names no file.
    """
    found: list[Path] = []
    for pattern in patterns:
        matches = sorted(Path(name) for name in glob.glob(str(Path(glob.escape(str(root)), pattern))) if Path(name).is_file())  # noqa: PTH207  # patterns may be absolute
        if not matches:
            there = sorted(path.name for path in root.iterdir() if path.is_file()) if root.is_dir() else []
            place = f"{root} {have(pattern, there)}" if root.is_dir() else f"{root}, which is not a folder."
            raise DataError(f"{what}: got no file for {pattern!r} in {place} Correct the pattern, or give `--data DIR`.")
        found += [path for path in matches if path not in found]
    return found


@dataclass(frozen=True)
class Piece:
    """Some rows as they were read.

    Attributes:
        where: The file or frame.
        first: How many of its rows came before.
        frame: The columns that stand alone under their own names, a feature list's fields under `field_column`.
    """

    where: str
    first: int
    frame: pl.DataFrame

    def at(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"{self.where}, row {self.first + row + 1:,}"


Wanted = Iterable[tuple[str, Kind]]


def read_files(files: Source, paths: Sequence[Path], wanted: Wanted) -> Iterator[Piece]:
    """Read files piece by piece.

    Args:
        files: The format.
        paths: The files.
        wanted: The columns to keep; for a feature list's fields, also how they are read.

    Raises:
        DataError: Files without rows, unreadable ones, missing columns.
    """
    wanted = list(dict.fromkeys(wanted))
    empty = True
    for path in paths:
        first = 0
        for frame in _read(files, path, wanted):
            yield Piece(str(path), first, frame)
            first += frame.height
        empty = empty and first == 0
    if empty:
        raise DataError(f"{listed(paths, 3)}: got no rows, expected some. Is the file whole?")


def _read(files: Source, path: Path, wanted: Sequence[tuple[str, Kind]]) -> Iterator[pl.DataFrame]:
    names = list(dict.fromkeys(name for name, _ in wanted))
    try:
        if isinstance(files, FeatureList):
            yield _read_feature_list(files, path, wanted)
        elif isinstance(files, Csv):
            yield _select(_read_text(path, files.separator, files.columns, quote='"'), names, str(path))
        else:
            table = pq.ParquetFile(path)
            _require(names, table.schema_arrow.names, str(path))
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=names):
                yield pl.DataFrame(pl.from_arrow(batch))
    except (PolarsError, ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: cannot be read as {files.format}: {reason}. Is it whole, and of this format?") from None


def _read_text(path: Path, separator: str, columns: Sequence[str] | None, quote: str | None) -> pl.DataFrame:
    if path.stat().st_size == 0:
        raise DataError(f"{path}: got an empty file, expected rows. Is it whole?")
    frame = pl.read_csv(path, has_header=columns is None, separator=separator, quote_char=quote, infer_schema=False)
    if columns is not None and frame.width != len(columns):
        message = (
            f"got {frame.width} columns, expected {len(columns)} ({', '.join(columns)}). Correct `columns` or `separator`."
        )
        raise DataError(f"{path}:1 {message}")
    return frame if columns is None else frame.rename(dict(zip(frame.columns, columns, strict=True)))


def _read_feature_list(files: FeatureList, path: Path, wanted: Sequence[tuple[str, Kind]]) -> pl.DataFrame:
    frame = _read_text(path, files.separator, files.columns, quote=None)
    fields = [(name, kind) for name, kind in wanted if name not in files.columns]
    return spread_fields(frame, files, fields, str(path))


def _select(frame: pl.DataFrame, names: Sequence[str], where: str) -> pl.DataFrame:
    _require(names, frame.columns, where)
    return frame.select(names)


def _require(names: Sequence[str], there: Sequence[str], where: str) -> None:
    for name in names:
        if name not in there:
            raise DataError(f"{where}: has no column {name!r} {have(name, there)} Correct the schema's column name.")


def read_frame(frame: Any, wanted: Wanted, what: str, files: Source) -> Piece:
    """A pandas or polars frame, with the wanted columns. A feature list stays one text a row, as in its files.

    Raises:
        DataError: Something else than a frame, no rows, or a missing column.
    """
    wanted = list(wanted)
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
        _require(names, list(frame.columns), what)
        try:
            frame = pl.from_pandas(frame[names], nan_to_null=True)
        except (TypeError, ValueError, ArrowException) as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(f"{what}: a column mixes types: {reason}. Give each column one type.") from None
    if frame.height == 0:
        raise DataError(f"{what}: got a frame without rows, expected some.")
    frame = _select(frame, names, what)
    if isinstance(files, FeatureList):
        fields = [(name, kind) for name, kind in wanted if name not in files.columns]
        frame = spread_fields(frame.cast({files.list: pl.String}), files, fields, what)
    return Piece(what, 0, frame)
