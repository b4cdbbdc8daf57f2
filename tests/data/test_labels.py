from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_labels import CHAIN as CLICK_CART_BUY
from slow_labels import ESM2 as ESM2_STAGES
from slow_labels import TOPOLOGIES, Row, columns_of

from funnel.data.labels import ABSENT, UNKNOWN, in_space, is_closed, make_consistent, rates
from funnel.errors import DataError
from funnel.schema.reader import load_schema


def funnel(policy="error", parents=(-1, 0, 1)):
    stages = [
        {"name": f"s{i}", "label": f"l{i}", "given": "impression" if parent < 0 else f"s{parent}"}
        for i, parent in enumerate(parents)
    ]
    data = {"facts": {"format": "parquet", "train": "x"}}
    features = [{"name": "x", "kind": "categorical"}]
    return load_schema({"name": "a", "stages": stages, "data": data, "features": features, "inconsistent_labels": policy})


def at(row):
    return f"f.csv:{row + 10}"


def table(*rows):
    return np.array(rows, np.uint8)


def read(labels):
    return {f"s{stage}": column for stage, column in enumerate(labels.T)}


CHAIN = table([0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1])
COUNTS = {"s1": 2, "s2": 2}


@pytest.mark.parametrize("policy", ["error", "drop", "and", "promote"])
def test_labels_without_contradiction_stay(policy):
    found = make_consistent(funnel(policy), read(CHAIN[:3]), at)
    assert found.labels.tolist() == CHAIN[:3].tolist()
    assert found.kept.tolist() == [0, 1, 2]
    assert found.violations == {"s1": 0, "s2": 0}


def test_error_counts_and_points_at_the_first():
    with pytest.raises(DataError) as caught:
        make_consistent(funnel(), read(CHAIN), at)
    assert str(caught.value) == (
        "f.csv:13: got l1 = 1 with l0 = 0 (without the earlier stage: 2 s1, 2 s2 of 7 rows read with this one), expected s1 "
        "only after s0. Declare `inconsistent_labels: drop`, `and` (take the later label away) or `promote` (add the earlier "
        "one), or mend the labels."
    )


def test_error_points_at_the_first_stage_that_is_wrong():
    with pytest.raises(DataError, match=r"^f\.csv:11: got l2 = 1 with l1 = 0 \(without the earlier stage: 1 s2 of 2 rows"):
        make_consistent(funnel(), read(table([1, 1, 1], [1, 0, 1])), at)


def test_drop_leaves_the_rows_out():
    found = make_consistent(funnel("drop"), read(CHAIN), at)
    assert found.kept.tolist() == [0, 1, 2]
    assert found.labels.tolist() == CHAIN[:3].tolist()
    assert found.violations == COUNTS


def test_drop_may_leave_no_row():
    found = make_consistent(funnel("drop"), read(CHAIN[3:]), at)
    assert (found.kept.tolist(), found.labels.shape, found.violations) == ([], (0, 3), COUNTS)


@pytest.mark.parametrize("policy", ["error", "drop", "and", "promote"])
def test_no_rows_have_no_contradiction(policy):
    found = make_consistent(funnel(policy), read(np.zeros([0, 3], np.uint8)), at)
    assert (found.kept.tolist(), found.labels.shape, found.violations) == ([], (0, 3), {"s1": 0, "s2": 0})


def test_and_takes_later_labels_away():
    found = make_consistent(funnel("and"), read(CHAIN), at)
    assert found.labels[3:].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (found.violations, len(found.kept)) == (COUNTS, 7)


def test_promote_adds_earlier_labels():
    found = make_consistent(funnel("promote"), read(CHAIN), at)
    assert found.labels[3:].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert (found.violations, len(found.kept)) == (COUNTS, 7)


TREE = (-1, 0, 0, 2)  # s1 and s2 both after s0, and s3 after s2
BRANCHES = table([1, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("policy", "labels"),
    [
        ("drop", BRANCHES[:2].tolist()),
        ("and", [[1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]),
        ("promote", [[1, 1, 0, 0], [1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1]]),
    ],
)
def test_branches_are_independent(policy, labels):
    found = make_consistent(funnel(policy, TREE), read(BRANCHES), at)
    assert found.labels.tolist() == labels
    assert found.violations == {"s1": 1, "s2": 0, "s3": 2}


def test_the_callers_labels_are_not_changed():
    before = CHAIN.copy()
    for policy in ("drop", "and", "promote"):
        make_consistent(funnel(policy), read(CHAIN), at)
    assert (before == CHAIN).all()


def oracle(policy, parents, row):
    """One row, one stage after the other; None where it is left out."""
    wrong = [s for s, parent in enumerate(parents) if parent >= 0 and row[s] and not row[parent]]
    if policy == "drop":
        return None if wrong else row
    row = list(row)

    def ancestors(stage):
        while (stage := parents[stage]) >= 0:
            yield stage

    if policy == "and":
        return [int(row[s] and all(row[above] for above in ancestors(s))) for s in range(len(row))]
    reached = {s for s in range(len(row)) if row[s]}
    return [int(s in reached or any(s in ancestors(below) for below in reached)) for s in range(len(row))]


@given(
    data=st.data(),
    parents=st.lists(st.integers(0, 50), min_size=1, max_size=6).map(
        lambda picks: tuple(pick % (at + 1) - 1 for at, pick in enumerate(picks))
    ),
    policy=st.sampled_from(["drop", "and", "promote"]),
)
def test_any_labels_of_any_tree_are_resolved_as_the_slow_way_does(data, parents, policy):
    row = st.lists(st.integers(0, 1), min_size=len(parents), max_size=len(parents))
    rows = [[0] * len(parents), *data.draw(st.lists(row, max_size=8))]
    found = make_consistent(funnel(policy, parents), read(table(*rows)), at)
    wanted = [(at, new) for at, old in enumerate(rows) if (new := oracle(policy, parents, old)) is not None]
    assert found.kept.tolist() == [at for at, _ in wanted]
    assert found.labels.tolist() == [new for _, new in wanted]
    for stage, parent in enumerate(parents):
        if parent >= 0:
            assert (found.labels[:, stage] <= found.labels[:, parent]).all()
            assert found.violations[f"s{stage}"] == sum(old[stage] > old[parent] for old in rows)


def counted(labels, parents):
    reached = labels.sum(axis=0, dtype=np.int64)
    return reached, np.array([reached[parent] if parent >= 0 else len(labels) for parent in parents])


def test_rates_are_given_the_parent_and_drawn_to_a_half():
    labels = table([1, 1, 0, 0], [1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0])
    assert rates(*counted(labels, TREE)) == (3.5 / 5, 1.5 / 4, 1.5 / 4, 1.5 / 2)
    assert rates(*counted(labels[3:], TREE)) == (0.25, 0.5, 0.5, 0.5)


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)).map(sorted), min_size=1, max_size=4))
def test_no_rate_is_none_or_all(pairs):
    found = rates(np.array([low for low, _ in pairs]), np.array([high for _, high in pairs]))
    for rate, (low, high) in zip(found, pairs, strict=True):
        assert 0 < rate <= 1
        assert rate == pytest.approx((low + 0.5) / (high + 1), rel=1e-12)


ESM2 = {
    "name": "a",
    "stages": [
        {"name": "click", "label": "click"},
        {"name": "direct", "label": "cart"},
        {"name": "buy_direct", "label": "buy"},
        {"name": "buy_other", "label": "buy", "unless": "direct"},
        {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
        {"name": "again", "label": "again"},
    ],
    "data": {"facts": {"format": "parquet", "train": "x"}},
    "features": [{"name": "x", "kind": "categorical"}],
}


def esm2(policy, *rows):
    """Of columns click, cart, buy, again."""
    click, cart, buy, again = table(*rows).T
    columns = {"click": click, "direct": cart, "buy_direct": buy, "buy_other": buy, "again": again}
    return make_consistent(load_schema(ESM2 | {"inconsistent_labels": policy}), columns, at)


def test_a_column_that_exclusive_branches_read_counts_for_the_one_that_a_row_can_have_reached():
    found = esm2("error", [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0])
    # click, direct, buy_direct, buy_other, buy, again
    assert found.labels.tolist() == [
        [1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert set(found.violations) == {"direct", "buy_direct", "buy_other", "buy_other unless direct", "again"}
    assert not any(found.violations.values())


@pytest.mark.parametrize(
    ("policy", "labels"),
    [
        ("drop", []),
        ("and", [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]),
        # A buy without a click is a click first; where there was a cart, a buy after it; again, of whom nothing else is known,
        # is after the last branch.
        ("promote", [[1, 0, 0, 1, 1, 0], [1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 1, 1]]),
    ],
)
def test_contradictions_of_a_shared_column_and_of_a_join(policy, labels):
    found = esm2(policy, [0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1])
    assert found.labels.tolist() == labels
    assert found.violations == {"direct": 1, "buy_direct": 0, "buy_other": 1, "buy_other unless direct": 0, "again": 1}


EXCLUSIVE = [{"name": "s0", "label": "l0"}, {"name": "s1", "label": "l1", "given": "impression", "unless": "s0"}]


@pytest.mark.parametrize(("policy", "labels"), [("drop", [[1, 0]]), ("and", [[1, 0], [1, 0]]), ("promote", [[1, 0], [1, 0]])])
def test_of_two_that_exclude_each_other_the_later_is_taken_away(policy, labels):
    schema = load_schema(ESM2 | {"stages": EXCLUSIVE, "inconsistent_labels": policy})
    found = make_consistent(schema, read(table([1, 0], [1, 1])), at)
    assert (found.labels.tolist(), found.violations) == (labels, {"s1 unless s0": 1})


def test_what_is_not_exclusive_is_refused_with_its_count():
    schema = load_schema(ESM2 | {"stages": EXCLUSIVE})
    with pytest.raises(DataError) as caught:
        make_consistent(schema, read(table([1, 0], [1, 1], [1, 1])), at)
    assert str(caught.value) == (
        "f.csv:11: got l1 = 1 with l0 = 1 (together with one that it excludes: 2 s1 unless s0 of 3 rows read with this one), "
        "expected s1 only without s0. Declare `inconsistent_labels: drop`, `and` (take the later label away), or mend the "
        "labels."
    )


@given(st.sampled_from(["drop", "and", "promote"]), st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=1))
def test_whatever_the_columns_say_labels_are_possible(policy, rows):
    found = esm2(policy, *rows)
    for row, kept in zip(found.labels, found.kept, strict=True):
        click, direct, buy_direct, buy_other, buy, again = row
        assert direct <= click
        assert buy_direct <= direct
        assert buy_other <= click
        assert not (buy_other and direct)
        assert buy == (buy_direct | buy_other)
        assert again <= buy
        if policy == "promote":  # nothing is lost
            assert all(now >= before for now, before in zip((click, direct, buy, again), rows[kept], strict=True))
    assert policy == "drop" or len(found.kept) == len(rows)


# What is not known.

X = UNKNOWN


def declared(stages, policy="error"):
    return load_schema(ESM2 | {"stages": stages, "inconsistent_labels": policy})


def resolve(stages, rows, policy="error"):
    """Rows of the columns in their order, with None where there is nothing."""
    columns = dict(zip(columns_of(stages), table(*[[X if one is None else one for one in row] for row in rows]).T, strict=True))
    read_by_stage = {stage["name"]: columns[stage["label"]] for stage in stages if "label" in stage}
    return make_consistent(declared(stages, policy), read_by_stage, at)


def shown(labels):
    return [[None if one == X else one for one in row] for row in labels.tolist()]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        # A stage whose parent did not happen did not happen, though the log left it out.
        ([0, None, None], [0, 0, 0]),
        ([1, 0, None], [1, 0, 0]),
        # After an unknown one, or one that happened, what is not known stays so.
        ([1, None, None], [1, None, None]),
        ([None, None, None], [None, None, None]),
        # What is known stays.
        ([1, None, 1], [1, None, 1]),
        ([1, None, 0], [1, None, 0]),
        ([None, 1, None], [None, 1, None]),
        ([None, 0, None], [None, 0, 0]),
        ([None, None, 1], [None, None, 1]),
    ],
)
def test_what_is_known_of_a_chain(row, labels):
    found = resolve(CLICK_CART_BUY, [row])
    assert shown(found.labels) == [labels]
    assert not any(found.violations.values())


@pytest.mark.parametrize(
    ("policy", "kept", "labels"),
    [
        ("drop", [], []),
        ("and", [0, 1], [[0, 0, 0], [None, 0, 0]]),
        ("promote", [0, 1], [[1, 1, 1], [None, 1, 1]]),
    ],
)
def test_only_what_is_known_contradicts(policy, kept, labels):
    # Whatever the cart was, a purchase without a click is one; without a cart, it is one whatever the click was.
    found = resolve(CLICK_CART_BUY, [[0, None, 1], [None, 0, 1]], policy)
    assert (found.kept.tolist(), shown(found.labels), found.violations) == (kept, labels, {"cart": 0, "buy": 2})


def test_what_was_0_for_want_of_its_parent_is_unknown_where_that_is_added():
    stages = [*CLICK_CART_BUY[:2], {"name": "like", "label": "like", "given": "click"}]
    found = resolve(stages, [[0, 1, None], [0, 1, 0], [0, 0, None]], "promote")
    assert shown(found.labels) == [[1, 1, None], [1, 1, 0], [0, 0, 0]]
    assert shown(resolve(stages, [[0, 1, None]], "and").labels) == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        # click, cart, buy, again -> click, direct, buy_direct, buy_other, buy, again
        ([1, None, 1, None], [1, None, None, None, 1, None]),  # bought, by whichever branch
        ([1, None, 0, None], [1, None, 0, 0, 0, 0]),
        ([1, None, None, None], [1, None, None, None, None, None]),
        ([1, 1, None, None], [1, 1, None, 0, None, None]),
        ([1, 0, None, 1], [1, 0, 0, None, None, 1]),
        ([None, 1, 1, 0], [None, 1, 1, 0, 1, 0]),
        ([None, 0, 1, 0], [None, 0, 0, 1, 1, 0]),  # only the other branch is left
        ([None, None, 1, 0], [None, None, None, None, None, 0]),
        ([None, 0, None, None], [None, 0, 0, None, None, None]),
        ([0, None, None, None], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_what_is_known_of_branches_that_read_one_column(row, labels):
    found = resolve(ESM2_STAGES, [row])
    assert shown(found.labels) == [labels]
    assert not any(found.violations.values())


def test_a_column_that_matures_later_for_one_branch_is_not_known_for_the_join():
    schema = declared(ESM2_STAGES)
    click, cart, again = table([1, X, X]).T
    columns = {"click": click, "direct": cart, "buy_direct": np.array([X], np.uint8), "again": again}
    found = make_consistent(schema, columns | {"buy_other": np.array([0], np.uint8)}, at)
    assert shown(found.labels) == [[1, None, None, 0, None, None]]


def test_spaces_are_open_closed_or_unknown():
    place = declared(ESM2_STAGES).topology[3]  # buy_other: click without direct
    labels = np.array(list(product([0, 1, X], repeat=2)), np.uint8)
    assert in_space(labels, place).tolist() == [one.tolist() == [1, 0] for one in labels]
    assert is_closed(labels, place).tolist() == [bool(click == 0 or direct == 1) for click, direct in labels]


columns = st.sampled_from([0, 1, None])


@given(data=st.data(), name=st.sampled_from(sorted(TOPOLOGIES)), policy=st.sampled_from(["drop", "and", "promote"]))
def test_rows_come_to_what_the_slow_way_says(data, name, policy):
    stages = TOPOLOGIES[name]
    names = columns_of(stages)
    rows = data.draw(st.lists(st.lists(columns, min_size=len(names), max_size=len(names)), min_size=1, max_size=8))
    found = resolve(stages, rows, policy)
    slow = [Row(stages, dict(zip(names, row, strict=True))) for row in rows]
    wrong = [what for row in slow for what in row.wrong()]
    assert found.violations == {what: wrong.count(what) for what in found.violations}
    wanted = [(at, labels) for at, row in enumerate(slow) if (labels := row.resolved(policy)) is not None]
    assert found.kept.tolist() == [at for at, _ in wanted]
    assert shown(found.labels) == [labels for _, labels in wanted]
    for place, stage in zip(declared(stages).topology, found.labels.T, strict=True):
        assert (stage[is_closed(found.labels, place)] == 0).all()


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_every_row_of_every_topology_comes_to_what_the_slow_way_says(name):
    stages = TOPOLOGIES[name]
    names = columns_of(stages)
    rows = [list(row) for row in product([0, 1, None], repeat=len(names))]
    for policy in ("drop", "and", "promote"):
        wanted = [Row(stages, dict(zip(names, row, strict=True))).resolved(policy) for row in rows]
        assert shown(resolve(stages, rows, policy).labels) == [row for row in wanted if row is not None]


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_what_is_said_to_be_known_is_so_whatever_the_rest_was(name):
    """However what is not known is filled in: where that makes no contradiction, what was known has the same value."""
    stages = TOPOLOGIES[name]
    width = len(columns_of(stages))
    whole = {}
    complete = [list(row) for row in product([0, 1], repeat=width)]
    found = resolve(stages, complete, "drop")
    for row, labels in zip(found.kept, found.labels.tolist(), strict=True):
        whole[tuple(complete[row])] = labels
    rows = [list(row) for row in product([0, 1, None], repeat=width)]
    found = resolve(stages, rows, "drop")
    for kept, labels in zip(found.kept, shown(found.labels), strict=True):
        choices = [[0, 1] if one is None else [one] for one in rows[kept]]
        possible = [whole[filled] for filled in product(*choices) if filled in whole]
        for stage, label in enumerate(labels):
            assert label is None or {one[stage] for one in possible} <= {label}, (rows[kept], labels)
    for number in set(range(len(rows))).difference(found.kept.tolist()):
        choices = [[0, 1] if one is None else [one] for one in rows[number]]
        assert not any(filled in whole for filled in product(*choices)), rows[number]


@pytest.mark.parametrize("policy", ["error", "drop", "and", "promote"])
def test_what_a_column_says_of_a_stage_that_a_row_lacks_is_not_looked_at(policy):
    rows = table([1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0])
    absent = np.array([False, True, True, True, False])
    found = make_consistent(funnel(policy), read(rows), at, {"s1": absent, "s2": absent})
    A = ABSENT
    assert found.labels.tolist() == [[1, 1, 1], [0, A, A], [1, A, A], [0, A, A], [1, 1, 0]]
    assert (found.kept.tolist(), found.violations) == ([0, 1, 2, 3, 4], {"s1": 0, "s2": 0})
    assert found.elsewhere == {"s1": 1, "s2": 2}


def test_rows_with_a_contradiction_elsewhere_are_left_out_with_what_they_lack():
    rows = table([0, 1, 0], [1, 1, 1])
    found = make_consistent(funnel("drop"), read(rows), at, {"s2": np.array([False, True])})
    assert (found.labels.tolist(), found.kept.tolist()) == ([[1, 1, ABSENT]], [1])
