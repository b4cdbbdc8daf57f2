"""Whatever small table is given: what is proposed passes the check, or there is one message that says why not."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import funnel

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
MOMENTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2030, 1, 1))
VALUES: list[Any] = [
    (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    (pl.UInt64, st.integers(0, 2**64 - 1)),
    (pl.Int8, st.integers(0, 1)),
    (pl.Int64, st.integers(0, 9)),
    (pl.Float64, st.floats()),
    (pl.Float32, st.floats(0, 10, width=32)),
    (pl.String, WORDS),
    (pl.String, st.sampled_from(["a|b", "a", "b|c|d", "", "NA", "7", "007", "1.5"])),
    (pl.Boolean, st.booleans()),
    (pl.List(pl.String), st.lists(WORDS, max_size=3)),
    (pl.List(pl.Float64), st.lists(st.floats(), max_size=3)),
    (pl.Datetime, MOMENTS),
    (pl.Date, MOMENTS.map(dt.datetime.date)),
    (pl.Struct({"a": pl.Int64}), st.fixed_dictionaries({"a": st.integers(0, 3)})),
]


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 60))
    names = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=6, unique=True))
    columns = {}
    for name in names:
        kind, values = draw(st.sampled_from(VALUES))
        if draw(st.booleans()):
            values = st.none() | values
        columns[name] = pl.Series(name, draw(st.lists(values, min_size=rows, max_size=rows)), dtype=kind)
    for name in draw(st.lists(st.sampled_from(["click", "is_buy", "x"]), min_size=1, max_size=3, unique=True)):
        columns[name] = pl.Series(name, draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)), dtype=pl.Int64)
    return pl.DataFrame(columns)


def outcome(frame: pl.DataFrame, folder: Path, ending: str) -> funnel.FunnelError | None:
    path = folder / f"rows.{ending}"
    if ending == "csv":
        frame.select(pl.exclude(pl.List(pl.String), pl.List(pl.Float64), pl.Struct({"a": pl.Int64}))).write_csv(path)
    else:
        frame.write_parquet(path)
    try:
        found = funnel.init(path, out=folder / "schema.yaml")
    except funnel.FunnelError as error:
        assert not (folder / "schema.yaml").exists()
        return error
    schema = funnel.load_schema(folder / "schema.yaml")
    assert (folder / "schema.yaml").read_text(encoding="utf-8") == found.text
    assert funnel.check(schema).ok
    return None


@settings(max_examples=40)
@given(frames(), st.sampled_from(["parquet", "csv"]))
def test_a_small_table_becomes_a_schema_that_passes_or_one_message(frame: pl.DataFrame, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        error = outcome(frame, Path(folder), ending)
    if error is not None:
        assert str(error).count("\n") == 0
        assert len(str(error)) < 2000
