"""What is counted of columns, against plain Python."""

from __future__ import annotations

import math
from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from funnel.proposal.columns import Column, kind_of

TEXTS = st.one_of(st.none(), st.sampled_from(["", "0", "1", " 1", "1.0", "007", "x", "nan", "inf", "-3", "1e3", "0.5", "NA"]))


def column(values: list[pl.Series]) -> Column:
    found = Column("c", kind_of(values[0].dtype), typed=False)
    for piece in values:
        found.see(piece)
    found.settle()
    return found


def number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


@given(st.lists(TEXTS, max_size=40), st.integers(1, 7))
def test_texts(values: list[str | None], piece: int) -> None:
    found = column([pl.Series("c", values[k : k + piece], pl.String) for k in range(0, max(1, len(values)), piece)])
    known = [value for value in values if value]
    numbers = [one for one in map(number, known) if one is not None]
    counts = Counter(known)
    assert (found.rows, found.missing) == (len(values), len(values) - len(known))
    assert found.distinct == len(counts)
    assert found.once == sum(times == 1 for times in counts.values())
    assert found.rare == sum(times for times in counts.values() if times < 5)
    assert found.numbers == len(numbers)
    assert found.ones == sum(one == 1 for one in numbers)
    assert found.zeros == sum(one == 0 for one in numbers)
    assert found.wholes == sum(one.strip().lstrip("-").isdigit() for one in known)
    assert found.padded == sum(one == "007" for one in known)
    assert found.is_label == (len(numbers) == len(known) and set(numbers) == {0.0, 1.0})
    if numbers:
        assert (found.low, found.high) == (min(numbers), max(numbers))


@given(st.lists(st.none() | st.floats(), max_size=30))
def test_numbers(values: list[float | None]) -> None:
    found = column([pl.Series("c", values, pl.Float64)])
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert found.missing == sum(value is None or math.isnan(value) for value in values)
    assert found.numbers == len(finite)
    assert found.wholes == sum(value == math.floor(value) for value in finite)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.integers(1, 5),
)
def test_columns_of_equal_values_in_equal_order_have_one_digest(one: list[int], other: list[int], piece: int) -> None:
    whole = column([pl.Series("c", one)])
    pieces = column([pl.Series("c", one[k : k + piece]) for k in range(0, len(one), piece)])
    assert whole.digest == pieces.digest
    assert (column([pl.Series("c", other)]).digest == whole.digest) == (one == other)


def test_kinds() -> None:
    types = {
        pl.String: "text",
        pl.Categorical: "text",
        pl.Boolean: "yes_no",
        pl.UInt8: "whole",
        pl.Float32: "real",
        pl.Date: "time",
        pl.List(pl.String): "list",
        pl.Array(pl.Int64, 2): "list",
        pl.List(pl.List(pl.Int64)): "other",
        pl.Binary: "other",
        pl.Struct({"a": pl.Int64}): "other",
    }
    for dtype, kind in types.items():
        assert kind_of(pl.Series("c", [], dtype).dtype) == kind, dtype
