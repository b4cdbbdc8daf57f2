"""Delimited text -> pieces: blocks of whole rows, each parsed by Arrow, so that any core can take any block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray
from pyarrow import ArrowException

from funnel.data import pieces
from funnel.data.pieces import Load, Piece, Place, require_columns
from funnel.data.portion import WHOLE, Span
from funnel.errors import DataError
from funnel.schema.data import Csv, FeatureList

LONGEST_ROW = 256 << 20
CACHED = 1 << 18  # bytes looked at together
LINE_BREAK = ord("\n")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some programs write before the text

Block = NDArray[np.uint8]


def unreadable(path: object, kind: str, error: Exception, line: int) -> str:
    """The message about a file that cannot be read, after so many lines."""
    reason = " ".join(str(error).split())[:300]
    after = f" after line {line:,}" if line else ""
    if "runcated" in reason:
        return f"{path}: is cut off{after}: {reason}. Fetch the file again."
    return f"{path}: cannot be read as {kind}{after}: {reason}. Is it whole, and of this format?"


class Text:
    """A file of delimited text, read block by block.

    Args:
        files: The format.
        path: The file; `.gz`, `.bz2` and `.zst` are unpacked while reading.
        names: The columns to keep.
        skip: Whether lines with another number of columns are left out.
        where: What messages call it.

    Raises:
        DataError: The file is empty, or a column is missing.
    """

    def __init__(self, files: Csv | FeatureList, path: Path, names: Sequence[str], *, skip: bool, where: str) -> None:
        self._files, self._path, self._skip, self._where = files, path, skip, where
        self._quote = b'"' if isinstance(files, Csv) else None
        if path.stat().st_size == 0:
            raise DataError(f"{where}: got an empty file, expected rows. Is it whole?")
        self._list = files.list if isinstance(files, FeatureList) else None
        if isinstance(files, FeatureList):
            plain = [name for name in names if name in files.columns]
            names = [*dict.fromkeys([*plain, files.list, *([files.count] if files.count else [])])]
        self._names = list(names)
        self._columns = list(files.columns) if files.columns is not None else []
        self._line = 1

    def loads(self, span: Span = WHOLE) -> Iterator[Load]:
        """The pieces of a span. What is before it is read, since lines are counted, but not parsed; what is after it is not."""
        header = self._files.columns is None
        for text, done in self._blocks():
            if done > span.end:
                return
            block = text
            if header:
                block = self._past_blank(block)
                if not len(block):
                    continue
                header = False
                end = _end_of_line(block, self._quote)
                self._columns = self._header(block[:end].tobytes())
                self._line += count_lines(block[:end])
                block = block[end:]
                require_columns(self._names, self._columns, self._where)
            elif self._line == 1:
                require_columns(self._names, self._columns, self._where)
            if span.holds(done):
                yield partial(self._parse, block, self._line, done)
            self._line += count_lines(block)
        if header:
            raise DataError(f"{self._where}: got empty lines alone, expected a header and rows. Is it whole?")

    def _past_blank(self, block: Block) -> Block:
        """The block without the empty lines that it begins with."""
        filled = np.flatnonzero(~np.isin(block, (LINE_BREAK, ord("\r"))))
        first = int(filled[0]) if len(filled) else len(block)
        self._line += count_lines(block[:first])
        return block[first:]

    def _blocks(self) -> Iterator[tuple[Block, int]]:
        """Whole rows, about PIECE_BYTES of them at a time, and how far the file was read."""
        packing = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}.get(self._path.suffix)
        with pa.OSFile(str(self._path)) as file:
            stream = pa.CompressedInputStream(file, packing) if packing else file
            rest, whole, first = np.zeros(0, np.uint8), False, True
            while not whole:
                try:
                    read = np.frombuffer(stream.read(pieces.PIECE_BYTES), np.uint8)
                except OSError as error:
                    raise DataError(unreadable(self._where, self._files.format, error, self._line - 1)) from None
                whole = not len(read)
                text = np.concatenate([rest, read]) if len(rest) else read
                if first and len(text) >= len(BYTE_ORDER_MARK):
                    first = False
                    text = text[len(BYTE_ORDER_MARK) :] if text[: len(BYTE_ORDER_MARK)].tobytes() == BYTE_ORDER_MARK else text
                end = len(text) if whole else _end_of_rows(text, self._quote)
                rest = text[end:]
                if len(rest) > LONGEST_ROW:
                    line = self._line + count_lines(text[:end]) - 1
                    raise DataError(
                        f"{self._where}: the row after line {line:,} is longer than {LONGEST_ROW >> 20} MiB, expected a "
                        "shorter one. Is a quote left open, or is it another format?"
                    )
                if end:
                    yield text[:end], file.tell()

    def _header(self, line: bytes) -> list[str]:
        parse = pa_csv.ParseOptions(delimiter=self._files.separator, quote_char='"')
        return list(pa_csv.read_csv(pa.py_buffer(line + b"\n"), parse_options=parse).column_names)

    def _parse(self, text: Block, line: int, done: int) -> Piece:
        cuts: list[tuple[int, int, int]] = []
        skip = self._skip

        def bad_line(row: Any) -> str:
            cuts.append((row.number, row.actual_columns, row.expected_columns))
            # An exception raised here would be lost on the way through Arrow.
            return "skip" if skip else "error"

        if _is_blank(text):
            # Arrow would take it for a broken file.
            none = pa.table({name: pa.array([], pa.string()) for name in self._names})
            return self._piece(none, Place(self._where, line, lined=True), [], None, done)
        try:
            table = pa_csv.read_csv(
                pa.py_buffer(text),
                read_options=pa_csv.ReadOptions(column_names=self._columns, block_size=len(text) + 1, use_threads=False),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self._files.separator,
                    quote_char='"' if self._quote else False,
                    newlines_in_values=self._quote is not None,
                    invalid_row_handler=bad_line,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(self._columns, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                    include_columns=self._names,
                ),
            )
        except ArrowException as error:
            if cuts and not self._skip:
                lines = _lines_of(text, line, self._quote)
                raise DataError(self._cut(lines, (min(cuts[0][0], len(lines)), *cuts[0][1:]))) from None
            raise DataError(unreadable(self._where, self._files.format, error, line - 1)) from None
        numbers = None
        if cuts or table.num_rows != count_lines(text) + (text[-1] != LINE_BREAK):
            numbers = _lines_of(text, line, self._quote)
            # Where carriage returns alone end rows, there are more rows than lines.
            numbers = numbers[np.minimum(np.arange(table.num_rows + len(cuts)), len(numbers) - 1)]
        messages: list[str] = []
        ordinals = None
        if numbers is not None and cuts:
            messages = [self._cut(numbers, cut) for cut in cuts]
            out = [number - 1 for number, _, _ in cuts]
            numbers, ordinals = np.delete(numbers, out), np.delete(np.arange(len(numbers)), out)
        place = Place(self._where, line, numbers, lined=True)
        return self._piece(table, place, messages, ordinals, done)

    def _piece(
        self, table: pa.Table, place: Place, cuts: Sequence[str], ordinals: NDArray[np.int64] | None, done: int
    ) -> Piece:
        lists = table[self._list].combine_chunks() if self._list else None
        plain = table.drop_columns([self._list]) if self._list else table
        return Piece(place, _frame(plain, table.num_rows), lists, cuts, ordinals, done)

    def _cut(self, lines: NDArray[np.int64], cut: tuple[int, int, int]) -> str:
        number, got, expected = cut
        wanted = f"{expected} ({', '.join(self._columns)})"
        mend = "Mend the line, or correct `columns` or `separator`."
        return f"{self._where}:{lines[number - 1]} got {got} columns, expected {wanted}. {mend}"


def _frame(table: pa.Table, rows: int) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table)) if table.num_columns else pl.DataFrame({"": pl.repeat(None, rows, eager=True)})


def count_lines(text: Block) -> int:
    """How many line breaks there are."""
    # In parts that stay in the cache.
    return sum(int(np.count_nonzero(text[at : at + CACHED] == LINE_BREAK)) for at in range(0, len(text), CACHED))


def _is_blank(text: Block) -> bool:
    """Whether there is nothing but line breaks."""
    start = text[:CACHED]
    return bool(np.isin(start, (LINE_BREAK, ord("\r"))).all() and np.isin(text, (LINE_BREAK, ord("\r"))).all())


def _quoted(text: Block, quote: bytes | None) -> bool:
    return quote is not None and any((text[at : at + CACHED] == quote[0]).any() for at in range(0, len(text), CACHED))


def _row_ends(text: Block, quote: bytes | None) -> NDArray[np.int64]:
    """The line breaks that end rows: those with an even number of quotes before them."""
    ends = np.flatnonzero(text == LINE_BREAK)
    if quote is None or not _quoted(text, quote):
        return ends
    return ends[np.searchsorted(np.flatnonzero(text == quote[0]), ends) % 2 == 0]


def _end_of_rows(text: Block, quote: bytes | None) -> int:
    """Where the last whole row ends; 0 where none does."""
    if _quoted(text, quote):
        ends = _row_ends(text, quote)
        return int(ends[-1]) + 1 if len(ends) else 0
    for at in range(len(text), 0, -CACHED):
        begin = max(0, at - CACHED)
        ends = np.flatnonzero(text[begin:at] == LINE_BREAK)
        if len(ends):
            return begin + int(ends[-1]) + 1
    return 0


def _end_of_line(text: Block, quote: bytes | None) -> int:
    ends = _row_ends(text[: 1 << 20], quote)
    return int(ends[0]) + 1 if len(ends) else len(text)


def _lines_of(text: Block, line: int, quote: bytes | None) -> NDArray[np.int64]:
    """The line on which each row begins; empty lines are no rows."""
    begins = np.concatenate([[0], _row_ends(text, quote) + 1])
    begins = begins[begins < len(text)]
    second = text[np.minimum(begins + 1, len(text) - 1)]
    empty = (text[begins] == LINE_BREAK) | ((text[begins] == ord("\r")) & (second == LINE_BREAK))
    return line + np.searchsorted(np.flatnonzero(text == LINE_BREAK), begins[~empty])
