"""What every body keeps to, under every topology, over any features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.model._keras import tf
from funnel.model.packing import packed
from funnel.schema.learnt import FIRST
from tests.model.sequences import SEQUENCES
from tests.model.stars import batch_of, tree_of
from tests.model.test_network import FEATURES, clean, joined, logits, model_of, tensors
from tests.model.trees import TREES, chain

BODIES: dict[str, Any] = {
    "none": "shared_bottom",
    "layers": {"kind": "shared_bottom", "units": [5]},
    "crosses": {"kind": "dcn"},
    "narrow crosses": {"kind": "dcn", "rank": 2, "layers": 3},
    "factorization machine": "fm",
    "dot products": "dot",
    "mixture of experts": {"kind": "mmoe", "experts": 3, "units": [6, 5]},
    "progressive experts": {"kind": "ple", "units": [5]},
    "one after another": ["dot", "dcn", {"kind": "shared_bottom", "units": [5]}, {"kind": "ple", "levels": 1, "units": [5]}],
    "custom": {"kind": "custom", "layer": "tests.model.own_layers:Plain", "config": {"units": 5}},
    "custom between others": [
        "dot",
        {"kind": "custom", "layer": "tests.model.own_layers:stacked", "config": {"widths": [6, 5]}},
        "dcn",
        {"kind": "mmoe", "units": [4]},
    ],
}
ADAPTED: dict[str, Any] = {  # beside a body: what goes between towers, and what gates by domain
    "transfer": {"transfer": "aitm"},
    "domain of the facts": {"domain": "hour"},
    "domain of a dimension, and transfer": {
        "domain": {"feature": "city", "units": 5},
        "transfer": {"kind": "aitm", "units": 3},
    },
}
STAGES = {"one stage": chain(1), "three": chain(3), "tree": TREES["tree"], "esm2": TREES["esm2"]}
SEEDS = {"sequences": 12}  # of batches; here no sequence is empty in all rows
CHOSEN = {"numbers": [FEATURES[1], FEATURES[3]], "all": FEATURES, "sequences": SEQUENCES}


def smooth(body: str) -> list[dict[str, Any]]:
    """The parts of a body, with units that are all alive."""
    return [
        {**part, "activation": "tanh"} if "units" in part else part
        for part in (BODIES[body] if isinstance(BODIES[body], list) else [BODIES[body]])
        for part in [part if isinstance(part, dict) else {"kind": part}]
    ]


def made(body: str, stages: str, features: str, **model: Any) -> tuple[Any, Any, Any]:
    """A model whose units are all alive, its declaration, and a batch."""
    tree = tree_of(CHOSEN[features]) | {"stages": STAGES[stages]}
    built = model_of(tree, body=smooth(body), tower={"units": [4], "activation": "tanh"}, **model)
    return built, tree, clean(batch_of(tree, SEEDS.get(features, 3), 12, 4))


# Sequences, which take longer, under one topology.
OVER = [
    (stages, features)
    for features in CHOSEN
    for stages in ("one stage", "three", "tree")
    if features != "sequences" or stages == "tree"
]


@pytest.mark.parametrize(("stages", "features"), OVER)
@pytest.mark.parametrize("body", BODIES)
def test_star_batches_are_joined_rows_and_all_is_learnt_row_by_row(body: str, stages: str, features: str) -> None:
    keeps_the_contract(*made(body, stages, features), stages)


@pytest.mark.parametrize("adapted", ADAPTED)
@pytest.mark.parametrize(("body", "stages"), [*((body, "three") for body in BODIES), ("none", "tree"), ("none", "esm2")])
def test_so_does_what_adapts_towers_and_inputs(body: str, stages: str, adapted: str) -> None:
    model, tree, batch = made(body, stages, "all", **ADAPTED[adapted])
    all_is_listed(model)
    # A domain of which all are known, so that each gate is learnt.
    keeps_the_contract(model, tree, batch | {key: np.maximum(batch[key], FIRST) for key in ("facts/hour", "user/city")}, stages)


def all_is_listed(model: Any) -> None:
    layers = {id(variable) for _, layer, _ in model.network.layers() for variable in layer.trainable_variables}
    tables = {id(variable) for variable in model.network.tables}
    assert layers | tables == {id(variable) for variable in model.trainable_variables}


def all_is_learnt(model: Any, batch: Any) -> None:
    with tf.GradientTape() as tape:
        towers = model.network(model.star(tensors(batch)), training=True).towers
        total = tf.add_n([tf.reduce_sum(tf.sin(3.0 * tower + place)) for place, tower in enumerate(towers)])
    variables = model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        assert gradient is not None, variable.name
        assert np.abs(np.asarray(tf.convert_to_tensor(gradient))).max() > 0, variable.name


def keeps_the_contract(model: Any, tree: Any, batch: Any, stages: str) -> None:
    found = logits(model, batch)
    assert found.shape == (12, len(STAGES[stages]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)

    all_is_learnt(model, batch)

    before = [table.numpy() for table in model.network.tables]
    labels = tf.constant(np.tile([[0.0], [1.0]], [6, len(STAGES[stages])]), tf.float32)
    assert np.isfinite(model.learn((tensors(batch), labels)).loss)
    rows = packed(model.schema, model.network.widths, model.star(tensors(batch)))
    for width, table, old in zip(model.network.widths, model.network.tables, before, strict=True):
        used = set(np.asarray(rows[width.unique_key]).tolist())
        changed = set(np.flatnonzero((table.numpy() != old).any(axis=1)).tolist())
        assert changed
        assert changed <= used


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "prelu", "dice", "gelu"])
def test_towers_are_what_each_stage_says(activation: str, norm: str | None) -> None:
    tree = tree_of(FEATURES) | {"stages": chain(3)}
    towers = {"s1": {"activation": activation, "norm": norm or "none"}, "s2": {"units": [], "dropout": 0.5}}
    model = model_of(tree, tower={"units": [6, 4], "norm": "layer", "activation": "tanh"}, towers=towers)
    names = [name for name, _, _ in model.network.layers()]
    own = [f"{activation}_0"] if activation in ("prelu", "dice") else []
    assert names[:5] == ["s0/dense_0", "s0/norm_0", "s0/dense_1", "s0/norm_1", "s0/logit"]
    assert [name for name in names if name.startswith("s1/") and name.endswith("_0")] == [
        f"s1/{name}" for name in ["dense_0", *(["norm_0"] if norm else []), *own]
    ]
    assert [name for name in names if name.startswith("s2/")] == ["s2/logit"]
    batch = clean(batch_of(tree, 3, 12, 4))
    labels = tf.constant(np.tile([[0.0], [1.0]], [6, 3]), tf.float32)
    losses = [float(model.learn((tensors(batch), labels)).loss) for _ in range(10)]
    assert losses[-1] < losses[0]
    # What is served is a function of the row alone.
    np.testing.assert_allclose(logits(model, batch), logits(model, joined(tree, batch)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("body", BODIES)
def test_layers_are_all_there_are_and_tables_may_be_each_stage_s_own(body: str) -> None:
    for shared, adapted in ((True, {}), (False, {}), (False, {"domain": "hour", "transfer": "aitm"})):
        model, tree, batch = made(body, "three", "all", share_embeddings=shared, **adapted)
        all_is_listed(model)
        names = [name for name, _, _ in model.network.layers()]
        assert len(set(names)) == len(names)
        np.testing.assert_allclose(logits(model, batch), logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)
