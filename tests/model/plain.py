"""A plain network over joined rows: a variable a table, a lookup an entry, layers of Keras, stock optimisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnel.model._keras import keras, tf
from funnel.schema.learnt import table_of

Joined = dict[str, Any]


def join(schema: Any, scales: Any, batch: dict[str, np.ndarray]) -> Joined:
    """A star batch as one row per fact: ids, or numbers as columns, or entries of bags with the row of each."""
    found: Joined = {}
    for feature in schema.features:
        source = schema.source_of(feature)
        key, name = f"{source}/{feature.name}", feature.name
        count = len(next(iter(v for k, v in batch.items() if k.startswith("index/"))))
        index = np.arange(count) if source == "facts" else batch[f"index/{source}"]
        if feature.kind == "bag":
            lists = [np.arange(*batch[f"{key}/offsets"][row : row + 2]) for row in index]
            places = np.concatenate(lists).astype(int)
            found[name] = batch[key][places]
            found[f"{name} rows"] = np.repeat(np.arange(count), [len(part) for part in lists]).astype(np.int32)
            found[f"{name} weights"] = batch.get(f"{key}/weights", np.ones(len(batch[key]), np.float32))[places]
            continue
        values = batch[key][index]
        if feature.kind == "numeric" and feature.transform.kind == "bucketize":
            edges = np.array(scales[name].boundaries, np.float32)
            values = np.array([0 if np.isnan(x) else 2 + int((edges <= x).sum()) for x in values], np.int32)
        elif feature.kind == "numeric":
            missing, scale = np.isnan(values), scales[name]
            values = np.sign(values) * np.log1p(np.abs(values)) if feature.transform.kind == "log1p" else values
            columns = [np.where(missing, 0, (values - scale.mean) / scale.std)]
            columns += [missing] if feature.missing == "mean" else []
            values = np.stack(columns, axis=1).astype(np.float32)
        found[name] = values
    return {name: tf.constant(array) for name, array in found.items()}


class Plain:
    """Starts with the weights of a model; `differences` tells how far the two have come apart."""

    def __init__(self, model: Any) -> None:
        self.schema, self.model, self.pairs = model.schema, model, []
        self.tables = {}
        self.table_of = {f.name: table for f in self.schema.features if (table := table_of(f)) is not None}
        for width in model.network.widths:
            fused = model.network.bottoms[0].embeddings.tables[str(width.dim)]
            for table, (first, rows) in width.tables.items():
                self.tables[table] = tf.Variable(fused[first : first + rows])
                self.pairs.append((self.tables[table], lambda fused=fused, a=first, b=first + rows: fused[a:b]))
        inputs = model.network.inputs
        # Its columns stand in the order of the schema, not of the engine.
        order = np.concatenate([np.arange(inputs[f.name][0], sum(inputs[f.name])) for f in self.schema.features])
        self.layers: dict[str, list[Any]] = {}
        for name, layer, first in model.network.layers():
            part = name.split("/")[0]
            own = keras.layers.PReLU() if "prelu" in name else keras.layers.Dense(layer.units)
            own.build([None, layer.alpha.shape[0] if "prelu" in name else layer.kernel.shape[0]])
            for mine, theirs in zip(own.trainable_variables, layer.trainable_variables, strict=True):
                place = order if first and "kernel" in theirs.name else slice(None)
                mine.assign(theirs.numpy()[place])
                self.pairs.append((mine, lambda theirs=theirs, place=place: theirs.numpy()[place]))
            self.layers.setdefault(part, []).append(own)
        legacy = keras.optimizers.legacy
        declared = self.schema.train.optimizer
        self.of_tables = legacy.Adagrad(declared.embedding.learning_rate, declared.embedding.initial_accumulator, epsilon=0.0)
        self.of_rest = legacy.Adam(declared.dense.learning_rate)
        self.rest = [v for layers in self.layers.values() for layer in layers for v in layer.trainable_variables]
        self.step = tf.function(self._step, reduce_retracing=True)

    def _column(self, feature: Any, joined: Joined, count: tf.Tensor) -> tf.Tensor:
        values = joined[feature.name]
        if feature.name not in self.table_of:
            return values
        rows = tf.nn.embedding_lookup(self.tables[self.table_of[feature.name]], values)
        if feature.kind != "bag":
            return rows
        owner, weights = joined[f"{feature.name} rows"], joined[f"{feature.name} weights"][:, None]
        total = tf.math.unsorted_segment_sum(rows * weights, owner, count)
        powers = {"sum": None, "mean": weights, "sqrtn": weights**2}[feature.pooling]
        if powers is None:
            return total
        scale = tf.math.unsorted_segment_sum(powers, owner, count)
        return tf.math.divide_no_nan(total, tf.sqrt(scale) if feature.pooling == "sqrtn" else scale)

    def _through(self, part: str, hidden: tf.Tensor, activation: str) -> tf.Tensor:
        *inner, last = self.layers.get(part, [None])
        for layer in [*inner, *([last] if part == "body" and last else [])]:
            hidden = layer(hidden)
            if activation != "prelu":
                hidden = tf.keras.activations.get(activation)(hidden)
        return hidden if part == "body" else last(hidden)

    def logits(self, joined: Joined, count: tf.Tensor | int) -> tf.Tensor:
        """Conditional ones [count, stages]."""
        model = self.schema.model
        columns = [self._column(feature, joined, count) for feature in self.schema.features]
        hidden = self._through("body", tf.concat(columns, axis=1), model.body.activation)
        return tf.concat([self._through(name, hidden, model.tower.activation) for name in self.schema.stage_names], axis=1)

    def _step(self, joined: Joined, labels: tf.Tensor) -> tf.Tensor:
        tables = list(self.tables.values())
        with tf.GradientTape() as tape:
            logits = self.logits(joined, tf.shape(labels)[0])
            total, reached = 0.0, []
            for stage, parent in enumerate(place.parent for place in self.schema.topology):
                # The product of the paper, in float64, which small networks do not exhaust.
                p = tf.sigmoid(tf.cast(logits[:, stage], tf.float64)) * (1.0 if parent < 0 else reached[parent])
                reached.append(p)
                label = tf.cast(labels[:, stage], tf.float64)
                total -= tf.reduce_mean(label * tf.math.log(p) + (1 - label) * tf.math.log1p(-p))
        gradients = tape.gradient(total, [*tables, *self.rest])
        dense = [
            tf.math.unsorted_segment_sum(g.values, g.indices, tf.shape(table)[0])
            for g, table in zip(gradients, tables, strict=False)
        ]
        self.of_tables.apply_gradients(zip(dense, tables, strict=True))
        self.of_rest.apply_gradients(zip(gradients[len(tables) :], self.rest, strict=True))
        return total

    def differences(self) -> list[float]:
        """By variable: the greatest one."""
        return [float(np.abs(mine.numpy() - np.asarray(theirs())).max()) for mine, theirs in self.pairs]
