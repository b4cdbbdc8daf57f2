"""The parts of bodies against slow ones: TFRS' layers, loops over pairs, and experts one by one, over joined rows."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from funnel.model._keras import tf, tfrs
from funnel.model.experts import Experts, MixtureOfExperts, ProgressiveExperts
from funnel.model.interactions import CrossNetwork, DotProducts, FactorizationMachine, Fields
from funnel.model.layers import joined
from funnel.schema.model import Mmoe, Ple

rng = np.random.default_rng(7)
INDEX = tf.constant([2, 0, 0, 1, 2])
# Facts with two embeddings of four numbers and a plain one; a dimension of three rows with one, and two plain ones.
FACTS = Fields({4: tf.constant(rng.normal(size=(5, 8)), tf.float32)}, tf.constant(rng.normal(size=(5, 1)), tf.float32), None)
USERS = Fields({4: tf.constant(rng.normal(size=(3, 4)), tf.float32)}, tf.constant(rng.normal(size=(3, 2)), tf.float32), INDEX)
FIELDS = [FACTS, USERS]
PARTS = [tf.concat([one.embeddings[4], one.numbers], axis=1) for one in FIELDS]
STAR: Any = (PARTS, [None, INDEX])
ALL = joined(*STAR)


def embeddings() -> list[Any]:
    """Each a fact's, float32 [B, 4]."""
    return [*tf.split(FACTS.embeddings[4], 2, axis=1), tf.gather(USERS.embeddings[4], INDEX)]


def numbers() -> Any:
    return tf.concat([FACTS.numbers, tf.gather(USERS.numbers, INDEX)], axis=1)


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rank", [None, 3])
def test_cross_layers_are_those_of_tfrs(rank: int | None) -> None:
    ours = CrossNetwork(2, rank, seed=1)
    ((found,), index) = ours(*STAR)
    assert index == (None,)
    last = ALL
    for place, cross in enumerate(ours.cross):
        theirs = tfrs.layers.dcn.Cross(projection_dim=rank)
        theirs(ALL, last)
        down = [ours.down[place].kernel] if rank else []
        theirs.set_weights([np.asarray(weights) for weights in (*down, cross.kernel, cross.bias)])
        last = theirs(ALL, last)
    close(found, last)


def test_the_factorization_machine_adds_up_all_pairs() -> None:
    ours = FactorizationMachine([4], 4, 3, seed=1)
    plain = [numbers()[:, place, None] * ours.vectors[place] for place in range(3)]
    close(ours(FIELDS), sum(one * other for one, other in combinations([*embeddings(), *plain], 2)))


def test_dot_products_are_those_of_tfrs() -> None:
    ours = DotProducts([4], 4, seed=1)
    found = ours(FIELDS)
    dense = tf.matmul(numbers(), ours.numbers.kernel) + ours.numbers.bias
    close(found, tfrs.layers.feature_interaction.DotInteraction()([*embeddings(), dense]))


def test_embeddings_of_other_widths_take_part_by_a_matrix() -> None:
    narrow = tf.constant(rng.normal(size=(3, 6)), tf.float32)
    fields = [FACTS, USERS._replace(embeddings={**USERS.embeddings, 3: narrow})]
    ours, dots = FactorizationMachine([4, 3], 4, 3, seed=1), DotProducts([4, 3], 4, seed=1)
    plain = [numbers()[:, place, None] * ours.vectors[place] for place in range(3)]
    for layer in (ours, dots):
        found = layer(fields)
        wide = [tf.matmul(tf.gather(one, INDEX), layer.common.kernels["3"]) for one in tf.split(narrow, 2, axis=1)]
        if layer is ours:
            close(found, sum(one * other for one, other in combinations([*embeddings(), *wide, *plain], 2)))
        else:
            dense = tf.matmul(numbers(), dots.numbers.kernel) + dots.numbers.bias
            close(found, tfrs.layers.feature_interaction.DotInteraction()([*embeddings(), *wide, dense]))


def by_hand(experts: Experts, inputs: Any) -> list[Any]:
    """Each expert alone."""
    count, width = experts._count, experts._units[0]
    found = []
    for place in range(count):
        columns = slice(place * width, (place + 1) * width)
        hidden = tf.nn.relu(tf.matmul(inputs, experts.first.kernel[:, columns]) + experts.first.bias[columns])
        for kernel, bias in zip(experts.kernels, experts.biases, strict=True):
            hidden = tf.nn.relu(tf.matmul(hidden, kernel[place]) + bias[place])
        found.append(hidden)
    return found


def mixed(gate: Any, place: int, inputs: Any, experts: list[Any]) -> Any:
    """What a gate's mixture makes of experts."""
    columns = slice(place * len(experts), (place + 1) * len(experts))
    shares = tf.nn.softmax(tf.matmul(inputs, gate.shares.kernel[:, columns]) + gate.shares.bias[columns])
    return sum(shares[:, k, None] * expert for k, expert in enumerate(experts))


def test_gates_mix_experts_that_all_share() -> None:
    ours = MixtureOfExperts(Mmoe(kind="mmoe", experts=3, units=(6, 4)), 2, seed=1)
    found = ours(*STAR)
    experts = by_hand(ours.experts, ALL)
    for tower, ((one,), index) in enumerate(found):
        assert index == (None,)
        close(one, mixed(ours.gates, tower, ALL, experts))


def test_levels_of_own_and_shared_experts() -> None:
    ours = ProgressiveExperts(Ple(kind="ple", levels=2, shared=2, own=1, units=(5,)), 2, seed=1)
    found = ours(*STAR)
    own = [by_hand(one, ALL) for one in ours.own[0]]
    shared = by_hand(ours.shared[0], ALL)
    each = [mixed(ours.gates[0][tower], 0, ALL, [*own[tower], *shared]) for tower in range(2)]
    together = mixed(ours.onward[0], 0, ALL, [*own[0], *own[1], *shared])
    shared = by_hand(ours.shared[1], together)
    for tower, ((one,), _) in enumerate(found):
        close(one, mixed(ours.gates[1][tower], 0, each[tower], [*by_hand(ours.own[1][tower], each[tower]), *shared]))


def test_experts_start_as_they_would_alone() -> None:
    experts = Experts(3, Mmoe(kind="mmoe", experts=3, units=(50, 40)), seed=5)
    experts([tf.zeros([1, 60])])
    blocks = tf.split(experts.first.kernel, 3, axis=1)
    for block, fans in [*((block, 110) for block in blocks), *((kernel, 90) for kernel in experts.kernels[0])]:
        assert float(tf.reduce_max(tf.abs(block))) == pytest.approx((6 / fans) ** 0.5, rel=0.02)
    assert not np.allclose(blocks[0], blocks[1])
