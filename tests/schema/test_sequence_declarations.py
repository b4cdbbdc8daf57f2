"""What a declaration of sequences says, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from funnel.errors import SchemaError
from funnel.schema.features import Bag, Sequence
from funnel.schema.json_schema import json_schema
from funnel.schema.layout import layout
from funnel.schema.learnt import declared_only
from funnel.schema.ordered import ordered
from funnel.schema.pooling import Attention, Gru, Mean, Sum
from funnel.schema.reader import dump_schema, load_schema

ITEM = {"name": "item", "kind": "categorical", "buckets": 5, "dim": 3}
SHOP = {"name": "shop", "kind": "categorical", "buckets": 5, "dim": 2}
NUMBER = {"name": "price", "kind": "numeric", "transform": "none"}
ATTENTION = {"kind": "attention", "query": "item"}


def sequence(name: str = "views", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "sequence", "buckets": 5, "dim": 3} | more


def declared(*features: dict[str, Any], **more: Any) -> Any:
    users = {"name": "user", "key": "user_id", "format": "parquet", "files": "u"}
    return load_schema(
        {
            "name": "views",
            "stages": [{"name": "click", "label": "click"}],
            "data": {"facts": {"format": "parquet", "train": "x"}, "dimensions": [users]},
            "features": [ITEM, SHOP, NUMBER, *features],
        }
        | more
    )


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({}, Mean(kind="mean")),
        ({"pooling": "sum"}, Sum(kind="sum")),
        ({"pooling": {"kind": "mean"}}, Mean(kind="mean")),
        ({"pooling": "gru"}, Gru(kind="gru")),
        ({"pooling": {"kind": "gru", "units": 4}}, Gru(kind="gru", units=4)),
        ({"pooling": ATTENTION}, Attention(kind="attention", query="item", units=(36,), activation="dice", normalize=False)),
    ],
)
def test_a_sequence_is_a_bag_that_is_pooled_in_ways_of_its_own(said: dict[str, Any], pooling: Any) -> None:
    schema = declared(sequence(**said))
    found = schema.feature("views")
    assert isinstance(found, Sequence)
    assert isinstance(found, Bag)
    assert found.pooled == pooling
    assert load_schema(json.loads(json.dumps(schema.model_dump(mode="json")))) == schema


def test_what_is_pooled_together_by_hand() -> None:
    schema = declared(
        sequence(source="user", pooling=ATTENTION, times="ages", positions=4),
        sequence("shops", source="user", beside="views", query="shop", dim=2),
        sequence("paid", source="user", beside="views"),
        sequence("read", pooling="gru", dim=4),
        sequence("also", beside="read", dim=1),
        sequence("plain", pooling="sum"),
    )
    learnt, _ = declared_only(schema)
    assert learnt is not None
    first, second = ordered(schema)
    assert (first.names, first.dims, first.queries) == (("views", "shops", "paid"), (3, 2, 3), ("item", "shop", None))
    assert (first.source, first.owner, first.times, first.positions) == ("user", "facts", True, 4)
    assert first.gives == {"views": 3, "shops": 2, "paid": 3}
    assert (second.names, second.owner, second.gives) == (("read", "also"), "facts", {"read": 5})
    assert {width.dim: [lookup.name for lookup in width.ordered] for width in layout(schema, learnt)} == {
        3: ["views", "paid"], 2: ["shops"], 4: ["read"], 1: ["also"],
    }  # fmt: skip
    plain = [lookup.pooling for width in layout(schema, learnt) for lookup in width.lookups["facts"] if lookup.name == "plain"]
    assert plain == ["sum"]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([sequence(weighted=True)], r"features\[3\].weighted: got `weighted` for a sequence, expected none"),
        ([sequence(times="a", weighted=True, weights="b")], r"features\[3\].weighted: got `weighted` for a sequence"),
        ([sequence(pooling="max")], r"features\[3\].pooling: got `kind: max`, expected one of these"),
        ([sequence(pooling={"kind": "attention"})], r"features\[3\].pooling.query: got nothing"),
        ([sequence(pooling={"kind": "attention", "query": "itm"})], r"pooling.query: 'itm' is not a categorical .*'item'"),
        ([sequence(pooling={"kind": "attention", "query": "price"})], r"pooling.query: 'price' is not a categorical feature"),
        ([sequence(pooling={"kind": "attention", "query": "shop"})], r"query: 'shop' has 2 .*, and 'views' has 3"),
        ([sequence(pooling=ATTENTION | {"units": []})], r"features\[3\].pooling.units"),
        ([sequence(query="item")], r"features\[3\].query: got 'item' without `beside`"),
        ([sequence(positions=0)], r"features\[3\].positions: got 0"),
        ([sequence(), sequence("more", beside="view")], r"features\[4\].beside: 'view' is not a sequence .*'views'"),
        ([sequence(), sequence("more", beside="item")], r"features\[4\].beside: 'item' is not a sequence"),
        ([sequence("more", beside="more")], r"features\[3\].beside: 'more' is beside 'more' itself"),
        ([sequence(), sequence("a", beside="views"), sequence("b", beside="a")], r"\[5\].beside: 'a' is beside 'views' itself"),
        ([sequence(), sequence("more", beside="views", source="user")], r"beside: 'views' describes facts, expected"),
        ([sequence(), sequence("more", beside="views", pooling="sum")], r"\[4\].pooling: got `pooling` beside 'views'"),
        ([sequence(), sequence("more", beside="views", times="t")], r"\[4\].times: got `times` beside 'views'"),
        ([sequence(), sequence("more", beside="views", last=3)], r"\[4\].last: got `last` beside 'views'"),
        ([sequence(), sequence("more", beside="views", query="item")], r"\[4\].query: got 'item', but 'views' pools by mean"),
        ([sequence(pooling=ATTENTION), sequence("more", beside="views", query="shop")], r"\[4\].query: 'shop' has 2 numbers"),
        ([sequence(times="t"), {"name": "views_times", "kind": "categorical"}], r"its times are the input views_times"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(features: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        declared(*features)


def test_what_stands_beside_one_another_is_given_once_together() -> None:
    features = sequence(), sequence("more", beside="views")
    assert declared(*features, serving={"once": ["views", "more", "price"]}).given_once == ("price", "views", "more")
    with pytest.raises(SchemaError, match=r"serving.once: 'more' is beside 'views', expected both or none of them"):
        declared(*features, serving={"once": ["views", "price"]})


def test_entries_of_a_feature_list_carry_their_times() -> None:
    entries = {"format": "feature_list", "train": "x", "columns": ["click", "l", "c"], "list": "l"}
    for times, column, said in [("other", "v", "expected the field itself"), ("c", "c", "is a column beside the list")]:
        with pytest.raises(SchemaError, match=rf"features\[3\].times: .*{said}"):
            declared(sequence(column=column, times=times), data={"facts": entries})
    found = declared(sequence(column="v", times="v"), data={"facts": entries}).feature("views")
    assert (found.numbered, found.numbers, found.numbers_input) == (True, "v", "views_times")


def test_editors_know_sequences() -> None:
    definitions = json.loads(json_schema())["$defs"]
    assert "description" in definitions["Sequence"]["properties"]["times"]
    assert set(definitions["Sequence"]["properties"]) >= {
        "pooling",
        "times",
        "positions",
        "last",
        "beside",
        "query",
        "separator",
    }


def test_a_written_schema_is_read_again() -> None:
    schema = declared(sequence(pooling=ATTENTION, times="ages"), sequence("more", beside="views", query="item"))
    assert "sequence" in dump_schema(schema)
    assert load_schema(schema) == schema


HALVES = {"buckets": 9, "compress": {"remainders": 3}}


def test_a_compressed_table_is_for_sequences_that_are_added_up() -> None:
    (width, *_) = [one for one in _layout(declared(sequence(**HALVES))) if "views" in one.tables]
    assert "views" in width.compressed
    for more in ({"pooling": ATTENTION}, {"pooling": "gru"}, {"positions": 4}, {"times": "age"}):
        with pytest.raises(
            SchemaError, match=r"features\[3\]\.compress: got a compressed table for a sequence whose order counts"
        ):
            declared(sequence(**HALVES, **more))
    with pytest.raises(SchemaError, match=r"features\[3\]\.compress: got a compressed table"):
        declared(sequence(**HALVES), sequence("shops", beside="views"))
    shared = {"name": "views", "kind": "sequence", "table": "items", "pooling": "gru"}
    with pytest.raises(SchemaError, match=r"features\[3\]\.table: got a compressed table"):
        declared(shared, tables={"items": HALVES})


def _layout(schema: Any) -> Any:
    learnt, _ = declared_only(schema)
    assert learnt is not None
    return layout(schema, learnt)
