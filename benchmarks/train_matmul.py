"""How fast TensorFlow does the matrix products of a schema's towers alone, forward and back: a bound on any training of them.

    python benchmarks/train_matmul.py SCHEMA STORE [--batch-size 4096] [--seconds 12] [--warm-up 3]

No biases, activations, losses or optimisers, and the inputs are random: what is left are the products of each layer, and those
for the gradients of its weights and of its inputs. All widths and sizes are known when the graph is made.

Prints JSON: samples a second where each impression carries its dimension rows, and where the share that a dimension has in the
first layers is computed once a row, for as many rows as the store's batches have in the mean.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
from train_flags import train_parser

import funnel
from funnel.data.batches import batches
from funnel.data.order import Epoch
from funnel.data.store import Store
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Categorical
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import dim_of

BATCHES = 50  # whose dimension rows are counted


def widths_of(schema: FunnelSchema) -> dict[str, int]:
    """By source: how many numbers of it enter the first layers.

    Raises:
        ValueError: A feature is neither categorical nor a bag, or there are shared layers.
    """
    widths: dict[str, int] = {}
    for feature in schema.features:
        if not isinstance(feature, Categorical | Bag):
            raise ValueError(f"feature {feature.name!r}: got {feature.kind}, expected categorical ones and bags.")
        source = schema.source_of(feature)
        widths[source] = widths.get(source, 0) + dim_of(schema, feature.table_name)
    if schema.model.body.units or not schema.model.tower.units:
        raise ValueError("got another network, expected towers of one layer or more, and no shared layers.")
    return widths


def rows_of(schema: FunnelSchema, store: Store, batch_size: int) -> dict[str, int]:
    """By dimension: the mean number of its rows in whole batches."""
    epoch = Epoch(store.shards("train"), batch_size, schema.train.shuffle, schema.train.seed, 0)
    whole = max(1, min(BATCHES, epoch.steps - 1))  # the last batch may be smaller
    counts: dict[str, int] = {}
    for element in islice(batches(epoch), whole):
        for key, array in element[0].items():
            source, name = key.split("/")[:2]
            if source == "index":
                counts[name] = counts.get(name, 0) + int(array.max()) + 1
    return {name: round(number / whole) for name, number in counts.items()}


def products(shares: list[tuple[int, int]], batch_size: int, stages: int, units: tuple[int, ...]) -> Callable[[], Any]:
    """A graph of all products of one step.

    Args:
        shares: Rows and numbers of each input of the first layers.
        batch_size: Rows of all other layers.
        stages: How many towers.
        units: The towers' layers, without the logit.
    """
    inputs = [tf.Variable(tf.random.normal(share)) for share in shares]
    first = [tf.Variable(tf.random.normal([numbers, stages * units[0]])) for _, numbers in shares]
    # A layer's gradient has the shape of its outputs; any numbers will do, so these are not passed from layer to layer.
    upstream = [tf.Variable(tf.random.normal([rows, stages * units[0]])) for rows, _ in shares]
    layers = list(zip(inputs, first, upstream, strict=True))
    for _ in range(stages):
        hidden = [tf.Variable(tf.random.normal([batch_size, number])) for number in (*units, 1)]
        later = [tf.Variable(tf.random.normal(pair)) for pair in pairwise((*units, 1))]
        layers += zip(hidden[:-1], later, hidden[1:], strict=True)

    @tf.function
    def step() -> tf.Tensor:
        made = []
        for rows, kernel, gradient in layers:
            made += [
                tf.matmul(rows, kernel),
                tf.matmul(rows, gradient, transpose_a=True),
                tf.matmul(gradient, kernel, transpose_b=True),
            ]
        # One number of each, so that none is left out.
        return tf.add_n([product[0, 0] for product in made])

    return step


def rate(step: Callable[[], Any], batch_size: int, seconds: float, warm_up: float) -> float:
    """Samples a second."""
    for length in (warm_up, seconds):
        steps, begun = 0, time.perf_counter()
        while (took := time.perf_counter() - begun) < length or not steps:
            step().numpy()
            steps += 1
    return steps * batch_size / took


def main() -> None:
    """Measure both."""
    # The seconds are halved: each of the two gets so many.
    flags = train_parser("How fast TensorFlow does the matrix products of a schema's towers.").parse_args()
    schema = funnel.load_schema(flags.schema)
    widths, rows = widths_of(schema), rows_of(schema, Store(flags.store, schema), flags.batch_size)
    found = {}
    for name, shares in {
        "rate": [(flags.batch_size, sum(widths.values()))],
        "split_rate": [(flags.batch_size if source == FACTS else rows[source], width) for source, width in widths.items()],
    }.items():
        step = products(shares, flags.batch_size, len(schema.stages), schema.model.tower.units)
        found[name] = rate(step, flags.batch_size, flags.seconds / 2, flags.warm_up / 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
