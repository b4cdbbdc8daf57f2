from __future__ import annotations

from funnel.schema.layout import Lookup, layout
from funnel.schema.learnt import Learnt, Scale
from funnel.schema.reader import load_schema

AGE = Scale(boundaries=(18.0, 30.0, 65.0))
LEARNT = Learnt(
    rows={"item": 9, "city": 12, "age": 6, "city_item": 52},
    scales={"price": Scale(mean=1.0, std=2.0), "age": AGE},
    priors=(0.1, 0.2),
)


def test_tables_of_one_width_stand_under_one_another_in_the_order_of_their_first_features_by_hand(tree) -> None:
    # The tables: item has dim 4; city, age and city_item have the default of 16. price has none.
    narrow, wide = layout(load_schema(tree), LEARNT)
    assert (narrow.dim, narrow.rows, narrow.tables) == (4, 9, {"item": (0, 9)})
    assert (wide.dim, wide.rows) == (16, 70)
    assert wide.tables == {"city": (0, 12), "age": (12, 6), "city_item": (18, 52)}
    assert narrow.lookups == {
        "facts": (Lookup("item_id", "facts/item_id", 0, None, None),),
        "user": (Lookup("history", "user/history", 0, "mean", None),),
    }
    assert wide.lookups == {
        "facts": (Lookup("city_item", "facts/city_item", 18, None, None),),
        "user": (
            Lookup("city", "user/city", 0, None, None),
            Lookup("age", "user/age", 12, None, AGE),
        ),
    }


def test_the_keys_of_a_packed_batch_name_the_width(tree) -> None:
    width = layout(load_schema(tree), LEARNT)[0]
    assert width.unique_key == "lookups/4/unique"
    assert width.entries_key == "lookups/4/entries"
    assert width.weights_key == "lookups/4/weights"


def test_the_order_of_the_features_is_the_order_of_widths_tables_and_lookups(tree) -> None:
    tree["features"].reverse()
    wide, narrow = layout(load_schema(tree), LEARNT)
    assert (wide.dim, narrow.dim) == (16, 4)
    assert wide.tables == {"city_item": (0, 52), "age": (52, 6), "city": (58, 12)}
    assert [lookup.name for lookup in wide.lookups["user"]] == ["age", "city"]


def test_a_bag_says_how_it_is_pooled(tree) -> None:
    tree["features"][1] |= {"weighted": True, "weights": "w", "pooling": "sqrtn"}
    (lookup,) = layout(load_schema(tree), LEARNT)[0].lookups["user"]
    assert lookup.pooling == "sqrtn"


def test_sources_without_lookups_of_a_width_are_there_and_empty(tree) -> None:
    tree["features"] = [tree["features"][0], tree["features"][3]]
    (width,) = layout(load_schema(tree), LEARNT)
    assert list(width.lookups) == ["facts", "user"]
    assert width.lookups["user"] == ()


def test_numbers_alone_have_no_widths(tree) -> None:
    tree["features"], tree["tables"] = [tree["features"][3]], {}
    assert layout(load_schema(tree), LEARNT) == ()
