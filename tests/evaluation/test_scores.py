"""Every figure against scikit-learn, and its influences against the figure itself with a row counted a little more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from funnel.evaluation.bootstrap import widening
from funnel.evaluation.metrics import average_precision, expected_calibration_error, group_auc
from funnel.evaluation.scores import BINS, Rows, measure, with_intervals

FIGURES = (
    "auc",
    "group_auc",
    "pr_auc",
    "log_loss",
    "normalized_entropy",
    "predicted_over_observed",
    "calibration_error",
)


def rows_of(seed, n, *, ties=False, weights=False, groups=5, clusters=True):
    random = np.random.default_rng(seed)
    logits = np.round(random.normal(size=n) - 1) if ties else random.normal(size=n) - 1
    chances = (1 / (1 + np.exp(-logits))).astype(np.float32)
    labels = random.random(n) < chances
    labels[:2] = True, False
    group = random.integers(0, groups, n).astype(np.int32)
    weight = random.choice([0.5, 1.0, 3.0], n) if weights else None
    return Rows(labels, chances, logits, weight, group, np.arange(n, dtype=np.int32) if clusters else None)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n", [2, 50, 3000])
def test_figures_are_those_of_scikit_learn(n, ties, weights):
    rows = rows_of(n, n, ties=ties, weights=weights)
    found = measure("buy", "click", rows).scores
    label, weight = rows.labels.astype(int), rows.weights
    chances = rows.chances.astype(np.float64)
    assert found.auc == pytest.approx(roc_auc_score(label, chances, sample_weight=weight), rel=1e-12)
    assert found.pr_auc == pytest.approx(average_precision_score(label, chances, sample_weight=weight), rel=1e-12)
    exact = 1 / (1 + np.exp(-rows.logits))
    assert found.log_loss == pytest.approx(log_loss(label, exact, sample_weight=weight), rel=1e-12)
    rate = np.average(label, weights=weight)
    constant = log_loss(label, np.full(n, rate), sample_weight=weight)
    assert found.normalized_entropy == pytest.approx(found.log_loss / constant, rel=1e-12)
    mass = np.ones(n) if weight is None else weight
    assert found.predicted_over_observed == pytest.approx(mass @ chances / (mass @ label), rel=1e-12)
    assert found.calibration_error == expected_calibration_error(label, rows.chances, BINS, weight)
    assert (found.group_auc, found.groups) == group_auc(label, rows.chances, rows.groups, weight)
    assert (found.name, found.space, found.rows, found.positives) == ("buy", "click", n, label.sum())


def test_average_precision_by_hand():
    # From the top: 1, 0, then a tie of both classes, then 0.
    labels, scores = [1, 0, 1, 0, 0], [9, 8, 7, 7, 1]
    assert average_precision(labels, scores) == pytest.approx((1 / 1 + 2 / 4) / 2, rel=1e-15)
    # A row of weight 2 is two rows; one of weight 0 is none.
    assert average_precision(labels, scores, [1, 2, 1, 1, 0]) == average_precision([1, 0, 0, 1, 0], [9, 8, 8, 7, 7])
    assert math.isnan(average_precision([0, 0], [1, 2]))
    assert math.isnan(average_precision([], []))
    assert average_precision([1, 1], [1, 2]) != average_precision([1, 0], [2, 1])  # one class has no order: NaN


def moved(rows, row, by):
    """The figures with a row counted more by a little, or less."""
    weight = np.ones(len(rows.labels)) if rows.weights is None else rows.weights.copy()
    weight[row] *= 1 + by
    return measure("", "", Rows(rows.labels, rows.chances, rows.logits, weight, rows.groups)).scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_influences_are_derivatives(ties, weights):
    """One group for all rows: how a group's own AUC moves is the group's, which is drawn as a whole, and no row's."""
    n = 60
    rows = rows_of(3, n, ties=ties, weights=weights, groups=1)
    found = measure("", "", rows, n)
    factor = [widening(int(k), 0.95) for k in (n - rows.labels.sum(), rows.labels.sum())]
    by = 1e-6
    for row in range(n):
        more, less = moved(rows, row, by), moved(rows, row, -by)
        for figure, estimate in found.estimates.items():
            if figure in ("group_auc", "calibration_error"):
                continue  # one is of groups, the other jumps where a row changes its bin
            slope = (getattr(more, figure) - getattr(less, figure)) / (2 * by)
            widened = factor[int(rows.labels[row])] if figure == "auc" else 1
            assert estimate.influence[row] == pytest.approx(slope * widened, rel=1e-4, abs=1e-7), (figure, row)
    for figure, estimate in found.estimates.items():
        assert estimate.value == getattr(found.scores, figure)
        if figure != "auc":
            assert estimate.influence.sum() == pytest.approx(0, abs=1e-9), figure


def test_the_calibration_error_moves_with_its_bins():
    rows = rows_of(4, 400)
    found = measure("", "", rows, 400).estimates["calibration_error"]
    bins = np.floor(BINS * (np.argsort(np.argsort(rows.chances)) + 0.5) / 400).astype(int)
    gaps = np.array([(rows.chances - rows.labels)[bins == b].sum() for b in range(BINS)])
    expected = (np.sign(gaps)[bins] * (rows.chances.astype(float) - rows.labels) - np.abs(gaps).sum() / 400) / 400
    np.testing.assert_allclose(found.influence, expected, atol=1e-9)


def test_a_group_moves_the_group_auc_by_its_share():
    labels = np.array([1, 0, 0, 1, 1, 0, 1], bool)
    chances = np.array([0.8, 0.9, 0.1, 0.35, 0.2, 0.4, 0.3], np.float32)
    groups = np.array([0, 0, 0, 0, 1, 1, 2], np.int32)
    found = measure("", "", Rows(labels, chances, np.zeros(7), None, groups, groups), 3)
    mean = (4 * 0.5 + 2 * 0) / 6
    assert (found.scores.group_auc, found.scores.groups) == (pytest.approx(mean), 2)
    expected = [4 / 6 * (0.5 - mean), 2 / 6 * (0 - mean), 0]
    np.testing.assert_allclose(found.estimates["group_auc"].influence, expected, atol=1e-15)


def test_by_chance_is_what_true_probabilities_show():
    random, errors, told = np.random.default_rng(0), [], []
    for _ in range(100):
        chances = random.beta(1, 20, 2000).astype(np.float32)
        rows = Rows(random.random(2000) < chances, chances, np.zeros(2000))
        found = measure("", "", rows).scores
        errors.append(found.calibration_error)
        told.append(found.calibration_error_by_chance)
    assert np.mean(told) == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.parametrize("label", [True, False])
def test_one_class_has_no_order_and_no_interval_of_one(label):
    n = 5
    clusters = np.arange(n, dtype=np.int32)
    rows = Rows(np.full(n, label), np.full(n, 0.5, np.float32), np.zeros(n), None, np.zeros(n, np.int32), clusters)
    (found,) = with_intervals([measure("", "", rows, n)], n)
    assert math.isnan(found.auc)
    assert math.isnan(found.pr_auc)
    assert math.isnan(found.normalized_entropy)
    assert math.isnan(found.group_auc)
    assert math.isnan(found.predicted_over_observed) != label
    assert not {"auc", "pr_auc", "normalized_entropy", "group_auc"} & set(found.intervals)
    assert "log_loss" in found.intervals


def test_no_rows_have_no_figures():
    nothing = np.zeros(0)
    rows = Rows(
        nothing.astype(bool), nothing.astype(np.float32), nothing, None, nothing.astype(np.int32), nothing.astype(np.int32)
    )
    (found,) = with_intervals([measure("", "", rows, 4)], 4)
    assert all(math.isnan(getattr(found, figure)) for figure in FIGURES)
    assert (found.rows, found.positives, found.groups, found.intervals) == (0, 0, 0, {})


def test_rows_of_weight_0_have_no_figures():
    rows = rows_of(1, 10, weights=True)
    nothing = Rows(rows.labels, rows.chances, rows.logits, np.zeros(10), rows.groups, rows.clusters)
    (found,) = with_intervals([measure("", "", nothing, 10)], 10)
    assert all(math.isnan(getattr(found, figure)) for figure in FIGURES)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 60), st.booleans(), st.booleans())
def test_intervals_hold_their_figures_and_stay_in_what_is_possible(seed, n, ties, weights):
    (found,) = with_intervals([measure("", "", rows_of(seed, n, ties=ties, weights=weights), n)], n)
    for figure, (low, high) in found.intervals.items():
        value = getattr(found, figure)
        assert 0 <= low <= high
        if figure in ("auc", "pr_auc", "group_auc"):
            assert high <= 1
        if n > 30 and figure != "calibration_error":
            assert low <= value * (1 + 1e-9) + 1e-9
            assert value <= high * (1 + 1e-9) + 1e-9


def test_a_perfect_order_of_few_rows_is_not_sure():
    """All of 3 pairs of independent rows are won by chance with one half cubed: the interval is that of 3 trials."""
    chances = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], np.float32)
    labels = chances > 0.5
    clusters = np.arange(6, dtype=np.int32)
    (best,) = with_intervals([measure("", "", Rows(labels, chances, np.zeros(6), clusters=clusters), 6)], 6)
    (worst,) = with_intervals([measure("", "", Rows(~labels, chances, np.zeros(6), clusters=clusters), 6)], 6)
    assert best.auc == 1
    assert best.intervals["auc"] == (pytest.approx(0.025 ** (1 / 3)), 1.0)
    assert worst.intervals["auc"] == (0.0, pytest.approx(1 - 0.025 ** (1 / 3)))


def test_rows_of_one_group_that_say_the_same_make_an_interval_longer():
    one = rows_of(5, 300)
    many = Rows(*(np.repeat(column, 4) for column in (one.labels, one.chances, one.logits)))
    together = np.repeat(np.arange(300, dtype=np.int32), 4)
    alone = np.arange(1200, dtype=np.int32)

    def length(clusters, count):
        rows = Rows(many.labels, many.chances, many.logits, clusters=clusters)
        (found,) = with_intervals([measure("", "", rows, count)], count)
        return {figure: high - low for figure, (low, high) in found.intervals.items()}

    grouped, loose = length(together, 300), length(alone, 1200)
    for figure in ("auc", "log_loss", "predicted_over_observed", "pr_auc"):
        assert grouped[figure] / loose[figure] == pytest.approx(2, rel=0.15), figure


@pytest.mark.parametrize("kind", ["one positive", "one negative", "positives of one group"])
def test_a_class_that_one_group_has_alone_gives_areas_no_interval(kind):
    """It says where that one stands, and not where others would."""
    random, n = np.random.default_rng(0), 200
    clusters = np.arange(n, dtype=np.int32)
    labels = np.zeros(n, bool)
    labels[[50] if kind.startswith("one") else [50, 51, 52]] = True
    clusters[[51, 52]] = 50
    if kind == "one negative":
        labels = ~labels
    chances = random.permutation(np.linspace(0.1, 0.9, n)).astype(np.float32)
    chances[50] = 0.31
    logits = np.log(chances / (1 - chances)).astype(float)
    (scores,) = with_intervals([measure("", "", Rows(labels, chances, logits, None, None, clusters), n)], n)
    assert 0 < scores.auc < 1
    assert "auc" not in scores.intervals
    assert "pr_auc" not in scores.intervals
    assert "log_loss" in scores.intervals
