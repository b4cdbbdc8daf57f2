from __future__ import annotations

import pytest

from funnel.schema.learnt import (
    DEFAULT_PRIOR,
    FIRST,
    Learnt,
    Scale,
    buckets_of,
    declared_only,
    declared_scale,
    dim_of,
    number_dim,
    table_of,
    table_rows,
    vocabulary_tables,
)
from funnel.schema.reader import load_schema


@pytest.fixture
def schema(tree):
    return load_schema(tree)


@pytest.mark.parametrize(
    ("feature", "table"),
    [
        ("item_id", "item"),
        ("history", "item"),
        ("city", "city"),
        ("price", None),
        ("age", "age"),
        ("city_item", "city_item"),
    ],
)
def test_the_table_of_each_kind_of_feature(schema, feature, table):
    assert table_of(schema.feature(feature)) == table


def test_a_width_is_the_tables_or_the_features_or_the_models(tree):
    tree["model"] = {"embedding_dim": 6}
    tree["features"][4]["transform"]["dim"] = 3
    tree["features"][5]["dim"] = 5
    schema = load_schema(tree)
    assert [dim_of(schema, table) for table in ("item", "city", "age", "city_item")] == [4, 6, 3, 5]


def test_buckets_are_the_tables_or_the_features(tree):
    tree["tables"]["item"] = {"buckets": 7}
    schema = load_schema(tree)
    assert [buckets_of(schema, table) for table in ("item", "city", "age", "city_item")] == [7, 10, None, 50]


def test_only_tables_of_ids_without_buckets_have_a_vocabulary(schema, tree):
    assert vocabulary_tables(schema) == ("item",)
    tree["tables"]["item"] = {"buckets": 7}
    assert vocabulary_tables(load_schema(tree)) == ()


def test_what_must_be_learnt_is_named(schema):
    learnt, unknown = declared_only(schema)
    assert learnt is None
    assert unknown == (
        "table 'item' (no `buckets`)",
        "feature 'price' (`log1p` without declared values)",
        "feature 'age' (`bucketize` without declared values)",
    )


def test_a_declaration_that_says_all_needs_no_data(tree):
    tree["tables"]["item"] = {"buckets": 7}
    tree["features"][3]["transform"] = {"kind": "log1p", "mean": 1, "std": 2}
    tree["features"][4]["transform"] = {"kind": "bucketize", "boundaries": [10, 20, 30]}
    tree["stages"][1]["prior"] = 0.25
    learnt, unknown = declared_only(load_schema(tree))
    assert unknown == ()
    assert learnt == Learnt(
        rows={"item": 2 + 7, "city": 2 + 10, "age": 2 + 4, "city_item": 2 + 50},
        scales={"price": Scale(mean=1, std=2), "age": Scale(boundaries=(10, 20, 30))},
        priors=(DEFAULT_PRIOR, 0.25),
    )


@pytest.mark.parametrize(
    ("transform", "scale"),
    [
        ("none", Scale()),
        ("standardize", None),
        ({"kind": "standardize", "mean": 3}, None),
        ({"kind": "standardize", "std": 3}, None),
        ({"kind": "standardize", "mean": 0, "std": 3}, Scale(mean=0, std=3)),
        ("bucketize", None),
        ({"kind": "bucketize", "boundaries": [0]}, Scale(boundaries=(0.0,))),
        ("piecewise_linear", None),
        ({"kind": "piecewise_linear", "boundaries": [0, 2]}, Scale(boundaries=(0.0, 2.0))),
        ("periodic", None),
        ({"kind": "periodic", "mean": 0, "std": 3}, Scale(mean=0, std=3)),
    ],
)
def test_a_scale_is_declared_whole_or_not(tree, transform, scale):
    tree["features"][3]["transform"] = transform
    assert declared_scale(load_schema(tree).feature("price")) == scale


def test_a_table_has_a_row_for_each_term_bucket_or_interval(schema):
    assert table_rows(schema, "item", terms=9) == FIRST + 9
    assert table_rows(schema, "city") == FIRST + 10
    assert table_rows(schema, "age", Scale(boundaries=(1.0, 2.0))) == FIRST + 3
    assert table_rows(schema, "age", Scale()) == FIRST + 1  # all equal: one bucket


@pytest.mark.parametrize(
    ("transform", "dim"),
    [
        ("standardize", None),
        ("bucketize", None),  # it has a table
        ("piecewise_linear", None),
        ({"kind": "piecewise_linear", "dim": 3}, 3),
        ("periodic", 16),
        ({"kind": "periodic", "dim": 5}, 5),
    ],
)
def test_a_number_is_an_embedding_where_it_has_a_width(tree, transform, dim):
    tree["features"][3]["transform"] = transform
    schema = load_schema(tree)
    assert number_dim(schema, schema.feature("price")) == dim
    assert (table_of(schema.feature("price")) is None) is (transform != "bucketize")
