from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from funnel.evaluation import sorting
from funnel.evaluation.sorting import (
    ascending,
    blocks,
    changes,
    ordinals,
    parts,
    scores_of,
    sort,
    sums,
    sums_by_class,
    with_places,
)

SINGLE = npst.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False))
SIZES = st.sampled_from([1, 2, 3, 7, 1 << 16])


@given(SINGLE)
def test_single_numbers_are_sorted_as_numpy_does(scores):
    np.testing.assert_array_equal(ascending(scores), np.argsort(scores, kind="stable"))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_extremes_have_their_places(kind):
    tiny, most = np.finfo(kind).smallest_subnormal, np.finfo(kind).max
    scores = np.array([np.inf, 0.0, -0.0, tiny, -tiny, most, -most, -np.inf, 1, -1], kind)
    np.testing.assert_array_equal(ascending(scores), np.argsort(scores, kind="stable"))


@given(SINGLE)
def test_ordinals_are_in_the_order_of_the_scores_and_give_them_again(scores):
    found = ordinals(scores)
    np.testing.assert_array_equal(scores_of(found), scores)
    for one, other in pairwise(scores):
        first, second = ordinals(np.array([one, other]))
        assert (first < second, first == second) == (one < other, one == other)


@given(npst.arrays(np.int32, st.integers(0, 50), elements=st.integers(0, 2**31 - 1)))
def test_groups_are_sorted_as_numpy_does(groups):
    found = with_places(groups)
    np.testing.assert_array_equal(found & np.uint64(2**32 - 1), np.argsort(groups, kind="stable"))
    np.testing.assert_array_equal(found >> np.uint64(32), np.sort(groups))


@given(npst.arrays(np.uint64, st.integers(0, 40), elements=st.sampled_from([0, 1, 2**63, 2**64 - 1])))
def test_halves_make_a_whole(keys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "LARGE", 0)
        found = keys.copy()
        sort(found)
    np.testing.assert_array_equal(found, np.sort(keys))


def test_many_are_sorted_on_two_cores():
    keys = np.random.default_rng(0).integers(0, 2**64, sorting.LARGE + 1, np.uint64)
    expected = np.sort(keys)
    sort(keys)
    np.testing.assert_array_equal(keys, expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.booleans()), max_size=30))
def test_sums_are_those_from_each_start_to_the_next(rows):
    new = np.array([begins or not row for row, (begins, _, _) in enumerate(rows)], bool)
    values, truths = np.array([value / 4 for _, value, _ in rows]), np.array([truth for _, _, truth in rows], bool)
    starts = np.flatnonzero(new)
    ends = [*starts[1:], len(rows)] if len(starts) else []

    def slow(of):
        return [float(sum(of[begin:end])) for begin, end in zip(starts, ends, strict=True)]

    assert sums(values, starts).tolist() == slow(values)
    assert sums(truths, starts).tolist() == slow(truths)
    for found, expected in zip(sums_by_class(truths, None, starts), (truths, ~truths), strict=True):
        assert found.tolist() == slow(expected)
    for found, expected in zip(sums_by_class(values / 4, values, starts), (values / 4, values - values / 4), strict=True):
        assert found.tolist() == slow(expected)


@given(st.integers(0, 20), SIZES)
def test_blocks_hold_every_row_once(rows, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        found = list(blocks(rows))
    assert [row for block in found for row in range(rows)[block]] == list(range(rows))
    assert all(0 < block.stop - block.start <= size for block in found)


@given(st.lists(st.integers(0, 6), max_size=30), SIZES, st.sampled_from([0, 1, 33]), st.sampled_from([0, 2**31 - 7]))
def test_parts_hold_every_row_once_and_equal_ones_together(numbers, size, ignored, least):
    """The lower bits differ from row to row, and the greatest number has all upper bits that there are."""
    above = np.sort(np.array(numbers, np.uint64)) + np.uint64(least)
    ordered = above << np.uint64(ignored)
    if ignored:
        ordered |= np.arange(len(numbers), dtype=np.uint64) % np.uint64(2)
        ordered.sort()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        found = parts(ordered, ignored=ignored)
    assert [row for part in found for row in range(len(ordered))[part]] == list(range(len(ordered)))
    for part in found:
        assert part.stop - part.start <= size or len(set(above[part])) == 1
        assert part.stop == len(above) or above[part.stop - 1] != above[part.stop]


def test_something_new_begins_at_the_first_and_at_every_change():
    assert changes(np.array([3, 3, 1, 3])).tolist() == [True, False, True, True]
    assert changes(np.array([0.0, -0.0])).tolist() == [True, False]
    assert changes(np.zeros(0)).tolist() == []


def test_more_rows_than_places_are_refused():
    with pytest.raises(ValueError, match=r"got 4,294,967,297 rows, expected fewer than 2\^32"):
        with_places(np.broadcast_to(np.uint32(0), 2**32 + 1))
