"""The entries of feature lists, taken apart: many lists at once, each entry a field, an id and a value.

Three ways, each slower and less particular than the one before: whole numbers and short texts out of 64-bit words; Polars' CSV
reader, for which entries are lines of three columns; and splitting texts, which also says what is wrong with an entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from funnel.data.words import Text
from funnel.schema.data import FeatureList

FIELD_SLOTS, VALUE_SLOTS = 1 << 12, 1 << 16


@dataclass(frozen=True)
class Parsed:
    """Entries, one after the other.

    Attributes:
        fields: The different fields: text.
        of: Which of them each entry has: [entries].
        ids: Text, or whole numbers where all are in their usual form: [entries].
        values: float64 [entries].
        sizes: How many entries each list has: int64 [lists].
    """

    fields: pl.Series
    of: NDArray[Any]
    ids: pl.Series
    values: NDArray[np.float64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Joined:
    """The lists of many rows as one text, with an entry separator between two lists, and where its separators are.

    Attributes:
        text: uint8 [bytes].
        begins: Where each entry begins: int64 [entries].
        fields: The separator after each field.
        values: The separator after each id.
        ends: Where each entry ends.
        sizes: How many entries each list has: int64 [lists].
    """

    text: NDArray[np.uint8]
    begins: NDArray[np.int64]
    fields: NDArray[np.int64]
    values: NDArray[np.int64]
    ends: NDArray[np.int64]
    sizes: NDArray[np.int64]


def parse(lists: Any, files: FeatureList) -> Parsed | None:
    """Entries that are all well formed; None where one is not, or a separator has more than one byte.

    Args:
        lists: An Arrow array of text [lists], none of them empty.
        files: The separators.
    """
    joined = _join(lists, files)
    return None if joined is None else _parse_words(joined) or _parse_csv(joined, files)


def _join(lists: Any, files: FeatureList) -> Joined | None:
    separators = [text.encode() for text in (files.field_separator, files.value_separator, files.entry_separator)]
    if not len(lists) or any(len(text) != 1 or text in b"\r\n\x00" for text in separators) or len(set(separators)) < 3:
        return None
    field, value, entry = (ord(byte) for byte in separators)
    one = pa.ListArray.from_arrays(pa.array([0, len(lists)], pa.int32()), lists)
    text = np.frombuffer(pc.binary_join(one, files.entry_separator)[0].as_buffer(), np.uint8)
    fields, values, between = np.flatnonzero(text == field), np.flatnonzero(text == value), np.flatnonzero(text == entry)
    if not len(fields) == len(values) == len(between) + 1 or not text.min():
        return None
    begins, ends = np.concatenate([[0], between + 1]), np.append(between, len(text))
    # A field, an id that is not empty, a value that is not: in this order and no other.
    if (fields <= begins).any() or (values <= fields + 1).any() or (ends <= values + 1).any():
        return None
    lasts = np.cumsum(np.asarray(pc.binary_length(lists), np.int64) + 1) - 1
    return Joined(text, begins, fields, values, ends, np.diff(np.searchsorted(ends, lasts, side="right"), prepend=0))


def _parse_words(joined: Joined) -> Parsed | None:
    if not _whole(joined):
        return None
    text = Text(joined.text)
    ids = text.whole_numbers(joined.fields + 1, joined.values)
    fields = text.few(joined.begins, joined.fields, slots=FIELD_SLOTS) if ids is not None else None
    values = text.few(joined.values + 1, joined.ends, slots=VALUE_SLOTS) if fields is not None else None
    if ids is None or fields is None or values is None:
        return None
    names, spelt = fields.texts(), values.texts()
    numbers = spelt.cast(pl.Float64, strict=False) if spelt is not None else None
    if names is None or numbers is None or not _all_finite(numbers):
        return None
    return Parsed(names, fields.of, pl.Series(ids), numbers.to_numpy()[values.of], joined.sizes)


def _parse_csv(joined: Joined, files: FeatureList) -> Parsed | None:
    # Both inner separators are one from here on: the order that was checked tells them apart.
    text = joined.text.copy()
    text[joined.values] = text[joined.fields[0]]
    if (text == ord("\n")).any():
        return None
    table = text.tobytes()
    for kind in [pl.Int64, pl.String] if _whole(joined) else [pl.String]:
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
        if parsed.height == len(joined.begins) and not parsed["id"].null_count() and _all_finite(parsed["value"]):
            return Parsed(*numbered(parsed["field"]), parsed["id"], parsed["value"].to_numpy(), joined.sizes)
    return None


def numbered(fields: pl.Series) -> tuple[pl.Series, NDArray[Any]]:
    """The different fields, and which of them each entry has."""
    fields = fields.cast(pl.Categorical)
    names = fields.unique()
    codes = names.to_physical().to_numpy()
    number = np.zeros(int(codes.max(initial=0)) + 1, np.uint32)
    number[codes] = np.arange(len(names), dtype=np.uint32)
    return names.cast(pl.String), number[fields.to_physical().to_numpy()]


def _whole(joined: Joined) -> bool:
    """Whether all ids may be whole numbers in their usual form: none begins with anything but 1 to 9, or is more than 0."""
    first = joined.text[joined.fields + 1]
    plain = (first >= ord("1")) & (first <= ord("9"))
    return bool((plain | ((first == ord("0")) & (joined.values == joined.fields + 2))).all())


def _all_finite(values: pl.Series) -> bool:
    return values.null_count() == 0 and bool(values.is_finite().all())


def split(lists: Any, files: FeatureList) -> pl.DataFrame:
    """Entries one by one: `entry` itself, `field`, `id`, `text` and `value`, null for what it lacks.

    Args:
        lists: An Arrow array of text [lists], none of them empty.
        files: The separators.
    """
    entries = pl.Series("entry", pl.from_arrow(lists)).str.split(files.entry_separator).explode(empty_as_null=False)
    halves = entries.str.splitn(files.field_separator, 2).struct
    rest = halves[1].str.splitn(files.value_separator, 2).struct
    return pl.DataFrame({"field": halves[0], "id": rest[0], "text": rest[1], "entry": entries}).with_columns(
        value=pl.col("text").cast(pl.Float64, strict=False)
    )
