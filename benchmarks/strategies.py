"""Step time with and without TensorFlow's strategies, on one machine with one worker, in one process, interleaved.

    python benchmarks/strategies.py [SCHEMA DATA] [--blocks 15] [--steps 40]

A strategy of one worker has nothing to reduce: what it takes longer is its own plumbing. `funnel fit` leaves it out there.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import funnel
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.distribution.cluster import Cluster
from funnel.distribution.engine import Engine, Replicated
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.training.feed import Feed


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schema", nargs="?", default="schemas/ecommerce.yaml")
    parser.add_argument("data", nargs="?")
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    # It must be there before TensorFlow computes anything.
    workers = tf.distribute.MultiWorkerMirroredStrategy(
        tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": ["127.0.0.1:29517"]}), task_type="worker", task_id=0, rpc_layer="grpc"
        )
    )
    engines = {
        "no strategy": Engine(),
        "mirrored": Replicated(tf.distribute.MirroredStrategy(["/cpu:0"])),
        "multi_worker": Replicated(workers, Cluster({"worker": ("127.0.0.1:29517",)}, "worker", 0)),
    }
    funnel.tune_allocator()
    schema = funnel.load_schema(asked.schema)
    with TemporaryDirectory() as folder:
        data = asked.data or folder
        if asked.data is None:
            funnel.simulate(schema, impressions=200_000, out=Path(folder))
        store = funnel.prepare(schema, data)
        batches = list(islice(_batches(schema, store), asked.steps))
    for engine in engines.values():
        with engine.scope():
            model = model_of(schema, store)
            model.create_variables()
        engine.begin(model)
        _run(engine, batches[:5])
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(asked.blocks):
        for name, engine in engines.items():
            times[name].append(_run(engine, batches) / len(batches))
    base = times["no strategy"]
    print(f"{asked.schema}: batches of {schema.train.batch_size:,}, {asked.blocks} blocks of {len(batches)} steps")
    for name, found in times.items():
        ratios = sorted(one / other for one, other in zip(found, base, strict=True))
        print(f"{name:14}{statistics.median(found) * 1e3:8.2f} ms a step{statistics.median(ratios):8.3f}")


def _batches(schema: Any, store: Any) -> Iterator[Any]:
    feed = Feed(Packer(schema, store.learnt))
    return feed(Lanes.of(store.shards("train"), schema.train, 0, 1))


def _run(engine: Engine, batches: Any) -> float:
    begun = time.perf_counter()
    for elements in batches:
        engine.make(elements)
        np.asarray(engine.next().learned.loss)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
