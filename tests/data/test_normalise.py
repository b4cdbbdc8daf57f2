from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import oracle
import pandas as pd
import polars as pl
import pytest

from funnel.data.feature_list import field_column
from funnel.data.normalise import key_role, label_role, normalise, plain_columns, wanted_columns
from funnel.data.readers import Piece
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


def chunk_of(feature, values, facts=None, first=0, labels=(), **columns):
    frame = pl.DataFrame({"x": values, "click": [0] * len(values) if not len(labels) else labels, **columns})
    return normalise(schema_of(feature, facts), "facts", Piece("f.csv", first, frame), labels=True)


CATEGORICAL = {"kind": "categorical"}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["7", "", None, " 7"], ["7", None, None, " 7"]),
        ([7, None, -1], ["7", None, "-1"]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), ["18446744073709551615"]),
        ([True, False, None], ["1", "0", None]),
        (pl.Series(["b", "a", None], dtype=pl.Categorical), ["b", "a", None]),
        (pl.Series([None, None], dtype=pl.Float64), [None, None]),
        (pl.Series([None, None]), [None, None]),
        ([dt.date(2024, 1, 2)], ["2024-01-02"]),
    ],
)
def test_ids_become_text(values, texts):
    assert chunk_of(CATEGORICAL, values).ids["x"].to_list() == texts


def test_float_ids_are_refused():
    with pytest.raises(DataError, match=r"f\.csv column 'x': got ids as Float64.*\.astype\('Int64'\)"):
        chunk_of(CATEGORICAL, [7.0, None])


@pytest.mark.parametrize("feature", [CATEGORICAL, {"kind": "bag"}])
def test_float_ids_are_refused_in_bags_and_keys_too(feature):
    values = [1.5] if feature is CATEGORICAL else [[1.5]]
    with pytest.raises(DataError, match="got ids as Float64"):
        chunk_of(feature, values)
    with pytest.raises(DataError, match="got ids as Float64"):
        oracle.small([CATEGORICAL | {"name": "x"}], {"x": ["a"], "user_id": [1.0]}, dimension={"user_id": [1]})


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "int32", "string", "category", "object"])
def test_ids_of_pandas_columns_are_the_same_text(kind):
    column = pd.Series(["7", "12"] if kind in ("string", "category", "object") else [7, 12], dtype=kind)
    _schema, raw = oracle.small([{"name": "x", "kind": "categorical"}], {"x": pl.from_pandas(column)})
    assert raw.facts.ids["x"].to_list() == ["7", "12"]


def test_nullable_integers_of_pandas_keep_what_is_missing():
    frame = pd.DataFrame({"x": pd.array([2**60 + 1, None], dtype="Int64"), "click": pd.array([1, 0], dtype="Int64")})
    star = oracle.read_star(schema_of(CATEGORICAL), oracle.Origin(frames={"facts": frame}), "train")
    assert star.facts.ids["x"].to_list() == [str(2**60 + 1), None]
    assert star.labels.tolist() == [[1], [0]]


def test_a_list_where_an_id_belongs_is_refused():
    with pytest.raises(DataError, match=r"column 'x': got lists .* Declare the feature as a bag"):
        chunk_of(CATEGORICAL, [["a"]])


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(DataError, match="column 'x': got Binary, expected text or whole numbers"):
        chunk_of(CATEGORICAL, [b"\xff"])


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
        chunk_of(feature | {"missing": "error"}, values, first=10)


def test_missing_ids_are_filled_where_declared():
    assert chunk_of(CATEGORICAL | {"missing": {"fill": 0}}, [7, None]).ids["x"].to_list() == ["7", "0"]


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
    found = chunk_of({"kind": "numeric"}, values).numbers["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(numbers, np.float64))


def test_missing_numbers_are_filled_where_declared():
    found = chunk_of({"kind": "numeric", "missing": {"fill": -1}}, ["1", ""])
    assert found.numbers["x"].tolist() == [1, -1]


@pytest.mark.parametrize("value", ["x", "1,5", "inf", "1e39", "0x10"])
def test_text_that_is_no_finite_number_is_refused(value):
    with pytest.raises(DataError, match=rf"^f\.csv, row 2 column 'x': got '{value}', expected a finite number"):
        chunk_of({"kind": "numeric"}, ["1", value, None])


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e300])
def test_a_number_too_large_for_the_network_is_refused(value):
    with pytest.raises(DataError, match="expected a finite number"):
        chunk_of({"kind": "numeric"}, [value])


@pytest.mark.parametrize("value", [[1.0], dt.date(2024, 1, 1)])
def test_lists_and_dates_are_no_numbers(value):
    with pytest.raises(DataError, match=r"column 'x': got .*, expected numbers"):
        chunk_of({"kind": "numeric"}, [value])


def lists_of(feature, values, facts=None, **columns):
    lists = chunk_of({"kind": "bag"} | feature, values, facts, **columns).lists["x"]
    begins = lists.offsets
    ids = [lists.values[int(a) : int(b)].to_list() for a, b in itertools.pairwise(begins)]
    if lists.weights is None:
        return ids
    assert lists.weights.dtype == np.float32
    weights = [lists.weights[a:b].tolist() for a, b in itertools.pairwise(begins)]
    return [list(zip(*pair, strict=True)) for pair in zip(ids, weights, strict=True)]


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
        chunk_of(WEIGHTED, ids, w=weights)


@pytest.mark.parametrize("values", [["a", "b"], [1, 2]])
def test_a_bag_on_a_scalar_column_is_refused(values):
    with pytest.raises(DataError, match=r"column 'x': got one .* a row for the bag 'x', expected lists"):
        chunk_of({"kind": "bag"}, values)


@pytest.mark.parametrize("labels", [[1, 0], ["1", "0"], [True, False], [1.0, 0.0], pl.Series(["1", "0"], dtype=pl.Categorical)])
def test_labels_may_be_numbers_texts_or_truth_values(labels):
    label = chunk_of(CATEGORICAL, ["a", "b"], labels=labels).plain[label_role("click")]
    assert (label.dtype, label.to_list()) == (pl.UInt8, [1, 0])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 2], "2"),
        ([0, None], "None"),
        ([0.0, 0.5], "0.5"),
        ([0.0, float("nan")], "nan"),
        (["0", "yes"], "'yes'"),
        (["0", ""], "''"),
    ],
)
def test_other_labels_are_refused_where_they_are(labels, said):
    with pytest.raises(
        DataError, match=rf"^f\.csv, row 2 column 'click': got {said} as label, expected 0 or 1 \(1 rows differ\)"
    ):
        chunk_of(CATEGORICAL, ["a", "b"], labels=labels)


def test_a_label_of_lists_is_refused():
    with pytest.raises(DataError, match=r"expected 0 or 1 \(2 rows differ\)"):
        chunk_of(CATEGORICAL, ["a", "b"], labels=[[1], [0]])


USER = [{"name": "user", "key": "id", "fact_key": "uid", "format": "parquet", "files": "u"}]


def test_a_missing_key_is_refused_where_it_is():
    schema = schema_of(CATEGORICAL, dimensions=USER)
    frame = pl.DataFrame({"x": ["a", "b"], "click": [0, 0], "uid": ["7", ""]})
    with pytest.raises(DataError, match=r"^f, row 2 column 'uid': got no key"):
        normalise(schema, "facts", Piece("f", 0, frame), labels=True)
    with pytest.raises(DataError, match=r"^u, row 1 column 'id': got no key"):
        normalise(schema, "user", Piece("u", 0, pl.DataFrame({"id": [None, 1]})), labels=False)


@pytest.mark.parametrize("times", [["2024", ""], [1.0, float("nan")], [1, None]])
def test_a_missing_time_is_refused(times):
    schema = schema_of(CATEGORICAL, validation={"kind": "time", "column": "ts"})
    frame = pl.DataFrame({"x": ["a", "b"], "click": [0, 0], "ts": times}, strict=False)
    with pytest.raises(DataError, match=r"^f, row 2 column 'ts': got no time"):
        normalise(schema, "facts", Piece("f", 0, frame), labels=True)


def test_only_columns_that_are_needed_are_read():
    schema = schema_of(
        {"kind": "bag", "column": "ids", "weighted": True, "weights": "w"},
        dimensions=USER,
        validation={"kind": "time", "column": "ts"},
    )
    assert plain_columns(schema, "facts", labels=True) == {
        key_role("user"): "uid",
        label_role("click"): "click",
        "time": "ts",
    }
    assert plain_columns(schema, "user", labels=False) == {key_role("user"): "id"}
    assert wanted_columns(schema, "facts", labels=False) == [("uid", "id"), ("ids", "bag"), ("w", "weights")]


def test_a_field_is_found_under_the_way_it_is_read():
    files = {"format": "feature_list", "train": "x", "columns": ["click", "l"], "list": "l"}
    frame = pl.DataFrame({"click": [0], field_column("x", "id"): ["7"]})
    assert normalise(schema_of(CATEGORICAL, files), "facts", Piece("f", 0, frame), labels=True).ids["x"].to_list() == ["7"]
