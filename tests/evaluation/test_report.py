from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scores import FIGURES

from funnel.evaluation.metrics import auc, log_loss_from_logits, numbered
from funnel.evaluation.outcomes import Names, Outcomes
from funnel.evaluation.report import judge
from funnel.schema.topology import Place

X = 255
NAMES = ("click", "cart", "wish")
CONDITIONALS = ("click", "cart_given_click", "wish_given_click_not_cart")
PLACES = (Place(-1), Place(0), Place(0, excluded=(1,)))


def outcomes(labels, logits, *, groups=None, weights=None, clusters=None):
    """Rows whose cumulatives are taken for their conditionals: the report does not ask where logits are from."""
    logits = np.array(logits, np.float32).reshape(-1, 3)
    chances = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    names = Names("impression", NAMES, CONDITIONALS, ("impression", "click", "click without cart"), PLACES)
    by_name = dict(zip([*NAMES, *CONDITIONALS], np.concatenate([chances, chances], axis=1).T, strict=True))
    label = np.array(labels, np.uint8).reshape(-1, 3)
    given = None if groups is None else numbered(np.asarray(groups))
    return Outcomes(names, label, logits, lambda block, stage: block[:, stage], by_name, weights, given, clusters)


def judged(labels, logits, **others):
    return judge(outcomes(labels, logits, **others), brief=True)


#         click, cart, wish
LABELS = [[0, 0, 0], [1, 0, 1], [1, 1, 0], [1, X, 0], [X, 1, 0], [1, 0, X], [0, 0, 0], [X, X, X]]
LOGITS = np.random.default_rng(0).normal(size=[8, 3])


def counts(scores):
    return {name: (one.rows, one.positives) for name, one in scores.items()}


def test_a_probability_is_judged_where_its_label_is_known():
    found = judged(LABELS, LOGITS)
    assert counts(found.cumulative) == {"click": (6, 4), "cart": (6, 2), "wish": (6, 1)}
    # Given a click: not the cart whose click is not known. Without a cart: not the row of which that is not known.
    assert counts(found.conditional) == {"click": (6, 4), "cart": (3, 1), "wish": (1, 1)}
    rows = [0, 1, 2, 3, 5, 6]
    clicks = [LABELS[row][0] for row in rows]
    assert found.cumulative["click"].auc == auc(clicks, LOGITS[rows, 0])
    given = np.float32(LOGITS[[1, 2, 5], 1])
    assert found.conditional["cart"].log_loss == log_loss_from_logits([0, 1, 0], given)
    assert (found.conditional["cart"].space, found.conditional["wish"].space) == ("click", "click without cart")


def test_by_hand():
    found = judged([[1, 0, 0], [0, 0, 0], [X, X, 0]], [[math.log(3), 0, 0], [0, 0, 0], [9, 9, 9]]).cumulative["click"]
    assert found.log_loss == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)
    assert found.predicted_over_observed == pytest.approx(0.75 + 0.5, rel=1e-6)
    assert (found.auc, found.rows, found.positives) == (1, 2, 1)


def test_a_stage_of_which_nothing_is_known_has_no_scores():
    found = judged([[1, X, 0], [0, X, 0]], np.zeros([2, 3]), groups=np.array([0, 0])).as_dict()["cumulative"]["cart"]
    assert (found["rows"], found["positives"]) == (0, 0)
    assert all(found[name] is None for name in FIGURES)


def test_groups_are_those_of_the_rows_that_are_judged():
    labels = [[1, 0, 0], [X, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    logits = [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    found = judged(labels, logits, groups=np.array([7, 7, 7, 8, 8])).cumulative["click"]
    assert found.group_auc == (1 * 2 + 0 * 2) / 4


label = st.sampled_from([0, 1, X])
rows = st.tuples(label, label, label, st.sampled_from([-2.0, 0.0, 0.5, 3.0]), st.integers(0, 2), st.integers(0, 3))


@given(st.lists(rows, min_size=1, max_size=20))
def test_a_row_that_stands_for_many_counts_as_many(drawn):
    table = np.array(drawn)
    labels, logits, groups, weights = table[:, :3], np.repeat(table[:, 3:4], 3, axis=1), table[:, 4].astype(int), table[:, 5]
    found = judged(labels, logits, groups=groups, weights=weights)
    many = np.repeat(np.arange(len(table)), weights.astype(int))
    whole = judged(labels[many], logits[many], groups=groups[many])
    for kind in ("conditional", "cumulative"):
        for name, scores in getattr(found, kind).items():
            for score in FIGURES:
                expected = getattr(getattr(whole, kind)[name], score)
                assert getattr(scores, score) == pytest.approx(expected, rel=1e-9, nan_ok=True), (kind, name, score)
            assert scores.rows == _judged(kind, name, labels).sum()


def _judged(kind, name, labels):
    stage = ["click", "cart", "wish"].index(name)
    known = labels[:, stage] != X
    if kind == "cumulative" or stage == 0:
        return known
    return known & (labels[:, 0] == 1) & ((labels[:, 1] == 0) | (stage == 1))
