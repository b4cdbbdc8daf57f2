from __future__ import annotations

import json

import pytest

from funnel.errors import SchemaError
from funnel.schema.data import Fraction, Held, Time
from funnel.schema.features import Fill
from funnel.schema.json_schema import json_schema
from funnel.schema.reader import load_schema
from funnel.schema.transforms import Bucketize, Identity, Log1p, Standardize


@pytest.fixture
def with_feature(tree):
    """The declaration with one more feature."""

    def add(**feature):
        tree["features"].append({"name": "x", **feature})
        return load_schema(tree)

    return add


@pytest.mark.parametrize(
    ("short", "transform"),
    [
        ("standardize", Standardize(kind="standardize")),
        ("log1p", Log1p(kind="log1p")),
        ("none", Identity(kind="none")),
        ("bucketize", Bucketize(kind="bucketize", buckets=32)),
        ({"kind": "log1p", "mean": 1, "std": 2}, Log1p(kind="log1p", mean=1.0, std=2.0)),
        ({"kind": "bucketize", "boundaries": [1, 2.5]}, Bucketize(kind="bucketize", boundaries=(1.0, 2.5))),
    ],
)
def test_a_kind_alone_stands_for_its_defaults(with_feature, short, transform):
    assert with_feature(kind="numeric", transform=short).feature("x").transform == transform


@pytest.mark.parametrize(
    ("path", "short"),
    [
        (("model", "body"), "shared_bottom"),
        (("objective",), "esmm"),
        (("train", "optimizer", "dense"), "sgd"),
        (("train", "optimizer", "embedding"), "adagrad"),
    ],
)
def test_short_and_long_forms_are_the_same(tree, path, short):
    found = []
    for form in (short, {"kind": short}):
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = form
        found.append(load_schema(tree))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("declared", "validation"),
    [
        ("fraction", Fraction(kind="fraction", fraction=0.1)),
        ({"kind": "fraction", "fraction": 0.2, "by": "row"}, Fraction(kind="fraction", fraction=0.2, by="row")),
        ({"kind": "time", "column": "ts"}, Time(kind="time", column="ts", fraction=0.1)),
        ({"kind": "file", "files": ["a", "b"]}, Held(kind="file", files=("a", "b"))),
        (None, None),
    ],
)
def test_validation_is_a_share_a_time_files_or_nothing(tree, declared, validation):
    tree["data"]["validation"] = declared
    assert load_schema(tree).data.validation == validation


def test_a_column_is_called_as_its_feature_unless_named(with_feature):
    schema = with_feature(kind="categorical", column=101)
    assert schema.feature("x").column_name == "101"
    assert schema.feature("price").column_name == "price"


def test_a_table_is_called_as_its_feature_unless_shared(with_feature):
    schema = with_feature(kind="categorical")
    assert schema.feature("x").table_name == "x"
    assert schema.feature("history").table_name == schema.feature("item_id").table_name == "item"


def test_sources_are_the_facts_then_the_dimensions(tree):
    schema = load_schema(tree)
    assert schema.sources == ("facts", "user")
    assert schema.files_of("facts") is schema.data.facts
    assert schema.files_of("user") is schema.data.dimensions[0]
    assert schema.dimension("user").key_in_facts == "user_id"


def test_a_cross_describes_its_parts_source_or_else_the_facts(tree):
    tree["features"] += [
        {"name": "sex", "kind": "categorical", "source": "user"},
        {"name": "sex_city", "kind": "cross", "of": ["sex", "city"], "buckets": 5},
    ]
    schema = load_schema(tree)
    assert schema.source_of(schema.feature("sex_city")) == "user"
    assert schema.source_of(schema.feature("city_item")) == "facts"
    assert schema.source_of(schema.feature("item_id")) == "facts"


def test_a_fill_is_kept_as_it_is(with_feature):
    assert with_feature(kind="categorical", missing={"fill": "7"}).feature("x").missing == Fill(fill="7")


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"kind": "categorical", "missing": "drop"}, "missing"),
        ({"kind": "bag"}, r"features\[6\].separator: got none for a bag in CSV"),
        ({"kind": "bag", "separator": ""}, r"features\[6\].separator: got ''"),
        ({"kind": "bag", "separator": "|", "weighted": True}, r"features\[6\].weights: got no column"),
        ({"kind": "bag", "separator": "|", "weights": "w"}, r"features\[6\].weights: got `weights` for a bag that is not"),
        ({"kind": "categorical", "buckets": 3, "max_rows": 3}, r"features\[6\].buckets: got `buckets` beside `max_rows`"),
        ({"kind": "categorical", "buckets": 0}, r"features\[6\].buckets: got 0"),
        ({"kind": "categorical", "table": "item", "max_rows": 3}, r"features\[6\].max_rows: .*tables\.item"),
        ({"kind": "categorical", "column": "click"}, "is the label of stage 'click'"),
        ({"kind": "numeric", "transform": {"kind": "standardize", "std": 0}}, "std: got 0"),
        ({"kind": "numeric", "transform": {"kind": "bucketize", "buckets": 1}}, "buckets: got 1"),
        ({"kind": "numeric", "transform": {"kind": "bucketize", "boundaries": []}}, "boundaries"),
        ({"kind": "numeric", "transform": {"kind": "bucketize", "boundaries": [1, 1]}}, "Sort them"),
        ({"kind": "numeric", "transform": {"kind": "piecewise_linear", "boundaries": [1]}}, "boundaries"),
        ({"kind": "numeric", "transform": {"kind": "piecewise_linear", "boundaries": [2, 1]}}, "Sort them"),
        ({"kind": "numeric", "transform": {"kind": "piecewise_linear", "boundaries": [1, float("inf")]}}, "boundaries"),
        ({"kind": "numeric", "transform": {"kind": "piecewise_linear", "bins": 0}}, "bins: got 0"),
        ({"kind": "numeric", "transform": {"kind": "periodic", "sigma": 0}}, "sigma: got 0"),
        ({"kind": "cross", "of": ["x", "city"], "buckets": 3}, "'x' is not a categorical feature"),
        ({"kind": "cross", "of": ["item_id", "city"]}, r"features\[6\].buckets: got nothing"),
    ],
)
def test_a_feature_that_cannot_be_is_refused(with_feature, feature, said):
    with pytest.raises(SchemaError, match=said):
        with_feature(**feature)


@pytest.mark.parametrize(
    "feature",
    [
        {"kind": "cross", "of": ["item_id", "city"], "buckets": 3},
        {"kind": "numeric", "transform": "bucketize"},
        {"kind": "categorical"},
    ],
)
def test_no_feature_takes_the_name_of_a_table(tree, feature):
    tree["features"].append({"name": "item", **feature})
    with pytest.raises(SchemaError, match=r"features\[6\].name: 'item' is also a table"):
        load_schema(tree)


def test_a_label_of_the_facts_may_be_a_column_of_a_dimension(with_feature):
    assert with_feature(kind="numeric", column="click", source="user").feature("x").column_name == "click"


def test_the_input_of_a_bags_weights_is_no_other_feature(tree):
    tree["features"] += [
        {"name": "tags", "kind": "bag", "separator": "|", "weighted": True, "weights": "w"},
        {"name": "tags_weights", "kind": "numeric"},
    ]
    with pytest.raises(SchemaError, match=r"features\[6\].name: its weights are the input tags_weights"):
        load_schema(tree)


def test_the_json_schema_knows_every_kind_and_its_short_form():
    schema = json.loads(json_schema())
    assert schema["required"] == ["name", "stages", "data", "features"]
    assert {"Categorical", "Bag", "Numeric", "Cross", "Parquet", "Csv", "FeatureList"} <= set(schema["$defs"])
    text = json.dumps(schema["$defs"]["Numeric"])
    assert '"enum": ["bucketize", "log1p", "none", "periodic", "piecewise_linear", "standardize"]' in text
