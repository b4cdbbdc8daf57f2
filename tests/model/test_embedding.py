import numpy as np
import polars as pl
import pytest

import funnel
from funnel.model._keras import keras, tf
from funnel.model.embedding import take, weighted_bag
from funnel.model.network import blank_batch
from funnel.model.optimizers import RowAdagrad
from tests import shop


@pytest.fixture(scope="module")
def model():
    model = funnel.build(shop.tree(), shop.frames())
    model.network(blank_batch(model.schema))
    return model


def test_rows_for_missing_and_unknown_ids_start_at_zero_and_others_do_not(model) -> None:
    lookups = {lookup.name: (dim, lookup.offset) for dim, group in model.network.embeddings._lookups for lookup in group}
    for dim, offset in lookups.values():
        table = model.network.embeddings.tables[dim].numpy()
        assert not table[offset : offset + 2].any()
        assert table[offset + 2].any()


def test_tables_of_one_width_are_one_variable_and_shared_ones_are_shared(model) -> None:
    assert sorted(model.network.embeddings.tables) == ["4", "6"]
    offsets = {lookup.name: lookup.offset for _, group in model.network.embeddings._lookups for lookup in group}
    assert offsets["item"] == offsets["seen"]


def test_take_is_gather_with_a_dense_gradient() -> None:
    rows = tf.constant(np.arange(12.0, dtype=np.float32).reshape(4, 3))
    with tf.GradientTape() as tape:
        tape.watch(rows)
        found = take(rows, tf.constant([2, 0, 2]))
        loss = tf.reduce_sum(found * tf.constant([[1.0], [10.0], [100.0]]))
    np.testing.assert_array_equal(found, rows.numpy()[[2, 0, 2]])
    np.testing.assert_array_equal(tape.gradient(loss, rows)[:, 0], [10, 0, 101, 0])


def test_weighted_bag_is_a_weighted_sum_with_its_gradient() -> None:
    rng = np.random.default_rng(0)
    rows = tf.constant(rng.normal(size=[5, 3]).astype(np.float32))
    owner, place, weight = [0, 0, 2, 2, 2], [1, 1, 0, 4, 3], np.array([1, 2, -1, 0.5, 3], np.float32)
    expected = np.zeros([3, 3], np.float32)
    for bag, row, w in zip(owner, place, weight, strict=True):
        expected[bag] += w * rows.numpy()[row]
    upstream = rng.normal(size=[3, 3]).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        found = weighted_bag(
            rows, tf.constant(list(zip(owner, place, strict=True)), tf.int64), tf.constant(weight), tf.constant(3)
        )
        loss = tf.reduce_sum(found * upstream)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradient = np.zeros([5, 3], np.float32)
    for bag, row, w in zip(owner, place, weight, strict=True):
        gradient[row] += w * upstream[bag]
    np.testing.assert_allclose(tape.gradient(loss, rows), gradient, rtol=1e-6, atol=1e-6)


def batch_of(model, **lists: tuple[list[int], list[int], list[float] | None]):
    rows = len(next(iter(lists.values()))[1]) - 1
    facts = {key: tf.repeat(value, rows) for key, value in blank_batch(model.schema).items() if key.startswith("facts/")}
    batch = dict(blank_batch(model.schema)) | {key: value for key, value in facts.items() if "seen" not in key}
    for name in ("seen", "also_seen"):
        batch |= {f"facts/{name}": tf.zeros([0], tf.int32), f"facts/{name}/offsets": tf.zeros([rows + 1], tf.int32)}
    for name, (values, offsets, weights) in lists.items():
        batch |= {f"facts/{name}": tf.constant(values), f"facts/{name}/offsets": tf.constant(offsets)}
        if weights is not None:
            batch[f"facts/{name}/weights"] = tf.constant(weights)
    return batch


def test_pooling_is_mean_or_sum_and_an_empty_bag_is_zero(model) -> None:
    batch = batch_of(model, seen=([2, 3, 3], [0, 3, 3], None), also_seen=([2, 4], [0, 0, 2], None))
    embeddings = model.network.embeddings
    found = embeddings(batch | {"facts/price_band": tf.constant([0, 0])})
    offsets = {lookup.name: (dim, lookup.offset) for dim, group in embeddings._lookups for lookup in group}
    dim, first = offsets["seen"]
    table = embeddings.tables[dim].numpy()
    np.testing.assert_allclose(found["seen"][0], (table[first + 2] + 2 * table[first + 3]) / 3, rtol=1e-5)
    assert not np.any(found["seen"][1])
    dim, first = offsets["also_seen"]
    table = embeddings.tables[dim].numpy()
    np.testing.assert_allclose(found["also_seen"][1], table[first + 2] + table[first + 4], rtol=1e-5)


def test_only_the_rows_of_the_batch_change() -> None:
    tree = shop.tree()
    tree["data"]["validation"] = None
    data = shop.frames(rows=50)
    model = funnel.build(tree, data)
    batch, labels = next(iter(funnel.dataset(tree, data)))
    model.network(blank_batch(model.schema))
    before = {dim: table.numpy() for dim, table in model.network.embeddings.tables.items()}
    model.train_step((batch, labels))
    (unused,) = (
        np.setdiff1d(np.arange(len(before["6"])), np.concatenate([batch["facts/item"], batch["facts/seen"]])) for _ in range(1)
    )
    np.testing.assert_array_equal(model.network.embeddings.tables["6"].numpy()[unused], before["6"][unused])
    used = np.setdiff1d(np.unique(batch["facts/item"]), [0, 1])
    assert (model.network.embeddings.tables["6"].numpy()[used] != before["6"][used]).any(axis=1).all()


def test_row_adagrad_is_the_stock_adagrad() -> None:
    rng = np.random.default_rng(1)
    start = rng.normal(size=[30, 4]).astype(np.float32)
    ours, stock = tf.Variable(start), tf.Variable(start)
    optimizers = [RowAdagrad(0.1, initial_accumulator_value=0.05), keras.optimizers.legacy.Adagrad(0.1, 0.05, epsilon=0.0)]
    for _ in range(5):
        rows = rng.choice(30, 7, replace=False)
        gradient = tf.IndexedSlices(tf.constant(rng.normal(size=[7, 4]).astype(np.float32)), tf.constant(rows))
        for optimizer, variable in zip(optimizers, (ours, stock), strict=True):
            optimizer.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-6)


def test_a_star_batch_and_the_joined_rows_have_the_same_logits(model) -> None:
    data = shop.frames(3, 40)
    tree = shop.tree()
    tree["data"]["validation"] = None
    (batch, _), *_ = list(funnel.dataset(tree, data))
    index = batch["index/user"].numpy()
    joined = {key: value for key, value in batch.items() if not key.startswith("user/")}
    joined["index/user"] = tf.range(len(index))
    for name in ("user_id", "city", "age"):
        joined[f"user/{name}"] = tf.gather(batch[f"user/{name}"], index)
    offsets, values = batch["user/liked/offsets"].numpy(), batch["user/liked"].numpy()
    weights = batch["user/liked/weights"].numpy()
    parts = [slice(offsets[i], offsets[i + 1]) for i in index]
    joined["user/liked"] = tf.constant(np.concatenate([values[part] for part in parts]))
    joined["user/liked/weights"] = tf.constant(np.concatenate([weights[part] for part in parts]))
    joined["user/liked/offsets"] = tf.constant(np.cumsum([0, *(part.stop - part.start for part in parts)]), tf.int32)
    assert len(index) > len(batch["user/age"])
    fresh = funnel.build(tree, data)
    np.testing.assert_allclose(fresh.logits(batch), fresh.logits(joined), rtol=1e-4, atol=1e-6)
    assert isinstance(data["facts"], pl.DataFrame)
