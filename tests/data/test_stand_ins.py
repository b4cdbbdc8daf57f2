"""Rows that stand for others of which it is not known whether they reached a stage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.labels import ABSENT, UNKNOWN
from funnel.data.stage_counts import StageCounts
from funnel.data.stand_ins import is_answered, is_answered_inside, kinds, stand_ins
from funnel.schema.topology import Place

X, A = UNKNOWN, ABSENT
TWO = (Place(-1), Place(0))


def test_by_hand():
    #           click, buy
    labels = np.array([[0, 0], [0, 0], [1, 1], [1, X], [1, X], [1, 0], [X, 0], [X, X], [X, X]], np.uint8)
    # Two of the four clicked rows stand for all four; one of three of which no click is known for these.
    np.testing.assert_allclose(stand_ins(labels, 1, TWO), [1, 1, 2, 0, 0, 2, 3, 0, 0])
    np.testing.assert_allclose(stand_ins(labels, 0, TWO), [1.5] * 6 + [0] * 3)
    weights = np.array([1, 1, 3, 1, 0, 1, 2, 1, 1])
    # Of clicked rows that count 5, those that count 4 are known.
    np.testing.assert_allclose(stand_ins(labels, 1, TWO, weights), [1, 1, 3 * 5 / 4, 0, 0, 5 / 4, 4, 0, 0])


def test_where_all_is_known_each_stands_for_itself():
    labels = np.array([[0, 0], [1, 1], [1, 0]], np.uint8)
    assert stand_ins(labels, 1, TWO) is None
    np.testing.assert_array_equal(stand_ins(labels, 1, TWO, np.array([1.0, 2.0, 3.0])), [1, 2, 3])


def test_where_nothing_is_known_of_a_kind_nothing_stands_for_it():
    labels = np.array([[0, 0], [1, X], [1, X]], np.uint8)
    np.testing.assert_array_equal(stand_ins(labels, 1, TWO), [1, 0, 0])
    assert len(stand_ins(labels[:0], 1, TWO, np.zeros(0))) == 0


@given(st.lists(st.sampled_from([(0, 0), (1, 0), (1, 1), (1, X), (X, 0), (X, 1), (X, X)]), max_size=30))
def test_each_kind_weighs_as_much_as_it_has_rows(rows):
    labels = np.array(rows, np.uint8).reshape(-1, 2)
    found = stand_ins(labels, 1, TWO)
    found = np.ones(len(labels)) if found is None else found
    for click in (0, 1, X):
        kind = labels[:, 0] == click
        some = (labels[kind, 1] != X).any()
        assert found[kind].sum() == pytest.approx(kind.sum() if some else 0)


def test_a_rate_is_right_where_labels_are_lost_by_chance_and_wrong_without_stand_ins():
    rng = np.random.default_rng(0)
    click = rng.random(200_000) < 0.2
    buy = click & (rng.random(200_000) < 0.3)
    lost = rng.random(200_000) < 0.5
    labels = np.stack([click, np.where(lost & click, X, buy)], axis=1).astype(np.uint8)
    weights = stand_ins(labels, 1, TWO)
    known = labels[:, 1] != X
    assert np.average(labels[known, 1], weights=weights[known]) == pytest.approx(buy.mean(), rel=0.03)
    assert labels[known, 1].mean() < 0.6 * buy.mean()


def test_a_column_of_two_stages_tells_of_neither_where_it_is_not_known_which():
    """ESM2: click, direct, buy_direct and buy_other, which read one column."""
    topology = (Place(-1), Place(0), Place(1, shares_label=True), Place(0, excluded=(1,), shares_label=True))
    rng = np.random.default_rng(1)
    rows = 300_000
    click = rng.random(rows) < 0.3
    direct = click & (rng.random(rows) < 0.4)
    bought = click & (rng.random(rows) < np.where(direct, 0.5, 0.1))
    truth = {2: (direct & bought).mean(), 3: (click & ~direct & bought).mean()}
    labels = np.stack([click, direct, direct & bought, ~direct & bought], axis=1).astype(np.uint8)
    lost = click & (rng.random(rows) < 0.3)
    labels[lost, 1] = X
    # What is said of the branches then: a purchase is of either, and no purchase is of none.
    labels[lost & bought, 2:] = X
    for stage, rate in truth.items():
        weights = stand_ins(labels, stage, topology)
        assert weights.sum() == pytest.approx(rows)
        judged = weights > 0
        assert np.average(labels[judged, stage], weights=weights[judged]) == pytest.approx(rate, rel=0.02)
        assert not weights[lost].any()


def test_rows_that_lack_a_stage_stand_for_none_and_none_for_them():
    #           click, buy
    labels = np.array([[0, 0], [1, 1], [1, X], [1, A], [0, A], [X, A], [X, 0], [X, X]], np.uint8)
    # One of two clicked rows that have the stage is known; likewise of those of which no click is known.
    np.testing.assert_allclose(stand_ins(labels, 1, TWO), [1, 2, 0, 0, 0, 0, 2, 0])
    inside, elsewhere = kinds(labels, 1, TWO[1])
    assert inside.tolist() == [False, True, True, False, False, False, False, False]
    assert elsewhere.tolist() == [False] * 6 + [True] * 2
    assert is_answered(labels, 1, TWO[1]).tolist() == [True, True] + [False] * 4 + [True, False]
    assert is_answered_inside(labels, 1, TWO[1]).tolist() == [False, True] + [False] * 6
    counts = StageCounts.of(TWO, labels)
    assert [counts.absent[1], counts.known[1], counts.inside[1], counts.given[1], counts.elsewhere[1]] == [3, 3, 2, 1, 2]
