from __future__ import annotations

import datetime as dt

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.holdout import hold_out
from funnel.errors import DataError

X = {"name": "x", "kind": "categorical"}


def held(keys=None, validation=None, seed=0, **facts):
    """The mask, for facts with these keys of a dimension."""
    dimension = None
    if keys is not None:
        facts |= {"x": ["a"] * len(keys), "user_id": keys}
        dimension = {"user_id": list(dict.fromkeys(keys))}
    schema, raw = oracle.small([X], facts, dimension=dimension, validation=validation, train={"seed": seed})
    return hold_out(schema, raw)


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
    assert (held(KEYS, fraction(), seed=1) != first).any()
    assert (held(KEYS, fraction(), seed=2**31 - 1) != first).any()


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
    assert (held(KEYS, fraction(by="row"), seed=1) != by_row).any()


def test_rows_split_alike_when_more_come_after():
    validation = fraction()
    assert (held(x=["a"] * 500, validation=validation) == held(x=["a"] * 1000, validation=validation)[:500]).all()


@given(rows=st.integers(2, 30), share=st.floats(0.001, 0.999), seed=st.integers(0, 2**31 - 1))
def test_each_side_has_a_row_however_few_there_are(rows, share, seed):
    for mask in (
        held([str(i) for i in range(rows)], fraction(share), seed),
        held(x=["a"] * rows, validation=fraction(share), seed=seed),
    ):
        assert 0 < mask.sum() < rows


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match=r"data\.validation: all 3 training rows would be"):
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
    with pytest.raises(DataError, match="all 2 training rows would be held out"):
        held(x=["a", "b"], ts=[1, 1], validation={"kind": "time", "column": "ts"})


@pytest.mark.parametrize("validation", [None, {"kind": "file", "files": "held*"}])
def test_nothing_is_held_out_where_nothing_is_declared_or_files_are(validation):
    assert held(x=["a"], validation=validation).tolist() == [False]
