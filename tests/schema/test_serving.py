"""What a request gives once, and what stands for a missing value when serving."""

from __future__ import annotations

import pytest

from funnel.data.origin import read_part
from funnel.errors import SchemaError
from funnel.schema.reader import load_schema

USERS = ("history", "city", "age")


def once(tree, *names: str) -> tuple[str, ...]:
    return load_schema({**tree, "serving": {"once": list(names)}}).given_once


def test_by_default_it_is_the_dimension_of_the_groups_else_the_first(tree) -> None:
    assert load_schema(tree).given_once == USERS
    tree["data"]["dimensions"].append({"name": "item", "key": "item_id", "format": "csv", "files": "items.csv"})
    tree["features"].append({"name": "brand", "kind": "categorical", "source": "item"})
    assert load_schema(tree).given_once == USERS
    assert load_schema({**tree, "evaluate": {"group_by": "brand"}}).given_once == ("brand",)


def test_a_group_that_is_a_key_stands_for_its_dimension_and_another_for_itself(tree) -> None:
    tree["evaluate"] = {"group_by": "user_id"}
    tree["features"] += [{"name": "user_id", "kind": "categorical"}, {"name": "page", "kind": "categorical"}]
    assert load_schema(tree).given_once == (*USERS, "user_id")
    assert load_schema({**tree, "evaluate": {"group_by": "page"}}).given_once == ("page",)


def test_without_dimensions_and_groups_nothing_is_and_one_can_say_so(tree) -> None:
    flat = {**tree, "data": {"facts": {"format": "csv", "train": "a.csv"}}}
    flat["features"] = [{key: value for key, value in f.items() if key != "source"} for f in tree["features"]]
    assert load_schema(flat).given_once == ()
    assert once(flat, "city", "history") == ("history", "city")
    assert once(tree) == ()


def test_names_are_features_and_dimensions(tree) -> None:
    assert once(tree, "user", "price") == ("history", "city", "price", "age")  # in the schema's order
    assert once(tree, "city") == ("city",)
    for names, said in (
        (["usr"], "schema serving.once[0]: 'usr' is neither a feature (no cross) nor a dimension (have: 'user', 'item_id'"),
        (["user", "city_item"], "schema serving.once[1]: 'city_item' is neither a feature (no cross) nor a dimension"),
        (["user", "item_id", "price"], "schema serving.once: got all features, expected some to be left"),
    ):
        with pytest.raises(SchemaError) as caught:
            once(tree, *names)
        assert said in str(caught.value)
    tree["features"].append({"name": "user", "kind": "categorical"})
    with pytest.raises(SchemaError, match="'user' is a dimension and a feature of another source"):
        once(tree, "user")


@pytest.mark.parametrize("name", ["self", "class", "from"])
def test_a_name_that_no_input_can_have_is_refused(tree, name: str) -> None:
    tree["features"][3]["name"] = name
    with pytest.raises(SchemaError, match=rf"features\[3\]\.name: '{name}' cannot be an input of a SavedModel"):
        load_schema(tree)


def test_where_all_features_are_the_users_none_is_given_once(tree) -> None:
    tree["features"] = [f for f in tree["features"] if f.get("source") == "user"]
    tree["tables"] = {"item": {}}
    assert load_schema(tree).given_once == ()


@pytest.mark.parametrize(("feature", "value"), [(0, "x"), (0, 7), (3, 2), (3, -1.5)])
def test_a_default_of_serving_changes_nothing_of_how_rows_are_read(tree, feature: int, value: object) -> None:
    plain = read_part(load_schema(tree))
    tree["features"][feature]["serving_default"] = value
    schema = load_schema(tree)
    assert schema.features[feature].serving_default == value
    assert read_part(schema) == plain


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        (0, 1.5, "features[0].serving_default: got 1.5, expected an id: text or a whole number"),
        (0, True, "features[0].serving_default: got True, expected an id"),
        (0, "", "features[0].serving_default: got '', expected an id"),
        (3, "many", "features[3].serving_default: got 'many', expected a number"),
        (3, float("inf"), "features[3].serving_default: got inf, expected"),
        (3, float("nan"), "features[3].serving_default: got nan, expected"),
        (3, 1e39, "features[3].serving_default: got 1e+39, expected less than or equal to"),
        (1, "x", "features[1].serving_default: got an unknown key"),
    ],
)
def test_a_default_is_an_id_or_a_finite_number(tree, feature: int, value: object, said: str) -> None:
    tree["features"][feature]["serving_default"] = value
    with pytest.raises(SchemaError) as caught:
        load_schema(tree)
    assert said in str(caught.value)
