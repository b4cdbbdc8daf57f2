"""What towers are told by those before them, against NumPy; and gradients that end where it is said, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.errors import SchemaError
from funnel.model._keras import tf
from funnel.model.calibrator import above_parent
from funnel.model.packing import packed
from funnel.model.transfer import Transfer
from funnel.schema.model import Tower
from funnel.schema.objective import KINDS
from funnel.schema.reader import load_schema
from funnel.schema.transfer import Aitm, towers_before
from tests.model.stars import batch_of, tree_of
from tests.model.test_network import FEATURES, clean, joined, logits, model_of, tensors
from tests.model.trees import TREES, chain

NUMBERS = [FEATURES[1], FEATURES[3]]
JOIN = [*TREES["esm2"][:-1], {"name": "again", "label": "again", "given": "buy"}]
OTHERS: dict[str, Any] = {
    "three": chain(3),
    "tree": TREES["tree"],
    "esm2": JOIN,
    "exclusive": TREES["exclusive from the start"],
}


def made(stages: Any, objective: Any = "esmm", **model: Any) -> tuple[Any, Any, Any]:
    """A model whose units are all alive, and rows with labels: of stages beside each other at most one happened."""
    tree = tree_of(NUMBERS) | {"stages": stages, "objective": objective}
    built = model_of(tree, tower={"units": [4], "activation": "tanh"}, **model)
    names, topology = built.schema.stage_names, built.schema.topology
    rng = np.random.default_rng(5)
    labels = np.zeros([12, len(names)], np.float32)
    for stage, place in enumerate(topology):
        if place.is_join:
            labels[:, stage] = labels[:, place.branches].max(axis=1)
            continue
        there = labels[:, place.parent] if place.parent >= 0 else np.ones(12)
        for other in place.excluded:
            there = there * (1 - labels[:, other])
        labels[:, stage] = there * (rng.random(12) < 0.7)
    return built, clean(batch_of(tree, 3, 12, 4)), labels


def dense(layer: Any, rows: np.ndarray) -> np.ndarray:
    return rows @ layer.kernel.numpy() + layer.bias.numpy()


def told(transfer: Any, own: np.ndarray, before: list[np.ndarray]) -> np.ndarray:
    """The paper's equations, row by row."""
    each = [own, *(np.tanh(dense(layer, given)) for layer, given in zip(transfer.told, before, strict=True))]
    value, key, query = transfer.heads
    found = []
    for row in range(len(own)):
        scores = np.array([dense(key, u[row]) @ dense(query, u[row]) for u in each]) / np.sqrt(value.units)
        shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        found.append(sum(share * dense(value, u[row]) for share, u in zip(shares, each, strict=True)))
    return np.array(found)


@pytest.mark.parametrize("units", [None, 3])
def test_attention_over_what_is_told_and_the_tower_s_own(units: int | None) -> None:
    rng = np.random.default_rng(0)
    own, before = rng.normal(size=(5, 4)).astype(np.float32), [rng.normal(size=(5, w)).astype(np.float32) for w in (4, 6)]
    layer = Transfer(Aitm(kind="aitm", units=units), Tower(activation="tanh"), ["a", "b"], seed=1)
    found = layer(tf.constant(own), [tf.constant(one) for one in before])
    assert found.shape == (5, units or 4)
    np.testing.assert_allclose(found, told(layer, own, before), rtol=1e-5, atol=1e-6)
    assert [name for name, _ in layer.layers()] == ["from_a", "from_b", "value", "key", "query"]


def test_attention_by_hand() -> None:
    layer = Transfer(Aitm(kind="aitm", units=1), Tower(activation="relu"), ["a"], seed=1)
    layer(tf.zeros([1, 1]), [tf.zeros([1, 1])])
    for head, factor in zip(layer.heads, (10.0, 1.0, 1.0), strict=True):
        head.kernel.assign([[factor]])
    layer.told[0].kernel.assign([[2.0]])
    # It is told 2 * 3 = 6. Scores 1 and 36, of which the second is as good as all; then of -3 it is told max(0, -6) = 0.
    assert layer(tf.constant([[1.0]]), [tf.constant([[3.0]])]).numpy().item() == pytest.approx(60.0, rel=1e-6)
    share = 1 / (1 + np.exp(-1.0))  # scores 1 and 0
    assert layer(tf.constant([[1.0]]), [tf.constant([[-3.0]])]).numpy().item() == pytest.approx(10 * share, rel=1e-6)


def test_a_stage_is_told_by_its_parent_and_of_a_join_by_its_branches() -> None:
    schema = load_schema(tree_of(NUMBERS) | {"stages": JOIN})
    assert schema.stage_names == ("click", "direct", "buy_direct", "buy_other", "buy", "again")
    assert [towers_before(schema.topology, stage) for stage in range(6)] == [(), (0,), (1,), (0,), (0,), (2, 3)]


@pytest.mark.parametrize("stages", OTHERS)
def test_the_network_s_logits_are_those_of_towers_told_one_after_another(stages: str) -> None:
    model, batch, _ = made(OTHERS[stages], transfer="aitm")
    wide = tensors(batch)
    below = model.network.bottoms[0](packed(model.schema, model.network.widths, wide)).outputs[0]
    said: dict[int, np.ndarray] = {}
    names = list(model.schema.stage_names)
    for tower, logit in zip(model.network.towers, model.network(wide).towers, strict=True):
        stage = names.index(tower.name)
        hidden = np.asarray(tower.stack(*below)[0][0])
        before = towers_before(model.schema.topology, stage)
        assert (tower.transfer is None) == (not before)
        said[stage] = told(tower.transfer, hidden, [said[other] for other in before]) if before else hidden
        np.testing.assert_allclose(logit, dense(tower.logit, said[stage])[:, 0], rtol=1e-4, atol=1e-5)


def taught(model: Any, batch: Any, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """By stage that has a loss: for each tower the greatest gradient of its first layer, and of its logit's."""
    losses: dict[str, Any] = {}
    weighed = model.objective._weighed

    def kept(name: str, loss_B: Any) -> Any:
        losses[name] = tf.reduce_sum(loss_B)
        return weighed(name, loss_B)

    model.objective._weighed = kept
    kernels = [[tower.stack.dense[0].kernel, tower.logit.kernel] for tower in model.network.towers]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(kernels)
        model.compute_loss((tensors(batch), tf.constant(labels)), training=True)
    found = {}
    for stage, loss in losses.items():
        sizes = [[0.0 if g is None else float(tf.reduce_max(tf.abs(g))) for g in pair] for pair in tape.gradient(loss, kernels)]
        found[stage] = {tower.name: max(pair) for tower, pair in zip(model.network.towers, sizes, strict=True)}
    return found


def names_of(sizes: dict[str, float]) -> set[str]:
    return {name for name, size in sizes.items() if size > 0}


def reached(schema: Any, stage: int) -> set[str]:
    """The towers that a stage's loss teaches, where nothing is stopped: all that its probability is made of."""
    found, todo = set(), [stage]
    while todo:
        one = todo.pop()
        place = schema.topology[one]
        found.add(one)
        todo += [other for other in (*place.excluded, *place.branches, place.parent) if other >= 0 and other not in found]
    return {schema.stage_names[k] for k in found if not schema.topology[k].is_join}


@pytest.mark.parametrize("transfer", ["none", "aitm"])
@pytest.mark.parametrize("stages", OTHERS)
def test_where_gradients_end_a_stage_teaches_its_own_tower_alone(stages: str, transfer: str) -> None:
    plain, batch, labels = made(OTHERS[stages], transfer=transfer)
    ends = "stop_gradient" if transfer == "none" else {"kind": "aitm", "stop_gradient": "all"}
    stopped, _, _ = made(OTHERS[stages], transfer=ends)
    np.testing.assert_array_equal(logits(plain, batch), logits(stopped, batch))
    element = (tensors(batch), tf.constant(labels))
    assert float(plain.compute_loss(element, training=True)) == float(stopped.compute_loss(element, training=True))
    schema = plain.schema
    before, after = taught(plain, batch, labels), taught(stopped, batch, labels)
    assert list(before) == list(after) == list(schema.stage_names)
    for stage, (name, place) in enumerate(zip(schema.stage_names, schema.topology, strict=True)):
        assert names_of(before[name]) == reached(schema, stage)
        own = [schema.stage_names[k] for k in (place.branches or [stage])]
        assert names_of(after[name]) == set(own)
        if not place.is_join:
            # What it teaches its own tower is what it taught before.
            assert after[name][name] == pytest.approx(before[name][name], rel=1e-4)


@pytest.mark.parametrize("transfer", ["stop_gradient", "aitm"])
def test_gradients_end_along_the_edges_that_are_named_and_no_others(transfer: str) -> None:
    key = {"stop_gradient": "stages", "aitm": "stop_gradient"}[transfer]
    found = taught(*made(chain(3), transfer={"kind": transfer, key: ["s1"]}))
    assert {stage: names_of(sizes) for stage, sizes in found.items()} == {"s0": {"s0"}, "s1": {"s1"}, "s2": {"s1", "s2"}}


@pytest.mark.parametrize(("stop", "expected"), [(None, {"s0", "s1"}), ("all", {"s1"})])
def test_a_conditional_s_risk_goes_back_through_what_is_told_unless_it_is_stopped(stop: str | None, expected: set[str]) -> None:
    found = taught(*made(chain(2), "parent_space", transfer={"kind": "aitm", "stop_gradient": stop}))
    assert names_of(found["s1"]) == expected


def logit_of(p: float) -> Any:
    return tf.constant([np.log(p / (1 - p))], tf.float32)


def test_the_calibrator_by_hand() -> None:
    schema = load_schema(tree_of(NUMBERS) | {"stages": JOIN})
    p = {"click": 0.5, "direct": 0.6, "buy_direct": 0.1, "buy_other": 0.7, "again": 0.9}
    towers = {name: logit_of(q) for name, q in p.items()}
    # direct .1 above click; buy_other .2 above click; again .1 above buy, which is .1 + .7.
    found = above_parent(towers, schema.stage_names, schema.topology)
    np.testing.assert_allclose(found, [0.1 + 0.2 + 0.1], rtol=1e-5)
    absent = tf.constant([[False, True, True, False, False, False]])
    found = above_parent(towers, schema.stage_names, schema.topology, absent_BS=absent)
    np.testing.assert_allclose(found, [0.2 + 0.1], rtol=1e-5)


@pytest.mark.parametrize(("stopped", "expected"), [((), [-0.25, 0.25]), ((1,), [0.0, 0.25])])
def test_the_calibrator_s_gradient_ends_where_all_do(stopped: tuple[int, ...], expected: list[float]) -> None:
    schema = load_schema(tree_of(NUMBERS) | {"stages": chain(2)})
    towers = [tf.constant([-0.001]), tf.constant([0.001])]
    with tf.GradientTape() as tape:
        tape.watch(towers)
        total = above_parent(dict(zip(["s0", "s1"], towers, strict=True)), ["s0", "s1"], schema.topology, stopped)
    found = [0.0 if g is None else float(g[0]) for g in tape.gradient(total, towers)]
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_calibrator_is_in_what_division_minimises_and_keeps_order() -> None:
    plain, batch, labels = made(chain(2), "division", transfer="aitm")
    held, _, _ = made(chain(2), "division", transfer={"kind": "aitm", "calibrator": 0.6})
    for model in (plain, held):
        first, second = (tower.logit.bias for tower in model.network.towers)
        first.assign([-2.0])
        second.assign([1.0])
    element = (tensors(batch), tf.constant(labels))
    towers = held.network(held.star(element[0])).towers
    excess = np.maximum(tf.sigmoid(towers[1]) - tf.sigmoid(towers[0]), 0).mean()
    assert excess > 0.1
    losses = [float(model.compute_loss(element)) for model in (plain, held)]
    assert losses[1] - losses[0] == pytest.approx(0.6 * excess, rel=1e-4)
    weights = tf.constant(np.linspace(0, 2, 12), tf.float32)
    weighed = [float(model.compute_loss((*element, weights))) for model in (plain, held)]
    rows = np.maximum(tf.sigmoid(towers[1]) - tf.sigmoid(towers[0]), 0) * np.linspace(0, 2, 12)
    assert weighed[1] - weighed[0] == pytest.approx(0.6 * rows.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "objective", "reason"),
    [
        ({"transfer": {"kind": "aitm", "calibrator": 0.6}}, "esmm", "there is nothing to calibrate"),
        ({"transfer": "stop_gradient"}, "division", "there is nothing to stop"),
        ({"transfer": "stop_gradient"}, "aman", "there is nothing to stop"),
        ({"transfer": {"kind": "stop_gradient", "stages": ["s0"]}}, "esmm", "'s0' is not a stage given another"),
        ({"transfer": {"kind": "aitm", "stop_gradient": ["s7"]}}, "esmm", "'s7' is not a stage given another"),
        ({"transfer": "stop_gradient"}, {"kind": "esmm", "weights": {"s1": 0}}, "nothing teaches 's1'"),
    ],
)
def test_what_would_do_nothing_is_refused(model: Any, objective: Any, reason: str) -> None:
    tree = tree_of(NUMBERS) | {"stages": chain(3), "objective": objective}
    with pytest.raises(SchemaError, match=reason):
        load_schema(tree | {"model": model})


def test_a_weight_of_0_leaves_a_tower_to_the_stages_after_it_unless_these_are_stopped() -> None:
    tree = tree_of(NUMBERS) | {"stages": chain(3), "objective": {"kind": "esmm", "weights": {"s1": 0}}}
    load_schema(tree)
    load_schema(tree | {"model": {"transfer": {"kind": "stop_gradient", "stages": ["s1"]}}})
    with pytest.raises(SchemaError, match="nothing teaches 's1'"):
        load_schema(tree | {"model": {"transfer": {"kind": "stop_gradient", "stages": ["s2"]}}})


@pytest.mark.parametrize("objective", KINDS)
def test_with_any_objective_all_of_it_is_learnt(objective: str) -> None:
    model, batch, labels = made(chain(2), objective, transfer={"kind": "aitm", "units": 3})
    layers = [layer for name, layer, _ in model.network.layers() if "transfer" in name]
    before = [layer.kernel.numpy() for layer in layers]
    assert len(layers) == 4
    losses = [float(model.learn((tensors(batch), tf.constant(labels))).loss) for _ in range(5)]
    assert np.isfinite(losses).all()
    for layer, kernel in zip(layers, before, strict=True):
        assert (layer.kernel.numpy() != kernel).any(), layer.name


def test_towers_without_layers_and_of_other_widths_are_told_too() -> None:
    model, batch, _ = made(chain(3), transfer="aitm", towers={"s0": {"units": []}, "s2": {"units": [7, 3]}})
    assert [tower.logit.kernel.shape[0] for tower in model.network.towers] == [3, 4, 3]
    tree = tree_of(NUMBERS)
    np.testing.assert_allclose(logits(model, batch), logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)
