from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.holdout import hold_out
from funnel.data.raw_star import Origin, read_star
from funnel.data.statistics import learn, quantile_boundaries
from funnel.errors import DataError
from funnel.schema.learnt import Scale
from funnel.schema.reader import load_schema

X = {"name": "x", "kind": "categorical", "min_count": 1}
CITY = {"name": "city", "kind": "categorical", "source": "user", "min_count": 2}


def learnt(features, facts, rows=None, **parts):
    schema, raw = oracle.small(features, facts, **parts)
    found, vocabulary = learn(schema, raw, np.arange(raw.facts.rows) if rows is None else np.array(rows))
    return found, {table: terms.to_list() for table, terms in vocabulary.terms.items()}


def test_ids_of_training_rows_alone_are_learnt():
    found, terms = learnt([X], {"x": list("abcb")}, rows=[0, 1])
    assert terms == {"x": ["a", "b"]}
    assert found.rows == {"x": 4}


def test_ids_of_validation_and_test_rows_are_unknown(tmp_path):
    tree = oracle.mapping("csv")
    train = [{**oracle.FACTS[0], "item_id": f"train{row}"} for row in range(20)]
    oracle.write(tmp_path, "facts.csv", oracle.csv_text(train))
    oracle.write(tmp_path, "test.csv", oracle.csv_text([{**oracle.FACTS[0], "item_id": "test"}]))
    oracle.write(tmp_path, "users.csv", oracle.csv_text(oracle.USERS))
    tree["data"]["facts"]["test"] = "test.csv"
    tree["data"]["validation"] = {"kind": "fraction", "fraction": 0.3, "by": "row"}
    tree["features"] = [{"name": "item_id", "kind": "categorical", "min_count": 1}]
    del tree["tables"], tree["evaluate"]
    schema = load_schema(tree)
    raw = read_star(schema, Origin(root=tmp_path), "train")
    held = hold_out(schema, raw)
    vocabulary = learn(schema, raw, np.flatnonzero(~held))[1]
    assert sorted(vocabulary.terms["item_id"]) == sorted(f"train{row}" for row in range(20) if not held[row])


def test_a_dimension_row_counts_as_often_as_training_facts_use_it():
    users = {"user_id": list("abc"), "city": ["A", "B", "C"]}
    facts = {"x": list("11111"), "user_id": list("aabcc")}
    assert learnt([X, CITY], facts, dimension=users)[1]["city"] == ["A", "C"]
    assert learnt([X, CITY], facts, rows=[0, 2, 3, 4], dimension=users)[1]["city"] == ["C"]


@given(st.data())
def test_a_star_teaches_what_the_joined_table_does(data):
    users = {
        "user_id": ["a", "b", "c"],
        "city": data.draw(st.lists(st.none() | st.sampled_from("XYZ"), min_size=3, max_size=3)),
        "age": [*data.draw(st.lists(st.none() | st.integers(-5, 5).map(float), min_size=2, max_size=2)), 1.0],
        "tags": data.draw(st.lists(st.lists(st.sampled_from("pqr"), max_size=3), min_size=3, max_size=3)),
    }
    keys = ["c", *data.draw(st.lists(st.sampled_from("abc"), max_size=10))]
    rows = sorted({0, *data.draw(st.sets(st.integers(0, len(keys) - 1)))})
    features = [
        CITY,
        {"name": "tags", "kind": "bag", "source": "user", "min_count": 2},
        {"name": "age", "kind": "numeric", "source": "user", "transform": "log1p"},
        {"name": "cut", "kind": "numeric", "source": "user", "column": "age", "transform": {"kind": "bucketize", "buckets": 3}},
    ]
    star = learnt(features, {"user_id": keys}, rows, dimension=users)
    place = {key: at for at, key in enumerate(users["user_id"])}
    wide = {name: [column[place[key]] for key in keys] for name, column in users.items() if name != "user_id"}
    joined = learnt([{k: v for k, v in f.items() if k != "source"} for f in features], wide, rows)
    assert star[1] == joined[1]
    assert star[0].rows == joined[0].rows
    assert star[0].scales["cut"] == joined[0].scales["cut"]
    assert star[0].scales["age"].mean == pytest.approx(joined[0].scales["age"].mean, abs=1e-12)
    assert star[0].scales["age"].std == pytest.approx(joined[0].scales["age"].std, abs=1e-12)


def test_features_that_share_a_table_share_its_counts():
    tables = {"t": {"min_count": 3, "max_rows": 1}}
    features = [{"name": "x", "kind": "categorical", "table": "t"}, {"name": "y", "kind": "bag", "table": "t"}]
    facts = {"x": ["a", "b", "a"], "y": [["a", "b"], ["b", "c"], ["b"]]}
    found, terms = learnt(features, facts, tables=tables)
    assert terms == {"t": ["b"]}  # four times; a is there three times, c once
    assert found.rows == {"t": 3}


def test_without_a_declared_count_an_id_must_be_seen_twice():
    assert learnt([{"name": "x", "kind": "categorical"}], {"x": list("aab")})[1] == {"x": ["a"]}


def test_tables_of_buckets_and_crosses_learn_nothing():
    features = [
        {"name": "x", "kind": "categorical", "buckets": 5},
        {"name": "y", "kind": "categorical", "buckets": 6},
        {"name": "xy", "kind": "cross", "of": ["x", "y"], "buckets": 7},
    ]
    found, terms = learnt(features, {"x": ["a"], "y": ["b"]})
    assert (found.rows, terms) == ({"x": 7, "y": 8, "xy": 9}, {})


def scale_of(values, transform, rows=None):
    return learnt([{"name": "n", "kind": "numeric", "transform": transform}], {"n": values}, rows)[0].scales["n"]


def test_mean_and_deviation_are_those_of_training_rows_that_have_a_number():
    scale = scale_of([1.0, 2.0, None, 6.0, 100.0], "standardize", [0, 1, 2, 3])
    assert scale.mean == pytest.approx(3)
    assert scale.std == pytest.approx(math.sqrt((4 + 1 + 9) / 3))


def test_a_logarithm_keeps_the_sign():
    scale = scale_of([math.e - 1, -(math.e**3 - 1), 0.0], "log1p")
    assert scale.mean == pytest.approx((1 - 3 + 0) / 3)
    assert scale.std == pytest.approx(np.std([1, -3, 0]))


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 1e30, -1e-30])
def test_a_constant_is_divided_by_one(value):
    scale = scale_of([value] * 7, "standardize")
    assert scale.mean == pytest.approx(value)
    assert scale.std == 1


@pytest.mark.parametrize(
    ("transform", "scale"),
    [
        ("none", Scale()),
        ({"kind": "standardize", "mean": 7}, Scale(mean=7, std=1)),
        ({"kind": "standardize", "std": 7}, Scale(mean=2, std=7)),
        ({"kind": "log1p", "mean": 7, "std": 8}, Scale(mean=7, std=8)),
        ({"kind": "bucketize", "boundaries": [0.5]}, Scale(boundaries=(0.5,))),
    ],
)
def test_what_is_declared_is_not_learnt(transform, scale):
    assert scale_of([1.0, 3.0], transform) == scale


@pytest.mark.parametrize("transform", ["standardize", "log1p", "bucketize"])
def test_a_column_without_numbers_is_refused(transform):
    with pytest.raises(DataError, match="column 'n': no training row has a number for the feature 'n'"):
        scale_of([None, 1.0], transform, [0])


def test_a_bucketized_constant_has_one_bucket():
    found, _ = learnt([{"name": "n", "kind": "numeric", "transform": "bucketize"}], {"n": [3.0, 3.0, None]})
    assert found.scales["n"].boundaries == ()
    assert found.rows == {"n": 3}  # missing, unknown, and the bucket


@pytest.mark.parametrize(
    ("values", "weights", "buckets", "boundaries"),
    [
        ([1, 2, 3, 4], [1, 1, 1, 1], 2, (3.0,)),
        ([1, 2, 3, 4], [1, 1, 1, 1], 4, (2.0, 3.0, 4.0)),
        ([1, 2, 3, 4], [1, 1, 1, 1], 100, (2.0, 3.0, 4.0)),
        ([4, 3, 2, 1], [1, 1, 1, 5], 2, (2.0,)),
        ([1, 1, 1, 1, 2], [1] * 5, 4, (2.0,)),
        ([1, 2, 2, 2, 2], [1] * 5, 4, (2,)),
        ([0, 1], [20, 80], 3, (1,)),
        ([5, 5, 5], [1] * 3, 4, ()),
        ([1, 1 + 1e-12], [1, 1], 2, ()),
        ([0, 1], [1, 9], 10, (1.0,)),
    ],
)
def test_boundaries_are_quantiles_as_far_as_ties_allow(values, weights, buckets, boundaries):
    assert quantile_boundaries(np.array(values, float), np.array(weights), buckets) == boundaries


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 4)), min_size=1, max_size=12),
    st.integers(2, 6),
)
def test_boundaries_part_the_weight_as_the_slow_way_does(pairs, buckets):
    found = quantile_boundaries(np.array([v for v, _ in pairs], float), np.array([w for _, w in pairs]), buckets)
    everything = sorted(value for value, weight in pairs for _ in range(weight))
    wanted = set()
    for number in range(1, buckets):
        # The least value above the first one that has its share of the rows at or below it.
        share = len(everything) * number / buckets
        low = next(value for value in everything if sum(other <= value for other in everything) >= share)
        above = [other for other in everything if other > low]
        # The greatest value, where it alone has the rest, is cut from those below it.
        wanted |= {min(above, default=everything[-1])}
    wanted -= {everything[0]}
    assert found == tuple(sorted(wanted))
    assert len(found) < buckets
    cut = np.digitize(everything, found)
    assert set(cut) == set(range(len(found) + 1))  # no bucket is empty


def test_priors_are_declared_or_the_training_rows():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "prior": 0.25}]
    facts = {"click": [1, 0, 1, 1], "buy": [0, 0, 1, 0], "x": list("aaaa")}
    assert learnt([X], facts, rows=[0, 1, 2], stages=stages)[0].priors == (2.5 / 4, 0.25)


def test_a_star_without_labels_teaches_nothing(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    with pytest.raises(ValueError, match="without labels"):
        learn(schema, read_star(schema, origin, "train", labels=False), np.arange(5))
