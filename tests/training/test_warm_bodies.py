"""What a warm start takes over of bodies: all of it, and where inputs or stages are others, what means the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.data.vocabulary import Vocabulary
from funnel.model._keras import tf
from funnel.training.warm_start import WarmStart, take_over
from tests.model.stars import batch_of, tree_of
from tests.model.test_contract import BODIES
from tests.model.test_network import FEATURES, clean, logits, model_of, tensors
from tests.model.trees import chain

NOTHING = Vocabulary({})
NEW = {"name": "shelf", "source": "item", "kind": "categorical", "buckets": 6, "dim": 3}
NUMBER = {"name": "stars", "source": "item", "kind": "numeric", "transform": "none"}


def drawn(described: list[dict[str, Any]], seed: int, body: Any, stages: int = 2, **model: Any) -> tuple[Any, dict[str, Any]]:
    """A model whose every number is drawn, and its declaration."""
    tree = tree_of(described) | {"stages": chain(stages)}
    made = model_of(tree, body=body, tower={"units": [4], "activation": "tanh"} | model.pop("tower", {}), **model)
    rng = np.random.default_rng(seed)
    for variable in made.network.variables:
        if variable.dtype.is_floating:
            variable.assign(rng.uniform(0.1, 1, variable.shape))
    return made, tree


def taken(new: Any, old: Any) -> WarmStart:
    return take_over(new, NOTHING, old, NOTHING, accumulators=False)


def logits_of(model: Any, tree: dict[str, Any]) -> np.ndarray:
    return logits(model, clean(batch_of(tree, 3, 12, 4)))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("body", BODIES)
def test_the_same_body_says_the_same(body: str, shared: bool) -> None:
    old, tree = drawn(FEATURES, 1, BODIES[body], share_embeddings=shared)
    new, _ = drawn(FEATURES, 2, BODIES[body], share_embeddings=shared)
    assert np.abs(logits_of(new, tree) - logits_of(old, tree)).max() > 1e-3
    assert taken(new, old).fresh == ()
    np.testing.assert_array_equal(logits_of(new, tree), logits_of(old, tree))


@pytest.mark.parametrize(("activation", "norm"), [("dice", None), ("relu", "batch"), ("dice", "layer")])
def test_what_norms_and_dice_have_seen_comes_with_them(activation: str, norm: str | None) -> None:
    tower = {"units": [6, 4], "activation": activation, "norm": norm}
    old, tree = drawn(FEATURES, 1, "shared_bottom", tower=tower)
    batch = clean(batch_of(tree, 3, 12, 4))
    labels = tf.constant(np.tile([[0.0], [1.0]], [6, 2]), tf.float32)
    for _ in range(3):
        old.learn((tensors(batch), labels))
    new, _ = drawn(FEATURES, 2, "shared_bottom", tower=tower)
    assert taken(new, old).fresh == ()
    seen = [variable for variable in old.network.towers[0].stack.non_trainable_variables if "moving" in variable.name]
    assert len(seen) == (0 if activation != "dice" else 4) + (4 if norm == "batch" else 0)
    for mine, theirs in zip(new.network.towers[0].stack.variables, old.network.towers[0].stack.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(logits(new, batch), logits(old, batch))


def test_dropout_goes_on_by_its_own_count_and_changes_nothing_of_what_is_kept() -> None:
    old, tree = drawn(FEATURES, 1, {"kind": "mmoe", "dropout": 0.5, "units": [3]})
    new, _ = drawn(FEATURES, 2, {"kind": "mmoe", "units": [3]})
    assert taken(new, old).fresh == ()
    np.testing.assert_array_equal(logits_of(new, tree), logits_of(old, tree))


@pytest.mark.parametrize(
    "body", ["shared_bottom", "dcn", ["dcn", {"kind": "shared_bottom", "units": [5]}], ["dot", "dcn"], "fm", "mmoe"]
)
def test_inputs_in_another_order_are_the_same_inputs(body: Any) -> None:
    old, tree = drawn(FEATURES, 1, body)
    # Numbers keep their order among themselves: what products make of them goes by it.
    turned = [FEATURES[place] for place in (6, 5, 1, 4, 3, 2, 0)]
    new, _ = drawn(turned, 2, body)
    assert [*new.network.inputs] != [*old.network.inputs]
    assert taken(new, old).fresh == ()
    batch = clean(batch_of(tree, 3, 12, 4))
    np.testing.assert_allclose(logits(new, batch), logits(old, batch), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("body", ["shared_bottom", "dcn", ["dot", "dcn"], "dot", "fm", {"kind": "dcn", "rank": 2}])
def test_a_new_input_that_is_silent_changes_nothing(body: Any) -> None:
    old, _ = drawn(FEATURES, 1, body)
    new, wider = drawn([*FEATURES[:3], NEW, *FEATURES[3:]], 2, body)
    told = taken(new, old)
    assert told.fresh == ()
    # Its embedding, and what leads to it, are zero.
    (width,) = (width for width in new.network.widths if "shelf" in width.tables)
    begin, rows = width.tables["shelf"]
    table = new.network.bottoms[0].embeddings.tables[str(width.dim)].numpy()
    table[begin : begin + rows] = 0
    new.network.bottoms[0].embeddings.tables[str(width.dim)].assign(table)
    batch = clean(batch_of(wider, 3, 12, 4))
    np.testing.assert_allclose(
        logits(new, batch), logits(old, {k: v for k, v in batch.items() if k != "item/shelf"}), rtol=2e-4, atol=1e-5
    )


@pytest.mark.parametrize("body", ["shared_bottom", "dcn", "fm", "dot"])
def test_gates_of_inputs_in_another_order_are_those_of_the_same_inputs(body: Any) -> None:
    old, tree = drawn(FEATURES, 1, body, domain="hour")
    new, _ = drawn(FEATURES[::-1], 2, body, domain="hour")
    for seed, model in enumerate((old, new)):
        gates = model.network.bottoms[0].gate.gates
        for variable in gates.trainable_variables:  # so small that no gate is 2
            variable.assign(np.random.default_rng(seed).normal(0, 0.1, variable.shape))
    assert list(new.network.inputs) != list(old.network.inputs)
    names = [name for name, _, _ in new.network.layers() if "gate_" in name]
    assert {"body/gate_gates", "body/gate_hidden", "s0/gate_gates", "s0/gate_hidden"} <= set(names)
    assert set(names) <= set(taken(new, old).kept)
    np.testing.assert_allclose(logits_of(new, tree), logits_of(old, tree), rtol=1e-5, atol=1e-5)


def test_products_of_other_numbers_start_anew() -> None:
    for body in ("fm", "dot"):
        old, _ = drawn(FEATURES, 1, body)
        new, _ = drawn([*FEATURES, NUMBER], 2, body)
        assert "body/vectors" in taken(new, old).fresh


def test_pairs_that_a_body_adds_are_named_by_what_is_multiplied() -> None:
    model, _ = drawn(FEATURES, 1, "dot")
    inputs = model.network.inputs
    # Embedded: seen, hour | city, liked | brand, by source and width; then all numbers as one.
    added = {name: place for name, place in inputs.items() if " * " in name}
    assert list(added) == [
        "hour * seen", "city * seen", "city * hour", "liked * seen", "hour * liked", "city * liked", "brand * seen",
        "brand * hour", "brand * city", "brand * liked", "numbers * seen", "hour * numbers", "city * numbers",
        "liked * numbers", "brand * numbers",
    ]  # fmt: skip
    assert list(added.values()) == [(14 + place, 1) for place in range(15)]
    assert model.network.towers[0].stack.dense[0].kernel.shape[0] == 14 + 15
    fm, _ = drawn(FEATURES, 1, "fm")
    assert fm.network.inputs["pairs of all"] == (14, fm.schema.model.embedding_dim)


@pytest.mark.parametrize("body", ["mmoe", {"kind": "ple", "units": [5]}])
def test_other_stages_have_other_gates(body: Any) -> None:
    old, _ = drawn(FEATURES, 1, body)
    tree = tree_of(FEATURES) | {"stages": [{"name": "s0", "label": "s0"}, {"name": "other", "label": "s1"}]}
    new = model_of(tree, body=body, tower={"units": [4], "activation": "tanh"})
    told = taken(new, old)
    gates = [name for name, _, _ in new.network.layers() if "gate" in name or "own" in name or "onward" in name]
    assert gates
    assert set(told.fresh) == {*gates, "other/dense_0", "other/logit"}
