"""How long every figure of a report takes on as many rows as Ali-CCP's test split has, and in how much memory.

    python benchmarks/metrics.py [DOCS] [--rows 43000000] [--repeats 3]

Three stages over drawn rows: the figures alone, and with the intervals of a bootstrap over 400,000 users. Beside them what is
usual: scikit-learn's AUC, log loss and average precision of the same rows, and Keras' AUC of 200 thresholds. Every measurement
is a process of its own, of which its peak memory is told; they are interleaved, and medians are shown. With DOCS, writes
`metrics_speed.md` there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from markdown import table

ROWS, USERS, STAGES = 43_000_000, 400_000, ("click", "cart", "buy")
RATES = (-3.0, -2.0, -1.0)  # logits: some 6, 16 and 32 % of the rows before
WAYS = {
    "figures": "funnel, every figure",
    "intervals": "funnel, with intervals and curves",
    "sklearn": "scikit-learn: AUC, log loss, PR-AUC",
    "keras": "Keras: AUC of 200 thresholds",
}


def drawn(rows: int) -> Any:
    """Rows with three stages whose probabilities are nearly right, as a report takes them."""
    from funnel.evaluation.cumulative import cumulative
    from funnel.evaluation.outcomes import Names, Outcomes
    from funnel.schema.topology import Place

    random = np.random.default_rng(0)
    logits, labels = np.empty([rows, len(STAGES)], np.float32), np.empty([rows, len(STAGES)], np.uint8)
    reached = np.ones(rows, np.bool_)
    for stage, rate in enumerate(RATES):
        logits[:, stage] = random.standard_normal(rows, np.float32) * np.float32(0.8) + np.float32(rate)
        noise = random.standard_normal(rows, np.float32) * np.float32(0.5)
        reached &= random.random(rows, np.float32) < 1 / (1 + np.exp(-logits[:, stage] - noise))
        labels[:, stage] = reached
    chances, above = {}, np.ones(rows, np.float32)
    given = tuple(stage if place == 0 else f"{stage}_given_{STAGES[place - 1]}" for place, stage in enumerate(STAGES))
    for stage, name in enumerate(STAGES):
        own = 1 / (1 + np.exp(-logits[:, stage]))
        above = above * own
        chances[name] = above
        if stage:
            chances[given[stage]] = own
    names = Names("impression", STAGES, given, ("impression", *STAGES[:-1]), (Place(-1), Place(0), Place(1)))
    users = random.integers(0, USERS, rows, np.int32)
    return Outcomes(names, labels, logits, partial(cumulative, names.topology), chances, groups=users)


def ours(outcomes: Any, *, intervals: bool) -> None:
    """Every figure of every stage."""
    from dataclasses import replace

    from funnel.evaluation.bootstrap import clusters_of
    from funnel.evaluation.report import judge

    clusters = clusters_of(outcomes.rows, outcomes.groups) if intervals else None
    report = judge(replace(outcomes, clusters=clusters), brief=not intervals, group_by="user")
    assert intervals == bool(report.cumulative["buy"].intervals)


def sklearn(outcomes: Any) -> None:
    """Three figures of the same probabilities."""
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

    for label, chance in columns(outcomes):
        for figure in (roc_auc_score, average_precision_score, log_loss):
            figure(label, chance)


def keras(outcomes: Any) -> None:
    """One figure of them, in batches."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from funnel.model._keras import keras as tf_keras

    for label, chance in columns(outcomes):
        metric = tf_keras.metrics.AUC()
        for begin in range(0, len(label), 1 << 16):
            metric.update_state(label[begin : begin + (1 << 16)], chance[begin : begin + (1 << 16)])
        metric.result()


def columns(outcomes: Any) -> Any:
    """Label and probability of each stage, over all rows and over the rows before it."""
    for stage, name in enumerate(outcomes.names.stages):
        yield outcomes.labels[:, stage], outcomes.chances[name]
        if stage:
            inside = outcomes.labels[:, stage - 1] == 1
            yield outcomes.labels[inside, stage], outcomes.chances[outcomes.names.conditionals[stage]][inside]


def measure(way: str, rows: int) -> dict[str, float]:
    """In this process: seconds, without the drawing of the rows, and peak memory with it."""
    outcomes = drawn(rows)
    begun = time.perf_counter()
    match way:
        case "figures" | "intervals":
            ours(outcomes, intervals=way == "intervals")
        case "sklearn":
            sklearn(outcomes)
        case _:
            keras(outcomes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": time.perf_counter() - begun, "peak": peak}


def main() -> None:
    """Measure each way, in turns."""
    parser = argparse.ArgumentParser(description="How long the figures of a report take.")
    parser.add_argument("docs", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--ways", default=",".join(WAYS))
    flags = parser.parse_args()
    if flags.way:
        print(json.dumps(measure(flags.way, flags.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in flags.ways.split(",")}
    for _ in range(flags.repeats):
        for way, runs in found.items():
            command = [sys.executable, __file__, "--way", way, "--rows", str(flags.rows)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(way, runs[-1], flush=True)
    rows = []
    for way, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        middle = statistics.median(seconds)
        peak = max(run["peak"] for run in runs)
        rows.append([WAYS[way], f"{middle:,.1f}", f"{min(seconds):,.1f} .. {max(seconds):,.1f}", f"{peak / 1e9:.2f}"])
    text = table(["way", "seconds", "from .. to", "peak GB"], rows)
    print(text)
    if flags.docs:
        head = (
            f"# Speed of evaluation\n\nThree stages over {flags.rows:,} rows of {USERS:,} users, {os.cpu_count()} cores: five "
            f"probabilities, each over its own sample space. Medians of {flags.repeats} interleaved runs, each a process of "
            "its own; the peak holds the rows themselves, the drawing of which is not timed.\n\n"
        )
        (flags.docs / "metrics_speed.md").write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    main()
