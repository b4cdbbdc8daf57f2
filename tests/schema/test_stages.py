from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from funnel.errors import SchemaError
from funnel.schema.reader import load_schema
from funnel.schema.stages import Stage
from funnel.schema.topology import Place, topology_of


def stages(*given_names: str | None) -> tuple[Stage, ...]:
    return tuple(Stage(name=f"s{i}", label=f"l{i}", given=name) for i, name in enumerate(given_names))


@pytest.mark.parametrize("length", [1, 2, 4, 7])
def test_stages_without_given_are_a_chain(tree, length):
    tree["stages"] = [{"name": f"s{i}", "label": f"l{i}"} for i in range(length)]
    schema = load_schema(tree)
    assert schema.topology == tuple(Place(parent) for parent in range(-1, length - 1))
    assert schema.conditional_names == ("s0", *(f"s{i}_given_s{i - 1}" for i in range(1, length)))
    assert schema.stage_names == tuple(f"s{i}" for i in range(length))


@pytest.mark.parametrize(
    ("given_names", "parents", "conditionals"),
    [
        ((None, "s0", "s0"), (-1, 0, 0), ("s0", "s1_given_s0", "s2_given_s0")),
        ((None, "x", "x"), (-1, -1, -1), ("s0", "s1", "s2")),
        ((None, None, "s0", None), (-1, 0, 0, 2), ("s0", "s1_given_s0", "s2_given_s0", "s3_given_s2")),
        (("x", "s0", "x", "s2", "s1"), (-1, 0, -1, 2, 1), ("s0", "s1_given_s0", "s2", "s3_given_s2", "s4_given_s1")),
    ],
)
def test_given_makes_a_tree(tree, given_names, parents, conditionals):
    tree["space"] = "x"
    tree["stages"] = [{"name": f"s{i}", "label": f"l{i}", "given": name} for i, name in enumerate(given_names)]
    schema = load_schema(tree)
    assert schema.topology == tuple(Place(parent) for parent in parents)
    assert schema.conditional_names == conditionals


@given(st.lists(st.integers(0, 100), min_size=1, max_size=7))
def test_any_choice_of_earlier_parents_is_a_tree(picks):
    parents = [pick % (position + 1) - 1 for position, pick in enumerate(picks)]
    found = topology_of("x", stages(*("x" if parent < 0 else f"s{parent}" for parent in parents)))
    assert [place.parent for place in found] == parents


@pytest.mark.parametrize(
    ("given_names", "place", "said"),
    [
        (("s0",), 0, "is the stage itself"),
        ((None, "s1"), 1, "is the stage itself"),
        (("s1", "s0"), 0, "comes later"),
        ((None, "s2", "s1"), 1, "comes later"),
        ((None, "s9"), 1, "is not a stage above it"),
        ((None, "impression"), 1, "is not a stage above it"),
    ],
)
def test_other_parents_are_refused(given_names, place, said):
    with pytest.raises(PydanticCustomError, match=said) as caught:
        topology_of("x", stages(*given_names))
    assert caught.value.context is not None
    assert caught.value.context["path"] == ("stages", place, "given")


def test_the_first_stage_may_name_the_space(tree):
    tree["stages"][0]["given"] = "impression"
    assert load_schema(tree).topology == (Place(-1), Place(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "click"}, r"stages\[1\].name: the stage name 'click' was already used by stages\[0\]"),
        ({"label": "click"}, r"stages\[1\].label: the label 'click' was already used by stages\[0\]"),
        ({"name": "impression"}, r"stages\[1\].name: 'impression' is the name of the space"),
        ({"prior": 0}, r"stages\[1\].prior: got 0, expected greater than 0"),
    ],
)
def test_names_labels_and_priors_are_checked(tree, change, said):
    tree["stages"][1] |= change
    with pytest.raises(SchemaError, match=said):
        load_schema(tree)


def test_a_stage_cannot_take_the_name_of_a_conditional(tree):
    tree["stages"].append({"name": "buy_given_click", "label": "x", "given": "impression"})
    with pytest.raises(SchemaError, match=r"stages\[2\].name: 'buy_given_click' is what a conditional is called"):
        load_schema(tree)


def test_a_funnel_needs_a_stage(tree):
    tree["stages"] = []
    with pytest.raises(SchemaError, match="stages: got a list of 0, expected at least 1"):
        load_schema(tree)


CLICK, CART = {"name": "click", "label": "click"}, {"name": "cart", "label": "cart"}


def test_unless_has_the_parent_of_what_it_excludes_and_all_that_that_excludes(tree):
    tree["stages"] = [
        CLICK, CART,
        {"name": "wish", "label": "wish", "unless": "cart"},
        {"name": "share", "label": "share", "unless": "wish"},
        {"name": "leave", "label": "leave", "given": "impression", "unless": "click"},
    ]  # fmt: skip
    schema = load_schema(tree)
    assert [(place.parent, place.excluded) for place in schema.topology] == [
        (-1, ()),
        (0, ()),
        (0, (1,)),
        (0, (1, 2)),
        (-1, (0,)),
    ]
    assert schema.conditional_names == (
        "click", "cart_given_click", "wish_given_click_not_cart", "share_given_click_not_cart_not_wish",
        "leave_given_not_click",
    )  # fmt: skip
    assert schema.conditional_spaces == (
        "impression", "click", "click without cart", "click without cart without wish", "impression without click",
    )  # fmt: skip


def test_a_join_is_given_the_nearest_stage_above_all_its_branches(tree):
    tree["stages"] = [
        CLICK, CART,
        {"name": "buy_cart", "label": "buy"},
        {"name": "buy_other", "label": "buy", "unless": "cart"},
        {"name": "buy", "any_of": ["buy_cart", "buy_other"]},
        {"name": "again", "label": "again"},
    ]  # fmt: skip
    schema = load_schema(tree)
    join, after = schema.topology[4:]
    assert (join.parent, join.branches) == (0, (2, 3))
    assert join.inside == (((1, True), (2, True)), ((1, False), (3, True)))
    assert join.outside == (((1, True), (2, False)), ((1, False), (3, False)))
    assert after == Place(4)
    assert schema.conditional_names[4:] == ("buy_given_click", "again_given_buy")


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            [CLICK, CART, {"name": "a", "label": "a", "given": "click", "unless": "click"}],
            r"\[2\]\.unless: 'click' is not given 'click'",
        ),
        (
            [CLICK, {"name": "a", "label": "a", "unless": "clik"}],
            r"\[1\]\.unless: 'clik' is not a stage above .*Did you mean 'click'",
        ),
        ([CLICK, {"name": "a", "label": "a", "unless": "a"}], r"\[1\]\.unless: 'a' comes later or is the stage itself"),
        ([CLICK, CART, {"name": "b", "any_of": ["click", "cart"]}], r"\[2\]\.any_of: 'click' and 'cart' may both happen"),
        ([CLICK, {"name": "b", "any_of": ["click", "click"]}], r"\[1\]\.any_of: 'click' and 'click' may both happen"),
        (
            [CLICK, CART, {"name": "wish", "label": "w", "given": "click"}, {"name": "b", "any_of": ["cart", "wish"]}],
            r"\[3\]\.any_of: 'cart' and 'wish' may both happen, .* Declare `unless`",
        ),
        ([CLICK, {"name": "b", "any_of": ["click", "buy"]}], r"\[1\]\.any_of\[1\]: 'buy' is not a stage above it"),
        ([CLICK, {"name": "b", "any_of": ["click"]}], r"\[1\]\.any_of: "),
        ([CLICK, CART, {"name": "b", "any_of": ["click", "cart"], "label": "b"}], r"\[2\]\.label: got one beside `any_of`"),
        ([CLICK, {"name": "b"}], r"\[1\]\.label: got nothing, expected the column"),
        ([CLICK, {"name": "b", "label": "click"}], r"\[1\]\.label: the label 'click' was already used by stages\[0\]"),
    ],
)  # fmt: skip
def test_branches_that_make_no_sense_are_refused(tree, stages, said):
    tree["stages"] = stages
    with pytest.raises(SchemaError, match=said):
        load_schema(tree)


def maturing(tree, **parts):
    tree["stages"][1]["matures_after"] = {"period": "7d", "event": "t", "snapshot": "s", **parts}
    return load_schema(tree).stages[1].matures_after


@pytest.mark.parametrize("period", ["90s", "1.5h", "7d", 7, 0.5])
def test_a_period_is_a_time_or_a_number(tree, period):
    found = maturing(tree, period=period)
    assert (found.period, found.timed) == (period, isinstance(period, str))
    assert load_schema(dump_schema_of(tree)).stages[1].matures_after == found


def dump_schema_of(tree):
    return load_schema(tree).model_dump(mode="json")


@pytest.mark.parametrize("period", ["7w", "d", "7 d", "-7d", "0d", "", 0, -1, True, None, [7], float("inf"), float("nan")])
def test_another_period_is_refused_in_one_line(tree, period):
    with pytest.raises(SchemaError) as caught:
        maturing(tree, period=period)
    (line,) = str(caught.value).splitlines()
    shown = "nothing" if period is None else repr(period)
    assert line == (
        f"schema stages[1].matures_after.period: got {shown}, expected a time such as `90s`, `30m`, `12h` or `7d`, or a number "
        "above 0. Write one."
    )


def test_labels_are_read_at_one_time_or_at_that_of_a_column(tree):
    with pytest.raises(SchemaError, match=r"stages\[1\]\.matures_after: got neither of `snapshot` and `snapshot_at`"):
        maturing(tree, snapshot=None)
    with pytest.raises(SchemaError, match=r"got both of `snapshot` and `snapshot_at`"):
        maturing(tree, snapshot_at="2024-01-01")
    assert maturing(tree, snapshot=None, snapshot_at="2024-01-01T10:00:00Z").snapshot_at == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert load_schema(dump_schema_of(tree)).stages[1].matures_after.snapshot_at == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert maturing(tree, snapshot=None, snapshot_at=1704067200, period=5).snapshot_at == 1704067200
    with pytest.raises(
        SchemaError, match=r"matures_after\.snapshot_at: got a number, expected a time.*, since `period` is '7d'"
    ):
        maturing(tree, snapshot=None, snapshot_at=1704067200)
    with pytest.raises(SchemaError, match=r"matures_after\.snapshot_at: got a time, expected a number, since `period` is 5\.0"):
        maturing(tree, snapshot=None, snapshot_at="2024-01-01", period=5)
