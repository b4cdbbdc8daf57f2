import numpy as np
import polars as pl
import pytest

import funnel
from funnel.model._keras import tf
from funnel.model.embedding import weighted_sums
from funnel.model.network import blank_batch
from funnel.model.packing import packed
from funnel.schema.layout import Width
from tests import shop


@pytest.fixture(scope="module")
def model():
    model = funnel.build(shop.tree(), shop.frames())
    model.network(blank_batch(model.schema))
    return model


def lookups_of(model) -> dict[str, tuple[Width, int]]:
    return {
        lookup.name: (width, lookup.offset)
        for width in model.network.widths
        for group in width.lookups.values()
        for lookup in group
    }


def test_rows_for_missing_and_unknown_ids_start_at_zero_and_others_do_not(model) -> None:
    for width, offset in lookups_of(model).values():
        table = model.network.bottoms[0].embeddings.tables[str(width.dim)].numpy()
        assert not table[offset : offset + 2].any()
        assert table[offset + 2].any()


def test_tables_of_one_width_are_one_variable_and_shared_ones_are_shared(model) -> None:
    assert sorted(model.network.bottoms[0].embeddings.tables) == ["4", "6"]
    found = lookups_of(model)
    assert found["item"] == found["seen"]


def test_weighted_sums_have_their_gradient() -> None:
    rng = np.random.default_rng(0)
    rows = tf.constant(rng.normal(size=[5, 3]).astype(np.float32))
    owner, place, weight = [0, 0, 2, 2, 2], [1, 1, 0, 4, 3], np.array([1, 2, -1, 0.5, 3], np.float32)
    expected = np.zeros([3, 3], np.float32)
    for bag, row, w in zip(owner, place, weight, strict=True):
        expected[bag] += w * rows.numpy()[row]
    upstream = rng.normal(size=[3, 3]).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        entries = tf.constant(list(zip(owner, place, strict=True)), tf.int32)
        found = weighted_sums(rows, entries, tf.constant(weight), tf.constant(3))
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


def pooled(model, batch) -> dict[str, np.ndarray]:
    """By feature of the facts: its embeddings."""
    found = model.network.bottoms[0].embeddings(packed(model.schema, model.network.widths, batch))["facts"]
    parts = {}
    for width, block in zip((w for w in model.network.widths if w.lookups["facts"]), found, strict=True):
        columns = np.split(block.numpy(), len(width.lookups["facts"]), axis=1)
        parts |= {lookup.name: column for lookup, column in zip(width.lookups["facts"], columns, strict=True)}
    return parts


def test_pooling_is_mean_or_sum_and_an_empty_bag_is_zero(model) -> None:
    batch = batch_of(model, seen=([2, 3, 3], [0, 3, 3], None), also_seen=([2, 4], [0, 0, 2], None))
    found, places = pooled(model, batch), lookups_of(model)
    width, first = places["seen"]
    table = model.network.bottoms[0].embeddings.tables[str(width.dim)].numpy()
    np.testing.assert_allclose(found["seen"][0], (table[first + 2] + 2 * table[first + 3]) / 3, rtol=1e-5)
    assert not np.any(found["seen"][1])
    width, first = places["also_seen"]
    table = model.network.bottoms[0].embeddings.tables[str(width.dim)].numpy()
    np.testing.assert_allclose(found["also_seen"][1], table[first + 2] + table[first + 4], rtol=1e-5)


def test_only_the_rows_of_the_batch_change() -> None:
    tree = shop.tree()
    tree["data"]["validation"] = None
    data = shop.frames(rows=50)
    model = funnel.build(tree, data)
    batch, labels = next(iter(funnel.dataset(tree, data)))
    model.network(blank_batch(model.schema))
    before = {dim: table.numpy() for dim, table in model.network.bottoms[0].embeddings.tables.items()}
    model.train_step((batch, labels))
    (unused,) = (
        np.setdiff1d(np.arange(len(before["6"])), np.concatenate([batch["facts/item"], batch["facts/seen"]])) for _ in range(1)
    )
    np.testing.assert_array_equal(model.network.bottoms[0].embeddings.tables["6"].numpy()[unused], before["6"][unused])
    used = np.setdiff1d(np.unique(batch["facts/item"]), [0, 1])
    assert (model.network.bottoms[0].embeddings.tables["6"].numpy()[used] != before["6"][used]).any(axis=1).all()


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


def test_weighted_sums_of_nothing_are_zero_and_give_rows_no_gradient() -> None:
    rows = tf.zeros([0, 3])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        found = weighted_sums(rows, tf.zeros([0, 2], tf.int32), tf.zeros([0]), tf.constant(4))
        loss = tf.reduce_sum(found)
    np.testing.assert_array_equal(found, np.zeros([4, 3]))
    assert tape.gradient(loss, rows).shape == (0, 3)


def test_what_was_gathered_is_the_unique_rows_of_the_last_call(model) -> None:
    batch = packed(model.schema, model.network.widths, batch_of(model, seen=([2, 3, 3], [0, 3, 3], None)))
    model.network.bottoms[0].embeddings(batch)
    gathered = model.network.gathered
    assert len(gathered) == len(model.network.widths) == 2
    for width in model.network.widths:
        table = model.network.bottoms[0].embeddings.tables[str(width.dim)]
        np.testing.assert_array_equal(gathered[table.ref()], table.numpy()[batch[width.unique_key].numpy()])
