"""Whether training learns what a plain network over joined rows learns: losses, final AUC and weights, batch by batch the same.

    python benchmarks/train_learning.py SCHEMA STORE [--epochs 2] [--seeds 3]

The plain network is the tests' (`tests/model/plain.py`): a variable a table, a lookup an entry, Keras layers, dense gradients
and stock optimisers. Both begin with the same weights. Other seeds, of weights and of the rows' order, tell what noise is.

Prints JSON: by way and seed the loss of each batch; the AUC of each stage on the test split; how far apart the weights are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' network

import numpy as np

from funnel.data.batches import in_order, labels_of, star_batch
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.store import Store
from funnel.distribution.engine import specification
from funnel.evaluation.metrics import auc
from funnel.evaluation.predict import Predictor
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.model.likelihood import cumulative_logits
from funnel.schema.reader import load_schema
from funnel.training.feed import Feed
from tests.model.plain import Plain, join

BATCH = 4096


def trained(schema: Any, store: Store, epochs: int, *, plainly: bool) -> dict[str, Any]:
    """Train the engine, and beside it, on the same batches, the plain network."""
    model = model_of(schema, store)
    model.create_variables()
    plain = Plain(model) if plainly else None
    feed, step, losses = Feed(Packer(schema, store.learnt)), None, []
    for epoch in range(epochs):
        order = Lanes.of(store.shards("train"), schema.train, epoch, 1)
        for number, (element,) in enumerate(feed(order)):
            step = step or tf.function(model.learn, input_signature=[specification(element)], autograph=False)
            found = [float(step(element).loss)]
            if plain is not None:
                parts = [(order.shards[shard], rows) for shard, rows in order.step(number)]
                joined = join(schema, store.learnt.scales, star_batch(parts))
                found.append(float(plain.step(joined, tf.constant(labels_of(parts)))))
            losses.append(found)
    stars = list(store.shards("test"))
    labels = np.concatenate([star.labels for star in stars])
    predictor = Predictor(model)
    logits = {"engine": np.concatenate([predictor.logits(star, BATCH) for star in stars])}
    if plain is not None:
        batches = [batch for star in stars for batch in in_order(star, BATCH)]
        given = [(join(schema, store.learnt.scales, batch), _rows(batch)) for batch in batches]
        logits["plain"] = np.concatenate([plain.logits(joined, rows).numpy() for joined, rows in given])
    scores = {}
    for way, conditional in logits.items():
        cumulative = np.asarray(cumulative_logits(conditional.astype(np.float64), schema.topology))
        scores[way] = [auc(labels[:, stage], cumulative[:, stage]) for stage in range(labels.shape[1])]
    curves = dict(zip(logits, np.array(losses).T.tolist(), strict=True))
    return {"losses": curves, "auc": scores, "apart": max(plain.differences()) if plain is not None else None}


def _rows(batch: dict[str, Any]) -> int:
    return len(next(array for key, array in batch.items() if key.startswith("index/")))


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(description="Compare what is learnt to what a plain network learns.")
    parser.add_argument("schema", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    flags = parser.parse_args()
    found = []
    for seed in range(flags.seeds):
        schema = load_schema(flags.schema)
        schema = schema.model_copy(update={"train": schema.train.model_copy(update={"seed": seed})})
        found.append(trained(schema, Store(flags.store, schema), flags.epochs, plainly=seed == 0))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
