from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.faults import EXAMPLES, Faults, Sieve
from funnel.errors import DataError


def at(row):
    return f"f:{row} is bad"


def mask(rows, *bad):
    found = np.zeros(rows, bool)
    found[list(bad)] = True
    return found


def test_the_first_bad_row_is_refused():
    sieve = Sieve(5, skip=False)
    sieve.refuse(mask(5), "none", at)
    with pytest.raises(DataError, match=r"^f:2 is bad$"):
        sieve.refuse(mask(5, 4, 2), "odd", at)


def test_bad_rows_are_left_out_and_counted_once():
    sieve = Sieve(6, skip=True)
    sieve.refuse(mask(6, 1, 4), "odd", at)
    sieve.refuse(pl.Series(mask(6, 4, 5)), "even", at)
    assert sieve.kept.tolist() == [0, 2, 3]
    assert (sieve.faults.read, sieve.faults.rows) == (6, 3)
    assert sieve.faults.reasons == {"odd": 2, "even": 2}
    assert sieve.faults.examples == {"odd": ["f:1 is bad", "f:4 is bad"], "even": ["f:4 is bad", "f:5 is bad"]}


def test_where_all_rows_are_good_nothing_is_copied():
    sieve = Sieve(3, skip=True)
    assert sieve.kept is None
    assert sieve.faults.rows == 0


def test_a_few_examples_of_each_reason_are_kept():
    sieve = Sieve(100, skip=True)
    asked = []

    def message(row):
        asked.append(row)
        return at(row)

    sieve.refuse(mask(100, *range(10, 90)), "odd", message)
    assert asked == [10, 11, 12]
    assert len(sieve.faults.examples["odd"]) == EXAMPLES
    total = Faults()
    for _ in range(3):
        total.add(sieve.faults)
    assert total.examples["odd"] == ["f:10 is bad", "f:11 is bad", "f:12 is bad"]
    total.count("odd", 7, ["one more"])
    assert len(total.examples["odd"]) == EXAMPLES


@given(st.lists(st.tuples(st.integers(0, 50), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))), max_size=6))
def test_faults_add_up(parts):
    total = Faults()
    for read, reasons in parts:
        some = Faults(read, sum(reasons.values()))
        for reason, rows in reasons.items():
            some.count(reason, rows, [f"{reason}{rows}"])
        total.add(some)
    assert total.read == sum(read for read, _ in parts)
    assert total.rows == sum(sum(reasons.values()) for _, reasons in parts)
    assert total.reasons == {
        r: sum(reasons.get(r, 0) for _, reasons in parts) for r in "abc" if any(r in reasons for _, reasons in parts)
    }
    for reason, messages in total.examples.items():
        assert messages == [f"{reason}{reasons[reason]}" for _, reasons in parts if reason in reasons][:EXAMPLES]


def test_adding_leaves_the_other_alone():
    first, second = Faults(), Faults(1, 1)
    second.count("odd", 1, ["x"])
    first.add(second)
    first.count("odd", 1, ["y"])
    assert second.as_dict() == {"rows": 1, "of": 1, "reasons": {"odd": 1}, "examples": {"odd": ["x"]}}
    assert first.as_dict() == {"rows": 1, "of": 1, "reasons": {"odd": 2}, "examples": {"odd": ["x", "y"]}}


@pytest.mark.parametrize(
    ("rows", "share", "few"), [(0, 0, True), (1, 0, False), (10, 0.01, True), (11, 0.01, False), (1000, 1, True)]
)
def test_more_than_the_declared_share_is_refused(rows, share, few):
    faults = Faults(1000, rows)
    faults.count("odd", rows, ["f:3 is odd", "f:4 is odd"])
    faults.count("even", 2 * rows, ["f:5 is even"])
    if few:
        faults.require_few("here", share)
        return
    with pytest.raises(DataError) as caught:
        faults.require_few("here", share)
    assert str(caught.value) == (
        f"here: {rows:,} of 1,000 rows cannot be used, expected at most {share:.3%} (data.bad_rows.max_share): "
        f"even ({2 * rows}), odd ({rows}). For example: f:3 is odd; f:5 is even"
    )
