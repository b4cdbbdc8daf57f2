from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation.influence import auc_influence, calibration_influence
from funnel.evaluation.metrics import auc, auc_standard_error, predicted_over_observed

# Slow and plain: exact scores in rational arithmetic, of rows of any weights.


def exact(values):
    return [Fraction(float(value)) for value in values]


def slow_auc(labels, scores, weights):
    rows = list(zip(exact(labels), scores, weights, strict=True))
    won = pairs = Fraction(0)
    for y, s, w in rows:
        for z, t, v in rows:
            pair = w * y * v * (1 - z)
            pairs += pair
            won += pair * (1 if s > t else Fraction(1, 2) if s == t else 0)
    return won / pairs if pairs else None


def slow_ratio(labels, probabilities, weights):
    observed = sum(y * w for y, w in zip(exact(labels), weights, strict=True))
    return sum(p * w for p, w in zip(exact(probabilities), weights, strict=True)) / observed if observed else None


def slow_influence(score, labels, values, weights):
    """By how much the score changes where one row after the other counts a little more."""
    small, weights = Fraction(1, 10**15), exact(weights)
    before = score(labels, values, weights)
    if before is None:
        return math.nan, np.zeros(len(labels))
    changed = [
        score(labels, values, [w * (1 + small * (k == row)) for k, w in enumerate(weights)]) for row in range(len(labels))
    ]
    return float(before), np.array([float((after - before) / small) for after in changed])


@st.composite
def rows(draw, *, soft: bool):
    n = draw(st.integers(0, 12))

    def column(low, high):
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.float64)

    labels = column(0, 4) / 4 if soft else column(0, 1)
    return labels, column(0, 8) / 8, column(0, 3)


def test_of_an_auc_by_hand() -> None:
    # Positives at 1 and 3, negatives at 0 and 2: of the negatives they beat .5 and 1; of the positives, these lose to 1 and .5.
    area, influence = auc_influence([1, 1, 0, 0], [1, 3, 0, 2])
    assert area == 0.75
    np.testing.assert_allclose(influence, [-0.125, 0.125, 0.125, -0.125], rtol=1e-15)
    # A positive of weight 3: the AUC is .625, and its row stands for 3 / 4 of the positives.
    area, influence = auc_influence([1, 1, 0, 0], [1, 3, 0, 2], [3, 1, 1, 1])
    assert area == 0.625
    np.testing.assert_allclose(influence, [-0.125 * 3 / 4, 0.375 / 4, 0.375 / 2, -0.375 / 2], rtol=1e-15)


def test_of_an_auc_with_soft_labels_by_hand() -> None:
    # One row at .5 is a tie with itself; two rows: 3/4 and 1/4 of a positive at 2 and 1. P = N = 1.
    assert auc_influence([0.5], [7])[0] == 0.5
    area, influence = auc_influence([0.75, 0.25], [2, 1])
    # The upper row's positives beat all of the lower one's negatives, and half of its own; the lower one's, half of its own.
    assert area == 0.75
    np.testing.assert_allclose(
        influence, [0.75 * (0.875 - 0.75) + 0.25 * (0.375 - 0.75), 0.25 * (0.375 - 0.75) + 0.75 * (0.875 - 0.75)]
    )


def test_of_calibration_by_hand() -> None:
    ratio, influence = calibration_influence([1, 0, 1, 0], [0.5, 0.25, 0.5, 0.25])
    assert ratio == 0.75
    np.testing.assert_allclose(influence, [-0.125, 0.125, -0.125, 0.125])
    ratio, influence = calibration_influence([1, 0], [0.5, 0.25], [1, 4])
    assert ratio == 1.5
    np.testing.assert_allclose(influence, [-1.0, 1.0])


@pytest.mark.parametrize(("function", "slow"), [(auc_influence, slow_auc), (calibration_influence, slow_ratio)])
@given(soft=st.booleans(), data=st.data())
def test_it_is_the_derivative_by_how_often_a_row_is_counted(function, slow, soft, data) -> None:
    labels, values, weights = data.draw(rows(soft=soft))
    score, influence = function(labels, values, weights)
    expected, derivative = slow_influence(slow, labels, values, weights)
    assert score == pytest.approx(expected, rel=1e-12, nan_ok=True)
    np.testing.assert_allclose(influence, derivative, rtol=1e-9, atol=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@given(data=st.data())
def test_the_scores_are_those_of_the_metrics(data) -> None:
    labels, values, weights = data.draw(rows(soft=False))
    assert auc_influence(labels, values, weights)[0] == pytest.approx(auc(labels, values, weights), rel=1e-13, nan_ok=True)
    ratio = calibration_influence(labels, values, weights)[0]
    assert ratio == pytest.approx(predicted_over_observed(labels, values, weights), rel=1e-13, nan_ok=True)


def test_a_soft_auc_is_the_mean_of_those_of_drawn_labels() -> None:
    random = np.random.default_rng(0)
    truth = random.random(3000) * 0.6
    scores = truth + random.normal(0, 0.2, 3000)
    drawn = [auc(random.random(3000) < truth, scores) for _ in range(200)]
    assert auc_influence(truth, scores)[0] == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / math.sqrt(200))


def test_the_sum_of_squares_is_the_variance() -> None:
    random = np.random.default_rng(1)
    labels = random.random(2000) < 0.2
    scores, weights = random.normal(labels, 1), random.exponential(size=2000)
    for given_weights in (None, weights):
        _, influence = auc_influence(labels, scores, given_weights)
        error = auc_standard_error(labels, scores, given_weights)
        assert math.sqrt(np.sum(influence**2)) == pytest.approx(error, rel=2e-3)


@pytest.mark.parametrize("function", [auc_influence, calibration_influence])
def test_what_it_refuses(function) -> None:
    for labels, values, weights, part in (
        ([1, 0], [1.0], None, "shape"),
        ([[1]], [[1.0]], None, "shape"),
        ([2, 0], [1, 1], None, "between 0 and 1"),
        ([math.nan, 0], [1, 1], None, "between 0 and 1"),
        ([1, 0], [math.nan, 1], None, "not numbers"),
        ([1, 0], [1, 1], [-1, 1], "weights"),
    ):
        with pytest.raises(ValueError, match=part):
            function(labels, values, weights)
