from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from funnel.evaluation.ranked import Ranked, ascending, by_group

SINGLE = npst.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False))


@given(SINGLE)
def test_single_numbers_are_sorted_as_numpy_does(scores):
    np.testing.assert_array_equal(ascending(scores), np.argsort(scores, kind="stable"))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_extremes_have_their_places(kind):
    tiny, most = np.finfo(kind).smallest_subnormal, np.finfo(kind).max
    scores = np.array([np.inf, 0.0, -0.0, tiny, -tiny, most, -most, -np.inf, 1, -1], kind)
    np.testing.assert_array_equal(ascending(scores), np.argsort(scores, kind="stable"))
    ranked = Ranked.of(np.ones(len(scores), bool), scores)
    assert len(ranked.starts) == len(scores) - 1  # 0 and -0 are one


@given(npst.arrays(np.int32, st.integers(0, 50), elements=st.integers(0, 2**31 - 1)))
def test_groups_are_sorted_as_numpy_does(groups):
    np.testing.assert_array_equal(by_group(groups), np.argsort(groups, kind="stable"))


@given(SINGLE, st.integers(1, 5), st.randoms(use_true_random=False))
def test_runs_hold_all_rows(scores, bins, random):
    labels = np.array([random.random() < 0.5 for _ in scores], bool)
    hard = Ranked.of(labels, scores)
    soft = Ranked.of(labels.astype(np.float64), scores, np.full(len(scores), 2.0))
    assert (hard.positives, hard.negatives) == (labels.sum(), (~labels).sum())
    assert (soft.positives, soft.negatives) == (2 * labels.sum(), 2 * (~labels).sum())
    np.testing.assert_array_equal(hard.by_row(hard.scores), np.sort(scores + np.float32(0)))
    np.testing.assert_equal(soft.area, hard.area)
    if len(scores):
        which = hard.bins(bins)
        assert (np.diff(which) >= 0).all()
        assert 0 <= which[0] <= which[-1] < bins
