"""The `feature_list` text format: delimited columns, one of which is a list of (field, id, value) entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from funnel.errors import DataError
from funnel.schema.data import FeatureList

Kind = Literal["id", "value", "bag", "weights"]


def field_column(field: str, kind: Kind) -> str:
    """What the column is called that holds a field, read in one way."""
    return f"{field}\x00{kind}"


def spread_fields(frame: pl.DataFrame, files: FeatureList, fields: Iterable[tuple[str, Kind]], where: str) -> pl.DataFrame:
    """Turn the list column into a column for each wanted field.

    Args:
        frame: The delimited columns, as text.
        files: The format.
        fields: Each wanted field, and how it is read: `id` (text, at most one entry a row), `value` (float64, at most one), or
            `bag` (lists of text, and beside them as `weights` lists of float32).
        where: The file, for messages.

    Returns:
        The other columns, and those that `field_column` names.

    Raises:
        DataError: An entry that is not field, id and value; a value that is no number; a row with several entries of a field
            that may have one; a count that differs.
    """
    lists = frame[files.list]
    lengths = (lists.str.count_matches(files.entry_separator, literal=True) + (lists.str.len_bytes() > 0)).fill_null(0)
    if files.count is not None:
        _check_counts(frame[files.count], lengths, where)
    if lengths.sum() == 0:
        entries = pl.Series("entry", [], pl.String)
    else:
        entries = lists.filter(lengths > 0).str.split(files.entry_separator).explode(empty_as_null=False)
    rows = np.repeat(np.arange(frame.height), lengths.to_numpy())
    parts = _split_entries(entries, files)
    _check_entries(parts, entries, rows, files, where)
    parts = parts.with_columns(pl.Series("row", rows))
    fields = sorted(set(fields))
    known = parts.filter(pl.col("field").is_in([field for field, _ in fields])).partition_by("field", as_dict=True)
    columns: dict[str, pl.Series] = {}
    for field, kind in fields:
        columns |= _column(field, kind, known.get((field,), parts.clear()), frame.height, where)
    return frame.drop(files.list).with_columns(**columns)


def _split_entries(entries: pl.Series, files: FeatureList) -> pl.DataFrame:
    halves = entries.str.splitn(files.field_separator, 2).struct
    rest = halves[1].str.splitn(files.value_separator, 2).struct
    return pl.DataFrame({"field": halves[0], "id": rest[0], "text": rest[1]}).with_columns(
        value=pl.col("text").cast(pl.Float64, strict=False)
    )


def _check_entries(parts: pl.DataFrame, entries: pl.Series, rows: np.ndarray, files: FeatureList, where: str) -> None:
    bad = parts["text"].is_null() | (parts["id"] == "") | parts["value"].is_null() | ~parts["value"].is_finite()
    if (position := bad.arg_max()) is not None and bad[position]:
        entry, field = entries[position], parts["field"][position]
        raise DataError(
            f"{where}:{rows[position] + 1} field {field!r}: got the entry {entry!r}, expected field, id and a number, "
            f"separated by {files.field_separator!r} and {files.value_separator!r}. Mend the row."
        )


def _check_counts(counts: pl.Series, lengths: pl.Series, where: str) -> None:
    wrong = counts.cast(pl.Int64, strict=False).ne_missing(lengths.cast(pl.Int64))
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        message = f"got {counts[row]!r}, expected {lengths[row]}: the entries that the list has. Is the line cut?"
        raise DataError(f"{where}:{row + 1} column {counts.name!r}: {message}")


def _column(field: str, kind: Kind, found: pl.DataFrame, height: int, where: str) -> dict[str, pl.Series]:
    rows = found["row"].to_numpy()
    if kind == "bag":
        offsets = np.searchsorted(rows, np.arange(height + 1))
        weights = _listed(found["value"].cast(pl.Float32), offsets)
        return {field_column(field, "bag"): _listed(found["id"], offsets), field_column(field, "weights"): weights}
    twice = np.flatnonzero(rows[1:] == rows[:-1])
    if len(twice):
        message = "got more than one entry, expected at most one. Declare the feature as a bag."
        raise DataError(f"{where}:{rows[twice[0]] + 1} field {field!r}: {message}")
    source = found["id" if kind == "id" else "value"]
    position = np.full(height, -1)
    position[rows] = np.arange(len(rows))
    index = pl.Series(position).replace(-1, None)
    column = source.gather(index) if len(source) else pl.Series([None] * height, dtype=source.dtype)
    return {field_column(field, kind): column}


def _listed(values: pl.Series, offsets: np.ndarray) -> pl.Series:
    """A list column over flat values, without a copy of them."""
    array = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values.to_arrow())
    return pl.Series(pl.from_arrow(array))
