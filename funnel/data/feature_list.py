"""The `feature_list` text format: delimited columns, one of which is a list of (field, id, value) entries.

The lists of many rows are one long delimited text of three columns, and are read as such: by Polars' CSV reader, at the speed of
its parser. What it cannot read is taken apart entry by entry, to say which row is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from funnel.data.faults import Sieve
from funnel.schema.data import FeatureList

Kind = Literal["id", "value", "bag", "weights"]


@dataclass(frozen=True)
class Entries:
    """The entries of one field.

    Attributes:
        rows: Whose they are, ascending: int32 [entries].
        ids: Text, or whole numbers where all entries of the piece have such ids: [entries].
        values: float64 [entries].
    """

    rows: NDArray[np.int32]
    ids: pl.Series
    values: NDArray[np.float64]


def spread(lists: Any, counts: pl.Series | None, files: FeatureList, sieve: Sieve, at: Any) -> dict[str, Entries]:
    """Take the lists of some rows apart.

    Args:
        lists: An Arrow array of text [rows]; null and "" are empty lists.
        counts: How many entries each row says to have: text [rows], or None.
        files: The format.
        sieve: Takes the rows that cannot be used: an entry that is not field, id and a finite number; a count that differs.
        at: Gives the place of a row, for messages.

    Returns:
        By field: its entries in the good rows, in their order.

    Raises:
        DataError: A bad row, where these are refused.
    """
    lists = lists.cast(pa.string()).fill_null("")  # a piece is far below the 2 GiB that this type holds
    filled = np.asarray(pc.binary_length(lists)) > 0
    present = lists.filter(pa.array(filled)) if not filled.all() else lists
    parsed, sizes = _parse_fast(present, files)
    if parsed is None:
        sizes = np.asarray(pc.count_substring(present, files.entry_separator)) + 1
    lengths = np.zeros(len(lists), np.int64)
    lengths[filled] = sizes
    if counts is not None:
        _check_counts(counts, lengths, sieve, at)
    rows = np.repeat(np.arange(len(lists), dtype=np.int32), lengths)
    if not len(rows):
        return {}
    if parsed is None:
        parsed = _parse_slowly(present, files)
        _check_entries(parsed, rows, files, sieve, at)
    if sieve.bad.any():
        good = ~sieve.bad[rows]
        rows, parsed = rows[good], parsed.filter(pl.Series(good))
    return _by_field(parsed, rows)


def _check_counts(counts: pl.Series, lengths: NDArray[np.int64], sieve: Sieve, at: Any) -> None:
    said = counts.cast(pl.Int64, strict=False)
    wrong = said.ne_missing(pl.Series(lengths, dtype=pl.Int64))

    def message(row: int) -> str:
        wanted = f"expected {lengths[row]}: the entries that the list has. Is the line cut?"
        return f"{at(row)} column {counts.name!r}: got {counts[row]!r}, {wanted}"

    sieve.refuse(wrong, "a wrong count of entries", message)


def _parse_fast(lists: Any, files: FeatureList) -> tuple[pl.DataFrame | None, NDArray[np.int64] | None]:
    """All entries of lists that have some, as `field`, `id`, `value`, and how many each list has.

    None where a separator is no single byte, or any entry is not well formed.
    """
    separators = [text.encode() for text in (files.field_separator, files.value_separator, files.entry_separator)]
    if not len(lists) or any(len(text) != 1 or text in b"\r\n" for text in separators) or len(set(separators)) < 3:
        return None, None
    field, value, entry = (ord(byte) for byte in separators)
    # The lists of all rows with an entry separator between them: a join of one list of texts.
    one = pa.ListArray.from_arrays(pa.array([0, len(lists)], pa.int32()), lists)
    text = np.frombuffer(pc.binary_join(one, files.entry_separator)[0].as_buffer(), np.uint8)
    is_value = text == value
    fields, values, ends = np.flatnonzero(text == field), np.flatnonzero(is_value), np.flatnonzero(text == entry)
    if not len(fields) == len(values) == len(ends) + 1 or (text == ord("\n")).any():
        return None, None
    # Field, value, entry, field, value, ...: in this order and no other.
    if (fields >= values).any() or (values[:-1] >= ends).any() or (ends >= fields[1:]).any():
        return None, None
    # Both inner separators are one from here on: the order that was just checked tells them apart.
    shift = is_value.view(np.uint8)
    shift *= np.uint8((value - field) % 256)
    kinds = [pl.Int64, pl.String] if _whole(text, fields, value) else [pl.String]
    parsed = _read_entries((text - shift).tobytes(), files, kinds)
    if parsed is None or parsed.height != len(fields):
        return None, None
    lasts = np.cumsum(np.asarray(pc.binary_length(lists), np.int64) + 1) - 1
    return parsed, np.diff(np.searchsorted(ends, lasts, side="right"), prepend=0) + np.r_[np.zeros(len(lists) - 1, np.int64), 1]


def _read_entries(table: bytes, files: FeatureList, kinds: Sequence[Any]) -> pl.DataFrame | None:
    for kind in kinds:
        try:
            parsed = pl.read_csv(
                table,
                has_header=False,
                separator=files.field_separator,
                eol_char=files.entry_separator,
                quote_char=None,
                schema={"field": pl.Categorical, "id": kind, "value": pl.Float64},
            )
        except PolarsError:
            continue
        values, ids = parsed["value"], parsed["id"]
        if ids.null_count() or values.null_count() or not values.is_finite().all():
            continue
        return parsed if kind == pl.Int64 or not (ids.str.len_bytes() == 0).any() else None
    return None


def _whole(text: NDArray[np.uint8], at: NDArray[np.int64], value: int) -> bool:
    """Whether all ids may be whole numbers in their usual form: none begins with anything but 1 to 9, or is more than 0."""
    first, second = text[at + 1], text[at + 2]
    return bool((((first >= ord("1")) & (first <= ord("9"))) | ((first == ord("0")) & (second == value))).all())


def _parse_slowly(lists: Any, files: FeatureList) -> pl.DataFrame:
    """As `_parse_fast`, with null for what an entry lacks, and `entry` beside it, the text itself."""
    entries = pl.Series("entry", pl.from_arrow(lists)).str.split(files.entry_separator).explode(empty_as_null=False)
    halves = entries.str.splitn(files.field_separator, 2).struct
    rest = halves[1].str.splitn(files.value_separator, 2).struct
    return pl.DataFrame({"field": halves[0], "id": rest[0], "text": rest[1], "entry": entries}).with_columns(
        value=pl.col("text").cast(pl.Float64, strict=False)
    )


def _check_entries(parsed: pl.DataFrame, rows: NDArray[np.int32], files: FeatureList, sieve: Sieve, at: Any) -> None:
    bad = parsed["text"].is_null() | (parsed["id"] == "") | parsed["value"].is_null() | ~parsed["value"].is_finite()
    places = np.flatnonzero(bad.fill_null(value=True))
    of_row = np.zeros(len(sieve.bad), bool)
    of_row[rows[places]] = True

    def message(row: int) -> str:
        place = places[np.searchsorted(rows[places], row)]
        entry, field = parsed["entry"][int(place)], parsed["field"][int(place)]
        return (
            f"{at(row)} field {field!r}: got the entry {entry!r}, expected field, id and a number, "
            f"separated by {files.field_separator!r} and {files.value_separator!r}. Mend the row."
        )

    sieve.refuse(of_row, "a malformed entry", message)


def _by_field(parsed: pl.DataFrame, rows: NDArray[np.int32]) -> dict[str, Entries]:
    fields = parsed["field"] if parsed["field"].dtype == pl.Categorical else parsed["field"].cast(pl.Categorical)
    names = fields.unique()
    numbers = names.to_physical().to_numpy()
    small = np.zeros(int(numbers.max()) + 1, np.uint8 if len(names) <= 256 else np.uint32)
    small[numbers] = np.arange(len(names))
    codes = small[fields.to_physical().to_numpy()]
    # A stable sort of few small numbers is one pass: each field's entries, in the order of the rows.
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows, values = rows[order], parsed["value"].to_numpy()[order]
    ids = parsed["id"].gather(order)
    return {
        name: Entries(rows[begin:end], ids[begin:end], values[begin:end])
        for name, begin, end in zip(names.cast(pl.String), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        if end > begin
    }
