"""What a user gave as data, understood: each file's format, and the columns that it has."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException

from funnel.data.text import BYTE_ORDER_MARK, unreadable
from funnel.errors import DataError, have, listed
from funnel.locations.location import Location, location
from funnel.locations.transfer import fetched

PACKED = (".gz", ".bz2", ".zst")
TEXTS = (".csv", ".tsv", ".txt")
TABLES = (".parquet", ".pq")
ENDINGS = "csv, tsv, txt (maybe with .gz, .bz2 or .zst) or parquet"
SEPARATORS = ",\t;|"
HEAD = 1 << 20  # bytes that the header and the rows after it are looked for in
LINES = 50  # rows that a separator is judged by
LIST_MARK = "\x01"  # between the entries of raw feature lists, as Ali-CCP has them


@dataclass(frozen=True)
class DataFile:
    """A file with rows.

    Attributes:
        path: Where it is.
        format: `csv` or `parquet`.
        separator: Of text: what stands between two columns.
        columns: Their names, in order; those without one, and those that Arrow cannot name (a null letter), are left out.
        unnamed: How many these are.
    """

    path: Location
    format: str
    separator: str
    columns: tuple[str, ...]
    unnamed: int


def files_in(given: Sequence[str | Path | Location]) -> list[DataFile]:
    """The files that were named, and those in the folders that were.

    Raises:
        DataError: No such file, none that holds rows, or one whose header cannot be read.
        RemoteError: A URL that cannot be looked at.
    """
    found: dict[Location, None] = {}
    for place in (location(one) for one in given):
        if place.is_dir():
            inside = dict.fromkeys(_within(place))
            if not inside:
                there = sorted(path.name for path in place.iterdir())
                raise DataError(
                    f"{place}: got no file with rows (have: {listed(there)}), expected {ENDINGS}. Name another folder."
                )
            found |= inside
        elif place.is_file():
            if _format(place) is None:
                raise DataError(
                    f"{place}: got the ending {place.suffix!r}, expected {ENDINGS}. Convert the file, or rename it."
                )
            found[place] = None
        else:
            near = sorted(str(path) for path in place.parent.iterdir()) if place.parent.is_dir() else []
            raise DataError(f"{place}: no such file or folder {have(place, near)} Correct `--data`.")
    if not found:
        raise DataError("init: got no files, expected some with rows. Give `--data FILES`.")
    return [_read(path) for path in found]


def _within(folder: Location) -> Iterator[Location]:
    """The files below a folder. What others leave behind is none: hidden files, `_SUCCESS`, the truth of simulated rows."""
    there: list[Location] = [*folder.iterdir()]
    for path in sorted(there, key=str):
        if path.name.startswith((".", "_")) or path.name == "truth":
            continue
        if path.is_dir():
            yield from _within(path)
        elif _format(path) is not None:
            yield path


def _format(path: Location) -> str | None:
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    if name.endswith(TABLES) and name == path.name.lower():
        return "parquet"
    return "csv" if name.endswith(TEXTS) else None


def _read(path: Location) -> DataFile:
    kind = _format(path) or "csv"
    separator = ","
    with fetched(path) as copy:
        try:
            if kind == "parquet":
                with pq.ParquetFile(copy) as table:
                    names = list(table.schema_arrow.names)
            else:
                separator, names = _header(copy, str(path))
        except UnicodeDecodeError as error:
            message = (
                f"{path}: is not UTF-8 text: {error.reason} at byte {error.start:,}. Convert it: `iconv -f latin1 -t utf-8`."
            )
            raise DataError(message) from None
        except (ArrowException, OSError, EOFError, csv.Error) as error:
            raise DataError(unreadable(path, kind, error, 0)) from None
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise DataError(f"{path}: got the columns {listed(twice)} more than once, expected each once. Rename them in the file.")
    named = tuple(name for name in names if name and "\0" not in name)
    if not named:
        raise DataError(f"{path}: got no named column, expected a header. Name the columns in the first line.")
    return DataFile(path, kind, separator, named, len(names) - len(named))


def _header(path: Path, where: str) -> tuple[str, list[str]]:
    """What stands between two columns, and their names."""
    with pa.input_stream(str(path), compression="detect") as stream:
        read = stream.read(HEAD).removeprefix(BYTE_ORDER_MARK)
    if not read.strip():
        raise DataError(f"{where}: got an empty file, expected a header and rows. Is it whole?")
    # The last line may be cut off, within a letter.
    text = (read[: read.rfind(b"\n") + 1] if len(read) >= HEAD else read).decode("utf-8").lstrip("\r\n")
    if LIST_MARK in text:
        message = (
            f"{where}: got lists of entries (as raw Ali-CCP has them), expected columns. Write a schema by hand, with "
            "`format: feature_list`, or name other files."
        )
        raise DataError(message)
    separator = max(SEPARATORS, key=lambda one: _columns(text, one, path))
    names = next(csv.reader(io.StringIO(text), delimiter=separator))
    numbers = [name for name in names if _is_number(name)]
    if numbers:
        message = f"{where}: got {listed(numbers, 3)} in the first line, expected the names of columns. Add a header."
        raise DataError(message)
    return separator, names


def _columns(text: str, separator: str, path: Path) -> tuple[int, bool]:
    """How many columns a separator makes, if it makes as many in each row; and whether the file's ending says so."""
    rows = [row for _, row in zip(range(LINES), csv.reader(io.StringIO(text), delimiter=separator), strict=False) if row]
    # A last row may be cut off, where the file is longer than what was read of it.
    counts = {len(row) for row in rows}
    same = len(counts) == 1
    return (len(rows[0]) if same else 1), (separator == "\t") == (".tsv" in path.name)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return name.casefold() not in ("nan", "inf", "infinity")
