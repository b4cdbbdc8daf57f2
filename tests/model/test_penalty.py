"""What weights cost: against a slow reader of lookups, on the rows that a step reads and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.model._keras import tf
from funnel.model.network import TWIN
from funnel.model.packing import packed
from funnel.model.penalty import penalty
from funnel.schema.training import L2
from tests.model.stars import Batch, batch_of, meaning, stored, tree_of, trees
from tests.model.test_network import FEATURES, clean, joined, model_of, tensors

FACTOR = 0.25


def positive(batch: Batch) -> Batch:
    """An id that is twice in a list, with weights that cancel out, has two sizes; of these there are none."""
    return {key: np.abs(array) if key.endswith("/weights") else array for key, array in clean(batch).items()}


def cost(model: Any, batch: Batch, l2: L2, total: int | None = None) -> float:
    made = packed(model.schema, model.network.widths, model.star(tensors(batch)))
    model.network(made)
    facts = len(batch["index/user"])
    return float(penalty(l2, model.network, made, tf.constant(facts), tf.constant(facts if total is None else total)))


def slowly(tree: dict[str, Any], model: Any, batch: Batch) -> float:
    """Fact by fact, feature by feature."""
    rows = {
        (table, row): values[begin + place]
        for width in model.network.widths
        for values in [model.network.bottoms[0].embeddings.tables[str(width.dim)].numpy().astype(np.float64)]
        for table, (begin, _) in width.tables.items()
        for place, row in enumerate(stored(table, model.learnt.rows[table]))
    }
    lines, facts = meaning(tree, batch), len(batch["index/user"])
    total = 0.0
    for fact in range(facts):
        for feature in tree["features"]:
            source = feature["source"]
            row = fact if source == "facts" else int(batch[f"index/{source}"][fact])
            line = lines.get((source, row, feature["name"]), {})
            total += sum(abs(weight) * float(rows[place] @ rows[place]) for place, weight in line.items())
    return FACTOR * total / facts


@settings(max_examples=4)
@given(trees(), st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_an_embedding_costs_as_often_as_facts_look_it_up(tree, seed: int, facts: int, rows: int) -> None:
    model, batch = model_of(tree), positive(batch_of(tree, seed, facts, rows))
    found = cost(model, batch, L2(embedding=FACTOR))
    assert found == pytest.approx(slowly(tree, model, batch), rel=1e-4, abs=1e-6)
    # Of joined rows it is the same.
    assert found == pytest.approx(cost(model, joined(tree, batch), L2(embedding=FACTOR)), rel=1e-4, abs=1e-6)


def test_kernels_cost_their_squares_and_biases_nothing() -> None:
    tree = tree_of(FEATURES) | {"stages": [{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}]}
    model = model_of(tree, body={"units": [3], "activation": "prelu"}, tower={"units": [4], "norm": "layer"})
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    # 14 inputs; three units of the body; a tower of four and a logit for each stage.
    kernels = 14 * 3 + 2 * (3 * 4 + 4)
    assert cost(model, positive(batch_of(tree, 1, 5, 2)), L2(dense=0.5)) == pytest.approx(0.5 * kernels)


def test_shares_of_replicas_add_up_to_what_one_would_pay() -> None:
    tree = tree_of(FEATURES)
    model, l2 = model_of(tree), L2(embedding=0.3, dense=0.2)
    first, second = (joined(tree, positive(batch_of(tree, seed, facts, 3))) for seed, facts in ((1, 4), (2, 7)))
    both = dict(first)
    for key, array in second.items():
        if key.startswith("index/"):
            both[key] = np.arange(11, dtype=np.int32)
        elif key.endswith("/offsets"):
            both[key] = np.concatenate([first[key], first[key][-1] + array[1:]])
        else:
            both[key] = np.concatenate([first[key], array])
    parts = [cost(model, part, l2, total=11) for part in (first, second)]
    assert sum(parts) == pytest.approx(cost(model, both, l2), rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adagrad", "rowwise_adagrad", "adam", "sgd"])
def test_rows_that_a_step_does_not_read_stay_bit_for_bit(optimizer: str) -> None:
    tree = tree_of(FEATURES)
    tree["train"] = {"optimizer": {"embedding": {"kind": optimizer, "learning_rate": 0.1}}}
    tree["train"]["l2"] = {"embedding": 1.0, "dense": 0.1}
    model, batch = model_of(tree), positive(batch_of(tree, 3, 3, 1))
    labels = tf.constant([[0.0], [1.0], [0.0]])
    tables = model.network.tables
    slots = [(table, name) for table in tables for name in model.optimizer.parts()[0][0].get_slot_names()]
    before = [table.numpy() for table in tables]
    kept = [model.optimizer.parts()[0][0].get_slot(table, name).numpy() for table, name in slots]
    model.learn((tensors(batch), labels))
    made = packed(model.schema, model.network.widths, model.star(tensors(batch)))
    pairs = zip(model.network.widths, tables, strict=True)
    read = {id(table): set(made[width.unique_key].numpy().tolist()) for width, table in pairs}
    spared = 0
    for table, old in zip(tables, before, strict=True):
        others = [row for row in range(len(old)) if row not in read[id(table)]]
        spared += len(others)
        np.testing.assert_array_equal(table.numpy()[others], old[others])
        assert (table.numpy() != old).any()
    assert spared
    for (table, name), old in zip(slots, kept, strict=True):
        others = [row for row in range(len(old)) if row not in read[id(table)]]
        np.testing.assert_array_equal(model.optimizer.parts()[0][0].get_slot(table, name).numpy()[others], old[others])


def stepped(l2: dict[str, float], steps: int = 1) -> tuple[Any, float]:
    sgd = {"kind": "sgd", "learning_rate": 0.1}
    tree = tree_of([FEATURES[5]]) | {"train": {"optimizer": {"embedding": sgd, "dense": sgd}, "l2": l2}}
    model = model_of(tree, tower={"units": []})
    ids = {"facts/hour": np.array([2, 2, 2, 3], np.int32)} | {f"index/{d}": np.zeros(4, np.int32) for d in ("user", "item")}
    step = tf.function(model.learn)
    for _ in range(steps):
        learned = step((tensors(ids), tf.constant([[1.0], [0.0], [1.0], [1.0]])))
    return model, float(learned.loss)


def test_a_step_by_hand() -> None:
    (plain, loss), (other, dearer) = stepped({}), stepped({"embedding": 0.4, "dense": 0.3})
    fresh = model_of(tree_of([FEATURES[5]]), tower={"units": []})
    table, kernel = (one.numpy().astype(float) for one in (fresh.network.tables[0], fresh.network.towers[0].logit.kernel))
    squares = (table**2).sum(axis=1)
    assert dearer - loss == pytest.approx(0.4 * (3 * squares[2] + squares[3]) / 4 + 0.3 * (kernel**2).sum(), rel=1e-4)
    # Steps of .1 times twice the factor, row 2 for three of four facts and row 3 for one.
    moved = other.network.tables[0].numpy() - plain.network.tables[0].numpy()
    np.testing.assert_allclose(moved[2], -0.1 * 2 * 0.4 * 3 / 4 * table[2], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(moved[3], -0.1 * 2 * 0.4 / 4 * table[3], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(moved[[0, 1, 4]], 0)
    pulled = other.network.towers[0].logit.kernel.numpy() - plain.network.towers[0].logit.kernel.numpy()
    np.testing.assert_allclose(pulled, -0.1 * 2 * 0.3 * kernel, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(other.network.towers[0].logit.bias, plain.network.towers[0].logit.bias)


def test_weights_stay_smaller_the_more_they_cost() -> None:
    sizes = [
        float(sum(np.square(table.numpy()[2:4]).sum() for table in stepped({"embedding": factor}, 200)[0].network.tables))
        for factor in (0.0, 0.01, 0.1)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_tables_of_each_stage_and_second_towers_cost_too() -> None:
    tree = tree_of([FEATURES[5]]) | {"stages": [{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}]}
    tree |= {"objective": {"kind": "dcmt"}}
    model = model_of(tree, tower={"units": []}, share_embeddings=False)
    batch = positive(batch_of(tree, 1, 4, 2))
    made = packed(model.schema, model.network.widths, model.star(tensors(batch)))
    model.network(made, twins=True)
    assert model.network.twins[0].name.endswith(TWIN)
    whole = float(penalty(L2(embedding=1), model.network, made, tf.constant(4), tf.constant(4)))
    rows = batch["facts/hour"]
    each = [float(np.square(table.numpy()[rows]).sum()) / 4 for table in model.network.tables]
    assert len(each) == 2
    assert whole == pytest.approx(sum(each), rel=1e-5)
    dense = float(penalty(L2(dense=1), model.network, made, tf.constant(4), tf.constant(4)))
    towers = [*model.network.towers, *model.network.twins]
    assert dense == pytest.approx(sum(float(np.square(tower.logit.kernel.numpy()).sum()) for tower in towers), rel=1e-5)


def test_entries_of_sequences_whose_order_counts_share_what_one_lookup_costs() -> None:
    items = {"source": "facts", "kind": "categorical", "buckets": 6, "dim": 2}
    seen = {"source": "user", "kind": "sequence", "buckets": 6, "dim": 2}
    tree = tree_of(
        [
            {"name": "item", **items},
            {"name": "seen", **seen, "pooling": {"kind": "attention", "query": "item"}},
            {"name": "read", **seen, "dim": 3, "pooling": "gru"},  # alone in its width
        ]
    )
    model = model_of(tree)
    two, three = (model.network.bottoms[0].embeddings.tables[dim].numpy().astype(float) for dim in ("2", "3"))
    item, seen_rows = two[:8], two[8:]
    batch: Batch = {
        "facts/item": np.array([3, 4, 4], np.int32),
        "user/seen": np.array([2, 2, 5], np.int32),
        "user/seen/offsets": np.array([0, 3, 3], np.int32),
        "user/read": np.array([7], np.int32),
        "user/read/offsets": np.array([0, 0, 1], np.int32),
        "index/user": np.array([0, 0, 1], np.int32),
        "index/item": np.zeros(3, np.int32),
    }
    looked_up = (item[[3, 4, 4]] ** 2).sum() + 2 * (seen_rows[[2, 2, 5]] ** 2).sum() / 3 + (three[7] ** 2).sum()
    assert cost(model, batch, L2(embedding=FACTOR)) == pytest.approx(FACTOR * looked_up / 3, rel=1e-5)
