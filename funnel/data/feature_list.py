"""The `feature_list` text format: delimited columns, one of which is a list of (field, id, value) entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from funnel.data.entries import Parsed, numbered, parse, split
from funnel.data.faults import Sieve
from funnel.schema.data import FeatureList

Kind = Literal["id", "value", "bag", "weights"]
At = Callable[[int], str]


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


def spread(lists: Any, counts: pl.Series | None, files: FeatureList, sieve: Sieve, at: At) -> dict[str, Entries]:
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
    present = lists if filled.all() else lists.filter(pa.array(filled))
    parsed = parse(present, files)
    sizes = parsed.sizes if parsed is not None else np.asarray(pc.count_substring(present, files.entry_separator)) + 1
    lengths = np.zeros(len(lists), np.int64)
    lengths[filled] = sizes
    if counts is not None:
        _check_counts(counts, lengths, sieve, at)
    rows = np.repeat(np.arange(len(lists), dtype=np.int32), lengths)
    if not len(rows):
        return {}
    if parsed is None:
        parsed = _parse_one_by_one(present, files, sieve, sizes=sizes, rows=rows, at=at)
    return _by_field(parsed, rows, sieve)


def _check_counts(counts: pl.Series, lengths: NDArray[np.int64], sieve: Sieve, at: At) -> None:
    said = counts.cast(pl.Int64, strict=False)
    wrong = said.ne_missing(pl.Series(lengths, dtype=pl.Int64))

    def message(row: int) -> str:
        wanted = f"expected {lengths[row]}: the entries that the list has. Is the line cut?"
        return f"{at(row)} column {counts.name!r}: got {counts[row]!r}, {wanted}"

    sieve.refuse(wrong, "a wrong count of entries", message)


def _parse_one_by_one(
    lists: Any, files: FeatureList, sieve: Sieve, *, sizes: NDArray[np.int64], rows: NDArray[np.int32], at: At
) -> Parsed:
    """Entries of which some may be malformed; their rows are sorted out."""
    entries = split(lists, files)
    bad = entries["text"].is_null() | (entries["id"] == "") | entries["value"].is_null() | ~entries["value"].is_finite()
    places = np.flatnonzero(bad.fill_null(value=True))
    of_row = np.zeros(len(sieve.bad), bool)
    of_row[rows[places]] = True

    def message(row: int) -> str:
        place = int(places[np.searchsorted(rows[places], row)])
        entry, field = entries["entry"][place], entries["field"][place]
        return (
            f"{at(row)} field {field!r}: got the entry {entry!r}, expected field, id and a number, "
            f"separated by {files.field_separator!r} and {files.value_separator!r}. Mend the row."
        )

    sieve.refuse(of_row, "a malformed entry", message)
    values = entries["value"].fill_null(float("nan")).to_numpy()
    return Parsed(*numbered(entries["field"].fill_null("")), entries["id"], values, sizes)


def _by_field(parsed: Parsed, rows: NDArray[np.int32], sieve: Sieve) -> dict[str, Entries]:
    # A stable sort of few small numbers is one pass: each field's entries, in the order of the rows.
    of = parsed.of.astype(np.uint8 if len(parsed.fields) <= 256 else np.uint32)
    order = np.argsort(of, kind="stable")
    if sieve.bad.any():
        order = order[~sieve.bad[rows[order]]]
    bounds = np.searchsorted(of[order], np.arange(len(parsed.fields) + 1))
    rows, values, ids = rows[order], parsed.values[order], parsed.ids.gather(order)
    return {
        name: Entries(rows[begin:end], ids[begin:end], values[begin:end])
        for name, begin, end in zip(parsed.fields, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        if end > begin
    }
