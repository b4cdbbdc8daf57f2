"""Sampling, undone: against the enumeration of everything that can become of a row."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funnel
from funnel.data.sampling import keep_rates
from funnel.errors import SchemaError
from funnel.model._keras import tf
from funnel.model.network import first_rates
from funnel.model.sampling import corrected, sampled_logits
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from tests import shop
from tests.model.trees import TREES


def schema_of(stages: Any, rates: dict[str, float], **more: Any) -> FunnelSchema:
    return funnel.load_schema(shop.tree() | {"stages": stages, "sampling": {"rates": rates, **more}})


def outcomes(schema: FunnelSchema, p: list[Any]) -> list[tuple[list[int], Any]]:
    """Everything that can become of a row: labels, and how likely they are; p by stage, of those with towers."""
    found = []
    towers = [k for k, place in enumerate(schema.topology) if not place.is_join]
    for choice in itertools.product([0, 1], repeat=len(towers)):
        labels, chance, happens = [], mpmath.mpf(1), dict(zip(towers, choice, strict=True))
        for k, place in enumerate(schema.topology):
            if place.is_join:
                labels.append(max(labels[branch] for branch in place.branches))
                continue
            can = (place.parent < 0 or labels[place.parent]) and not any(labels[other] for other in place.excluded)
            labels.append(happens[k] if can else 0)
            if can:
                chance *= p[k] if happens[k] else 1 - p[k]
            elif happens[k]:
                chance = mpmath.mpf(0)  # counted where it does not
        if chance:
            found.append((labels, chance))
    return found


def among_kept(schema: FunnelSchema, p: list[Any]) -> list[Any]:
    """By stage with a tower: its conditional among the rows that were kept."""
    weighted = [
        (labels, chance * mpmath.mpf(float(keep_rates(schema, np.array([labels]))[0])))
        for labels, chance in outcomes(schema, p)
    ]
    found = []
    for k, place in enumerate(schema.topology):
        if place.is_join:
            continue
        inside = [
            (labels, mass)
            for labels, mass in weighted
            if (place.parent < 0 or labels[place.parent]) and not any(labels[other] for other in place.excluded)
        ]
        found.append(mpmath.fsum(m for labels, m in inside if labels[k]) / mpmath.fsum(m for _, m in inside))
    return found


def logit(p: Any) -> float:
    return float(mpmath.log(p) - mpmath.log1p(-p))


RATES = {
    "two": {"impression": 0.025, "s0": 1.0, "s1": 1.0},
    "four": {"impression": 0.01, "s0": 0.5, "s1": 0.2, "s2": 1.0, "s3": 0.7},
    "seven": {"impression": 0.001, **{f"s{k}": 1 / (k + 1) for k in range(7)}},
    # After click, what may happen together is kept alike.
    "tree": {},
    "esm2": {"impression": 0.025, "click": 0.1, "direct": 0.3, "buy_direct": 1.0, "buy_other": 1.0, "again": 0.5},
    "exclusive from the start": {"impression": 0.1, "left": 1.0, "right": 0.4, "ahead": 0.7, "far": 0.25},
}


@pytest.mark.parametrize("topology", RATES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), rare=st.sampled_from([1e-9, 1e-3, 0.05]))
def test_what_is_learnt_from_kept_rows_becomes_what_is_true_of_all(topology: str, seed: int, rare: float) -> None:
    schema, rng = schema_of(TREES[topology], RATES[topology]), np.random.default_rng(seed)
    # Of one branch of `far`: it is given `ahead` alone.
    p = [mpmath.mpf(float(x)) for x in rng.uniform(rare, 10 * rare, len(schema.stages))]
    kept = among_kept(schema, p)
    found = corrected(schema, [tf.constant([logit(one)], tf.float64) for one in kept])
    true = [logit(one) for one, place in zip(p, schema.topology, strict=True) if not place.is_join]
    np.testing.assert_allclose([float(one[0]) for one in found], true, rtol=1e-9, atol=1e-12)
    in_float32 = corrected(schema, [tf.constant([logit(one)], tf.float32) for one in kept])
    np.testing.assert_allclose([float(one[0]) for one in in_float32], true, rtol=1e-5, atol=1e-5)


def test_a_chain_by_hand() -> None:
    # Of 1000 impressions 100 are clicked and 10 bought. Kept: 2.5 % of the 900, and all others.
    schema = schema_of(TREES["two"], {"impression": 0.025, "s0": 1, "s1": 1})
    kept = [100 / (22.5 + 100), 0.1]
    found = corrected(schema, [tf.constant([math.log(p / (1 - p))]) for p in kept])
    np.testing.assert_allclose([float(tf.sigmoid(one)[0]) for one in found], [0.1, 0.1], rtol=1e-6)


def test_a_tree_whose_siblings_are_kept_alike() -> None:
    rates = {"impression": 0.1, "click": 0.5, "cart": 0.5, "buy": 0.5, "like": 0.5, "share": 0.1}
    with pytest.raises(
        SchemaError, match="'click' and 'share' may both happen to a row, but rows are kept at another rate after"
    ):
        schema_of(TREES["tree"], rates)
    schema = schema_of(TREES["tree"][:4], {name: rate for name, rate in rates.items() if name != "share"})
    p = [mpmath.mpf(x) for x in (0.02, 0.3, 0.4, 0.2)]
    found = corrected(schema, [tf.constant([logit(one)], tf.float64) for one in among_kept(schema, p)])
    np.testing.assert_allclose([float(one[0]) for one in found], [logit(one) for one in p], rtol=1e-9)


BAD = {
    "siblings": (TREES["tree"][:4], {"cart": 0.5}, "'cart' and 'like' may both happen"),
    "branches with a stage after them": (
        TREES["esm2"],
        {"buy_direct": 0.5},
        "the branches of 'buy' are kept at rates of their",
    ),
    "a join": (TREES["esm2"], {"buy": 0.5}, "'buy' is a join, whose rows are those of its branches"),
    "no stage": (TREES["two"], {"s3": 0.5}, "'s3' is not the space or a stage"),
    "nothing is kept": (TREES["two"], {"s0": 0}, "got 0, expected greater than 0"),
    "more than all": (TREES["two"], {"s0": 1.01}, "got 1.01, expected less than or equal to 1"),
    "no number": (TREES["two"], {"s0": "few"}, "got 'few', expected a number"),
    "unless a join": (
        [*TREES["esm2"][:5], {"name": "left", "label": "left", "unless": "buy"}],
        {"impression": 0.5},
        "'left' is `unless` the join 'buy'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_rates_that_cannot_be_undone_are_refused_with_the_reason(name: str) -> None:
    stages, rates, message = BAD[name]
    with pytest.raises(SchemaError, match="sampling") as error:
        schema_of(stages, rates)
    assert message in str(error.value)
    if "Declare `correction: weights`" in str(error.value):
        assert schema_of(stages, rates, correction="weights").sampling is not None


def test_a_weight_column_beside_sampling_is_refused() -> None:
    tree = shop.tree() | {"sampling": {"click": 0.5}}
    tree["data"]["weight"] = "w"
    with pytest.raises(SchemaError, match=r"data.weight: got a column of weights, 'w', beside `sampling`"):
        funnel.load_schema(tree)


def test_weights_leave_the_logits_alone() -> None:
    schema = schema_of(TREES["two"], {"impression": 0.025}, correction="weights")
    logits = [tf.constant([0.5]), tf.constant([-0.5])]
    assert corrected(schema, logits) == logits


def test_rates_of_rows_by_hand() -> None:
    schema = schema_of(TREES["tree"], {"impression": 0.1, "click": 0.2, "buy": 0.9, "like": 0.4}, correction="weights")
    #       click cart buy like share
    rows = [
        [0, 0, 0, 0, 0],  # nothing: as the space
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],  # cart declares none: all are kept
        [1, 1, 1, 1, 0],  # buy and like: the greater
        [1, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],  # share declares none
    ]
    np.testing.assert_allclose(keep_rates(schema, np.array(rows)), [0.1, 0.2, 1.0, 0.9, 0.4, 1.0], rtol=1e-6)
    np.testing.assert_allclose(keep_rates(schema, np.array([[1, 255, 255, 0, 0]])), [0.2], rtol=1e-6)


def test_declared_priors_speak_of_all_rows_and_towers_start_among_those_kept() -> None:
    stages = [{**TREES["two"][0], "prior": 0.1}, TREES["two"][1]]
    schema = schema_of(stages, {"impression": 0.025, "s0": 0.5, "s1": 1})
    # buy's rate was counted among the rows that were kept: 1/3, so 1/5 among all.
    learnt = Learnt(rows={}, scales={}, priors=(0.1, 1 / 3))
    expected = among_kept(schema, [mpmath.mpf("0.1"), mpmath.mpf("0.2")])
    np.testing.assert_allclose(first_rates(schema, learnt), [float(one) for one in expected], rtol=1e-6)
    assert sampled_logits(schema, [0.0, 0.0])[1] == 0.0
