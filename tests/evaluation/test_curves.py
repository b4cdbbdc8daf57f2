from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from funnel.evaluation.binned import Bins
from funnel.evaluation.curves import POINTS, curves_of, wilson
from funnel.evaluation.ranked import Ranked


def drawn(seed, n, weights=False):
    random = np.random.default_rng(seed)
    chances = random.beta(1, 9, n).astype(np.float32)
    labels = random.random(n) < chances
    labels[:2] = True, False
    return labels, chances, random.choice([1.0, 2.0], n) if weights else None


def drawn_of(labels, chances, weight=None):
    ranked = Ranked.of(labels, chances, weight)
    return curves_of(ranked, Bins.of(ranked, 20))


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n", [2, 3, 100, 5000])
def test_the_roc_holds_points_of_the_whole_curve(n, weights):
    labels, chances, weight = drawn(n, n, weights)
    found = np.array(drawn_of(labels, chances, weight).roc)
    false, true, _ = roc_curve(labels, chances, sample_weight=weight, drop_intermediate=False)
    whole = np.column_stack((false, true))
    assert len(found) <= POINTS
    np.testing.assert_array_equal(found[[0, -1]], [[0, 0], [1, 1]])
    assert (np.diff(found, axis=0) >= 0).all()
    nearest = np.abs(found[:, None, :] - whole[None]).sum(axis=2).min(axis=1)
    assert nearest.max() < 1e-12
    # What is between two points that were kept is no wider than the step.
    assert np.diff(found.sum(axis=1)).max() <= max(2 / (POINTS - 1) * 2, np.diff(whole.sum(axis=1)).max()) + 1e-12


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(2, 300), st.booleans())
def test_bins_add_up_to_the_whole(seed, n, weights):
    labels, chances, weight = drawn(seed, n, weights)
    bins = drawn_of(labels, chances, weight).calibration
    mass = np.ones(n) if weight is None else weight
    assert sum(one.rows for one in bins) == pytest.approx(mass.sum())
    assert sum(one.rows * one.observed for one in bins) == pytest.approx(mass @ labels)
    assert sum(one.rows * one.predicted for one in bins) == pytest.approx(mass @ chances.astype(float))
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)
    for one in bins:
        assert 0 <= one.low <= one.observed <= one.high <= 1


def test_wilsons_interval_is_where_the_rate_is_two_errors_away():
    for rate, rows in ((0.1, 50), (0.0, 20), (1.0, 20), (0.5, 3.5)):
        low, high = wilson(rate, rows)
        for end in (low, high):
            if 1e-12 < end < 1 - 1e-12:
                assert abs(rate - end) == pytest.approx(1.959964 * (end * (1 - end) / rows) ** 0.5, rel=1e-9)
    assert wilson(0.0, 20)[0] == 0
    assert wilson(1.0, 20)[1] == 1


def test_rows_without_both_classes_have_no_roc():
    chances = np.array([0.1, 0.2], np.float32)
    found = drawn_of(np.zeros(2, bool), chances)
    assert found.roc == ()
    assert [one.observed for one in found.calibration] == [0, 0]
    nothing = drawn_of(np.zeros(0, bool), np.zeros(0, np.float32))
    assert (nothing.roc, nothing.calibration) == ((), ())
