"""How fast the network of a schema is trained in the way of the public ESMM notebooks: joined rows, padded lists, plain Keras.

    python benchmarks/train_keras.py SCHEMA STORE [--batch-size 4096] [--seconds 12] [--warm-up 3]

Every impression carries its dimension rows, every list is cut to its first 100 entries and padded to as many as the longest
one left has, every table has a dense optimiser (Adam), and the probability of a stage is the product of those on the way to it.
The arrays are in memory, and padded, before the clock starts: that work is not counted.

Prints JSON: samples a second over the wall time of the measured steps; how many steps; the peak of resident memory in bytes;
and the mean loss of each tenth of the steps.
"""

from __future__ import annotations

import json
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from keras_clock import Clock
from numpy.typing import NDArray
from train_flags import train_parser

import funnel
from funnel.data.batches import Batch, batches
from funnel.data.order import Epoch
from funnel.data.store import Store
from funnel.schema.features import Bag, Categorical
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, dim_of
from funnel.training.process import peak_memory

keras = tf.keras

Arrays = dict[str, NDArray[Any]]

LONGEST = 100  # entries of a list
ROWS = 24_576  # held in memory, and taken again and again


def padded(schema: FunnelSchema, store: Store, batch_size: int) -> tuple[Arrays, Arrays]:
    """The first rows of the first epoch in whole batches, and their labels by stage."""
    epoch = Epoch(store.shards("train"), batch_size, schema.train.shuffle, schema.train.seed, 0)
    parts: list[Arrays] = []
    labels: list[NDArray[np.float32]] = []
    for batch, label in batches(epoch):
        parts.append(_padded(schema, batch))
        labels.append(label)
        if sum(map(len, labels)) >= max(ROWS, batch_size):
            break
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, array in joined.items():
        if array.ndim == 2:
            # As padding a whole file does: to the longest list that is there.
            used = np.flatnonzero(joined[name.removesuffix("/weights") + "/weights"].any(axis=0))
            joined[name] = np.ascontiguousarray(array[:, : int(used.max(initial=0)) + 1])
    stages = np.concatenate(labels)
    return joined, {stage.name: stages[:, [position]] for position, stage in enumerate(schema.stages)}


def _padded(schema: FunnelSchema, batch: Batch) -> Arrays:
    found: Arrays = {}
    for feature in schema.features:
        source = schema.source_of(feature)
        key = f"{source}/{feature.name}"
        index = batch.get(f"index/{source}", slice(None))
        if not isinstance(feature, Bag):
            found[feature.name] = batch[key][index]
            continue
        offsets = batch[f"{key}/offsets"]
        lengths = np.diff(offsets)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        columns = np.arange(len(rows)) - np.repeat(offsets[:-1], lengths)
        kept = columns < LONGEST
        # Where there is no entry the weight is zero: it is the mask, too.
        weights = batch.get(f"{key}/weights", np.ones(len(rows), np.float32))
        for name, entries in ((feature.name, batch[key]), (f"{feature.name}/weights", weights)):
            table = np.zeros([len(lengths), LONGEST], entries.dtype)
            table[rows[kept], columns[kept]] = entries[kept]
            found[name] = table[index]
    return found


def network(schema: FunnelSchema, learnt: Learnt, arrays: Arrays) -> Any:
    """The model, as notebooks write it.

    Raises:
        ValueError: A feature is neither categorical nor a bag by sum or mean, or the towers are no plain ones.
    """
    layers = keras.layers
    tower = schema.model.tower
    if schema.model.body.units or tower.activation not in {"relu", "prelu"}:
        raise ValueError("got another network, expected towers with relu or prelu, and no shared layers.")
    inputs = {
        name: layers.Input(array.shape[1:], dtype=array.dtype, name=name.replace("/", "_")) for name, array in arrays.items()
    }
    tables: dict[str, Any] = {}
    pooled = []
    for feature in schema.features:
        if not isinstance(feature, Categorical | Bag) or (isinstance(feature, Bag) and feature.pooling == "sqrtn"):
            what = getattr(feature, "pooling", feature.kind)
            raise ValueError(f"feature {feature.name!r}: got {what}, expected categorical ones, and bags by sum or mean.")
        name = feature.table_name
        if name not in tables:
            start = keras.initializers.RandomNormal(stddev=schema.model.embedding_scale, seed=schema.train.seed)
            tables[name] = layers.Embedding(learnt.rows[name], dim_of(schema, name), embeddings_initializer=start)
        found = tables[name](inputs[feature.name])
        if isinstance(feature, Bag):
            weights = inputs[f"{feature.name}/weights"][:, :, None]
            total = tf.reduce_sum(found * weights, axis=1)
            found = total if feature.pooling == "sum" else tf.math.divide_no_nan(total, tf.reduce_sum(weights, axis=1))
        pooled.append(found)
    joined = layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    outputs: list[Any] = []
    for stage, place in zip(schema.stages, schema.topology, strict=True):
        hidden = joined
        for units in tower.units:
            hidden = layers.Dense(units)(hidden)
            hidden = layers.PReLU()(hidden) if tower.activation == "prelu" else layers.ReLU()(hidden)
        given = layers.Dense(1, activation="sigmoid", name=stage.name if place.parent < 0 else f"{stage.name}_given")(hidden)
        outputs.append(given if place.parent < 0 else layers.Multiply(name=stage.name)([outputs[place.parent], given]))
    model = keras.Model(inputs, dict(zip(schema.stage_names, outputs, strict=True)))
    model.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy")
    return model


def main() -> None:
    """Measure."""
    flags = train_parser("How fast plain Keras trains the network of a schema.").parse_args()
    schema = funnel.load_schema(flags.schema)
    store = Store(flags.store, schema)
    arrays, labels = padded(schema, store, flags.batch_size)
    model = network(schema, store.learnt, arrays)
    # In batches already, which spares `tf.data` the work of making them.
    whole = len(labels[schema.stages[0].name]) // flags.batch_size
    if not whole:
        raise ValueError(f"{flags.store}: got fewer rows than a batch of {flags.batch_size}, expected more.")
    in_batches = tf.nest.map_structure(
        lambda array: array[: whole * flags.batch_size].reshape(whole, flags.batch_size, *array.shape[1:]), (arrays, labels)
    )
    data = tf.data.Dataset.from_tensor_slices(in_batches)
    clock = Clock(flags.warm_up, flags.seconds)
    model.fit(data.repeat().prefetch(tf.data.AUTOTUNE), epochs=1, steps_per_epoch=1_000_000, callbacks=[clock], verbose=0)
    print(json.dumps(clock.measured(flags.batch_size) | {"peak": peak_memory()}))


if __name__ == "__main__":
    main()
