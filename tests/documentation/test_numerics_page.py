"""What the page of the numerics proves holds for what is computed."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from funnel.model._keras import tf
from funnel.model.likelihood import cross_entropy, cumulative_logits
from funnel.schema.topology import Place

CHAIN = tuple(Place(parent) for parent in (-1, 0, 1))
UNIT, ROUNDINGS = 2.0**-24, 4


@pytest.mark.parametrize("spread", [1, 10, 40])
def test_the_error_is_within_the_bound(spread: float) -> None:
    logits = np.random.default_rng(0).normal(0, spread, (500, 3)).astype(np.float32)
    found = cumulative_logits(tf.constant(logits), CHAIN).numpy()
    with mpmath.workdps(60):
        for row, computed in zip(logits.tolist(), found, strict=True):
            against, largest = mpmath.mpf(0), 1.0  # the odds against, on the way
            for stage, z in enumerate(row, start=1):
                against = against + (1 + against) * mpmath.exp(-z)
                exact = -mpmath.log(against)
                largest = max(largest, abs(z), abs(float(exact)))
                bound = 3 * ROUNDINGS * stage * UNIT * (2 * largest + 1)
                assert abs(float(computed[stage - 1]) - exact) <= bound


def test_the_gradient_of_a_row_with_the_stage_is_that_of_each_step_alone() -> None:
    logits = tf.constant([[-2.0, 1.0, -3.0], [-20.0, -15.0, -30.0], [4.0, -60.0, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(tf.ones(3), cumulative_logits(logits, CHAIN)[:, 2])
    expected = -1 / (1 + np.exp(logits.numpy().astype(np.float64)))  # -(1 - c)
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-5)
