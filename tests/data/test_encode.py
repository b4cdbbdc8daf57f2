from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from funnel.data import readers
from funnel.data.encode import encode, hashed
from funnel.data.raw_star import Origin, read_star
from funnel.data.statistics import learn
from funnel.data.vocabulary import Vocabulary
from funnel.schema.reader import load_schema


@pytest.mark.parametrize("form", oracle.FORMS)
def test_every_form_of_the_same_rows_gives_the_same_star(tmp_path, form):
    schema, origin = oracle.placed(form, tmp_path, oracle.FACTS, oracle.USERS)
    star = oracle.star_of(schema, origin)
    assert oracle.joined(star) == oracle.expected(oracle.FACTS, oracle.USERS)
    assert star.dimensions["user"].rows == 3  # one is used by no fact
    assert star.labels.dtype == np.uint8
    assert star.facts.lists["tags"].weights.dtype == np.float32
    assert star.facts.ids["item_id"].dtype == star.facts.lists["tags"].values.dtype == np.int32


@pytest.mark.parametrize("form", ["parquet", "csv", "feature_list", "polars"])
def test_rows_read_in_small_pieces_are_the_same(tmp_path, form, monkeypatch):
    monkeypatch.setattr(readers, "ROWS_AT_ONCE", 2)
    schema, origin = oracle.placed(form, tmp_path, oracle.FACTS * 3, oracle.USERS)
    assert oracle.joined(oracle.star_of(schema, origin)) == oracle.expected(oracle.FACTS * 3, oracle.USERS)


texts = st.text("ab1é,\"' ", min_size=1, max_size=2)
weights = st.integers(-8, 8).map(lambda quarter: quarter / 4)
lists = st.lists(st.tuples(texts, weights), max_size=3)
numbers = st.none() | weights


@st.composite
def rows(draw):
    keys = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    users = [{"user_id": key, "city": draw(st.none() | texts), "age": draw(numbers), "history": draw(lists)} for key in keys]
    fact = st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(keys),
            "click": st.just(1),
            "bought": st.integers(0, 1),
            "item_id": st.none() | texts,
            "shop": st.none() | texts,
            "price": numbers,
            "tags": lists,
        }
    )
    facts = draw(st.lists(fact, min_size=1, max_size=8))
    # Scales need one number each.
    facts[0]["price"], next(user for user in users if user["user_id"] == facts[0]["user_id"])["age"] = 1.0, 2.0
    return facts, users


@given(drawn=rows(), form=st.sampled_from(["polars", "pandas", "csv", "feature_list", "parquet"]))
def test_any_rows_are_encoded_as_the_slow_way_does(tmp_path_factory, drawn, form):
    facts, users = drawn
    schema, origin = oracle.placed(form, tmp_path_factory.mktemp("rows"), facts, users)
    half = sorted({0, *range(0, len(facts), 2)})
    assert oracle.joined(oracle.star_of(schema, origin)) == oracle.expected(facts, users)
    assert oracle.joined(oracle.star_of(schema, origin, half)) == oracle.expected(facts, users, half)


@given(st.lists(st.none() | st.text(max_size=5), max_size=10), st.integers(1, 1 << 30))
def test_hashing_is_tensorflows(ids, buckets):
    found = hashed(pl.Series("x", ids, dtype=pl.String), buckets)
    wanted = [0 if one is None else int(tf.strings.to_hash_bucket_fast(one, buckets)) + 2 for one in ids]
    assert found.tolist() == wanted
    assert found.dtype == np.int32


def one_column(values, missing="own"):
    feature = {"name": "x", "kind": "categorical", "min_count": 1, "missing": missing}
    schema, raw = oracle.small([feature], {"x": values})
    return schema, raw, learn(schema, raw, np.arange(raw.facts.rows))[1]


@pytest.mark.parametrize(("missing", "rows"), [("own", [2, 0, 2]), ("oov", [2, 1, 2]), ({"fill": "b"}, [2, 3, 2])])
def test_missing_ids_are_what_is_declared(missing, rows):
    schema, raw, vocabulary = one_column(["a", None, "a"], missing)
    assert encode(schema, raw, vocabulary).facts.ids["x"].tolist() == rows


def test_an_empty_text_is_a_missing_id():
    schema, raw, vocabulary = one_column(["a", ""])
    assert encode(schema, raw, vocabulary).facts.ids["x"].tolist() == [2, 0]


def test_a_filled_number_is_an_id():
    schema, raw, vocabulary = one_column([7, None], {"fill": 7})
    assert encode(schema, raw, vocabulary).facts.ids["x"].tolist() == [2, 2]


def test_unknown_ids_share_a_row():
    schema, raw, _ = one_column(["a", "b", None])
    rows = encode(schema, raw, Vocabulary({"x": pl.Series("x", ["c", "b"])})).facts.ids["x"]
    assert rows.tolist() == [1, 3, 0]


def test_a_table_without_ids_knows_none():
    schema, raw, _ = one_column(["a", None])
    assert encode(schema, raw, Vocabulary({"x": pl.Series("x", [], dtype=pl.String)})).facts.ids["x"].tolist() == [1, 0]


def test_a_column_of_nulls_is_missing_everywhere():
    features = [{"name": "x", "kind": "categorical"}, {"name": "h", "kind": "categorical", "buckets": 3}]
    schema, raw = oracle.small(features, {"x": [None, None], "h": [None, None]})
    star = encode(schema, raw, learn(schema, raw, np.arange(2))[1])
    assert (star.facts.ids["x"].tolist(), star.facts.ids["h"].tolist()) == ([0, 0], [0, 0])


def test_a_cross_of_one_source_stays_there_and_one_of_two_is_the_facts(tmp_path):
    tree = oracle.mapping("parquet")
    tree["features"] += [
        {"name": "job", "column": "user_id", "kind": "categorical", "source": "user"},
        {"name": "city_job", "kind": "cross", "of": ["city", "job"], "buckets": 1000},
        {"name": "job_city", "kind": "cross", "of": ["job", "city"], "buckets": 1000},
    ]
    frames = {"facts": oracle.polars_frame(oracle.FACTS), "user": oracle.polars_frame(oracle.USERS)}
    star = oracle.star_of(load_schema(tree), Origin(frames=frames))
    assert set(star.facts.ids) == {"item_id", "shop", "city_item"}
    used = [("rome", "7"), ("", "8"), ("oslo", "9")]
    assert star.dimensions["user"].ids["city_job"].tolist() == [oracle.farm(f"{a}\x1f{b}", 1000) for a, b in used]
    assert star.dimensions["user"].ids["job_city"].tolist() == [oracle.farm(f"{b}\x1f{a}", 1000) for a, b in used]


def test_groups_are_equal_where_the_feature_is(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    groups = oracle.star_of(schema, origin).groups
    cities = ["rome", "oslo", None, "rome", "rome"]
    for a in range(5):
        for b in range(5):
            assert (groups[a] == groups[b]) == (cities[a] == cities[b])


def test_without_labels_there_are_none(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    vocabulary = learn(schema, raw := read_star(schema, origin, "train"), np.arange(raw.facts.rows))[1]
    star = encode(schema, read_star(schema, origin, "train", labels=False), vocabulary)
    assert star.labels is None
    assert oracle.joined(star) == [
        {key: value for key, value in row.items() if key != "labels"} for row in oracle.expected(oracle.FACTS, oracle.USERS)
    ]


def test_unweighted_bags_have_no_weights():
    schema, raw = oracle.small([{"name": "x", "kind": "bag", "min_count": 1}], {"x": [["b", "a", "b"], [], None, ["a"]]})
    star = encode(schema, raw, learn(schema, raw, np.arange(4))[1])
    assert oracle.joined(star) == [{"facts/x": ids, "labels": [0]} for ids in ([3, 2, 3], [], [], [2])]
    assert star.facts.lists["x"].weights is None
