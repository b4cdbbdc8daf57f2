"""Paired differences: against differences of figures, a slow bootstrap, and what must be so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from funnel.evaluation.bootstrap import clusters_of
from funnel.evaluation.comparison import Change, compare_probabilities, compare_slices, compare_truth
from funnel.evaluation.metrics import auc, log_loss_from_logits, predicted_over_observed
from funnel.evaluation.outcomes import Names, Outcomes
from funnel.evaluation.slices import Cut
from funnel.schema.topology import Place

NAMES = Names("impression", ("click", "buy"), ("click", "buy_given_click"), ("impression", "click"), (Place(-1), Place(0)))
ALL = {"click", "buy", "buy_given_click"}
FIGURES = {
    "auc", "group_auc", "pr_auc", "log_loss", "normalized_entropy", "predicted_over_observed", "calibration_error",
}  # fmt: skip


def to_cumulative(block, stage):
    """Chains, the plain way."""
    chance = np.prod(1 / (1 + np.exp(-block[:, : stage + 1].astype(np.float64))), axis=1)
    return np.log(chance) - np.log1p(-chance)


def drawn(runs=2, users=120, seed=0):
    """Rows of users who differ, as several runs predict them, each with an error of its own."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), random.poisson(6, users) + 1).astype(np.int32)
    true = np.array([-0.5, -0.7]) + random.normal(0, 0.8, (users, 2))[user] + random.normal(size=(len(user), 2))
    labels = np.cumprod(random.random(true.shape) < 1 / (1 + np.exp(-true)), axis=1).astype(np.uint8)
    shared = true + random.normal(0, 0.7, true.shape)
    found = []
    for run in range(runs):
        logits = (shared + random.normal(0, 0.4 * run + 0.1, true.shape)).astype(np.float32)
        found.append(predicted(labels, logits, user))
    return found, 1 / (1 + np.exp(-true))


def predicted(labels, logits, user):
    own = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    chances = {"click": own[:, 0], "buy": own.prod(axis=1), "buy_given_click": own[:, 1]}
    return Outcomes(NAMES, labels, logits, to_cumulative, chances, None, user, clusters_of(len(user), user))


def test_a_change_is_the_difference_of_figures_and_the_first_has_none():
    outcomes, _ = drawn(3)
    found = compare_probabilities(outcomes, ALL)
    assert [one.name for one in found] == ["click", "buy", "buy_given_click"]
    for one in found:
        assert one.changes[0] == {}
        for scores, changes in zip(one.scores[1:], one.changes[1:], strict=True):
            assert set(changes) == FIGURES
            for figure, change in changes.items():
                assert change.value == pytest.approx(getattr(scores, figure) - getattr(one.scores[0], figure), abs=1e-15)
                assert change.low < change.value < change.high


def test_a_run_does_not_differ_from_itself():
    outcomes, _ = drawn(1)
    for one in compare_probabilities(outcomes * 2, ALL):
        assert set(one.changes[1].values()) == {Change(0.0, 0.0, 0.0)}
        assert not any(change.sure for change in one.changes[1].values())


def test_swapped_runs_swap_signs():
    outcomes, _ = drawn()
    for one, other in zip(compare_probabilities(outcomes, ALL), compare_probabilities(outcomes[::-1], ALL), strict=True):
        for figure, change in one.changes[1].items():
            back = other.changes[1][figure]
            assert (back.value, back.low, back.high) == pytest.approx((-change.value, -change.high, -change.low), abs=1e-12)


def test_intervals_are_those_of_a_slow_bootstrap_and_narrower_than_apart():
    outcomes, _ = drawn(users=400)
    found = compare_probabilities(outcomes, ALL)[2]
    label, user, inside = outcomes[0].labels[:, 1], outcomes[0].groups, outcomes[0].labels[:, 0] == 1
    rows_of = [np.flatnonzero(inside & (user == one)) for one in range(400)]
    figures = {
        "auc": lambda run, rows: auc(label[rows], run.chances["buy_given_click"][rows]),
        "log_loss": lambda run, rows: log_loss_from_logits(label[rows], run.logits[rows, 1]),
        "predicted_over_observed": lambda run, rows: predicted_over_observed(label[rows], run.chances["buy_given_click"][rows]),
    }
    random = np.random.default_rng(1)
    drawn_: dict[str, list[float]] = {figure: [] for figure in figures}
    for _ in range(1500):
        rows = np.concatenate([rows_of[one] for one in random.integers(0, 400, 400)])
        for figure, of in figures.items():
            drawn_[figure].append(of(outcomes[1], rows) - of(outcomes[0], rows))
    for figure, values in drawn_.items():
        change = found.changes[1][figure]
        low, high = np.quantile(values, [0.025, 0.975])
        assert change.high - change.low == pytest.approx(high - low, rel=0.12), figure
        assert change.low == pytest.approx(low, abs=0.12 * (high - low)), figure
        apart = found.scores[0].intervals[figure]
        assert change.high - change.low < 0.8 * (apart[1] - apart[0]), figure


def test_only_what_is_shared_is_compared():
    outcomes, _ = drawn()
    assert [one.name for one in compare_probabilities(outcomes, {"buy"})] == ["buy"]


def test_where_a_figure_is_undefined_there_is_no_change():
    outcomes, _ = drawn()
    none = [replace(one, labels=np.zeros_like(one.labels)) for one in outcomes]
    for one in compare_probabilities(none, ALL):
        assert "auc" not in one.changes[1]
        assert "predicted_over_observed" not in one.changes[1]


def test_a_slice_is_compared_as_its_rows_alone_are():
    outcomes, _ = drawn()
    parts = (np.arange(outcomes[0].rows) % 3 == 0).astype(np.int32)
    slices = compare_slices(outcomes, ALL, Cut("third", ("others", "thirds"), parts))
    assert [(one.value, one.rows) for one in slices] == [("others", (parts == 0).sum()), ("thirds", (parts == 1).sum())]
    assert sum(one.share for one in slices) == pytest.approx(1)
    alone = compare_probabilities([one.only(np.flatnonzero(parts == 1)) for one in outcomes], ALL)
    assert slices[1].probabilities == alone


def test_against_the_truth():
    outcomes, truth = drawn()
    found = compare_truth(outcomes, {"buy_given_click"}, truth)
    (one,) = found
    assert (one.name, one.stage) == ("buy_given_click", "buy")
    assert one.changes[1]["auc"].value == pytest.approx(one.scores[1].auc - one.scores[0].auc, abs=1e-15)
    assert one.changes[1]["auc"].high < 0  # the second has more noise
    assert set(one.changes[1]) == {"auc", "predicted_over_true"}
