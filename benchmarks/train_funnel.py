"""How fast funnel trains the network of a schema, input pipeline included: `funnel fit` without validation and files.

    python benchmarks/train_funnel.py SCHEMA STORE [--batch-size 4096] [--seconds 12] [--warm-up 3]
        [--plain-allocator] [--plain-threads] [--keras-fit]

Prints what `train_torch.py` prints, and the bytes of tables and of what their optimiser keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import count
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

from keras_clock import Clock
from train_flags import train_parser

import funnel
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.store import Store
from funnel.distribution.engine import specification
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.training.feed import Feed
from funnel.training.process import peak_memory, tune_allocator, tune_threads


def main() -> None:
    """Measure."""
    parser = train_parser("How fast funnel trains the network of a schema.")
    parser.add_argument("--plain-allocator", action="store_true", help="leave glibc's settings alone")
    parser.add_argument("--keras-fit", action="store_true", help="by Keras' `fit`, from `funnel.dataset`")
    parser.add_argument("--plain-threads", action="store_true", help="leave TensorFlow's threads alone")
    flags = parser.parse_args()
    if not flags.plain_allocator:
        tune_allocator()  # before TensorFlow allocates
    if not flags.plain_threads:
        tune_threads(load_schema(flags.schema))
    print(json.dumps(measured(flags)))


def measured(flags: argparse.Namespace) -> dict[str, Any]:
    """Train for a while; samples a second, and what the docstring above says."""
    schema = load_schema(flags.schema)
    store = Store(flags.store, schema)
    model = model_of(schema, store)
    model.create_variables()
    found = (_by_keras if flags.keras_fit else _by_engine)(flags, schema, store, model)
    optimizer, tables = model.optimizer.parts()[0][0], model.network.tables
    slots = [optimizer.get_slot(table, name) for table in tables for name in optimizer.get_slot_names()]
    state = sum(4 * variable.shape.num_elements() for variable in [*tables, *slots])
    return found | {"peak": peak_memory(), "state": state}


def _by_engine(flags: argparse.Namespace, schema: FunnelSchema, store: Store, model: FunnelModel) -> dict[str, Any]:
    feed, shards = Feed(Packer(schema, store.learnt)), store.shards("train")
    elements = (
        element
        for number in count()
        for (element,) in feed(Lanes.of(shards, schema.train.model_copy(update={"batch_size": flags.batch_size}), number, 1))
    )
    step = tf.function(model.learn, input_signature=[specification(next(elements))], autograph=False)
    begun = time.perf_counter()
    while time.perf_counter() - begun < flags.warm_up:
        step(next(elements))
    losses, samples = [], 0
    begun = time.perf_counter()
    while (took := time.perf_counter() - begun) < flags.seconds:
        element = next(elements)
        losses.append(float(step(element).loss))
        samples += int(element[1].shape[0])
    size = max(1, len(losses) // 10)
    tenths = [sum(losses[at : at + size]) / len(losses[at : at + size]) for at in range(0, len(losses), size)]
    return {"rate": samples / took, "steps": len(losses), "losses": tenths}


def _by_keras(flags: argparse.Namespace, schema: FunnelSchema, store: Store, model: FunnelModel) -> dict[str, Any]:
    clock = Clock(flags.warm_up, flags.seconds)
    schema = schema.model_copy(update={"train": schema.train.model_copy(update={"batch_size": flags.batch_size})})
    model.fit(funnel.dataset(schema, store).repeat(), steps_per_epoch=1_000_000, callbacks=[clock], verbose=0)
    return clock.measured(flags.batch_size)


if __name__ == "__main__":
    main()
