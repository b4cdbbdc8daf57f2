from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation.bootstrap import clusters_of, paired_intervals, pooled, widening
from funnel.evaluation.influence import auc_influence, calibration_influence
from funnel.evaluation.metrics import auc, numbered


def fits(random, rows, repeats, gain=0.3):
    """Labels; and scores of two variants, each trained several times: [2, repeats, rows]."""
    labels = random.random(rows) < 0.3
    common = random.normal(0, 1, rows) + labels
    scores = [[common + random.normal(0, 0.4, rows) + shift * labels for _ in range(repeats)] for shift in (0, gain)]
    return labels, np.array(scores)


def linear(labels, scores, clusters):
    """The differences and their influences, as the table makes them."""
    found = [[auc_influence(labels, one) for one in variant] for variant in scores]
    differences = np.array([[one[0] - first[0] for first, one in zip(*found, strict=True)]])
    influences = np.array([[pooled(one[1] - first[1], clusters) for first, one in zip(*found, strict=True)]])
    return differences, influences


def brute_force(labels, scores, resamples, clusters, seed):
    """Both AUCs computed anew on the rows that were drawn, for the repeats that were drawn."""
    random = np.random.default_rng(seed)
    repeats, members = scores.shape[1], [np.flatnonzero(clusters == one) for one in range(clusters.max() + 1)]
    found = []
    for _ in range(resamples):
        rows = np.concatenate([members[one] for one in random.integers(0, len(members), len(members))])
        by_repeat = [auc(labels[rows], scores[1, r, rows]) - auc(labels[rows], scores[0, r, rows]) for r in range(repeats)]
        times = np.bincount(random.integers(0, repeats, repeats), minlength=repeats)
        weights = 1 + (times - 1) * widening(repeats, 0.95) if repeats > 1 else np.ones(1)
        found.append(np.mean(weights * by_repeat))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("grouped", [False, True])
def test_it_is_the_bootstrap_that_computes_each_score_anew(repeats, grouped) -> None:
    random = np.random.default_rng(repeats)
    labels, scores = fits(random, 600, repeats)
    clusters = clusters_of(600, random.integers(0, 90, 600).astype(np.int32) if grouped else None)
    low, high = paired_intervals(*linear(labels, scores, clusters))[0]
    slow_low, slow_high = brute_force(labels, scores, 1500, clusters, 5)
    width = slow_high - slow_low
    assert low == pytest.approx(slow_low, abs=0.08 * width)
    assert high == pytest.approx(slow_high, abs=0.08 * width)


def test_pooling_rows_keeps_the_width() -> None:
    labels, scores = fits(np.random.default_rng(8), 20_000, 2)
    every = paired_intervals(*linear(labels, scores, clusters_of(20_000, most=1 << 20)))[0]
    few = [np.diff(paired_intervals(*linear(labels, scores, clusters_of(20_000, most=2000, seed=s)))[0])[0] for s in range(6)]
    assert np.mean(few) == pytest.approx(every[1] - every[0], rel=0.03)


def coverage(draw, truth, times) -> float:
    hits = 0
    for _ in range(times):
        low, high = paired_intervals(*draw(), resamples=600)[0]
        hits += low <= truth <= high
    return hits / times


def test_it_covers_the_true_difference_of_rows_and_seeds() -> None:
    """A fit's quality varies by its seed, and its score by the rows that it is judged on."""
    random = np.random.default_rng(11)
    # Positives stand `d` above negatives, in normals: the AUC is Phi(d / sqrt 2). The mean over seeds is what is looked for.
    quality = [0.8 + 0.06 * random.normal(0, 1, 100_000), 1.0 + 0.06 * random.normal(0, 1, 100_000)]
    truth = np.mean([0.5 * (1 + math.erf(d / 2)) for d in quality[1][:20_000]]) - np.mean(
        [0.5 * (1 + math.erf(d / 2)) for d in quality[0][:20_000]]
    )

    def draw():
        labels = random.random(500) < 0.3
        noise = random.normal(0, 1, 500)
        scores = np.array([[noise + d * labels for d in random.choice(quality[v], 10)] for v in (0, 1)])
        return linear(labels, scores, clusters_of(500))

    assert coverage(draw, truth, 400) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(
    ("repeats", "freedom_t"), [(2, 12.706205), (3, 4.302653), (4, 3.182446), (10, 2.262157), (31, 2.042272)]
)
def test_few_repeats_are_spread_as_students_t_wants(repeats, freedom_t) -> None:
    assert widening(repeats, 0.95) == pytest.approx(math.sqrt(repeats / (repeats - 1)) * freedom_t / 1.959964, rel=0.01)


@pytest.mark.parametrize("repeats", [2, 3, 5, 10])
def test_it_covers_where_seeds_alone_matter(repeats) -> None:
    random = np.random.default_rng(repeats)

    def draw():
        return random.normal(0.3, 1, [1, repeats]), np.zeros([1, repeats, 4])

    assert 0.89 < coverage(draw, 0.3, 600) < 0.98


def test_it_covers_where_rows_of_a_group_are_alike() -> None:
    random = np.random.default_rng(12)

    def draw(grouped=True):
        groups = np.repeat(np.arange(60), 10)
        labels = np.repeat(random.random(60) < 0.4, 10)
        noise = [np.repeat(random.normal(0, 1, 60), 10) for _ in range(2)]
        scores = np.array([[noise[0] + labels], [noise[1] + labels]])
        return linear(labels, scores, clusters_of(600, groups if grouped else None))

    assert coverage(draw, 0.0, 300) == pytest.approx(0.94, abs=0.04)
    assert coverage(lambda: draw(grouped=False), 0.0, 100) < 0.7  # as if there were ten times as many rows


def test_of_calibration() -> None:
    random = np.random.default_rng(13)

    def draw():
        chances = random.beta(2, 6, 400)
        labels = random.random(400) < chances
        found = [calibration_influence(labels, p) for p in (chances, np.clip(1.2 * chances, 0, 1))]
        return np.array([[found[1][0] - found[0][0]]]), np.array([[found[1][1] - found[0][1]]])

    truth = np.mean(np.clip(1.2 * (b := random.beta(2, 6, 1_000_000)), 0, 1)) / b.mean() - 1
    assert coverage(draw, truth, 300) == pytest.approx(0.94, abs=0.04)


def test_equal_seeds_give_equal_intervals_whatever_the_blocks() -> None:
    labels, scores = fits(np.random.default_rng(3), 301, 3)
    made = linear(labels, scores, clusters_of(301))
    one = paired_intervals(*made, resamples=501)
    np.testing.assert_allclose(one, paired_intervals(*made, resamples=501, block=1000), rtol=1e-12)
    np.testing.assert_allclose(one, paired_intervals(*made, resamples=501, block=1), rtol=1e-12)
    assert (paired_intervals(*made, resamples=501, seed=1) != one).all()


def test_comparisons_are_apart_and_an_undefined_one_stays_so() -> None:
    labels, scores = fits(np.random.default_rng(4), 200, 2)
    differences, influences = linear(labels, scores, clusters_of(200))
    several = paired_intervals(
        np.concatenate([differences, np.full_like(differences, np.nan), differences + 1]),
        np.concatenate([influences, np.zeros_like(influences), influences]),
    )
    np.testing.assert_allclose(several[0], paired_intervals(differences, influences)[0])
    assert np.isnan(several[1]).all()
    np.testing.assert_allclose(several[2], several[0] + 1)
    with pytest.raises(ValueError, match="shape"):
        paired_intervals(differences, influences[:, :1])


def test_a_variant_compared_to_itself_differs_by_nothing() -> None:
    np.testing.assert_array_equal(paired_intervals(np.zeros([1, 3]), np.zeros([1, 3, 50])), [[0, 0]])


@given(st.lists(st.integers(-5, 5), max_size=60), st.integers(1, 9), st.booleans())
def test_clusters_hold_whole_groups_and_no_sum_is_lost(groups, most, own) -> None:
    given_groups = None if own else numbered(np.array(groups, np.int64))
    clusters = clusters_of(len(groups), given_groups, most=most)
    assert clusters.shape == (len(groups),)
    distinct = len(groups) if own else len(set(groups))
    assert sorted(set(clusters.tolist())) == list(range(min(most, distinct)))
    if not own:
        assert all(len({c for g, c in zip(groups, clusters, strict=True) if g == one}) == 1 for one in set(groups))
    values = np.arange(len(groups), dtype=np.float64)
    assert pooled(values, clusters).sum() == values.sum()
