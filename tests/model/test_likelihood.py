import math
from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.model._keras import tf
from funnel.model.likelihood import cross_entropy, cumulative_logits, probabilities, with_joins
from funnel.schema.stages import Stage
from funnel.schema.topology import Place, Topology, topology_of


def plain(*parents: int) -> Topology:
    return tuple(Place(parent) for parent in parents)


def declared(*stages: dict) -> Topology:
    return topology_of("space", [Stage(**({} if "any_of" in stage else {"label": stage["name"]}), **stage) for stage in stages])


CHAINS = [plain(*range(-1, stages - 1)) for stages in range(1, 8)]
TREE = plain(-1, 0, 0, 2, -1, 4)
ESM2 = declared(
    {"name": "click"},
    {"name": "direct"},
    {"name": "buy_direct"},
    {"name": "buy_other", "unless": "direct"},
    {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
    {"name": "again"},
)
EXCLUSIVE = declared(  # three that exclude each other, given the space; a join of two, one of them below; and one unless it
    {"name": "a"},
    {"name": "b", "unless": "a"},
    {"name": "c", "unless": "b"},
    {"name": "d", "given": "b"},
    {"name": "j", "any_of": ["a", "d"]},
    {"name": "k", "given": "space", "unless": "j"},
)
TOPOLOGIES = [*CHAINS, TREE, ESM2, EXCLUSIVE]


def towers(topology: Topology) -> int:
    return sum(not place.is_join for place in topology)


def exact_probabilities(logits: Sequence[Any], topology: Topology) -> list[mpmath.mpf]:
    """Products of the paper, and sums of them for joins, from the towers' logits."""
    given, c, p = iter(logits), [], []
    for place in topology:
        above = p[place.parent] if place.parent >= 0 else mpmath.mpf(1)
        if place.is_join:
            p.append(mpmath.fsum(p[branch] for branch in place.branches))
            c.append(p[-1] / above)
            continue
        for other in place.excluded:
            above *= 1 - c[other]
        c.append(1 / (1 + mpmath.exp(-mpmath.mpf(next(given)))))
        p.append(above * c[-1])
    return p


def exact_cumulative(logits: np.ndarray, topology: Topology) -> np.ndarray:
    """log(p / (1 - p)), with 300 digits."""
    with mpmath.workdps(300):
        found = [exact_probabilities([float(z) for z in row], topology) for row in logits]
        return np.array([[float(mpmath.log(p / (1 - p))) for p in row] for row in found])


def exact_loss(logits: Sequence[Any], labels: np.ndarray, topology: Topology) -> mpmath.mpf:
    found = zip(exact_probabilities(logits, topology), labels, strict=True)
    return -mpmath.fsum(mpmath.log(p) if label else mpmath.log(1 - p) for p, label in found)


def cumulative_of(logits: tf.Tensor, topology: Topology) -> tf.Tensor:
    return cumulative_logits(with_joins(tf.unstack(logits, axis=1), topology), topology)


def consistent_labels(rng: np.random.Generator, rows: int, topology: Topology) -> np.ndarray:
    labels = rng.integers(0, 2, [rows, len(topology)])
    for stage, place in enumerate(topology):
        if place.is_join:
            labels[:, stage] = labels[:, place.branches].any(axis=1)
            continue
        labels[:, stage] &= labels[:, place.parent] if place.parent >= 0 else 1
        for other in place.excluded:
            labels[:, stage] &= 1 - labels[:, other]
    return labels


def gradient(logits_BT: np.ndarray, labels: np.ndarray, topology: Topology) -> np.ndarray:
    logits = tf.constant(logits_BT)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(cross_entropy(tf.constant(labels, logits.dtype), cumulative_of(logits, topology)))
    return tape.gradient(loss, logits).numpy()


def test_a_hand_worked_chain() -> None:
    # P(click) = .5, P(buy | click) = .25: P(buy) = .125, odds 1 : 7.
    conditional = tf.constant([[0.0, -math.log(3)]])
    assert cumulative_logits(conditional, CHAINS[1]).numpy()[0] == pytest.approx([0.0, -math.log(7)], rel=1e-6)
    loss = cross_entropy(tf.constant([[1.0, 0.0]]), cumulative_logits(conditional, CHAINS[1])).numpy()[0]
    assert loss == pytest.approx([math.log(2), -math.log(7 / 8)], rel=1e-6)


def test_a_tree_has_two_children_of_one_parent() -> None:
    conditional = tf.constant([[0.0, 0.0, -math.log(3)]])
    _, cumulative = probabilities(conditional, plain(-1, 0, 0))
    assert cumulative.numpy()[0] == pytest.approx([0.5, 0.25, 0.125], rel=1e-6)


def test_esm2_by_hand() -> None:
    # P(click) = .5, P(direct | click) = .2, P(buy | direct) = .5, P(buy | click, not direct) = .25.
    logits = [tf.constant([math.log(p / (1 - p))]) for p in (0.5, 0.2, 0.5, 0.25, 0.5)]
    conditional, cumulative = probabilities(with_joins(logits, ESM2), ESM2)
    assert conditional.numpy()[0] == pytest.approx([0.5, 0.2, 0.5, 0.25, 0.2 * 0.5 + 0.8 * 0.25, 0.5], rel=1e-6)
    assert cumulative.numpy()[0] == pytest.approx([0.5, 0.1, 0.05, 0.1, 0.15, 0.075], rel=1e-6)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_cumulative_logits_are_those_of_the_product(topology: Topology) -> None:
    rng = np.random.default_rng(len(topology))
    logits = rng.uniform(-100, 100, [40, towers(topology)]).astype(np.float32)
    found = cumulative_of(tf.constant(logits), topology).numpy()
    np.testing.assert_allclose(found, exact_cumulative(logits, topology), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_gradients_match_float64_finite_differences(topology: Topology) -> None:
    rng = np.random.default_rng(len(topology) + 100)
    logits = rng.uniform(-40, 40, [12, towers(topology)]).astype(np.float32)
    logits[0] = 0.0
    logits[1] = logits[1, 0]
    labels = consistent_labels(rng, len(logits), topology)
    found = gradient(logits, labels, topology)
    step = mpmath.mpf(2) ** -40
    with mpmath.workdps(120):
        for row, column in np.ndindex(*logits.shape):
            above, below = ([mpmath.mpf(float(z)) for z in logits[row]] for _ in range(2))
            above[column] += step
            below[column] -= step
            expected = (exact_loss(above, labels[row], topology) - exact_loss(below, labels[row], topology)) / (2 * step)
            assert found[row, column] == pytest.approx(float(expected), rel=2e-5, abs=1e-7)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_float64_differences_of_the_function_itself(topology: Topology) -> None:
    rng = np.random.default_rng(len(topology) + 200)
    logits = rng.uniform(-40, 40, [30, towers(topology)])
    labels = consistent_labels(rng, len(logits), topology)

    def loss(logits: np.ndarray) -> np.ndarray:
        return cross_entropy(tf.constant(labels, tf.float64), cumulative_of(tf.constant(logits), topology)).numpy().sum(axis=1)

    found = gradient(logits.astype(np.float32), labels, topology)
    for column in range(logits.shape[1]):
        nudge = np.zeros(logits.shape[1])
        nudge[column] = 1e-5
        expected = (loss(logits + nudge) - loss(logits - nudge)) / 2e-5
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_a_positive_at_one_in_a_million_millions_still_pulls(stages: int) -> None:
    z = math.log(1e-12 ** (1 / stages))
    conditional = np.full([1, stages], z - math.log1p(-math.exp(z)), np.float32)
    found = gradient(conditional, np.ones([1, stages]), CHAINS[stages - 1])
    # Stage k's logit serves the losses of all stages from k on; each pulls with 1 - p of it.
    exact = [-(stages - k) * (1 - math.exp(z)) for k in range(stages)]
    assert found[0] == pytest.approx(exact, rel=1e-3)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([TREE, ESM2, EXCLUSIVE]), st.data())
def test_no_stage_is_likelier_than_its_parent_nor_are_exclusive_ones_together(topology: Topology, data: st.DataObject) -> None:
    row = st.lists(st.floats(-200, 200, width=32), min_size=towers(topology), max_size=towers(topology))
    rows = tf.constant(data.draw(st.lists(row, min_size=1, max_size=5)), tf.float32)
    both = probabilities(with_joins(tf.unstack(rows, axis=1), topology), topology)
    conditional, cumulative = (part.numpy() for part in both)
    assert np.isfinite(cumulative).all()
    for stage, place in enumerate(topology):
        bound = cumulative[:, place.parent] if place.parent >= 0 else np.ones(len(rows), np.float32)
        assert (cumulative[:, stage] <= bound).all()
        assert (cumulative[:, [*place.excluded, stage]].sum(axis=1) <= bound).all()
        if place.is_join:
            # But for the last bits of what is above them all, which they may not exceed.
            apart = np.abs(cumulative[:, stage] - cumulative[:, place.branches].sum(axis=1))
            assert (apart <= 1e-5 * cumulative[:, stage] + 2.0**-22 * bound + 1e-37).all()
    assert (conditional >= 0).all()
    assert (conditional <= 1).all()
