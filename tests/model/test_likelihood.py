import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.model._keras import tf
from funnel.model.likelihood import cross_entropy, cumulative_logits, probabilities

CHAINS = [tuple(range(-1, stages - 1)) for stages in range(1, 8)]
TREE = (-1, 0, 0, 2, -1, 4)


def exact_cumulative(conditional: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """log(p / (1 - p)) of products of probabilities, with 120 digits."""
    with mpmath.workdps(120):
        rows = []
        for row in conditional:
            p: list[mpmath.mpf] = []
            for z, parent in zip(row, parents, strict=True):
                p.append((p[parent] if parent >= 0 else mpmath.mpf(1)) / (1 + mpmath.exp(-mpmath.mpf(float(z)))))
            rows.append([float(mpmath.log(value / (1 - value))) for value in p])
    return np.array(rows)


def exact_loss(conditional: np.ndarray, labels: np.ndarray, parents: tuple[int, ...]) -> mpmath.mpf:
    p: list[mpmath.mpf] = []
    total = mpmath.mpf(0)
    for z, label, parent in zip(conditional, labels, parents, strict=True):
        p.append((p[parent] if parent >= 0 else mpmath.mpf(1)) / (1 + mpmath.exp(-z)))
        total -= mpmath.log(p[-1]) if label else mpmath.log(1 - p[-1])
    return total


def consistent_labels(rng: np.random.Generator, rows: int, parents: tuple[int, ...]) -> np.ndarray:
    labels = rng.integers(0, 2, [rows, len(parents)])
    for stage, parent in enumerate(parents):
        if parent >= 0:
            labels[:, stage] &= labels[:, parent]
    return labels


def gradient(conditional: np.ndarray, labels: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    logits = tf.constant(conditional)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(cross_entropy(tf.constant(labels, logits.dtype), cumulative_logits(logits, parents)))
    return tape.gradient(loss, logits).numpy()


def test_a_hand_worked_chain() -> None:
    # P(click) = .5, P(buy | click) = .25: P(buy) = .125, odds 1 : 7.
    conditional = tf.constant([[0.0, -math.log(3)]])
    assert cumulative_logits(conditional, (-1, 0)).numpy()[0] == pytest.approx([0.0, -math.log(7)], rel=1e-6)
    loss = cross_entropy(tf.constant([[1.0, 0.0]]), cumulative_logits(conditional, (-1, 0))).numpy()[0]
    assert loss == pytest.approx([math.log(2), -math.log(7 / 8)], rel=1e-6)


def test_a_tree_has_two_children_of_one_parent() -> None:
    conditional = tf.constant([[0.0, 0.0, -math.log(3)]])
    _, cumulative = probabilities(conditional, (-1, 0, 0))
    assert cumulative.numpy()[0] == pytest.approx([0.5, 0.25, 0.125], rel=1e-6)


@pytest.mark.parametrize("parents", [*CHAINS, TREE])
def test_cumulative_logits_are_those_of_the_product(parents: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(parents))
    conditional = rng.uniform(-100, 100, [40, len(parents)]).astype(np.float32)
    found = cumulative_logits(tf.constant(conditional), parents).numpy()
    np.testing.assert_allclose(found, exact_cumulative(conditional, parents), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("parents", [*CHAINS, TREE])
def test_gradients_match_float64_finite_differences(parents: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(parents) + 100)
    conditional = rng.uniform(-40, 40, [12, len(parents)]).astype(np.float32)
    conditional[0] = 0.0
    conditional[1] = conditional[1, 0]
    labels = consistent_labels(rng, len(conditional), parents)
    found = gradient(conditional, labels, parents)
    step = mpmath.mpf(2) ** -40
    with mpmath.workdps(80):
        for row, column in np.ndindex(*conditional.shape):
            above, below = ([mpmath.mpf(float(z)) for z in conditional[row]] for _ in range(2))
            above[column] += step
            below[column] -= step
            expected = (exact_loss(above, labels[row], parents) - exact_loss(below, labels[row], parents)) / (2 * step)
            assert found[row, column] == pytest.approx(float(expected), rel=2e-5, abs=1e-7)


@pytest.mark.parametrize("parents", CHAINS)
def test_float64_differences_of_the_function_itself(parents: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(parents) + 200)
    conditional = rng.uniform(-40, 40, [30, len(parents)])
    labels = consistent_labels(rng, len(conditional), parents)

    def loss(logits: np.ndarray) -> np.ndarray:
        return (
            cross_entropy(tf.constant(labels, tf.float64), cumulative_logits(tf.constant(logits), parents)).numpy().sum(axis=1)
        )

    found = gradient(conditional.astype(np.float32), labels, parents)
    for column in range(len(parents)):
        nudge = np.zeros(len(parents))
        nudge[column] = 1e-5
        expected = (loss(conditional + nudge) - loss(conditional - nudge)) / 2e-5
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_a_positive_at_one_in_a_million_millions_still_pulls(stages: int) -> None:
    z = math.log(1e-12 ** (1 / stages))
    conditional = np.full([1, stages], z - math.log1p(-math.exp(z)), np.float32)
    found = gradient(conditional, np.ones([1, stages]), CHAINS[stages - 1])
    # Stage k's logit serves the losses of all stages from k on; each pulls with 1 - p of it.
    exact = [-(stages - k) * (1 - math.exp(z)) for k in range(stages)]
    assert found[0] == pytest.approx(exact, rel=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.floats(-200, 200, width=32), min_size=6, max_size=6), min_size=1, max_size=5))
def test_no_stage_is_likelier_than_its_parent(rows: list[list[float]]) -> None:
    conditional, cumulative = (part.numpy() for part in probabilities(tf.constant(rows, tf.float32), TREE))
    assert np.isfinite(cumulative).all()
    for stage, parent in enumerate(TREE):
        bound = cumulative[:, parent] if parent >= 0 else np.ones(len(rows))
        assert (cumulative[:, stage] <= bound).all()
    assert (conditional >= 0).all()
    assert (conditional <= 1).all()
