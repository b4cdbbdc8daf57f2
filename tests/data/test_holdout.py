from __future__ import annotations

import datetime as dt

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.codes import uniform
from funnel.data.holdout import HoldOut, group_of
from funnel.errors import DataError

X = {"name": "x", "kind": "categorical"}


def held(keys=None, validation=None, **facts):
    """The mask, for facts with these keys of a dimension, in the order in which they were read."""
    dimension = None
    if keys is not None:
        facts |= {"x": ["a"] * len(keys), "user_id": keys}
        dimension = {"user_id": list(dict.fromkeys(keys))}
    _, reading = oracle.small([X], facts, dimension=dimension, validation=validation)
    return reading.held_out(oracle.facts_of(reading))


KEYS = [f"u{i % 300}" for i in range(1000)]


def fraction(share=0.2, **more):
    return {"kind": "fraction", "fraction": share, **more}


def test_groups_stay_whole_and_the_share_is_about_the_declared_one():
    mask = held(KEYS, fraction())
    sides = {key: {bool(mask[row]) for row, other in enumerate(KEYS) if other == key} for key in set(KEYS)}
    assert all(len(side) == 1 for side in sides.values())
    assert 0.12 < mask.mean() < 0.28


def test_the_same_seed_gives_the_same_rows_and_another_others():
    first = held(KEYS, fraction())
    assert (held(KEYS, fraction()) == first).all()
    assert (held(KEYS, fraction(seed=1)) != first).any()
    assert (held(KEYS, fraction(seed=2**31 - 1)) != first).any()


def test_a_group_stays_on_its_side_when_others_come():
    before = dict(zip(KEYS, held(KEYS, fraction()), strict=True))
    more = [f"new{i}" for i in range(50)] + KEYS[::-1]
    after = dict(zip(more, held(more, fraction()), strict=True))
    assert all(after[key] == side for key, side in before.items())


def test_rows_are_split_one_by_one_where_declared_or_without_dimensions():
    by_row = held(KEYS, fraction(by="row"))
    assert (by_row[:300] != by_row[300:600]).any()  # the same keys again
    assert 0.15 < by_row.mean() < 0.25
    assert (held(x=["a"] * 1000, validation=fraction()) == by_row).all()
    assert (held(KEYS, fraction(by="row", seed=1)) != by_row).any()


def test_rows_split_alike_when_more_come_after():
    validation = fraction()
    assert (held(x=["a"] * 500, validation=validation) == held(x=["a"] * 1000, validation=validation)[:500]).all()


@given(rows=st.integers(2, 30), share=st.floats(0.001, 0.999), seed=st.integers(0, 2**31 - 1))
def test_each_side_has_a_row_however_few_there_are(rows, share, seed):
    for mask in (
        held([str(i) for i in range(rows)], fraction(share, seed=seed)),
        held(x=["a"] * rows, validation=fraction(share, seed=seed)),
    ):
        assert 0 < mask.sum() < rows


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match=r"data\.validation: all 3 training rows would be on one side, expected some on each\."):
        held(["u"] * 3, fraction())


@pytest.mark.parametrize(
    ("times", "share", "late"),
    [
        ([5, 1, 3, 2, 4], 0.4, [0, 4]),
        ([5, 1, 3, 2, 4], 0.2, [0]),
        ([1, 2, 2, 2, 0], 0.2, [1, 2, 3]),
        (["10", "9", "8", "100"], 0.25, [3]),
        (["2024-01-02", "2023-12-31", "2024-01-10"], 0.3, [2]),
        ([dt.date(2024, 1, 2), dt.date(2023, 1, 2)], 0.5, [0]),
        ([dt.datetime(2024, 1, 1, 5), dt.datetime(2024, 1, 1, 4)], 0.01, [0]),
        ([0.5, 0.25], 1e-20, [0]),
    ],
)
def test_the_latest_rows_are_held_out_those_of_one_moment_together(times, share, late):
    mask = held(x=["a"] * len(times), ts=times, validation={"kind": "time", "column": "ts", "fraction": share})
    assert np.flatnonzero(mask).tolist() == late


def test_rows_of_one_moment_cannot_be_split():
    with pytest.raises(DataError, match="all 2 training rows would be on one side"):
        held(x=["a", "b"], ts=[1, 1], validation={"kind": "time", "column": "ts"})


@pytest.mark.parametrize("validation", [None, {"kind": "file", "files": "held*"}])
def test_nothing_is_held_out_where_nothing_is_declared_or_files_are(validation):
    assert held(x=["a"], validation=validation).tolist() == [False]


def test_one_row_cannot_be_split():
    with pytest.raises(DataError, match="all 1 training rows would be on one side"):
        held(x=["a"], validation=fraction())


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.floats(0.001, 0.999), st.integers(0, 99))
def test_the_share_with_the_smallest_numbers_is_held_out(keys, share, seed):
    """As a slow reader says; and whatever pieces the facts came in."""
    chance = {key: float(uniform(np.array([key]), seed)[0]) for key in keys}
    if len(chance) == 1:
        with pytest.raises(DataError, match="on one side"):
            held(keys, fraction(share, seed=seed))
        return
    out = {key for key in chance if chance[key] < share} | {min(chance, key=chance.get)}
    out -= {max(chance, key=chance.get)}
    assert held(keys, fraction(share, seed=seed)).tolist() == [key in out for key in keys]


def test_pieces_of_any_size_are_held_out_alike():
    schema, _ = oracle.small([X], {"x": ["a"] * 4}, validation=fraction(0.3, by="row"))
    numbers = np.random.default_rng(0).integers(-(2**60), 2**60, 500)
    masks = []
    for cuts in ([], [1], [100, 100, 300]):
        hold_out = HoldOut(schema.data.validation)
        for part in np.split(numbers, cuts):
            hold_out.see(part, None)
        assert hold_out.decide() is None
        masks.append(hold_out.held(numbers).tolist())
    assert masks[0] == masks[1] == masks[2]


def test_the_group_is_the_first_dimension_unless_named():
    facts, users = {"x": ["a", "b"], "user_id": ["p", "q"]}, {"user_id": ["p", "q"]}
    for validation, group in (
        (fraction(), "user"),
        (fraction(by="user"), "user"),
        (fraction(by="row"), None),
        ({"kind": "time", "column": "x"}, None),
        (None, None),
    ):
        schema, _ = oracle.small([X], facts, dimension=users, validation=validation)
        assert group_of(schema) == group
    assert group_of(oracle.small([X], {"x": ["a", "b"]}, validation=fraction())[0]) is None


def test_a_number_and_its_text_are_the_same_group():
    keys = list(range(50)) * 2
    assert (held(keys, fraction(0.4)) == held([str(key) for key in keys], fraction(0.4))).all()


def test_facts_that_are_left_out_do_not_decide():
    """Of two groups one is left out: what is left cannot be split."""
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 0], "buy": [0, 1], "x": ["a", "b"], "user_id": ["p", "q"]}
    with pytest.raises(DataError, match="all 1 training rows would be on one side"):
        oracle.small(
            [X], facts, dimension={"user_id": ["p", "q"]}, validation=fraction(), stages=stages, inconsistent_labels="drop"
        )


def test_times_are_those_of_the_facts_that_stay():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 0, 1, 1], "buy": [0, 1, 0, 0], "x": list("abcd"), "ts": [4, 9, 8, 1]}
    validation = {"kind": "time", "column": "ts", "fraction": 0.3}
    _, reading = oracle.small([X], facts, validation=validation, stages=stages, inconsistent_labels="drop")
    found = oracle.facts_of(reading)
    assert oracle.ids_of(reading, found["x"], "x") == ["a", "c", "d"]
    assert reading.held_out(found).tolist() == [False, True, False]


def test_without_labels_nothing_is_held_out():
    schema, _ = oracle.small([X], {"x": ["a", "b"]}, validation=fraction())
    frames = {"facts": oracle.pl.DataFrame({"x": ["a"]})}
    reading = oracle.read(schema, oracle.Origin(frames=frames), labels=False)
    assert reading.held_out(oracle.facts_of(reading)).tolist() == [False]


def test_other_splits_hold_nothing_out():
    schema, _ = oracle.small([X], {"x": ["a", "b"]}, validation=fraction())
    frames = {"facts": oracle.pl.DataFrame({"x": ["a"], "click": [1]})}
    reading = oracle.read(schema, oracle.Origin(frames=frames), "test")
    assert reading.held_out(oracle.facts_of(reading)).tolist() == [False]
