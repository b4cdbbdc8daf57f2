"""What the engine learns is what a plain network over joined rows learns."""

from typing import Any

import numpy as np
import pytest

import funnel
from funnel.data.order import Epoch
from funnel.data.packing import Packer
from funnel.fitting import model_of
from funnel.model._keras import keras, tf
from funnel.model.likelihood import cross_entropy, cumulative_logits
from funnel.training.feed import Feed
from tests import shop

STEPS = 50


def tree() -> dict[str, Any]:
    made = shop.tree()
    made["data"]["validation"] = None
    made["model"]["tower"] = {"units": [12, 6], "activation": "prelu"}
    made["train"] |= {"batch_size": 64, "shuffle": "group"}
    return made


class Plain:
    """Tables, kernels and slopes as plain variables, a lookup for each entry, and stock optimisers over whole tables."""

    def __init__(self, model: Any) -> None:
        self.schema, self.learnt, self.widths = model.schema, model.learnt, model.network.widths
        self.tables = {width.dim: tf.Variable(model.network.embeddings.tables[str(width.dim)]) for width in self.widths}
        self.towers = [
            [
                *((tf.Variable(d.kernel), tf.Variable(d.bias), tf.Variable(a.alpha)) for d, a in
                  zip(tower.stack.dense, tower.stack.activations, strict=True)),
                (tf.Variable(tower.logit.kernel), tf.Variable(tower.logit.bias)),
            ]
            for tower in model.network.towers
        ]  # fmt: skip
        legacy = keras.optimizers.legacy
        self.of_tables = legacy.Adagrad(0.05, initial_accumulator_value=0.1, epsilon=0.0)
        self.of_rest = legacy.Adam(0.001)

    def inputs(self, batch: dict[str, np.ndarray]) -> tf.Tensor:
        """Of joined rows, in the order of the kernels."""
        columns = []
        for source in self.schema.sources:
            index = batch.get(f"index/{source}")
            found = [
                self.embedded(self.tables[width.dim], lookup, batch)
                for width in self.widths
                for lookup in width.lookups[source]
            ]
            found += [
                self.number(feature, batch[f"{source}/{feature.name}"])
                for feature in self.schema.features
                if feature.kind == "numeric"
                and feature.transform.kind != "bucketize"
                and self.schema.source_of(feature) == source
            ]
            columns += [column if index is None else tf.gather(column, index) for column in found]
        return tf.concat(columns, axis=1)

    def number(self, feature: Any, values: np.ndarray) -> tf.Tensor:
        scale, missing = self.learnt.scales[feature.name], np.isnan(values)
        values = np.sign(values) * np.log1p(np.abs(values)) if feature.transform.kind == "log1p" else values
        standard = np.where(missing, 0, (values - scale.mean) / scale.std)
        return tf.constant(np.stack([standard, missing] if feature.missing == "mean" else [standard], 1).astype(np.float32))

    def embedded(self, table: tf.Variable, lookup: Any, batch: dict[str, np.ndarray]) -> tf.Tensor:
        values = batch[lookup.key]
        if lookup.scale is not None:
            places = np.searchsorted(np.array(lookup.scale.boundaries, np.float32), values, side="right") + 2
            values = np.where(np.isnan(values), 0, places)
        rows = tf.nn.embedding_lookup(table, values + lookup.offset)
        if lookup.pooling is None:
            return rows
        lengths = np.diff(batch[f"{lookup.key}/offsets"])
        owner, count = np.repeat(np.arange(len(lengths)), lengths), len(lengths)
        weights = batch.get(f"{lookup.key}/weights", np.ones(len(values), np.float32))
        total = tf.math.unsorted_segment_sum(rows * weights[:, None], owner, count)
        powers = {"sum": None, "mean": weights, "sqrtn": weights**2}[lookup.pooling]
        if powers is None:
            return total
        scale = np.bincount(owner, powers, count).astype(np.float32)
        return tf.math.divide_no_nan(total, (np.sqrt(scale) if lookup.pooling == "sqrtn" else scale)[:, None])

    def step(self, batch: dict[str, np.ndarray], labels: np.ndarray) -> float:
        tables, rest = list(self.tables.values()), [variable for tower in self.towers for layer in tower for variable in layer]
        with tf.GradientTape() as tape:
            entered, logits = self.inputs(batch), []
            for *layers, (kernel, bias) in self.towers:
                hidden = entered
                for weights, add, alpha in layers:
                    hidden = hidden @ weights + add
                    hidden = tf.nn.relu(hidden) - alpha * tf.nn.relu(-hidden)
                logits.append((hidden @ kernel + bias)[:, 0])
            cumulative = cumulative_logits(tf.stack(logits, axis=1), self.schema.parents)
            loss = tf.reduce_mean(tf.reduce_sum(cross_entropy(labels, cumulative), axis=1))
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, [*tables, *rest])]
        self.of_tables.apply_gradients(zip(gradients[: len(tables)], tables, strict=True))
        self.of_rest.apply_gradients(zip(gradients[len(tables) :], rest, strict=True))
        return float(loss)


@pytest.mark.filterwarnings("ignore:Converting sparse IndexedSlices:UserWarning")
def test_after_fifty_steps_all_weights_are_those_of_the_plain_network() -> None:
    schema = funnel.load_schema(tree())
    store = funnel.prepare(schema, shop.frames(rows=700))
    model = model_of(schema, store)
    model.create_variables()
    plain, feed, losses, taken = Plain(model), Feed(Packer(schema, store.learnt)), [], 0
    before = {dim: table.numpy() for dim, table in plain.tables.items()}
    step = tf.function(model.learn, autograph=False, reduce_retracing=True)
    while taken < STEPS:
        order = Epoch(store.shards("train"), 64, schema.train.shuffle, 0, taken)
        stars = funnel.dataset(schema, store, first_epoch=taken)
        for element, (batch, labels) in zip(feed(order), stars, strict=True):
            arrays = {key: tensor.numpy() for key, tensor in batch.items()}
            losses.append((float(step(element).loss), plain.step(arrays, labels.numpy())))
            taken += 1
    ours, theirs = np.array(losses).T
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for dim, table in plain.tables.items():
        np.testing.assert_allclose(model.network.embeddings.tables[str(dim)], table, atol=1e-5)
        assert np.abs(table.numpy() - before[dim]).max() > 0.01
    for tower, expected in zip(model.network.towers, plain.towers, strict=True):
        found = [*zip(tower.stack.dense, tower.stack.activations, strict=True)]
        for (dense, activation), (kernel, bias, alpha) in zip(found, expected[:-1], strict=True):
            np.testing.assert_allclose(dense.kernel, kernel, atol=1e-5)
            np.testing.assert_allclose(dense.bias, bias, atol=1e-5)
            np.testing.assert_allclose(activation.alpha, alpha, atol=1e-5)
        np.testing.assert_allclose(tower.logit.kernel, expected[-1][0], atol=1e-5)
