from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation import sorting
from funnel.evaluation.cumulative import Cumulative, all_cumulative, cumulative, softplus
from funnel.model.likelihood import cumulative_logits
from funnel.schema.topology import Place

CHAIN = (Place(-1), Place(0), Place(1), Place(2))
TREE = (Place(-1), Place(0), Place(0), Place(-1), Place(3))
EXCLUSIVE = (Place(-1), Place(0), Place(0, excluded=(1,)), Place(0, excluded=(1, 2)), Place(3), Place(-1, excluded=(0,)))
TOPOLOGIES = {"chain": CHAIN, "tree": TREE, "exclusive": EXCLUSIVE}
EXTREMES = [-np.inf, -800.0, -40.0, -1e-9, 0.0, 1.0, 40.0, 800.0, np.inf]


def exact(topology, logits, stage):
    """log(p / (1 - p)) of the product of all steps, with 800 digits."""
    with mpmath.workdps(800):

        def chance(step):
            return 1 / (1 + mpmath.exp(-mpmath.mpf(float(logits[step]))))

        place, p, at = topology[stage], mpmath.mpf(1), stage
        while at >= 0:
            place = topology[at]
            p *= chance(at)
            for other in place.excluded:
                p *= 1 - chance(other)
            at = place.parent
        return float(mpmath.log(p / (1 - p)))


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_cumulative_logits_are_those_of_the_product(name):
    topology = TOPOLOGIES[name]
    logits = np.random.default_rng(0).uniform(-300, 300, [60, len(topology)]).astype(np.float32)
    logits[:30] /= 50
    for stage in range(len(topology)):
        found = cumulative(topology, logits, stage)
        assert found.dtype == np.float64
        expected = [exact(topology, row, stage) for row in logits]
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_they_are_those_that_training_takes(name):
    topology = TOPOLOGIES[name]
    logits = np.random.default_rng(1).normal(scale=20, size=[500, len(topology)])
    found = all_cumulative(topology, logits)
    np.testing.assert_allclose(found, cumulative_logits(logits, topology).numpy(), rtol=1e-13, atol=1e-14)


@given(st.lists(st.tuples(*[st.sampled_from(EXTREMES)] * 2), min_size=1, max_size=8))
def test_infinite_logits_are_certain_steps_or_impossible_ones(rows):
    logits = np.array(rows)
    found = all_cumulative(CHAIN[:2], logits)
    np.testing.assert_array_equal(found[:, 0], logits[:, 0])
    for (first, second), reached in zip(rows, found[:, 1], strict=True):
        if -np.inf in (first, second):
            assert reached == -np.inf
        elif np.inf in (first, second):
            assert reached == min(first, second)
        else:
            assert reached == pytest.approx(exact(CHAIN, (first, second), 1), rel=1e-12)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_a_number_stays_so(place):
    logits = np.zeros([1, 2])
    logits[0, place] = np.nan
    assert np.isnan(cumulative(CHAIN[:2], logits, 1)).all()


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 999), st.sampled_from([1, 7, 1 << 16]))
def test_a_row_is_the_same_bits_whatever_rows_are_beside_it(rows, cut, seed, size):
    logits = np.random.default_rng(seed).normal(scale=9, size=[rows, 4]).astype(np.float32)
    whole = all_cumulative(CHAIN, logits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        np.testing.assert_array_equal(all_cumulative(CHAIN, logits), whole)
    halves = [all_cumulative(CHAIN, half) for half in (logits[:cut], logits[cut:])]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    column = Cumulative(logits, 2, lambda some, stage: cumulative(CHAIN, some, stage))
    assert len(column) == rows
    np.testing.assert_array_equal(column[cut : cut + 5], whole[cut : cut + 5, 2])


@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_softplus_neither_overflows_nor_loses_digits(logits):
    with mpmath.workdps(60):
        expected = [float(mpmath.log1p(mpmath.exp(max(z, -1e6)))) if z < 1e3 else z for z in logits]
    np.testing.assert_allclose(softplus(np.array(logits, np.float64)), expected, rtol=1e-15, atol=1e-300)
