from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.labels import UNKNOWN
from funnel.data.maturity import amounts, is_young, length_of, matured, snapshot_of
from funnel.data.normalise import normalise
from funnel.data.pieces import Piece, Place
from funnel.data.wanted import label_role, wanted_columns, young_role
from funnel.errors import DataError
from funnel.schema.reader import load_schema
from funnel.schema.stages import Maturity

X = UNKNOWN
DAY = 86_400_000_000


def maturity(period, **others):
    return Maturity(period=period, event="t", **({"snapshot": "s"} | others))


WEEK, TEN = maturity("7d"), maturity(10)


def in_microseconds(values, dtype=None):
    return amounts(pl.Series("t", values, dtype), WEEK, "f column 't'").to_list()


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("1970-01-02", 24),
        ("1970-01-02 03:00", 27),
        ("1970-01-02T03:00", 27),
        (" 1970-01-02t03:00:00 ", 27),
        ("1970-01-02T03:00:00Z", 27),
        ("1970-01-02T03:00Z", 27),
        ("1970-01-02T03:30:00.000000+00:30", 27),
        ("1970-01-02 03:00:00-0200", 29),
        ("1970-01-02 03:00+02", 25),
        ("1970-01-02 03:00:00.0", 27),
        ("1969-12-31", -24),
    ],
)
def test_texts_of_times_are_read_as_iso_8601_says(text, hours):
    assert in_microseconds([text]) == [hours * 3_600_000_000]


@pytest.mark.parametrize("text", ["yes", "17", "1970", "1970-13-01", "02.01.1970", "1970-01-02 03", "1970-01-02 25:00", "T"])
def test_other_texts_are_no_times(text):
    assert in_microseconds([text, "1970-01-02"]) == [None, DAY]


moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
zones = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, zones, st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]), st.sampled_from(" T"))
def test_any_time_is_read_as_python_reads_it(moment, zone, precision, separator):
    text = moment.replace(tzinfo=zone).isoformat(separator, precision)
    wanted = datetime.fromisoformat(text)
    wanted = wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted
    assert in_microseconds([text]) == [(wanted - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)]


def test_times_without_a_zone_are_in_utc():
    naive = pl.Series("t", [datetime(1970, 1, 2), None])
    assert in_microseconds(naive) == [DAY, None]
    assert in_microseconds(naive.dt.replace_time_zone("UTC")) == [DAY, None]
    assert in_microseconds(naive.dt.replace_time_zone("Asia/Tokyo")) == [DAY - 9 * 3_600_000_000, None]
    assert in_microseconds(naive.cast(pl.Datetime("ns"))) == in_microseconds(naive.cast(pl.Datetime("ms"))) == [DAY, None]
    assert in_microseconds([date(1970, 1, 2), None]) == [DAY, None]


@pytest.mark.parametrize("values", [[1, None, 3], [1.0, float("nan"), 3.0], ["1", " ", " 3.0 "]])
def test_numbers_are_taken_in_their_unit(values):
    assert amounts(pl.Series("t", values), TEN, "f").to_list() == [1.0, None, 3.0]


@pytest.mark.parametrize("values", [[1, 2], [1.5], [True], [[1]], [timedelta(1)]])
def test_numbers_are_refused_for_a_period_of_time(values):
    with pytest.raises(
        DataError, match=r"^f column 't': got .*, expected times, since matures_after\.period is '7d'\. Write the"
    ):
        in_microseconds(values)


@pytest.mark.parametrize("values", [[date(2024, 1, 1)], [datetime(2024, 1, 1)], [True], [[1]]])
def test_times_are_refused_for_a_period_without_a_unit(values):
    with pytest.raises(
        DataError, match=r"^f: got .*, expected numbers, since matures_after\.period is 10\.0\. Write the period"
    ):
        amounts(pl.Series("t", values), TEN, "f")


@pytest.mark.parametrize(
    ("period", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("0.5d", 43_200)]
)
def test_periods_of_time(period, seconds):
    assert length_of(maturity(period)) == seconds * 1e6


def test_a_snapshot_for_all():
    assert snapshot_of(maturity("1d", snapshot=None, snapshot_at="1970-01-02T00:00:00")) == DAY
    assert snapshot_of(maturity("1d", snapshot=None, snapshot_at="1970-01-02T02:00:00+02:00")) == DAY
    assert snapshot_of(maturity("1d", snapshot=None, snapshot_at=date(1970, 1, 2))) == DAY
    assert snapshot_of(maturity(5, snapshot=None, snapshot_at=100)) == 100


def test_a_row_is_young_until_its_period_is_over():
    event = np.array([0.0, 89.5, 90.0, 90.5, 100.0, 120.0])
    late = maturity(10, snapshot=None, snapshot_at=100)
    assert is_young(event, None, late).tolist() == [False, False, False, True, True, True]
    assert is_young(event, np.array([9.0, 100, 100, 100, 110, 0]), TEN).tolist() == [True, False, False, True, False, True]


def test_a_young_row_without_the_stage_may_yet_reach_it():
    labels, young = np.array([0, 1, X, 0, 1, X], np.uint8), np.array([True] * 3 + [False] * 3)
    assert matured(labels, young, TEN).tolist() == [X, 1, X, 0, 1, X]
    assert matured(labels, young, maturity(10, positives="unknown")).tolist() == [X, X, X, 0, 1, X]


# Within a schema.

STAGES = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]


def schema_of(matures, **parts):
    stages = [STAGES[0], STAGES[1] | {"matures_after": matures}]
    data = {"facts": {"format": "parquet", "train": "x"}, "validation": None, **parts.pop("data", {})}
    features = [{"name": "x", "kind": "categorical", "min_count": 1}]
    return load_schema({"name": "a", "stages": stages, "data": data, "features": features, **parts})


def normalised(matures, columns, **parts):
    frame = pl.DataFrame({"x": ["a"] * len(columns["buy"]), **columns})
    schema = schema_of(matures, **parts)
    piece = Piece(Place("f.csv", 0), frame.select({name for name, _ in wanted_columns(schema, "facts", labels=True)}))
    return normalise(schema, "facts", piece, labels=True)


ROWS = {"click": [1, 1, 1, 0], "buy": [0, 0, 1, 0], "t": [1, 95, 95, 95]}


def test_young_labels_are_not_known():
    found = normalised({"period": 10, "event": "t", "snapshot_at": 100}, ROWS)
    assert found.columns[label_role("buy")].tolist() == [0, X, 1, X]
    assert found.columns[label_role("click")].tolist() == [1, 1, 1, 0]
    assert found.columns[young_role("buy")].tolist() == [False, True, True, True]
    assert not {"event buy", "snapshot buy"} & set(found.columns)
    unknown = normalised({"period": 10, "event": "t", "snapshot_at": 100, "positives": "unknown"}, ROWS)
    assert unknown.columns[label_role("buy")].tolist() == [0, X, X, X]


SKIP = {"data": {"bad_rows": {"kind": "skip", "max_share": 1.0}}}


@pytest.mark.parametrize("column", ["t", "s"])
@pytest.mark.parametrize("empty", [None, float("nan"), ""])
def test_a_row_without_a_time_is_taken_for_young(column, empty):
    old = {"t": 3, "s": 300}[column]
    values = [empty, empty, old, old] if not isinstance(empty, str) else ["", "", str(old), str(old)]
    columns = {"click": [1, 0, 1, 1], "buy": [0, 0, 0, 1], "t": [1] * 4, "s": [100] * 4} | {column: values}
    found = normalised({"period": 10, "event": "t", "snapshot": "s"}, columns)
    assert found.columns[young_role("buy")].tolist() == [True, True, False, False]
    assert found.columns[label_role("buy")].tolist() == [X, X, 0, 1]


def test_a_number_that_is_none_is_refused():
    columns = ROWS | {"t": ["1", "2", "3", "2024-01-01"], "s": [100] * 4}
    said = r"got '2024-01-01', expected a number, since matures_after\.period is 10\.0"
    with pytest.raises(DataError, match=rf"^f\.csv, row 4 column 't': {said}"):
        normalised({"period": 10, "event": "t", "snapshot": "s"}, columns)
    found = normalised({"period": 10, "event": "t", "snapshot": "s"}, columns, **SKIP)
    assert (found.rows, found.faults.reasons) == (3, {"no time": 1})


def test_a_text_that_is_no_time_is_refused_where_it_is():
    columns = ROWS | {"t": ["2024-01-01", "2024-01-02T00:00Z", "1704153600", "2024-01-03"]}
    declared = {"period": "7d", "event": "t", "snapshot_at": "2024-01-09"}
    with pytest.raises(DataError, match=r"row 3 column 't': got '1704153600', expected a time \(ISO 8601\), since"):
        normalised(declared, columns)
    columns["t"][2] = "2024-01-01 23:59"
    assert normalised(declared, columns).columns[label_role("buy")].tolist() == [0, 0, 1, X]


def test_numbers_and_times_do_not_mix():
    with pytest.raises(DataError, match=r"^f\.csv column 't': got Int64, expected times"):
        normalised({"period": "7d", "event": "t", "snapshot_at": "2024-01-09"}, ROWS)
    with pytest.raises(DataError, match=r"^f\.csv column 's': got Date, expected numbers"):
        normalised({"period": 7, "event": "t", "snapshot": "s"}, ROWS | {"s": [date(2024, 1, 1)] * 4})


def test_predictions_need_no_times():
    schema = schema_of({"period": 7, "event": "t", "snapshot": "s"})
    assert wanted_columns(schema, "facts", labels=False) == [("x", "id")]


hours = st.integers(0, 60)


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([0, 1, None]), hours, hours), min_size=1, max_size=12),
    st.sampled_from(["known", "unknown"]),
    st.sampled_from(["numbers", "times", "texts"]),
)
def test_labels_are_final_when_their_period_is_over(rows, positives, form):
    rows = [(1, 0, 0, 60), *rows]
    begin = datetime(2024, 1, 1)
    times = [[begin + timedelta(hours=row[place]) for row in rows] for place in (2, 3)]
    columns = {
        "numbers": [[row[place] for row in rows] for place in (2, 3)],
        "times": times,
        "texts": [[time.isoformat() for time in one] for one in times],
    }[form]
    matures = {"period": 24 if form == "numbers" else "1d", "event": "t", "snapshot": "s", "positives": positives}
    schema = schema_of(matures, inconsistent_labels="drop")
    facts = {"x": ["a"] * len(rows), "click": [row[0] for row in rows], "buy": [row[1] for row in rows]}
    frame = pl.DataFrame(facts | {"t": columns[0], "s": columns[1]})
    reading = oracle.read(schema, oracle.Origin(frames={"facts": frame}))
    wanted, young_rows, young_buys = [], 0, 0
    for click, buy, event, snapshot in rows:
        young = snapshot - event < 24
        if young and (buy == 0 or positives == "unknown"):
            buy = None  # noqa: PLW2901
        if click == 0 and buy == 1:
            continue
        wanted.append([click, 0 if click == 0 else buy])
        young_rows += young and click == 1
        young_buys += young and click == 1 and buy == 1
    labels = oracle.facts_of(reading)["fact labels"].tolist()
    assert [[None if label == X else label for label in row] for row in labels] == wanted
    assert reading.young == {"buy": (young_rows, young_buys)}
