from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from funnel.evaluation.metrics import (
    auc,
    auc_standard_error,
    expected_calibration_error,
    group_auc,
    log_loss_from_logits,
    normalized_entropy,
    predicted_over_observed,
)

TAKE_LOGITS = [log_loss_from_logits, normalized_entropy]
TAKE_PROBABILITIES = [predicted_over_observed, expected_calibration_error]
WEIGHTED = [auc, *TAKE_LOGITS, *TAKE_PROBABILITIES]


def ungrouped_gauc(labels, scores, weights=None):
    return group_auc(labels, scores, np.zeros(len(labels), np.int32), weights)[0]


ALL = [*WEIGHTED, auc_standard_error, ungrouped_gauc]


# Slow and plain: what the fast ones are held against.


def pairwise(positive, negative):
    return Fraction(1) if positive > negative else Fraction(1, 2) if positive == negative else Fraction(0)


def slow_auc(labels, scores, weights=None):
    weights = [Fraction(1)] * len(labels) if weights is None else [Fraction(float(weight)) for weight in weights]
    rows = list(zip(labels, scores, weights, strict=True))
    positives = [(score, weight) for label, score, weight in rows if label == 1]
    negatives = [(score, weight) for label, score, weight in rows if label == 0]
    pairs = sum(w * v for (_, w), (_, v) in itertools.product(positives, negatives))
    won = sum(w * v * pairwise(x, y) for (x, w), (y, v) in itertools.product(positives, negatives))
    return float(won / pairs) if pairs else math.nan


def slow_group_auc(labels, scores, groups, weights):
    areas, impressions = [], []
    for group in np.unique(groups):
        here = groups == group
        area = slow_auc(labels[here], scores[here], weights[here])
        if not math.isnan(area):
            areas.append(area)
            impressions.append(weights[here].sum())
    return (float(np.average(areas, weights=impressions)) if areas else math.nan), len(areas)


def slow_weighted_error(labels, scores, weights):
    """What each row's weight is worth, by moving it: the AUC's derivative, times the weight."""
    rows = list(zip(labels, scores, [Fraction(float(weight)) for weight in weights], strict=True))
    classes = {y: [(s, w) for label, s, w in rows if label == y and w] for y in (0, 1)}
    sums = {y: sum(w for _, w in classes[y]) for y in (0, 1)}
    if min(map(len, classes.values())) < 2:
        return math.nan
    area, variance = Fraction(slow_auc(labels, scores, weights)), Fraction(0)
    for label, score, weight in rows:
        other = 1 - label
        won = sum(v * (pairwise(score, x) if label else pairwise(x, score)) for x, v in classes[other]) / sums[other]
        n = len(classes[label])
        variance += (weight / sums[label] * (won - area)) ** 2 * Fraction(n, n - 1)
    return math.sqrt(variance)


def slow_standard_error(labels, scores):
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = np.array([[float(pairwise(x, y)) for y in negatives] for x in positives])
    by_positive, by_negative = wins.mean(axis=1), wins.mean(axis=0)
    return math.sqrt(by_positive.var(ddof=1) / len(positives) + by_negative.var(ddof=1) / len(negatives))


def slow_calibration_error(labels, probabilities, bins):
    n, gaps, before = len(labels), [Fraction(0)] * bins, 0
    for probability in sorted(set(probabilities)):
        tied = [label for label, other in zip(labels, probabilities, strict=True) if other == probability]
        gaps[int(bins * (before + Fraction(len(tied), 2)) / n)] += len(tied) * Fraction(probability) - int(sum(tied))
        before += len(tied)
    return float(sum(map(abs, gaps)) / n)


def slow_log_loss(labels, logits):
    with mpmath.workdps(60):
        losses = [mpmath.log1p(mpmath.exp(-z if y else z)) for y, z in zip(labels, map(mpmath.mpf, logits), strict=True)]
        return float(mpmath.fsum(losses) / len(losses))


# Rows that hypothesis may choose: many ties, both classes or one, weights that are whole or not.


@st.composite
def rows(draw, min_size=0, max_size=40):
    """Labels, scores from -20 to 20, whole weights from 0 to 3, and groups."""
    n = draw(st.integers(min_size, max_size))

    def column(low, high):
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), dtype=np.int64)

    span = draw(st.sampled_from([1, 4, 20]))
    return column(0, 1), column(-span, span).astype(np.float64), column(0, 3), column(-2, 3)


def for_all(*drawn, **named):
    """Like `given`, without a deadline: on a shared machine, a pause is no failure."""
    return lambda test: settings(deadline=None)(given(*drawn, **named)(test))


def as_input(metric, scores):
    """Scores as what a metric takes: an exact share of 40 steps where it takes probabilities."""
    return (scores + 20) / 40 if metric in TAKE_PROBABILITIES else scores


def close(left, right):
    return left == pytest.approx(right, rel=1e-12, abs=1e-13, nan_ok=True)


# Worked by hand.


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),
        ([0, 1], [1, 2], 1.0),
        ([1, 0], [1, 2], 0.0),
        ([0, 1], [3, 3], 0.5),
        ([0, 0, 1, 1], [1, 2, 2, 3], 0.875),
        ([1, 0, 0, 0], [2, 1, 2, 3], 0.5),
        ([0, 1, 1], [-math.inf, -math.inf, math.inf], 0.75),
        ([0, 1], [0.0, -0.0], 0.5),
    ],
)
def test_auc_by_hand(labels, scores, expected):
    assert auc(labels, scores) == expected


def test_weighted_auc_by_hand():
    # Pairs (2, 1), (2, 3) of weights 3 * 1 and 3 * 5; only the first is won.
    assert auc([1, 0, 0], [2, 1, 3], [3, 1, 5]) == 3 / 18


def test_group_auc_by_hand():
    # Group 7 has four impressions and .75, group -1 has two and 0, group 5 has one class.
    labels = [1, 0, 0, 1, 1, 0, 1]
    scores = [0.8, 0.9, 0.1, 0.35, 0.2, 0.4, 0.3]
    groups = [7, -1, 7, 7, -1, 7, 5]
    assert group_auc(labels, scores, groups) == (pytest.approx((4 * 0.75 + 2 * 0) / 6, rel=1e-15), 2)


def test_groups_are_apart_even_where_their_scores_are_not():
    assert group_auc([0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 2, 2]) == (0.5, 2)
    assert group_auc([0, 1, 0, 1], [1, 2, 11, 12], [1, 1, 2, 2]) == (1.0, 2)


def test_log_loss_by_hand():
    assert log_loss_from_logits([0, 1], [0, 0]) == pytest.approx(math.log(2), rel=1e-15)
    assert log_loss_from_logits([1], [math.log(3)]) == pytest.approx(math.log(4 / 3), rel=1e-15)
    assert log_loss_from_logits([0, 1], [math.log(3)] * 2, [1, 3]) == pytest.approx(
        (math.log(4) + 3 * math.log(4 / 3)) / 4, rel=1e-15
    )


def test_normalized_entropy_is_one_at_the_rate_itself_and_less_where_better():
    labels = np.array([1, 0, 0, 0])
    rate = math.log(1 / 3)
    assert normalized_entropy(labels, [rate] * 4) == pytest.approx(1, rel=1e-15)
    assert normalized_entropy(labels, [rate + 1, rate - 1, rate - 1, rate - 1]) < 1
    assert normalized_entropy(labels, [0] * 4) == pytest.approx(
        math.log(2) / (math.log(4) / 4 + 3 / 4 * math.log(4 / 3)), rel=1e-15
    )


def test_predicted_over_observed_by_hand():
    assert predicted_over_observed([1, 0, 1, 0], [0.5, 0.25, 0.5, 0.25]) == 0.75
    assert predicted_over_observed([1, 0], [0.5, 0.25], [1, 4]) == 1.5


@pytest.mark.parametrize(("bins", "expected"), [(1, 0.25), (2, 0.25), (4, 0.3), (1000, 0.3)])
def test_calibration_error_by_hand(bins, expected):
    assert expected_calibration_error([0, 1, 1, 1], [0.1, 0.2, 0.8, 0.9], bins) == pytest.approx(expected, rel=1e-14)


def test_calibration_error_keeps_ties_in_one_bin():
    # Were the six equal rows split in the order they come, bins would seem to be off by one half.
    assert expected_calibration_error([0, 0, 0, 1, 1, 1], [0.5] * 6, bins=2) == 0
    # Three of .25 (middle 1.5 of 4) go down, one of .75 goes up.
    assert expected_calibration_error([0, 0, 0, 1], [0.25] * 3 + [0.75], bins=2) == (0.75 + 0.25) / 4


def test_calibration_bins_hold_equal_mass_not_equal_widths():
    probabilities = np.arange(1, 101) / 1e4
    labels = np.r_[np.zeros(50), np.ones(50)]
    halves = probabilities.reshape(2, 50).mean(axis=1)
    assert close(expected_calibration_error(labels, probabilities, bins=2), (halves[0] + 1 - halves[1]) / 2)


def test_standard_error_by_hand():
    # Shares won: .5 and 1 for the positives, 1 and .5 for the negatives: each class adds a variance of .125, over 2.
    assert auc_standard_error([1, 1, 0, 0], [1, 3, 0, 2]) == pytest.approx(math.sqrt(0.125), rel=1e-15)
    # Weights 3, 1 of the positives: AUC .625; shares .5 and 1 won by them, 1 and .25 lost to by the negatives.
    weighted = (9 / 16 * 0.125**2 + 1 / 16 * 0.375**2) * 2 + (1 / 4 * 0.375**2 + 1 / 4 * 0.375**2) * 2
    assert auc_standard_error([1, 1, 0, 0], [1, 3, 0, 2], [3, 1, 1, 1]) == pytest.approx(math.sqrt(weighted), rel=1e-15)
    assert auc_standard_error([1, 1, 0, 0], [3, 4, 1, 2]) == 0
    assert auc_standard_error([1, 1, 0, 0], [1, 1, 1, 1]) == 0


# Against slow ones, and against scikit-learn.


@for_all(rows())
def test_auc_is_the_correctly_rounded_share_of_pairs(drawn):
    labels, scores, _, _ = drawn
    np.testing.assert_equal(auc(labels, scores), slow_auc(labels, scores))


@for_all(rows(), st.sampled_from([1, 0.3, 1e-3, 1e6]))
def test_weighted_auc_is_the_share_of_weighted_pairs(drawn, scale):
    labels, scores, weights, _ = drawn
    assert close(auc(labels, scores, weights * scale), slow_auc(labels, scores, weights * scale))


@for_all(rows(), st.sampled_from([1, 0.3]))
def test_group_auc_is_the_mean_of_separate_aucs(drawn, scale):
    labels, scores, weights, groups = drawn
    area, counted = group_auc(labels, scores, groups, weights * scale)
    slow_area, slow_counted = slow_group_auc(labels, scores, groups, weights * scale)
    assert close(area, slow_area)
    assert counted == slow_counted


@for_all(rows())
def test_standard_error_is_that_of_all_pairs(drawn):
    labels, scores, _, _ = drawn
    if min(labels.sum(), (1 - labels).sum()) < 2:
        assert math.isnan(auc_standard_error(labels, scores))
    else:
        assert close(auc_standard_error(labels, scores), slow_standard_error(labels, scores))


@for_all(rows(), st.sampled_from([1, 0.3, 1e-200, 1e200]))
def test_weighted_standard_error_is_made_of_the_rows_influences(drawn, scale):
    labels, scores, weights, _ = drawn
    assert auc_standard_error(labels, scores, weights * scale) == pytest.approx(
        slow_weighted_error(labels, scores, weights), rel=1e-9, abs=1e-12, nan_ok=True
    )
    assert close(auc_standard_error(labels, scores, np.full(len(labels), 0.3 * scale)), auc_standard_error(labels, scores))
    counted = weights > 0
    assert close(
        auc_standard_error(labels, scores, weights), auc_standard_error(labels[counted], scores[counted], weights[counted])
    )


def test_a_weighted_standard_error_is_that_of_drawing_rows_again():
    random = np.random.default_rng(3)
    found, errors = [], []
    for _ in range(600):
        labels = random.random(400) < 0.3
        scores = random.normal(labels, 1)
        weights = np.where(random.random(400) < 0.2, 5.0, 1.0)
        found.append(auc(labels, scores, weights))
        errors.append(auc_standard_error(labels, scores, weights))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)
    assert np.mean(errors) > 1.2 * auc_standard_error(labels, scores)  # weights cost precision


@for_all(rows(min_size=1), st.integers(1, 50))
def test_calibration_error_is_that_of_rational_arithmetic(drawn, bins):
    labels, scores, _, _ = drawn
    probabilities = np.round((scores + 20) / 40 * 64) / 64
    assert close(expected_calibration_error(labels, probabilities, bins), slow_calibration_error(labels, probabilities, bins))


@for_all(st.lists(st.tuples(st.booleans(), st.floats(-1e4, 1e4)), min_size=1, max_size=20))
def test_log_loss_is_that_of_sixty_digits(drawn):
    labels, logits = zip(*drawn, strict=True)
    expected = slow_log_loss(labels, logits)
    assert log_loss_from_logits(labels, logits) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_same_as_scikit_learn(weighted, decimals):
    random = np.random.default_rng(decimals)
    labels = random.random(5000) < 0.03
    logits = np.round(random.normal(-3, 1, 5000) + labels, decimals)
    weights = random.exponential(size=5000) if weighted else None
    assert close(auc(labels, logits, weights), roc_auc_score(labels, logits, sample_weight=weights))
    probabilities = 1 / (1 + np.exp(-logits))
    assert close(log_loss_from_logits(labels, logits, weights), log_loss(labels, probabilities, sample_weight=weights))


def test_standard_error_is_how_much_aucs_of_new_samples_vary():
    random = np.random.default_rng(0)
    areas, errors = [], []
    for _ in range(2000):
        labels = np.r_[np.ones(40), np.zeros(160)]
        scores = np.round(random.normal(labels, 1), 1)
        areas.append(auc(labels, scores))
        errors.append(auc_standard_error(labels, scores))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.05)  # the standard deviation is itself known to 1.6 %


# What must hold whatever the rows.


@for_all(rows(), st.sampled_from([np.exp, np.arctan, np.cbrt, lambda x: 3 * x - 7, lambda x: x**3]))
def test_only_the_order_of_scores_matters(drawn, transform):
    labels, scores, weights, groups = drawn
    moved = transform(scores)
    np.testing.assert_equal(auc(labels, moved, weights), auc(labels, scores, weights))
    np.testing.assert_equal(group_auc(labels, moved, groups), group_auc(labels, scores, groups))
    np.testing.assert_equal(auc_standard_error(labels, moved), auc_standard_error(labels, scores))


@for_all(rows())
def test_swapped_classes_and_reversed_scores_mirror_the_auc(drawn):
    labels, scores, weights, groups = drawn
    assert close(auc(1 - labels, scores, weights), 1 - auc(labels, scores, weights))
    assert close(auc(labels, -scores, weights), 1 - auc(labels, scores, weights))
    assert close(group_auc(1 - labels, scores, groups)[0], 1 - group_auc(labels, scores, groups)[0])
    assert close(auc_standard_error(1 - labels, scores), auc_standard_error(labels, scores))
    assert close(log_loss_from_logits(1 - labels, -scores), log_loss_from_logits(labels, scores))


@pytest.mark.parametrize("metric", WEIGHTED)
@for_all(drawn=rows())
def test_a_weight_is_that_many_rows_and_zero_is_none(metric, drawn):
    labels, scores, weights, _ = drawn
    values = as_input(metric, scores)
    weighted = metric(labels, values, weights=weights)
    assert close(weighted, metric(np.repeat(labels, weights), np.repeat(values, weights)))
    assert close(weighted, metric(labels, values, weights=weights * 0.125))


@for_all(rows())
def test_group_weights_are_that_many_rows(drawn):
    labels, scores, weights, groups = drawn
    area, counted = group_auc(labels, scores, groups, weights)
    repeated, repeated_counted = group_auc(*(np.repeat(column, weights) for column in (labels, scores, groups)))
    assert close(area, repeated)
    assert counted == repeated_counted


@for_all(rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn, random):
    order = np.array(random.sample(range(len(drawn[0])), len(drawn[0])), dtype=np.intp)
    labels, scores, weights, groups = drawn
    for metric in WEIGHTED:
        values = as_input(metric, scores)
        assert close(metric(labels[order], values[order], weights=weights[order]), metric(labels, values, weights=weights))
    assert auc_standard_error(labels[order], scores[order]) == pytest.approx(auc_standard_error(labels, scores), nan_ok=True)
    shuffled = group_auc(labels[order], scores[order], groups[order], weights[order])
    np.testing.assert_equal(shuffled, group_auc(labels, scores, groups, weights))


@for_all(rows())
def test_values_stay_in_range(drawn):
    labels, scores, weights, groups = drawn
    weights = weights * 0.1
    shares = [auc(labels, scores, weights), group_auc(labels, scores, groups, weights)[0]]
    shares.append(expected_calibration_error(labels, as_input(expected_calibration_error, scores), 3, weights))
    assert all(math.isnan(share) or 0 <= share <= 1 for share in shares)


@for_all(rows())
def test_one_group_is_the_auc(drawn):
    labels, scores, weights, _ = drawn
    assert close(ungrouped_gauc(labels, scores, weights), auc(labels, scores, weights))


@for_all(rows(min_size=1))
def test_one_bin_is_the_difference_of_means(drawn):
    labels, scores, _, _ = drawn
    probabilities = as_input(expected_calibration_error, scores)
    expected = abs(probabilities.mean() - labels.mean())
    assert close(expected_calibration_error(labels, probabilities, bins=1), expected)


# Extremes. Any NumPy warning fails a test: the configuration turns warnings into errors.


@pytest.mark.parametrize("metric", ALL)
def test_no_rows_are_nan(metric):
    assert math.isnan(metric([], []))
    assert math.isnan(metric(np.array([], np.int8), np.array([], np.float32)))


@pytest.mark.parametrize("metric", [*WEIGHTED, ungrouped_gauc])
def test_no_weight_is_nan(metric):
    assert math.isnan(metric([0, 1, 1], [0.5, 0.25, 1], weights=[0, 0, 0]))


@pytest.mark.parametrize("metric", [auc, ungrouped_gauc, auc_standard_error, normalized_entropy])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_nan(metric, label):
    assert math.isnan(metric([label] * 3, [0.5, 0.25, 1]))


@pytest.mark.parametrize("metric", [auc, ungrouped_gauc, normalized_entropy])
def test_a_class_without_weight_is_nan(metric):
    assert math.isnan(metric([0, 1, 1], [0.5, 0.25, 1], weights=[0, 1, 1]))
    assert math.isnan(metric([0, 1, 1], [0.5, 0.25, 1], weights=[1, 0, 0]))


def test_one_class_where_that_is_enough():
    assert predicted_over_observed([1, 1], [0.5, 1]) == 0.75
    assert math.isnan(predicted_over_observed([0, 0], [0.5, 1]))
    assert math.isnan(predicted_over_observed([0, 1], [0.5, 1], weights=[1, 0]))
    assert expected_calibration_error([0, 0], [0.5, 1], bins=1) == 0.75
    assert log_loss_from_logits([1, 1], [0, 0]) == pytest.approx(math.log(2))


def test_no_group_with_both_classes_is_nan_and_none():
    area, counted = group_auc([0, 1, 1], [1, 2, 3], [1, 2, 2])
    assert math.isnan(area)
    assert counted == 0


@pytest.mark.parametrize(("labels", "positives"), [([1, 0, 0], 1), ([1, 1, 0], 2)])
def test_a_single_row_of_a_class_has_no_standard_error(labels, positives):
    assert sum(labels) == positives
    assert math.isnan(auc_standard_error(labels, [1, 2, 3]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits(dtype):
    logits = np.array([1e4, -1e4, 1e4, -1e4], dtype)
    assert log_loss_from_logits([1, 0, 1, 0], logits) == 0
    assert log_loss_from_logits([0, 1, 0, 1], logits) == 1e4
    assert log_loss_from_logits([1, 0, 0, 0], logits) == 2500
    assert normalized_entropy([0, 1, 0, 1], logits) == pytest.approx(1e4 / math.log(2), rel=1e-15)
    assert auc([1, 0, 1, 0], logits) == 1


def test_infinite_logits():
    assert log_loss_from_logits([1, 0], [math.inf, -math.inf]) == 0
    assert log_loss_from_logits([1, 0], [-math.inf, -math.inf]) == math.inf
    assert log_loss_from_logits([1, 0], [-math.inf, 0], weights=[0, 1]) == pytest.approx(math.log(2))


def test_losses_too_small_for_a_probability_are_kept():
    assert log_loss_from_logits([1], [50.0]) == pytest.approx(math.exp(-50), rel=1e-15)
    assert log_loss_from_logits([0], [-700.0]) == pytest.approx(math.exp(-700), rel=1e-13)


def test_neighbouring_floats_are_not_ties():
    assert auc([0, 1], [0.1, np.nextafter(0.1, 1)]) == 1
    assert auc([0, 1], np.array([1, np.nextafter(np.float32(1), np.float32(2))], np.float32)) == 1
    assert auc([0, 1], np.array([0, 5e-324])) == 1


def test_float32_counts_do_not_stop_at_two_to_the_24th():
    big = np.float32(2**24)
    weights = np.array([big, 1, 1, 1], np.float32)
    assert big + np.float32(1) == big
    assert auc([0, 0, 1, 0], np.array([1, 2, 3, 4], np.float32), weights) == (2**24 + 1) / (2**24 + 2)
    probabilities = np.array([0.5, 0.5, 1, 0.5], np.float32)
    assert predicted_over_observed([0, 0, 1, 0], probabilities, weights) == 2**23 + 2
    assert expected_calibration_error([0, 0, 1, 0], probabilities, 1, weights) == (2**23 + 1) / (2**24 + 3)


def test_ten_million_float32_rows():
    n = 10_000_000
    labels = np.zeros(n, np.float32)
    labels[::100] = 1
    probabilities = np.full(n, 0.01, np.float32)
    exact = float(np.float32(0.01)) * n / (n // 100)
    assert predicted_over_observed(labels, probabilities) == pytest.approx(exact, rel=1e-14)
    assert log_loss_from_logits(labels, np.zeros(n, np.float32)) == pytest.approx(math.log(2), rel=1e-14)
    assert auc(labels, probabilities) == 0.5


def test_the_last_of_many_groups_is_as_precise_as_the_first():
    random = np.random.default_rng(3)
    shape = (20_000, 5)
    labels, scores = np.tile([0, 1, 0, 1, 1], (shape[0], 1)), random.integers(0, 4, shape)
    weights = random.uniform(0.1, 1, shape)
    columns = labels.ravel(), scores.ravel(), np.repeat(np.arange(shape[0]), shape[1])
    area, counted = group_auc(*columns, weights.ravel())
    assert counted == shape[0]
    apart = [auc(*row) for row in zip(labels, scores, weights, strict=True)]
    assert area == pytest.approx(np.average(apart, weights=weights.sum(axis=1)), rel=1e-14)
    only_last = np.where(columns[2] == shape[0] - 1, weights.ravel(), weights.ravel() * (columns[0] == 0))
    assert group_auc(*columns, only_last) == (pytest.approx(apart[-1], rel=1e-9), 1)


def test_many_groups_take_no_loop():
    n = 1_000_000
    random = np.random.default_rng(1)
    groups, labels = random.integers(0, n // 5, n), random.random(n) < 0.2
    started = time.perf_counter()
    area, counted = group_auc(labels, random.random(n), groups)
    assert time.perf_counter() - started < 20
    assert area == pytest.approx(0.5, abs=0.01)
    assert n // 10 < counted < n // 5


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("metric", ALL)
def test_labels_of_any_dtype(metric, dtype):
    labels, values = [0, 1, 1, 0, 1], [0.25, 0.5, 0.75, 0.5, 0.25]
    assert metric(np.array(labels, dtype), np.array(values, np.float32)) == metric(labels, values)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_groups_of_any_integer_dtype(dtype):
    assert group_auc([0, 1, 0, 1], [1, 2, 4, 3], np.array([9, 9, 0, 0], dtype)) == (0.5, 2)


@pytest.mark.parametrize("metric", ALL)
def test_inputs_are_left_alone(metric):
    columns = [np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.75, 0.5, 0.25, 0.125])]
    for column in columns:
        column.flags.writeable = False
    assert isinstance(metric(*columns), float)


# What is refused, and how.


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        ([0, 1], [0.5], r"got \w+ of shape \(1,\), expected \(2,\)"),
        ([0, 1], [[0.5], [0.5]], r"got \w+ of shape \(2, 1\), expected \(2,\)"),
        ([[0], [1]], [[0.5], [0.5]], r"got labels of shape \(2, 1\), expected one dimension"),
        ([0, 2], [0.5, 0.5], r"got 2\.0 among the labels, at row 1, expected only 0 and 1"),
        ([-1, 1], [0.5, 0.5], r"got -1\.0 among the labels, at row 0, expected only 0 and 1"),
        ([0, math.nan], [0.5, 0.5], "got nan among the labels, at row 1"),
        ([0, 1], [math.nan, 0.5], r"got nan among the \w+, at row 0, expected numbers between"),
        (["no", "yes"], [0.5, 0.5], "got labels of dtype <U3, expected booleans, integers or floats"),
        ([0, 1], [0.5, 1j], r"got \w+ of dtype complex128, expected booleans"),
    ],
)
def test_refuses_what_is_not_described(metric, labels, values, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, values)


@pytest.mark.parametrize("metric", [*WEIGHTED, ungrouped_gauc])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1], r"got -1\.0 among the weights, at row 1, expected finite numbers of at least 0"),
        ([math.nan, 1], "got nan among the weights, at row 0"),
        ([math.inf, 1], "got inf among the weights, at row 0"),
        ([1, 1, 1], r"got weights of shape \(3,\), expected \(2,\)"),
    ],
)
def test_refuses_weights_that_are_none(metric, weights, message):
    with pytest.raises(ValueError, match=message):
        metric([0, 1], [0.5, 0.5], weights=weights)


@pytest.mark.parametrize("metric", TAKE_PROBABILITIES)
@pytest.mark.parametrize("value", [-0.5, 1.5, math.inf])
def test_refuses_logits_for_probabilities(metric, value):
    with pytest.raises(ValueError, match=f"got {value} among the probabilities, at row 1, expected numbers between 0 and 1"):
        metric([0, 1], [0.5, value])


@pytest.mark.parametrize("bins", [0, -1])
def test_refuses_no_bins(bins):
    with pytest.raises(ValueError, match=f"got {bins} bins, expected at least 1"):
        expected_calibration_error([0, 1], [0.5, 0.5], bins)


def test_refuses_groups_that_are_no_integers():
    with pytest.raises(ValueError, match="got groups of dtype float64, expected integers"):
        group_auc([0, 1], [1, 2], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"got groups of shape \(1,\), expected \(2,\)"):
        group_auc([0, 1], [1, 2], [1])
