"""Sequences against loops over rows, entries and steps; packed ahead as in the graph; and what is learnt of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.data.packing import Packer
from funnel.model._keras import keras, tf
from funnel.model.attention import Attention, pairs_of
from funnel.model.lists import Lists
from funnel.model.packing import packed
from funnel.model.recurrent import Gru
from funnel.model.sequences import Pooled
from funnel.schema.layout import ONCE
from funnel.schema.ordered import Ordered
from funnel.schema.pooling import Attention as DeclaredAttention
from funnel.schema.pooling import Gru as DeclaredGru
from funnel.schema.pooling import Mean, Sum
from tests.model import sequences as slow
from tests.model.sequences import ATTENTION, SEQUENCES
from tests.model.stars import Batch, batch_of, tree_of
from tests.model.test_network import clean, joined, logits, model_of, tensors

rng = np.random.default_rng(3)
LENGTHS = [3, 0, 1, 5, 0, 2, 5]  # of rows; some are alike, and some empty
OFFSETS = np.cumsum([0, *LENGTHS]).astype(np.int32)
ENTRIES = {name: rng.normal(size=(sum(LENGTHS), dim)).astype(np.float32) for name, dim in (("bought", 3), ("shops", 2))}
AGES = np.array([0, 1e-9, 0.5, 1, 1.99, 2, 3.9, 4, 1e12, 2.0**-16, 2.0**31, 7, 8, 9, 15.9, 16], np.float32)
INDEX = np.array([3, 3, 0, 1, 5, 2, 6, 0, 4], np.int32)
QUERIES = {"item": rng.normal(size=(9, 3)).astype(np.float32), "shop": rng.normal(size=(9, 2)).astype(np.float32)}
UNIT = DeclaredAttention(kind="attention", query="item", units=(5, 4))
BATCH = {"user/bought/offsets": OFFSETS, "user/bought/weights": AGES}


def pooled(how: Any, *, times: bool = True, positions: int = 3, queries: Any = ("item", "shop")) -> Pooled:
    """A layer whose weights are all something."""
    made = Pooled(Ordered(("bought", "shops"), "user", (3, 2), queries, how, times, positions), 0.5, seed=1)
    call(made)
    for place, variable in enumerate(made.variables):
        noise = np.random.default_rng(place).normal(size=variable.shape, scale=0.4)
        variable.assign(np.exp(noise) if "variance" in variable.name else noise)
    return made


def call(layer: Pooled, training: bool = False, **batch: Any) -> dict[str, np.ndarray]:
    given = {key: tf.constant(array) for key, array in (BATCH | batch).items()}
    found = layer(tensors(ENTRIES), given, tensors(QUERIES), tf.constant(INDEX), training=training)
    return {name: vectors.numpy() for name, vectors in found.items()}


def by_hand(layer: Pooled) -> list[np.ndarray]:
    """Of each row: its entries side by side, and what is added to them."""
    whole = np.concatenate([ENTRIES["bought"], ENTRIES["shops"]], axis=1)
    rows, ages = (slow.rows_of(BATCH, "user/bought", each) for each in (whole, AGES))
    return [slow.with_places_and_times(one, age, layer) for one, age in zip(rows, ages, strict=True)]


@pytest.mark.parametrize("positions", [0, 1, 3, 9])
@pytest.mark.parametrize("times", [True, False])
def test_means_and_sums_are_those_of_entries_with_their_places_and_times(times: bool, positions: int) -> None:
    for how in (Mean(kind="mean"), Sum(kind="sum")):
        layer = pooled(how, times=times, positions=positions)
        rows = by_hand(layer)
        expected = np.stack([row.sum(axis=0) / (max(len(row), 1) if how.kind == "mean" else 1) for row in rows])
        found = call(layer)
        np.testing.assert_allclose(np.concatenate(list(found.values()), axis=1), expected, rtol=1e-5, atol=1e-6)
        assert list(found) == ["bought", "shops"]


def test_the_newest_entry_has_the_first_place_and_older_ones_share_the_last() -> None:
    lists = Lists.of(tf.constant([0, 4, 4, 5]))
    assert lists.from_newest.numpy().tolist() == [3, 2, 1, 0, 0]
    assert lists.owners.numpy().tolist() == [0, 0, 0, 0, 2]
    assert lists.places.numpy().tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("queries", [("item", "shop"), ("item", None)])
def test_attention_is_that_of_the_activation_unit_pair_by_pair(queries: Any, normalize: bool) -> None:
    layer = pooled(UNIT.model_copy(update={"normalize": normalize}), queries=queries)
    rows, found = by_hand(layer), call(layer)
    for fact, row in enumerate(INDEX):
        query = np.concatenate([QUERIES[name][fact] for name in queries if name is not None])
        expected = slow.attended(query, rows[row][:, : len(query)], rows[row], layer.reader, normalize=normalize)
        np.testing.assert_allclose(np.concatenate([one[fact] for one in found.values()]), expected, rtol=1e-4, atol=1e-5)
    assert not any(found[name][INDEX == 1].any() for name in found)


def test_the_recurrent_network_is_that_of_a_loop_and_of_keras() -> None:
    layer = pooled(DeclaredGru(kind="gru", units=4))
    rows, found = by_hand(layer), call(layer)
    assert list(found) == ["bought"]
    np.testing.assert_allclose(found["bought"], [slow.remembered(row, layer.reader) for row in rows], rtol=1e-4, atol=1e-5)
    theirs = keras.layers.GRU(4)
    longest = np.zeros((1, 5, 5), np.float32)
    longest[0] = rows[3]
    theirs(longest)
    theirs.set_weights([variable.numpy() for variable in (layer.reader.kernel, layer.reader.recurrent, layer.reader.bias)])
    np.testing.assert_allclose(found["bought"][3:4], theirs(longest), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, [4, 4, 4], [1], [0, 0], [0, 9, 1, 1]])
def test_gradients_of_the_recurrent_network_are_those_of_keras(lengths: list[int]) -> None:
    lists = Lists.of(tf.constant(np.cumsum([0, *lengths]), tf.int32))
    own = np.random.default_rng(5)
    entries = tf.constant(own.normal(size=(sum(lengths), 3)), tf.float32)
    towards = tf.constant(own.normal(size=(len(lengths), 4)), tf.float32)
    ours, theirs = Gru(4, seed=2), keras.layers.GRU(4)
    ours(entries, lists)
    ours.bias.assign(own.normal(size=(2, 12)))
    theirs(tf.zeros([1, 1, 3]))
    theirs.set_weights([variable.numpy() for variable in (ours.kernel, ours.recurrent, ours.bias)])
    with tf.GradientTape() as tape:
        tape.watch(entries)
        found = ours(entries, lists, training=True)
        loss = tf.reduce_sum(found * towards)
    mine = tape.gradient(loss, [entries, *ours.trainable_variables], unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        tape.watch(entries)
        each = [theirs(row[None])[0] if len(row) else tf.zeros(4) for row in tf.split(entries, lengths)]
        loss = tf.reduce_sum(tf.stack(each) * towards)
    expected = tape.gradient(loss, [entries, *theirs.trainable_variables], unconnected_gradients="zero")
    np.testing.assert_allclose(found, tf.stack(each), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours(entries, lists), tf.stack(each), rtol=1e-4, atol=1e-5)
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_without_any_pairs_attention_gives_zeros_and_learns_no_moments(training: bool) -> None:
    layer = pooled(UNIT)
    before = [variable.numpy() for variable in layer.variables]
    none = {"user/bought/offsets": np.zeros(8, np.int32), "user/bought/weights": np.zeros(0, np.float32)}
    given = {key: tf.constant(array) for key, array in none.items()}
    with tf.GradientTape() as tape:
        found = layer(
            {name: array[:0] for name, array in tensors(ENTRIES).items()}, given, tensors(QUERIES), INDEX, training=training
        )
        loss = tf.add_n([tf.reduce_sum(one) for one in found.values()])
    assert not any(one.numpy().any() for one in found.values())
    for gradient in tape.gradient(loss, layer.trainable_variables, unconnected_gradients="zero"):
        assert not tf.convert_to_tensor(gradient).numpy().any()
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_of_attention_are_those_of_a_loop_over_facts(normalize: bool) -> None:
    """By TensorFlow's own operations, one fact after another; of tanh, which asks nothing of the other pairs."""
    how = UNIT.model_copy(update={"normalize": normalize, "activation": "tanh"})
    layer, lists = Attention(how, seed=1), Lists.of(tf.constant(OFFSETS))
    query, entries = (tf.constant(rng.normal(size=(rows, 3)), tf.float32) for rows in (len(INDEX), sum(LENGTHS)))
    towards = tf.constant(rng.normal(size=(len(INDEX), 3)), tf.float32)
    pairs = pairs_of(lists, tf.constant(INDEX))
    layer(query, entries, entries, pairs)

    def alone(fact: int) -> Any:
        own = entries[OFFSETS[INDEX[fact]] : OFFSETS[INDEX[fact] + 1]]
        asked = tf.tile(query[fact : fact + 1], [len(own), 1])
        hidden = tf.concat([asked, own, asked * own], axis=1)
        for dense in layer.stack.dense:
            hidden = tf.tanh(tf.matmul(hidden, dense.kernel) + dense.bias)
        weights = (tf.matmul(hidden, layer.weight.kernel) + layer.weight.bias)[:, 0]
        return tf.reduce_sum(own * (tf.nn.softmax(weights) if normalize else weights)[:, None], axis=0)

    found = []
    for whole in (True, False):
        with tf.GradientTape() as tape:
            tape.watch([query, entries])
            each = layer(query, entries, entries, pairs, training=True) if whole else tf.stack([*map(alone, range(len(INDEX)))])
            loss = tf.reduce_sum(towards * each)
        gradients = tape.gradient(loss, [query, entries, *layer.trainable_variables])
        found.append([each, *map(tf.convert_to_tensor, gradients)])
    assert len(found[0]) == 3 + 2 * 3
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_with_pairs_attention_learns_moments() -> None:
    layer = pooled(UNIT)
    before = layer.reader.stack.activations[0].function.scaled.moving_mean.numpy()
    call(layer, training=True)
    assert (layer.reader.stack.activations[0].function.scaled.moving_mean.numpy() != before).all()


@pytest.mark.parametrize("how", [Mean(kind="mean"), Sum(kind="sum"), DeclaredGru(kind="gru"), UNIT], ids=lambda how: how.kind)
def test_a_list_that_is_given_once_is_that_of_all_rows(how: Any) -> None:
    layer = pooled(how)
    once = {"user/bought/offsets": np.array([0, *[len(AGES)] * 9], np.int32), f"user/bought{ONCE}": np.array(True)}
    every = np.arange(9, dtype=np.int32)
    entries = {name: np.tile(array, (9, 1)) for name, array in ENTRIES.items()}
    spelt = {"user/bought/offsets": (len(AGES) * np.arange(10)).astype(np.int32), "user/bought/weights": np.tile(AGES, 9)}
    found = layer(tensors(ENTRIES), tensors(BATCH | once), tensors(QUERIES), tf.constant(every))
    expected = layer(tensors(entries), tensors(BATCH | spelt), tensors(QUERIES), tf.constant(every))
    for name, vectors in expected.items():
        np.testing.assert_allclose(found[name], vectors, rtol=1e-4, atol=1e-5)


def test_pairs_are_all_entries_of_each_fact_s_row() -> None:
    pairs = pairs_of(Lists.of(tf.constant(OFFSETS)), tf.constant(INDEX))
    expected = [(fact, entry) for fact, row in enumerate(INDEX) for entry in range(OFFSETS[row], OFFSETS[row + 1])]
    assert list(zip(pairs.facts.numpy().tolist(), pairs.entries.numpy().tolist(), strict=True)) == expected


def test_attention_is_the_function_of_the_paper_s_unit_with_the_difference_too() -> None:
    """[q, k, q - k, q k] W is [q, k, q k] with the difference's rows added to the others."""
    layer = Attention(DeclaredAttention(kind="attention", query="item", units=(5,)), seed=1)
    query, key = (tf.constant(rng.normal(size=(1, 3)), tf.float32) for _ in range(2))
    pairs = pairs_of(Lists.of(tf.constant([0, 1])), tf.constant([0]))
    layer(query, key, key, pairs)
    first = layer.stack.dense[0].kernel
    of_query, of_key, of_product = np.split(first.numpy(), 3)
    difference = rng.normal(size=(3, 5)).astype(np.float32)
    paper = np.concatenate([query, key, query - key, query * key], axis=1) @ np.concatenate(
        [of_query, of_key, difference, of_product]
    )
    first.assign(np.concatenate([of_query + difference, of_key - difference, of_product]))
    above = slow.sigmoid(paper / np.sqrt(1 + 1e-8))
    weight = (paper * above) @ layer.weight.kernel.numpy()
    np.testing.assert_allclose(layer(query, key, key, pairs), weight * key.numpy(), rtol=1e-4, atol=1e-5)


TREE = tree_of(SEQUENCES)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_packed_ahead_and_in_the_graph_places_read_the_entries_in_their_order(seed: int, facts: int, rows: int) -> None:
    model = shared_model()
    batch = batch_of(TREE, seed, facts, rows)
    ahead = Packer(model.schema, model.learnt)(batch)
    graph = packed(model.schema, model.network.widths, tensors(batch))
    assert sorted(ahead) == sorted(key for key in graph if key in ahead)
    for width in model.network.widths:
        ids = np.concatenate([batch[lookup.key] + lookup.offset for lookup in width.ordered] or [np.zeros(0, np.int32)])
        for found in (ahead, graph):
            unique = np.asarray(found[width.unique_key])
            assert len(np.unique(unique)) == len(unique)
            if width.ordered:
                np.testing.assert_array_equal(unique[np.asarray(found[width.places_key])], ids)
            used = {*np.asarray(found[width.entries_key])[:, 1].tolist(), *np.asarray(found.get(width.places_key, [])).tolist()}
            assert used == set(range(len(unique)))
    assert all(key not in ahead for width in model.network.widths for lookup in width.ordered for key in [lookup.key])
    np.testing.assert_allclose(logits(model, clean(ahead)), logits(model, clean(batch)), rtol=1e-4, atol=1e-5)


_made: list[Any] = []


def shared_model() -> Any:
    """Made once: hypothesis asks for it often."""
    if not _made:
        _made.append(model_of(TREE))
    return _made[0]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_a_star_batch_is_its_joined_rows(seed: int, facts: int, rows: int) -> None:
    batch = clean(batch_of(TREE, seed, facts, rows))
    np.testing.assert_allclose(logits(shared_model(), batch), logits(shared_model(), joined(TREE, batch)), rtol=1e-3, atol=1e-4)


def test_a_sequence_that_is_summed_or_averaged_alone_is_the_bag() -> None:
    batch = clean(batch_of(tree_of(plain("bag", "sum")), 3, 8, 3))
    for how in ("sum", "mean"):
        one, other = (model_of(tree_of(plain(kind, how))) for kind in ("bag", "sequence"))
        assert not any(width.ordered for width in other.network.widths)
        np.testing.assert_array_equal(logits(one, batch), logits(other, batch))


def plain(kind: str, how: str) -> list[dict[str, Any]]:
    return [{"name": "liked", "source": "user", "kind": kind, "table": "t", "pooling": how}, SEQUENCES[9]]


def in_turn(batch: Batch, key: str) -> Batch:
    """The same entries, each row's in the other direction."""
    offsets = batch[f"{key}/offsets"]
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in pairwise(offsets)]).astype(int)
    return batch | {key: batch[key][order]}


@pytest.mark.parametrize(
    ("how", "matters"),
    [({"pooling": "mean"}, False), ({"pooling": ATTENTION}, False), ({"pooling": "gru"}, True), ({"positions": 3}, True)],
    ids=str,
)
def test_order_matters_where_it_is_said_to(how: dict[str, Any], matters: bool) -> None:
    feature = {"name": "read", "source": "user", "kind": "sequence", "table": "t"} | how
    tree = tree_of([feature, SEQUENCES[9]])
    model, batch = model_of(tree), clean(batch_of(tree, 4, 12, 4))
    for layer in model.network.bottoms[0].sequences.pooled:
        for variable in layer.trainable_variables:
            variable.assign(tf.random.stateless_normal(variable.shape, [3, 4]))
    batch |= {"user/read": np.arange(12, dtype=np.int32) % 7, "user/read/offsets": np.array([0, 4, 4, 9, 12], np.int32)}
    same = np.allclose(logits(model, batch), logits(model, in_turn(batch, "user/read")), rtol=1e-5, atol=1e-6)
    assert same != matters


def test_a_step_on_lists_that_are_all_empty_leaves_the_tables_as_they_are() -> None:
    feature = {"name": "read", "source": "facts", "kind": "sequence", "buckets": 3, "dim": 2, "pooling": "gru"}
    model = model_of(tree_of([feature]))
    batch = {"facts/read": np.zeros(0, np.int32), "facts/read/offsets": np.zeros(4, np.int32)}
    batch |= {"index/user": np.zeros(3, np.int32), "index/item": np.zeros(3, np.int32)}
    before = model.network.tables[0].numpy()
    assert np.isfinite(model.learn((tensors(batch), tf.ones([3, 1]))).loss)
    np.testing.assert_array_equal(model.network.tables[0], before)


def test_inputs_by_hand() -> None:
    # Of each source, width by width as they first appear: tables' lookups, then what sequences give.
    assert model_of(TREE).network.inputs == {
        "item": (0, 2), "bought": (2, 2), "shops": (4, 3), "seen": (7, 3), "paid": (10, 1), "read": (11, 4),
        "city": (15, 2), "age": (17, 2), "liked": (19, 2), "tried": (21, 2), "shop": (23, 3),
    }  # fmt: skip


asked = {"kind": "sequence", "table": "t", "pooling": ATTENTION}


def test_one_traced_step_learns_from_batches_of_any_size() -> None:
    tree = tree_of([SEQUENCES[5], *SEQUENCES[8:10], {"name": "again", "source": "user"} | asked])
    model = model_of(tree)
    first = clean(batch_of(tree, 0, 3, 2))
    spec = {key: tf.TensorSpec([None], array.dtype) for key, array in first.items()}
    step = tf.function(model.learn, input_signature=[(spec, tf.TensorSpec([None, 1]))], autograph=False)
    for seed, facts, rows in [(1, 1, 1), (2, 30, 3), (3, 7, 9)]:
        batch = clean(batch_of(tree, seed, facts, rows))
        labels = tf.constant(np.arange(facts)[:, None] % 2, tf.float32)
        expected = float(model.compute_loss((tensors(batch), labels)))
        assert np.isfinite(expected)
        losses = [float(step((tensors(batch), labels)).loss) for _ in range(5)]
        assert np.isfinite(losses).all()
    assert step.experimental_get_tracing_count() == 1
