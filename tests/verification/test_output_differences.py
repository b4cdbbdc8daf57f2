"""How far columns are apart, and what it comes to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from funnel.verification.verification import Difference, Verification, differences

NAN, INF = float("nan"), float("inf")


def test_nan_and_infinity_must_agree() -> None:
    served = np.array([0.5, NAN, NAN, 1.0, INF, INF, -INF, 1.0], np.float32)
    own = np.array([0.25, NAN, 1.0, NAN, INF, -INF, 0.0, 1.0], np.float32)
    np.testing.assert_array_equal(differences(served, own), [0.25, 0, INF, INF, 0, INF, INF, 0])


def test_the_largest_is_kept_with_its_row() -> None:
    difference = Difference("predict", "buy")
    difference.add(np.array([0.0, 0.5]), np.array([0.0, 0.25]), None, np.array([10, 11]))
    assert (difference.rows, difference.largest, difference.row) == (2, 0.25, 11)
    difference.add(np.array([1.0]), np.array([0.5]), np.array([4.0]), np.array([12]))  # in its scale: an eighth
    assert (difference.rows, difference.largest, difference.row) == (3, 0.25, 11)
    difference.add(np.array([1.0]), np.array([0.5]), None, np.array([13]))
    difference.add(np.zeros(0), np.zeros(0), None, np.zeros(0))
    assert (difference.rows, difference.largest, difference.row) == (4, 0.5, 13)


@pytest.mark.parametrize(("largest", "rows", "passed"), [(1e-6, 9, True), (1.1e-6, 9, False), (INF, 9, False), (0.0, 0, False)])
def test_it_passes_where_all_that_was_compared_is_near(largest: float, rows: int, passed: bool) -> None:
    found = Verification("export", "run", "data", "test", 1e-6, rows=9)
    assert not found.passed  # nothing was compared
    found.differences = [Difference("predict", "buy", 9, 0.0, 1), Difference("rank", "buy", rows, largest, 2)]
    assert found.passed is passed
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["passed"] is passed
