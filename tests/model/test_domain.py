"""Gates of a domain against NumPy; domains that are not known; and what a stage that a domain lacks is: nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.errors import SchemaError
from funnel.model._keras import tf
from funnel.model.absence import absent_stages
from funnel.model.funnel_model import build_model
from funnel.model.likelihood import cumulative_logits
from funnel.model.objectives import Judged, Objective
from funnel.model.packing import packed
from funnel.model.spaces import stage_rows
from funnel.schema.learnt import FIRST, Learnt, Scale
from funnel.schema.objective import KINDS
from funnel.schema.reader import load_schema
from tests.model.stars import batch_of, tree_of
from tests.model.test_network import FEATURES, clean, joined, logits, model_of, tensors
from tests.model.trees import TREES, chain

PLACES = {"fact": ("hour", "facts"), "dimension": ("city", "user")}


def made(domain: Any, stages: Any = None, **model: Any) -> tuple[Any, Any, Any]:
    """A model, its declaration, and rows of which some are of domains that are not known."""
    tree = tree_of(FEATURES) | {"stages": stages or chain(2)}
    built = model_of(tree, tower={"units": [4, 3], "activation": "tanh"}, domain=domain, **model)
    return built, tree, clean(batch_of(tree, 3, 12, 6))


def rows_of(batch: Any, place: str) -> tuple[str, np.ndarray]:
    """The key of the domain, and each fact's row."""
    feature, source = PLACES[place]
    rows = batch[f"{source}/{feature}"]
    return f"{source}/{feature}", rows if source == "facts" else rows[batch[f"index/{source}"]]


def dense(layer: Any, rows: np.ndarray) -> np.ndarray:
    return rows @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)


def wide(parts: Any, index: Any) -> list[np.ndarray]:
    pairs = zip(parts, index, strict=True)
    return [np.asarray(part) if of is None else np.asarray(part)[np.asarray(of)] for part, of in pairs]


def gates(gate: Any, inputs: np.ndarray, domain: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The paper's equation, row by row; 1 where the domain is not known."""
    hidden = np.maximum(dense(gate.hidden, inputs) + dense(gate.domain, domain), 0)
    return np.where(known[:, None], 2 / (1 + np.exp(-dense(gate.gates, hidden))), 1)


@pytest.mark.parametrize("place", PLACES)
def test_what_enters_and_what_towers_give_is_gated(place: str) -> None:
    model, tree, batch = made(PLACES[place][0])
    _, rows = rows_of(batch, place)
    known = rows >= FIRST
    assert 0 < known.sum() < len(known)
    network, star = model.network, joined(tree, batch)
    # The same network without gates gives what enters: its body is empty.
    plain, _, _ = made({"feature": PLACES[place][0], "inputs": False})
    for mine, theirs in zip(plain.network.tables, network.tables, strict=True):
        mine.assign(theirs)
    below = plain.network.bottoms[0](packed(plain.schema, plain.network.widths, tensors(star)))
    entered = np.concatenate(wide(*below.outputs[0]), axis=1)
    begin, size = network.inputs[PLACES[place][0]]
    domain = entered[:, begin : begin + size]
    body = entered * gates(network.bottoms[0].gate, entered, domain, known)
    for tower, logit in zip(network.towers, network(tensors(batch)).towers, strict=True):
        hidden, scales = body, np.split(gates(tower.gate, entered, domain, known), [4], axis=1)
        for layer, scale in zip(tower.stack.dense, scales, strict=True):
            hidden = np.tanh(dense(layer, hidden)) * scale
        np.testing.assert_allclose(logit, dense(tower.logit, hidden)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_domains_that_are_not_known_have_the_shared_part_exactly(place: str, shared: bool) -> None:
    model, _, batch = made(PLACES[place][0], share_embeddings=shared)
    key, rows = rows_of(batch, place)
    before, known = logits(model, batch), rows >= FIRST
    for bottom in model.network.bottoms:
        bottom.gate.gates.bias.assign_add(tf.ones_like(bottom.gate.gates.bias))
    for tower in model.network.towers:
        tower.gate.gates.bias.assign_add(tf.ones_like(tower.gate.gates.bias))
    after = logits(model, batch)
    np.testing.assert_array_equal(before[~known], after[~known])
    assert (np.abs(before - after)[known] > 1e-6).all()
    # And it is the network without gates, of the same weights.
    plain, _, _ = made(None, share_embeddings=shared)
    there = {name: layer for name, layer, _ in model.network.layers()}
    for name, layer, _ in plain.network.layers():
        layer.set_weights(there[name].get_weights())
    for mine, theirs in zip(plain.network.tables, model.network.tables, strict=True):
        mine.assign(theirs)
    np.testing.assert_allclose(logits(plain, batch)[~known], after[~known], rtol=1e-5, atol=1e-6)
    assert key in batch


def test_no_gradient_goes_through_a_gate_but_to_its_domain() -> None:
    model, _, batch = made("hour")
    inner = packed(model.schema, model.network.widths, tensors(batch))
    bottom = model.network.bottoms[0]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(bottom.gate(bottom(inner).within))
    tables = model.network.tables
    found = dict(zip([width.dim for width in model.network.widths], tape.gradient(total, tables), strict=True))
    # `hour` alone has rows of width 3.
    rows = {dim: 0.0 if gradient is None else float(tf.reduce_max(tf.abs(gradient.values))) for dim, gradient in found.items()}
    assert {dim for dim, size in rows.items() if size > 0} == {3}


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("hour", ["body/gate_", "s0/gate_", "s1/gate_"]),
        ({"feature": "hour", "towers": False}, ["body/gate_"]),
        ({"feature": "hour", "inputs": False}, ["s0/gate_", "s1/gate_"]),
        ({"feature": "hour", "inputs": False, "towers": False}, []),
    ],
)
def test_either_kind_of_gates_may_be_left_out(domain: Any, expected: list[str]) -> None:
    model, _, _ = made(domain)
    names = [name for name, _, _ in model.network.layers() if "gate_" in name]
    assert names == [f"{prefix}{layer}" for prefix in expected for layer in ("hidden", "domain", "gates")]


def test_a_domain_must_be_a_categorical_feature() -> None:
    with pytest.raises(SchemaError, match=r"model.domain.feature: 'price' is not a categorical feature"):
        load_schema(tree_of(FEATURES) | {"model": {"domain": "price"}})


# Stages that a domain lacks.

SCENARIO = {"name": "scenario", "source": "facts", "kind": "categorical"}
DOMAINS = {"feed": FIRST, "search": FIRST + 1, "app": FIRST + 2}


def absent_model(stages: Any, **more: Any) -> Any:
    tree = tree_of([SCENARIO, FEATURES[3]]) | {"stages": stages} | more
    schema = load_schema(tree | {"model": {"domain": "scenario", "tower": {"units": [4]}}})
    learnt = Learnt(rows={"scenario": 5}, scales={"price": Scale()}, priors=(0.3,) * len(stages), domains=DOMAINS)
    model = build_model(schema, learnt, {"scenario": list(DOMAINS)})
    model.create_variables()
    return model


def only_in(*domains: str) -> Any:
    """Three stages, of which the second, and so the third, is in these domains alone."""
    first, second, third = chain(3)
    return [first, second | {"domains": list(domains)}, third]


BATCH = {
    "facts/scenario": np.array([2, 3, 4, 0, 1, 2, 3, 4], np.int32),
    "facts/price": np.arange(8).astype(np.float32),
    "index/user": np.zeros(8, np.int32),
    "index/item": np.zeros(8, np.int32),
}
ESM2 = [stage | ({"domains": ["feed"]} if stage["name"] == "direct" else {}) for stage in TREES["esm2"]]


def test_a_stage_is_absent_where_one_that_it_depends_on_is() -> None:
    model = absent_model(ESM2)
    assert model.schema.domains == (
        None,
        *[frozenset({"feed"})] * 5,
    )  # of the join one branch is absent, and `again` is given it
    found = absent_stages(model.schema, model.learnt, tensors(BATCH)).numpy()
    feed = BATCH["facts/scenario"] == DOMAINS["feed"]
    np.testing.assert_array_equal(found, np.stack([np.zeros(8, bool), *[~feed] * 5], axis=1))


def test_predictions_of_an_absent_stage_are_nan_and_no_others() -> None:
    stages = only_in("feed", "app")
    model = absent_model(stages)
    found = {name: column.numpy() for name, column in model(tensors(BATCH)).items()}
    there = np.isin(BATCH["facts/scenario"], [DOMAINS["feed"], DOMAINS["app"]])
    assert list(found) == ["s0", "s1", "s1_given_s0", "s2", "s2_given_s1"]
    assert not np.isnan(found["s0"]).any()
    for name in ("s1", "s1_given_s0", "s2", "s2_given_s1"):
        np.testing.assert_array_equal(np.isnan(found[name]), ~there)


@pytest.mark.parametrize("objective", KINDS)
def test_whatever_a_label_says_of_an_absent_stage_nothing_is_learnt_from_it(objective: str) -> None:
    stages = only_in("feed")
    model = absent_model(stages, objective=objective)
    labels = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], np.float32)
    found = []
    for filling in (0.0, 1.0, np.nan):
        other = labels.copy()
        other[BATCH["facts/scenario"] != DOMAINS["feed"], 1:] = filling
        with tf.GradientTape() as tape:
            loss = model.compute_loss((tensors(BATCH), tf.constant(other)), training=True)
        last = tape.gradient(loss, model.network.towers[2].logit.bias).numpy()
        found.append((float(loss), last.tolist()))
        assert np.isfinite(found[-1][0])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("objective", KINDS)
def test_rows_that_lack_a_stage_add_nothing_to_its_loss_also_where_no_label_is_needed(objective: str) -> None:
    model, losses = absent_model(only_in("feed"), objective=objective), {}
    weighed = model.objective._weighed

    def kept(name: str, loss_B: Any) -> Any:
        losses[name] = loss_B.numpy()
        return weighed(name, loss_B)

    model.objective._weighed = kept
    model.compute_loss((tensors(BATCH), tf.constant(np.tile([[1.0, 1.0, 0.0]], [8, 1]), tf.float32)), training=True)
    feed = BATCH["facts/scenario"] == DOMAINS["feed"]
    assert losses["s0"].all()
    for name in ("s1", "s2"):
        np.testing.assert_array_equal(losses[name] != 0, feed)


@pytest.mark.parametrize("kind", ["aman", "unbias", "oversampling", "parent_space", "ips", "dr", "dcmt"])
def test_shares_are_of_the_rows_that_have_the_stage(kind: str) -> None:
    """What is learnt of half of the rows, where the other half lacks the stage, is what is learnt of these rows alone."""
    whole_risk = kind in ("ips", "dr", "dcmt")
    schema = absent_model(only_in("feed"), objective={"kind": kind} | ({"self_normalize": False} if whole_risk else {})).schema
    stage, half = 1, {"given": (1.0, 0.2, 0.1), "known_inside": (1.0, 0.5, 1.0), "present": (1.0, 0.5, 0.5)}
    sizes: Any = {"rows": {"scenario": 5}, "scales": {"price": Scale()}, "priors": (0.4, 0.3, 0.3), "domains": DOMAINS}
    parted = Objective(schema, Learnt(**sizes, **half))
    alone = Objective(schema, Learnt(**sizes, given=(1.0, 0.4, 0.2), known_inside=(1.0, 0.5, 1.0)))
    rng = np.random.default_rng(3)
    towers, labels = rng.normal(size=(8, 3)).astype(np.float32), np.tile([[1.0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 1]], [2, 1])
    absent = np.zeros([8, 3], bool)
    absent[4:, 1:] = True
    labels[4:] = labels[:4]

    def mean(objective_: Any, rows: slice, lacking: Any) -> float:
        logits = tf.constant(towers[rows])
        by_name = dict(zip(schema.stage_names, tf.unstack(logits, axis=1), strict=True))
        twins = {name: by_name[name] + 0.5 for name in ("s1", "s2")}
        judged = Judged(by_name, twins, logits, cumulative_logits(logits, schema.topology), lacking)
        found = objective_(tf.constant(labels[rows], tf.float32), judged)
        return float(tf.reduce_mean(found.stages[schema.stage_names[stage]]))

    whole, own = mean(parted, slice(None), tf.constant(absent)), mean(alone, slice(4), None)
    # Means over a stage's own rows are the same; sums over all rows, of which the others add nothing, are half.
    assert whole == pytest.approx(own / 2 if whole_risk else own, rel=1e-5)


def test_rows_that_lack_a_stage_are_on_neither_side_of_it() -> None:
    schema = load_schema(tree_of(FEATURES) | {"stages": chain(2)})
    labels = tf.constant([[0.0, 0.0], [1.0, 1.0], [1.0, np.nan], [1.0, 0.0]])
    absent = tf.constant([[False, True], [False, True], [False, False], [False, False]])
    _, own = stage_rows(labels, schema.topology, absent)
    assert [part.numpy().tolist() for part in (own.label, own.known, own.inside, own.outside)] == [
        [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip


FACTS_ONLY = {"features": [SCENARIO, FEATURES[3]], "stages": [{**chain(1)[0], "domains": ["feed"]}]}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"model": {}}, "no feature that says which a row is of"),
        ({"features": [SCENARIO | {"source": "user"}]}, "expected a column of the facts"),
        ({"features": [SCENARIO | {"buckets": 7}]}, "are hashed"),
        ({"stages": [{**chain(1)[0], "domains": []}]}, "at least 1"),
        (
            {"stages": [{**one, "domains": [name]} for one, name in zip(chain(2), ["feed", "app"], strict=True)]},
            r"stages\[1\].domains: no domain has 's1'",
        ),
        ({"sampling": {"impression": 0.5, "s0": 1.0}}, "differs by domain"),
    ],
)
def test_domains_of_stages_that_cannot_be_are_refused(more: Any, reason: str) -> None:
    tree = tree_of([]) | FACTS_ONLY | {"model": {"domain": "scenario"}}
    load_schema(tree)
    with pytest.raises(SchemaError, match=reason):
        load_schema(tree | more)
