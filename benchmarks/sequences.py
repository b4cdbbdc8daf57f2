"""What sequences cost: a step over lists that are all as long, and over lists of the same mean of which some are far longer.

    python benchmarks/sequences.py [--facts 2048] [--rows 512] [--mean 20] [--longest 2000] [--steps 30] [--out FILE]

Batches are made here, of one dimension that has the sequence, four facts a row; each is packed, and then learnt from. Steps
over lists of both kinds alternate, so that whatever else the machine does meets both. Prints a table of the medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
from markdown import table
from numpy.typing import NDArray

import funnel
from funnel.data.packing import Packer
from funnel.distribution.engine import specification
from funnel.model._keras import tf
from funnel.training.process import tune_allocator

IDS = 100_000
QUERY = {"kind": "attention", "query": "item"}
WAYS: dict[str, dict[str, Any]] = {
    "a bag's mean": {},
    "mean, with times and positions": {"times": "ago", "positions": 50},
    "attention (36)": {"pooling": QUERY},
    "attention (36), relu for Dice": {"pooling": QUERY | {"activation": "relu"}},
    "attention (80, 40), with times and positions": {"pooling": QUERY | {"units": [80, 40]}, "times": "ago", "positions": 50},
    "gru": {"pooling": "gru"},
    "gru, `last: 100`": {"pooling": "gru", "last": 100},
}


def main() -> None:
    """Measure, and print a table."""
    flags = parse()
    tune_allocator()  # before TensorFlow allocates
    rng = np.random.default_rng(0)
    even = np.full(flags.rows, flags.mean)
    uneven = skewed(rng, flags.rows, flags.mean, flags.longest)
    lines = []
    for way, declared in WAYS.items():
        each = [np.minimum(lengths, declared.get("last", flags.longest)) for lengths in (even, uneven)]
        model = funnel.build(schema(declared))
        milliseconds = measured(model, [batch(rng, flags.facts, lengths) for lengths in each], flags.steps)
        ratio = f"{milliseconds[1] / milliseconds[0]:.2f}"
        lines.append([way, *(f"{one:.1f}" for one in milliseconds), ratio])
        print(*lines[-1], sep=" | ", flush=True)
    shape = f"mean {uneven.mean():.0f}, median {np.median(uneven):.0f}, longest {uneven.max():,}"
    head = ["pooling", f"all {flags.mean} long, ms", f"{shape}, ms", "ratio"]
    text = table(head, lines)
    print(f"{flags.facts:,} facts, {flags.rows:,} rows, {os.cpu_count()} cores ({platform.machine()})\n\n{text}")
    if flags.out:
        flags.out.write_text(text, encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What sequences cost, whose lengths differ.")
    parser.add_argument("--facts", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--mean", type=int, default=20)
    parser.add_argument("--longest", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def skewed(rng: np.random.Generator, rows: int, mean: int, longest: int) -> NDArray[np.int64]:
    """Lengths of which most are short and a few long, one of them the longest; together as many as `rows` times the mean."""
    lengths = np.minimum(rng.pareto(1.3, rows), longest)
    lengths = np.floor(lengths * (rows * mean - longest) / lengths.sum()).clip(max=longest - 1).astype(np.int64)
    lengths[0] = longest
    for row in rng.integers(1, rows, abs(rows * mean - int(lengths.sum()))):
        lengths[row] += np.sign(rows * mean - lengths.sum())
    return np.maximum(lengths, 0)


def schema(declared: dict[str, Any]) -> dict[str, Any]:
    """An item, and what its viewer viewed before."""
    viewed = {"name": "viewed", "kind": "sequence", "source": "user", "table": "items"}
    return {
        "name": "sequences",
        "stages": [{"name": "click", "label": "click"}],
        "data": {
            "facts": {"format": "parquet", "train": "facts.parquet"},
            "dimensions": [{"name": "user", "key": "user", "format": "parquet", "files": "users.parquet"}],
        },
        "tables": {"items": {"dim": 18, "buckets": IDS}},
        "features": [{"name": "item", "kind": "categorical", "table": "items"}, viewed | declared],
        "model": {"tower": {"units": [200, 80]}},
    }


def batch(rng: np.random.Generator, facts: int, lengths: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """A star batch whose users have viewed so many items; each user has as many facts."""
    entries = int(lengths.sum())
    return {
        "facts/item": rng.integers(2, IDS, facts).astype(np.int32),
        "user/viewed": rng.integers(2, IDS, entries).astype(np.int32),
        "user/viewed/offsets": np.cumsum([0, *lengths]).astype(np.int32),
        "user/viewed/weights": rng.exponential(100, entries).astype(np.float32),
        "index/user": np.sort(np.arange(facts) % len(lengths)).astype(np.int32),
    }


def measured(model: Any, batches: list[dict[str, NDArray[Any]]], steps: int) -> list[float]:
    """The median of the milliseconds that a step over each of the batches takes: packed, and learnt from."""
    packer, took = Packer(model.schema, model.learnt), [[] for _ in batches]  # type: list[list[float]]
    facts = len(batches[0]["facts/item"])
    labels = tf.constant(np.arange(facts)[:, None] % 2, tf.float32)
    if not model.schema.feature("viewed").numbered:
        batches = [{key: array for key, array in one.items() if not key.endswith("/weights")} for one in batches]

    def element(number: int) -> Any:
        return {key: tf.constant(array) for key, array in packer(batches[number]).items()}, labels

    step = tf.function(model.learn, input_signature=[specification(element(0))], autograph=False)
    for number in [*range(len(batches))] * (steps + 3):
        begun = time.perf_counter()
        float(step(element(number)).loss)
        took[number].append(1000 * (time.perf_counter() - begun))
    return [statistics.median(each[3:]) for each in took]


if __name__ == "__main__":
    main()
