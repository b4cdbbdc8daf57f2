"""One process, workers in step, and parameter servers, on one machine: rows a second, and what was learnt.

    python benchmarks/scale_out.py WORK [--impressions 300000] [--epochs 2] [--repeats 3] [--batch-sizes 2048 16384]

Processes that compute are pinned to a core each, so that two of them have what one has twice; a chief and its servers, which
mostly wait, share the two. Rates are those of the last epoch, whose step is traced already; the median over the repeats. The
AUCs are of the test rows, means over the repeats, each with a seed of its own. Beside a rate stands what it is of that of one
process on one core, divided by the workers.

A second table is a model of what an epoch of 10^9 and 10^11 rows takes, from the slopes of the first: a step of B rows on n
workers takes c B/n for the rows, a for its exchange however small, and b B 2(n-1)/n for the rows of tables that each worker
hands to all others. Its last line is how fast one thread makes batches, as the chief of parameter servers does for all.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import funnel
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.store import store_of
from funnel.training.feed import Feed

MAIN = "from funnel.cli import main; main()"
BASE, IN_STEP = "one process, one core", "two workers, a core each"
WORKERS, EPOCHS = (1, 2, 4, 8, 16, 32, 64), (10**9, 10**11)
# By name: how many of each job, and the cores of each task.
LAYOUTS: dict[str, list[tuple[str, int, set[int]]]] = {
    BASE: [("worker", 0, {0})],
    "one process, two cores": [("worker", 0, {0, 1})],
    IN_STEP: [("worker", 0, {0}), ("worker", 1, {1})],
    "a worker and a server": [("chief", 0, {0, 1}), ("worker", 0, {0}), ("ps", 0, {1})],
    "two workers and two servers": [
        ("chief", 0, {0, 1}),
        ("worker", 0, {0}),
        ("worker", 1, {1}),
        ("ps", 0, {0, 1}),
        ("ps", 1, {0, 1}),
    ],
}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--schema", type=Path, default=Path("schemas/ecommerce.yaml"))
    parser.add_argument("--impressions", type=int, default=300_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[2048, 16384], help="rows of a step, of all workers")
    asked = parser.parse_args()
    data = asked.work / "data"
    if not data.is_dir():
        funnel.simulate(asked.schema, impressions=asked.impressions, out=data)
    funnel.prepare(asked.schema, data, asked.work / "store")
    found: dict[tuple[int, str], list[tuple[float, dict[str, float]]]] = {}
    for repeat in range(asked.repeats):
        for rows in asked.batch_sizes:
            for name, layout in LAYOUTS.items():
                out = asked.work / f"run-{repeat}-{rows}-{name.replace(' ', '-')}"
                made = fitted(asked, layout, out, repeat, rows)
                found.setdefault((rows, name), []).append(made)
                print(f"{repeat} {rows:,} {name}: {made}", file=sys.stderr, flush=True)
    stages = list(next(iter(found.values()))[0][1])
    areas = " | ".join(f"AUC of {stage}" for stage in stages)
    print(f"| rows a step | | rows/s | of one core's, a worker | {areas} |\n|---:|---|---:|---:|{'---:|' * len(stages)}")
    for (rows, name), runs in found.items():
        rate, alone = (statistics.median(rate for rate, _ in found[rows, one]) for one in (name, BASE))
        share = rate / alone / sum(job == "worker" for job, _, _ in LAYOUTS[name])
        scores = " | ".join(f"{statistics.fmean(auc[stage] for _, auc in runs):.4f}" for stage in stages)
        print(f"| {rows:,} | {name} | {rate:,.0f} | {share:.2f} | {scores} |")
    rates = {key: statistics.median(rate for rate, _ in runs) for key, runs in found.items()}
    if len(asked.batch_sizes) > 1:
        costs(rates, *sorted(asked.batch_sizes)[:: len(asked.batch_sizes) - 1])
    print(f"batches: {batches(asked.schema, asked.work / 'store', max(asked.batch_sizes)):,.0f} rows/s by one thread")


def costs(rates: dict[tuple[int, str], float], small: int, large: int) -> None:
    """Print what an epoch takes on more workers, by the slopes between two sizes of a step."""
    exchange = {rows: rows / rates[rows, IN_STEP] - rows / rates[rows, BASE] / 2 for rows in (small, large)}
    each = (exchange[large] - exchange[small]) / (large - small)
    step, row = exchange[small] - each * small, 1 / rates[large, BASE]
    print(f"\nc = {row * 1e6:.2f} us a row, a = {step * 1e3:.1f} ms a step, b = {each * 1e6:.2f} us a row that is handed on\n")
    print("| workers | rows a step | rows/s | of one's, a worker |", *(f"{rows:.0e} rows, h | core h |" for rows in EPOCHS))
    print("|---:" * (4 + 2 * len(EPOCHS)) + "|")
    for workers in WORKERS:
        together = workers * large // 2
        others = each * together * 2 * (workers - 1) / workers
        rate = together / (row * together / workers + (step + others if workers > 1 else 0))
        hours = [rows / rate / 3600 for rows in EPOCHS]
        shown = " | ".join(f"{one:,.1f} | {one * workers:,.0f}" for one in hours)
        print(f"| {workers} | {together:,} | {rate:,.0f} | {rate * row / workers:.2f} | {shown} |")
    print()


def batches(schema: Path, path: Path, rows: int) -> float:
    """Rows a second of which one thread makes packed batches, in memory already."""
    declared = funnel.load_schema(schema, [f"train.batch_size={rows}"])
    store = store_of(declared, path)
    rates = []
    for epoch in range(4):
        lanes, begun = Lanes.of(store.shards("train"), declared.train, epoch, 1), time.perf_counter()
        made = sum(len(labels) for ((_, labels, *_),) in Feed(Packer(declared, store.learnt))(lanes))
        rates.append(made / (time.perf_counter() - begun))
    return statistics.median(rates[1:])


def fitted(asked: argparse.Namespace, layout: Any, out: Path, seed: int, rows: int) -> tuple[float, dict[str, float]]:
    """The rate of the last epoch, and the AUC of each stage."""
    jobs: dict[str, list[str]] = {}
    with ExitStack() as stack:
        for job, _, _ in layout:
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            jobs.setdefault(job, []).append(f"127.0.0.1:{one.getsockname()[1]}")
    changes = {"epochs": asked.epochs, "seed": seed, "batch_size": rows, "early_stopping": "null", "checkpoint": "null"}
    command = [sys.executable, "-c", MAIN, "fit", asked.schema, "--data", asked.work / "data", "--store", asked.work / "store"]
    command += ["--out", out, *(word for name, value in changes.items() for word in ("--set", f"train.{name}={value}"))]
    tasks = []
    for job, index, cores in layout:
        environment = dict(os.environ)
        if len(layout) > 1:
            environment["TF_CONFIG"] = json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})
        # What reads the number of cores, TensorFlow among it, sees those that it may use.
        pinned = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores)))]
        words = [*pinned, *map(str, command)]
        tasks.append(subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL))  # noqa: S603  # our own
    codes = [task.wait(1800) for task in tasks]
    if any(codes):
        raise SystemExit(f"failed: {out}")
    history = json.loads((out / "history.json").read_text())
    metrics = json.loads((out / "metrics.json").read_text())["splits"]["test"]["cumulative"]
    return history[-1]["rows"] / history[-1]["seconds"], {name: scores["auc"] for name, scores in metrics.items()}


if __name__ == "__main__":
    main()
