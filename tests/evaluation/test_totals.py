from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation import sorting
from funnel.evaluation.rows import Rows
from funnel.evaluation.totals import Sum, Totals

ROW = st.tuples(st.booleans(), st.floats(-50, 50), st.integers(0, 3), st.integers(0, 4))
FIELDS = ("rows", "positives", "weight", "label", "chance", "loss")


@given(st.lists(ROW, max_size=25), st.sampled_from([1, 3, 1 << 16]), st.booleans(), st.booleans())
def test_sums_are_those_of_the_rows_of_each_cluster_however_they_are_cut(drawn, size, weighted, clustered):
    labels, logits = np.array([one[0] for one in drawn], bool), np.array([one[1] for one in drawn], np.float64)
    weights, clusters = (np.array([one[column] for one in drawn], np.int32) for column in (2, 3))
    chances = (1 / (1 + np.exp(-logits))).astype(np.float32)
    rows = Rows(
        labels,
        chances,
        logits,
        weights.astype(np.float64) if weighted else None,
        clusters=clusters if clustered else None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        found = Totals.of(rows, 5)
    weight = weights if weighted else np.ones(len(drawn))
    loss = np.log1p(np.exp(np.where(labels, -logits, logits)))
    expected = np.ones(len(drawn)), labels, weight, labels * weight, chances * weight, loss * weight
    for field, values in zip(FIELDS, expected, strict=True):
        one = getattr(found, field)
        assert one.total == pytest.approx(float(np.sum(values, dtype=np.float64)), rel=1e-6 if field == "chance" else 1e-12)
        by_cluster = [float(values[clusters == cluster].sum(dtype=np.float64)) for cluster in range(5)] if clustered else []
        np.testing.assert_allclose(one.by_cluster, by_cluster, rtol=1e-6 if field == "chance" else 1e-12, atol=1e-300)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_clusters_influence_is_the_ratios_derivative(columns):
    above, below = (np.array(column, np.float64) for column in zip(*columns, strict=True))
    ratio, influence = Sum(above.sum(), above).over(Sum(below.sum(), below))
    if not below.any():
        assert math.isnan(ratio)
        assert not influence.any()
        return
    assert ratio == above.sum() / below.sum()
    by = 1e-6
    for cluster in range(len(columns)):
        more, less = ((above.sum() + h * above[cluster]) / (below.sum() + h * below[cluster]) for h in (by, -by))
        assert influence[cluster] == pytest.approx((more - less) / (2 * by), rel=1e-6, abs=1e-8)


def test_what_is_infinite_has_no_influence_that_can_be_told():
    ratio, influence = Sum(math.inf, np.array([math.inf, 1])).over(Sum(2, np.ones(2)))
    assert ratio == math.inf
    assert influence.tolist() == [0, 0]


def test_a_row_of_weight_0_costs_nothing_however_wrong_it_is():
    logits = np.array([-np.inf, 0.0, np.inf])
    rows = Rows(np.array([True, True, True]), np.array([0, 0.5, 1], np.float32), logits, np.array([0.0, 2.0, 1.0]))
    assert Totals.of(rows, 0).loss.total == pytest.approx(2 * math.log(2))
    assert Totals.of(Rows(rows.labels, rows.chances, logits), 0).loss.total == math.inf


def test_even_clusters_are_independent_and_uneven_ones_count_for_fewer():
    assert Sum(8, np.array([2.0, 2, 2, 2, 0])).independent == 4
    assert Sum(8, np.array([7.0, 1])).independent == 1
    assert Sum(9, np.array([5.0, 4])).less(Sum(5, np.array([5.0, 0]))).independent == 1
