from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import oracle
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from funnel.data.codes import LARGEST_CODE, MISSING_CODE, spelt
from funnel.data.labels import UNKNOWN
from funnel.data.normalise import normalise
from funnel.data.pieces import Piece, Place
from funnel.data.reading import LABELS
from funnel.data.wanted import WEIGHT, code_role, coded_features, key_role, label_role, plain_columns, wanted_columns
from funnel.errors import DataError
from funnel.schema.reader import load_schema

CSV = {"format": "csv", "train": "x"}


def schema_of(feature, facts=None, **data):
    return load_schema(
        {
            "name": "a",
            "stages": [{"name": "click", "label": "click"}],
            "data": {"facts": facts or {"format": "parquet", "train": "x"}, **data},
            "features": [{"name": "x", **feature}],
        }
    )


def piece_of(frame, where="f.csv", first=0, lists=None, **more):
    return Piece(Place(where, first, **more), frame, lists)


def found_of(feature, values, facts=None, *, first=0, labels=(), data=None, lined=False, **columns):
    frame = pl.DataFrame({"x": values, "click": [0] * len(values) if not len(labels) else labels, **columns})
    return normalise(schema_of(feature, facts, **(data or {})), "facts", piece_of(frame, first=first, lined=lined), labels=True)


def ids_of(found, name="x"):
    texts = pl.concat([pl.DataFrame(schema={"code": pl.Int64, "text": pl.String}), *found.texts.get(name, [])])
    return spelt(found.columns[name], texts).to_list()


SKIP = {"bad_rows": {"kind": "skip", "max_share": 1}}
CATEGORICAL = {"kind": "categorical"}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["7", "", None, " 7"], ["7", None, None, " 7"]),
        ([7, None, -1], ["7", None, "-1"]),
        (pl.Series([2**63 - 1, 0], dtype=pl.UInt64), ["9223372036854775807", "0"]),
        ([-(2**63), 2**63 - 1], ["-9223372036854775808", "9223372036854775807"]),
        (pl.Series([300, None], dtype=pl.Int16), ["300", None]),
        (["007", "+7", "-7", "7"], ["007", "+7", "-7", "7"]),
        ([True, False, None], ["1", "0", None]),
        (pl.Series(["b", "a", None], dtype=pl.Categorical), ["b", "a", None]),
        (pl.Series([None, None], dtype=pl.Float64), [None, None]),
        (pl.Series([None, None]), [None, None]),
        ([dt.date(2024, 1, 2)], ["2024-01-02"]),
    ],
)
def test_ids_become_codes_that_spell_them(values, texts):
    found = found_of(CATEGORICAL, values)
    assert ids_of(found) == texts
    assert found.columns["x"].dtype == np.int64
    assert ((found.columns["x"] == MISSING_CODE) == np.array([one is None for one in texts])).all()


BEYOND = [pl.Series([1, 2**64 - 1], dtype=pl.UInt64), ["1", str(2**63)], ["1", "9" * 30], ["1", str(-(2**63) - 1)]]


@pytest.mark.parametrize("values", BEYOND)
def test_ids_beyond_int64_are_refused_or_skipped(values):
    with pytest.raises(DataError, match=rf"^f\.csv, row 2 column 'x': got the id {values[1]}, expected at most {LARGEST_CODE}"):
        found_of(CATEGORICAL, values)
    found = found_of(CATEGORICAL, values, data=SKIP)
    assert ids_of(found) == ["1"]
    assert found.faults.reasons == {"an id beyond int64": 1}


@pytest.mark.parametrize("values", BEYOND)
def test_ids_beyond_int64_are_refused_in_bags_too(values):
    lists = pl.Series([[values[0]], [values[0], values[1]]], dtype=pl.List(pl.Series(values).dtype))
    with pytest.raises(DataError, match=rf"^f\.csv, row 2 column 'x': got the id {values[1]}, expected at most"):
        found_of({"kind": "bag"}, lists)
    with pytest.raises(DataError, match=rf"^f\.csv, row 2 column 'x': got the id {values[1]}, expected at most"):
        found_of({"kind": "categorical", "buckets": 3}, values)


def test_long_digits_among_letters_are_text():
    ids = ["9" * 32, "a" * 32]
    assert ids_of(found_of(CATEGORICAL, ids)) == ids


def test_ids_that_hash_are_rows_at_once():
    found = found_of({"kind": "categorical", "buckets": 5}, ["a", None, "7"])
    assert found.columns["x"].tolist() == [oracle.farm("a", 5), 0, oracle.farm("7", 5)]
    assert found.texts == {}
    assert found_of({"kind": "categorical", "buckets": 5}, [7]).columns["x"].tolist() == [oracle.farm("7", 5)]


def test_float_ids_are_refused():
    with pytest.raises(DataError, match=r"f\.csv column 'x': got ids as Float64.*\.astype\('Int64'\)"):
        found_of(CATEGORICAL, [7.0, None])


@pytest.mark.parametrize("feature", [CATEGORICAL, {"kind": "bag"}])
def test_float_ids_are_refused_in_bags_and_keys_too(feature):
    values = [1.5] if feature is CATEGORICAL else [[1.5]]
    with pytest.raises(DataError, match="got ids as Float64"):
        found_of(feature, values)
    with pytest.raises(DataError, match="got ids as Float64"):
        oracle.small([CATEGORICAL | {"name": "x"}], {"x": ["a"], "user_id": [1.0]}, dimension={"user_id": [1]})


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "int32", "string", "category", "object"])
def test_ids_of_pandas_columns_are_the_same_text(kind):
    column = pd.Series(["7", "12"] if kind in ("string", "category", "object") else [7, 12], dtype=kind)
    _, reading = oracle.small([{"name": "x", "kind": "categorical"}], {"x": pl.from_pandas(column)})
    assert oracle.facts_of(reading)["x"].tolist() == [7, 12]


def test_nullable_integers_of_pandas_keep_what_is_missing():
    frame = pd.DataFrame({"x": pd.array([2**60 + 1, None], dtype="Int64"), "click": pd.array([1, 0], dtype="Int64")})
    facts = oracle.facts_of(oracle.read(schema_of(CATEGORICAL, validation=None), oracle.Origin(frames={"facts": frame})))
    assert facts["x"].tolist() == [2**60 + 1, MISSING_CODE]
    assert facts[LABELS].tolist() == [[1], [0]]


def test_a_list_where_an_id_belongs_is_refused():
    with pytest.raises(DataError, match=r"column 'x': got lists .* Declare the feature as a bag"):
        found_of(CATEGORICAL, [["a"]])


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(DataError, match="column 'x': got Binary, expected text or whole numbers"):
        found_of(CATEGORICAL, [b"\xff"])


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (CATEGORICAL, ["a", "b", None, ""]),
        ({"kind": "numeric"}, [1.0, 2.0, None, float("nan")]),
        ({"kind": "bag"}, [["a"], [], None, None]),
    ],
)
def test_what_is_missing_is_refused_where_declared_an_error(feature, values):
    with pytest.raises(DataError, match=r"^f\.csv, row 13 column 'x': got no value for the feature 'x'.*\(2 rows have none\)"):
        found_of(feature | {"missing": "error"}, values, first=10)


def test_missing_ids_are_filled_where_declared():
    for values in ([7, None], ["7", ""]):
        assert found_of(CATEGORICAL | {"missing": {"fill": 0}}, values).columns["x"].tolist() == [7, 0]


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1", " 2.5 ", "", None, "-1e3"], [1, 2.5, np.nan, np.nan, -1000]),
        ([1, None, -3], [1, np.nan, -3]),
        ([1.5, float("nan"), None], [1.5, np.nan, np.nan]),
        ([True, False], [1, 0]),
        (pl.Series(["2.5", "7"], dtype=pl.Categorical), [2.5, 7]),
        (pl.Series([None, None]), [np.nan, np.nan]),
    ],
)
def test_numbers_become_floats(values, numbers):
    found = found_of({"kind": "numeric"}, values).columns["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(numbers, np.float64))


def test_missing_numbers_are_filled_where_declared():
    found = found_of({"kind": "numeric", "missing": {"fill": -1}}, ["1", ""])
    assert found.columns["x"].tolist() == [1, -1]


@pytest.mark.parametrize("value", ["x", "1,5", "inf", "1e39", "0x10"])
def test_text_that_is_no_finite_number_is_refused(value):
    with pytest.raises(DataError, match=rf"^f\.csv, row 2 column 'x': got '{value}', expected a finite number"):
        found_of({"kind": "numeric"}, ["1", value, None])


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e300])
def test_a_number_too_large_for_the_network_is_refused(value):
    with pytest.raises(DataError, match="expected a finite number"):
        found_of({"kind": "numeric"}, [value])


@pytest.mark.parametrize("value", [[1.0], dt.date(2024, 1, 1)])
def test_lists_and_dates_are_no_numbers(value):
    with pytest.raises(DataError, match=r"column 'x': got .*, expected numbers"):
        found_of({"kind": "numeric"}, [value])


def lists_of(feature, values, facts=None, **columns):
    found = found_of({"kind": "bag"} | feature, values, facts, **columns)
    offsets, flat = found.columns["x/offsets"].tolist(), ids_of(found)
    ids = [flat[a:b] for a, b in itertools.pairwise(offsets)]
    weights = found.columns.get("x/weights")
    if weights is None:
        return ids
    assert weights.dtype == np.float32
    parts = [weights[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    return [list(zip(*pair, strict=True)) for pair in zip(ids, parts, strict=True)]


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ([["a", "b", "a"], [], None, ["c"]], [["a", "b", "a"], [], [], ["c"]]),
        ([[1, 2], [None], [3, None]], [["1", "2"], [], ["3"]]),
        ([["", "a"], [""]], [["a"], []]),
        ([None, None], [[], []]),
        ([[], []], [[], []]),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)), [["1", "2"], ["3", "4"]]),
    ],
)
def test_a_bag_of_lists_keeps_every_id(values, ids):
    assert lists_of({}, values) == ids


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["a|b|a", "", None, "c"], [["a", "b", "a"], [], [], ["c"]]),
        (["a||b|", "|"], [["a", "b"], []]),
    ],
)
def test_a_bag_of_text_is_split(values, ids):
    assert lists_of({"separator": "|"}, values, CSV) == ids


def test_a_weighted_bag_keeps_each_weight_beside_its_id():
    feature = {"weighted": True, "weights": "w"}
    found = lists_of(feature, [["a", None, "b"], None, ["c"], []], w=[[1.0, 9.0, 0.5], None, [-2.0], []])
    assert found == [[("a", 1.0), ("b", 0.5)], [], [("c", -2.0)], []]


def test_weights_as_text_are_split_too():
    feature = {"weighted": True, "weights": "w", "separator": ";"}
    assert lists_of(feature, ["a;;b", ""], CSV, w=["1;9;.5", None]) == [[("a", 1.0), ("b", 0.5)], []]


WEIGHTED = {"kind": "bag", "weighted": True, "weights": "w"}


@pytest.mark.parametrize(
    ("ids", "weights", "said"),
    [
        ([["a"], ["a", "b"]], [[1.0], [1.0]], r"row 2 column 'w': got 1 weights for 2 ids"),
        ([["a"], []], [[1.0], [1.0]], r"row 2 column 'w': got 1 weights for 0 ids"),
        ([[], []], [[], [1.0]], r"row 2 column 'w': got 1 weights for 0 ids"),
        ([["a"], ["b"]], [[1.0], None], r"row 2 column 'w': got 0 weights for 1 ids"),
        ([["a"], ["b"]], [[1.0], [None]], "column 'w': got the weight None, expected a finite number"),
        ([["a"], ["b"]], [[1.0], [float("nan")]], "got the weight nan"),
        ([["a"], ["b"]], [[1.0], [1e39]], "got the weight 1e\\+39"),
        ([["a"], ["b"]], [["1"], ["x"]], "got the weight 'x'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(ids, weights, said):
    with pytest.raises(DataError, match=said):
        found_of(WEIGHTED, ids, w=weights)


@pytest.mark.parametrize("values", [["a", "b"], [1, 2]])
def test_a_bag_on_a_scalar_column_is_refused(values):
    with pytest.raises(DataError, match=r"column 'x': got one .* a row for the bag 'x', expected lists"):
        found_of({"kind": "bag"}, values)


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0],
        ["1", "0"],
        [" 1", "0.0"],
        [True, False],
        ["True", "False"],
        ["true", "FALSE "],
        [1.0, 0.0],
        pl.Series(["1", "0"], dtype=pl.Categorical),
    ],
)
def test_labels_may_be_numbers_texts_or_truth_values(labels):
    label = found_of(CATEGORICAL, ["a", "b"], labels=labels).columns[label_role("click")]
    assert (label.dtype, label.tolist()) == (np.uint8, [1, 0])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 2], "2"),
        ([0, 255], "255"),
        ([None, 2], "2"),
        ([0.0, 0.5], "0.5"),
        ([float("nan"), float("inf")], "inf"),
        (["0", "yes"], "'yes'"),
        (["", " "], "' '"),
    ],
)
def test_other_labels_are_refused_where_they_are(labels, said):
    with pytest.raises(
        DataError, match=rf"^f\.csv, row 2 column 'click': got {said} as label, expected 0 or 1 \(1 rows differ\)"
    ):
        found_of(CATEGORICAL, ["a", "b"], labels=labels)


@pytest.mark.parametrize(
    "labels",
    [
        [1, None, 0],
        [True, None, False],
        [1.0, float("nan"), 0.0],
        ["1", "", "0"],
        ["1", None, "0.0"],
        ["1", "NaN", "0"],
        pl.Series(["1", "", "0"], dtype=pl.Categorical),
    ],
)
def test_a_label_that_is_not_there_is_unknown(labels):
    label = found_of(CATEGORICAL, ["a", "b", "c"], labels=labels).columns[label_role("click")]
    assert (label.dtype, label.tolist()) == (np.uint8, [1, UNKNOWN, 0])
    nothing = found_of(CATEGORICAL, ["a", "b"], labels=pl.Series([None, None])).columns[label_role("click")]
    assert (nothing.dtype, nothing.tolist()) == (np.uint8, [UNKNOWN, UNKNOWN])


def test_a_label_of_lists_is_refused():
    with pytest.raises(DataError, match=r"^f\.csv column 'click': got a list as label, expected 0 or 1"):
        found_of(CATEGORICAL, ["a", "b"], labels=[[1], [0]])


USER = [{"name": "user", "key": "id", "fact_key": "uid", "format": "parquet", "files": "u"}]


def test_a_missing_key_is_refused_where_it_is():
    schema = schema_of(CATEGORICAL, dimensions=USER)
    frame = pl.DataFrame({"x": ["a", "b"], "click": [0, 0], "uid": ["7", ""]})
    with pytest.raises(DataError, match=r"^f, row 2 column 'uid': got no key"):
        normalise(schema, "facts", piece_of(frame, "f"), labels=True)
    with pytest.raises(DataError, match=r"^u, row 1 column 'id': got no key"):
        normalise(schema, "user", piece_of(pl.DataFrame({"id": [None, 1]}), "u"), labels=False)


@pytest.mark.parametrize("times", [["2024", ""], [1.0, float("nan")], [1, None]])
def test_a_missing_time_is_refused(times):
    schema = schema_of(CATEGORICAL, validation={"kind": "time", "column": "ts"})
    frame = pl.DataFrame({"x": ["a", "b"], "click": [0, 0], "ts": times}, strict=False)
    with pytest.raises(DataError, match=r"^f, row 2 column 'ts': got no time"):
        normalise(schema, "facts", piece_of(frame, "f"), labels=True)


def weights_of(values, facts=None, **data):
    frame = pl.DataFrame({"x": ["a"] * len(values), "click": [0] * len(values), "w": values}, strict=False)
    schema = schema_of(CATEGORICAL, facts, weight="w", **data)
    return normalise(schema, "facts", piece_of(frame, "f"), labels=True, weights=True)


@pytest.mark.parametrize("values", [[0.5, 0, 2], ["0.5", " 0 ", "2"]])
def test_weights_are_numbers_of_0_or_more(values):
    found = weights_of(values).columns[WEIGHT]
    assert (found.dtype, found.tolist()) == (np.float32, [0.5, 0.0, 2.0])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, -0.5], "-0.5"),
        ([1.0, None], "None"),
        ([1.0, float("nan")], "nan"),
        ([1.0, float("inf")], "inf"),
        ([1.0, 1e39], r"1e\+39"),
        (["1", ""], "''"),
        (["1", "much"], "'much'"),
    ],
)
def test_other_weights_are_refused_where_they_are(values, said):
    wanted = rf"^f, row 2 column 'w': got {said} as the row's weight, expected a finite number of 0 or more\. Mend the row"
    with pytest.raises(DataError, match=wanted):
        weights_of(values)
    found = weights_of(values, **SKIP)
    assert found.columns[WEIGHT].tolist() == [1.0]
    assert found.faults.reasons == {"a weight that is no number of 0 or more": 1}


def test_a_weight_of_times_or_lists_is_refused():
    with pytest.raises(DataError, match=r"^f column 'w': got List.*, expected numbers\. Correct the column\."):
        weights_of([[1.0], [2.0]])


def test_only_columns_that_are_needed_are_read():
    schema = schema_of(
        {"kind": "bag", "column": "ids", "weighted": True, "weights": "w"},
        dimensions=USER,
        validation={"kind": "time", "column": "ts"},
        weight="weight",
    )
    assert plain_columns(schema, "facts", labels=True, weights=True)[WEIGHT] == "weight"
    assert ("weight", "value") in wanted_columns(schema, "facts", labels=True, weights=True)
    assert plain_columns(schema, "facts", labels=True) == {
        key_role("user"): "uid",
        label_role("click"): "click",
        "time": "ts",
    }
    assert plain_columns(schema, "user", labels=False) == {key_role("user"): "id"}
    assert wanted_columns(schema, "facts", labels=False) == [("uid", "id"), ("ids", "bag"), ("w", "weights")]


LIST = {"format": "feature_list", "train": "x", "columns": ["click", "y", "n", "l"], "list": "l", "count": "n"}
LIST |= {"entry_separator": ";", "field_separator": ":", "value_separator": "="}


def listed(feature, lists, *, data=None, **columns):
    frame = {
        "click": ["0"] * len(lists),
        "y": ["y"] * len(lists),
        "n": [str(one.count(";") + 1 if one else 0) for one in lists],
    }
    piece = piece_of(pl.DataFrame(frame | columns), "f.txt", 1, pa.array(lists), lined=True)
    return normalise(schema_of(feature, LIST, **(data or {})), "facts", piece, labels=True)


def test_a_field_may_be_an_id_a_number_or_a_bag():
    lists = ["x:7=2.5;x2:9=1", "", "x:8=1"]
    assert listed(CATEGORICAL, lists).columns["x"].tolist() == [7, MISSING_CODE, 8]
    assert ids_of(listed(CATEGORICAL, [*lists, "x:a=1"])) == ["7", None, "8", "a"]
    np.testing.assert_array_equal(listed({"kind": "numeric"}, lists).columns["x"], [2.5, np.nan, 1.0])
    found = listed({"kind": "bag", "weighted": True}, ["x:7=1;x:8=2", "", "x:7=0.5"])
    assert found.columns["x"].tolist() == [7, 8, 7]
    assert found.columns["x/offsets"].tolist() == [0, 2, 2, 3]
    assert found.columns["x/weights"].tolist() == [1.0, 2.0, 0.5]
    assert "x/weights" not in listed({"kind": "bag"}, lists).columns


def test_a_field_that_no_row_has_is_missing_everywhere():
    lists = ["z:1=1", ""]
    assert listed(CATEGORICAL, lists).columns["x"].tolist() == [MISSING_CODE] * 2
    assert np.isnan(listed({"kind": "numeric"}, lists).columns["x"]).all()
    assert listed({"kind": "bag", "weighted": True}, lists).columns["x/offsets"].tolist() == [0, 0, 0]
    assert listed({"kind": "bag", "weighted": True}, lists).columns["x/weights"].dtype == np.float32


@pytest.mark.parametrize("feature", [CATEGORICAL, {"kind": "numeric"}])
def test_two_entries_of_a_field_that_may_have_one_are_refused_or_skipped(feature):
    lists = ["x:1=1", "x:1=1;z:1=1;x:2=2", "x:3=3"]
    with pytest.raises(
        DataError, match=r"^f\.txt:2 field 'x': got more than one entry, expected at most one\. Declare the feature as a bag"
    ):
        listed(feature, lists)
    found = listed(feature, lists, data=SKIP)
    assert found.columns["x"].tolist() == [1, 3]
    assert found.places.tolist() == [0, 2]
    assert found.faults.reasons == {"two entries where one is expected": 1}


def test_a_column_beside_the_list_is_a_column():
    assert ids_of(listed({"kind": "categorical", "column": "y"}, ["", ""])) == ["y", "y"]


@pytest.mark.parametrize("feature", [CATEGORICAL, {"kind": "numeric"}, {"kind": "bag"}])
def test_a_field_that_is_missing_is_refused_where_declared_an_error(feature):
    with pytest.raises(DataError, match=r"^f\.txt:3 field 'x': got no value for the feature 'x'.*\(1 rows have none\)"):
        listed(feature | {"missing": "error"}, ["x:1=1", "x:2=1", "z:1=1"])


def test_a_weight_too_large_for_the_network_is_refused():
    with pytest.raises(DataError, match=r"^f\.txt:2 field 'x': got the weight .*1e\+39.*, expected a finite number"):
        listed({"kind": "bag", "weighted": True}, ["x:1=1", "x:1=1;x:1=1e39"])


BAD = {
    "not a number": ({"kind": "numeric"}, {"x": ["1", "z", "3"]}),
    "a missing value": (CATEGORICAL | {"missing": "error"}, {"x": ["1", None, "3"]}),
    "a label that is not 0 or 1": (CATEGORICAL, {"x": ["1", "2", "3"], "click": ["0", "2", "1"]}),
    "a weight that is no number": (WEIGHTED, {"x": [["1"], ["2"], ["3"]], "w": [["1"], ["z"], ["3"]]}),
    "weights and ids of different number": (WEIGHTED, {"x": [["1"], ["2"], ["3"]], "w": [[1.0], [1.0, 2.0], [3.0]]}),
    "no key": (CATEGORICAL, {"x": ["1", "2", "3"], "uid": ["a", "", "c"]}),
    "no time": (CATEGORICAL, {"x": ["1", "2", "3"], "ts": ["1", "", "3"]}),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("alone", [False, True])
def test_rows_that_cannot_be_used_are_left_out_with_all_they_have(reason, alone):
    feature, columns = BAD[reason]
    data = SKIP | ({"dimensions": USER} if "uid" in columns else {})
    data |= {"validation": {"kind": "time", "column": "ts"}} if "ts" in columns else {}
    frame = pl.DataFrame({"click": [0, 1, 1], **columns})
    frame = frame[1:2] if alone else frame
    found = normalise(schema_of(feature, **data), "facts", piece_of(frame), labels=True)
    assert (found.rows, found.read) == ((0, 1) if alone else (2, 3))
    assert found.faults.reasons == {reason: 1}
    assert found.faults.examples[reason][0].startswith(f"f.csv, row {1 if alone else 2} column ")
    assert (found.faults.rows, found.faults.read) == (1, found.read)
    assert found.places.tolist() == ([] if alone else [0, 2])
    assert found.columns[label_role("click")].tolist() == ([] if alone else [0, 1])
    if "x/offsets" in found.columns:
        assert found.columns["x/offsets"].tolist() == ([0] if alone else [0, 1, 2])
        assert found.columns["x/weights"].tolist() == ([] if alone else [1.0, 3.0])
    assert found.columns["x"].tolist() == ([] if alone else [1, 3])
    if "ts" in columns:
        assert found.moments.to_list() == ([] if alone else ["1", "3"])


def test_a_row_that_is_bad_in_two_ways_is_left_out_once():
    found = found_of({"kind": "numeric"}, ["z", "1"], labels=["7", "1"], data=SKIP)
    assert (found.rows, found.faults.rows) == (1, 1)
    assert found.faults.reasons == {"not a number": 1, "a label that is not 0 or 1": 1}


def test_lines_that_were_cut_are_counted():
    piece = Piece(
        Place("f.csv", 1, lined=True), pl.DataFrame({"x": ["a"], "click": [0]}), cuts=["f.csv:2 got 1", "f.csv:3 got 9"]
    )
    found = normalise(schema_of(CATEGORICAL, CSV, **SKIP), "facts", piece, labels=True)
    assert (found.faults.read, found.faults.rows) == (3, 2)
    assert found.faults.reasons == {"a wrong number of columns": 2}
    assert found.faults.examples == {"a wrong number of columns": ["f.csv:2 got 1", "f.csv:3 got 9"]}


def test_lines_of_text_are_named_by_file_and_line():
    with pytest.raises(DataError, match=r"^f\.csv:12 column 'x': got 'z', expected a finite number"):
        found_of({"kind": "numeric"}, ["1", "z"], CSV, first=11, lined=True)


def test_features_that_crosses_and_groups_need_have_their_codes_whatever_their_table_does():
    schema = load_schema(
        {
            "name": "a",
            "stages": [{"name": "click", "label": "click"}],
            "data": {"facts": {"format": "parquet", "train": "x"}},
            "features": [
                {"name": "h", "kind": "categorical", "buckets": 3},
                {"name": "v", "kind": "categorical", "missing": {"fill": "none"}},
                {"name": "w", "kind": "categorical"},
                {"name": "hv", "kind": "cross", "of": ["h", "v"], "buckets": 4},
            ],
            "evaluate": {"group_by": "h"},
        }
    )
    assert coded_features(schema) == {"h", "v"}
    frame = pl.DataFrame({"h": ["a", None], "v": [5, None], "w": [1, 2], "click": [0, 0]})
    found = normalise(schema, "facts", piece_of(frame), labels=True)
    assert ids_of(found, code_role("h")) == ["a", None]
    assert ids_of(found, code_role("v")) == ["5", "none"]
    assert code_role("w") not in found.columns
    assert found.columns["h"].tolist() == [oracle.farm("a", 3), 0]
