"""How long every figure of a report takes on as many rows as Ali-CCP's test split has, and in how much memory.

    python benchmarks/metrics.py [DOCS] [--rows 43000000] [--repeats 3]

Three stages over drawn rows: the figures alone, and with the curves and the intervals of a bootstrap over 400,000 users. Beside
them what is usual: scikit-learn's AUC, log loss and average precision of the same rows, and Keras' AUC of 200 thresholds. Every
measurement is a process of its own, of which its peak memory is told; they are interleaved, and medians are shown. With DOCS,
writes `metrics_speed.md` and its plot there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from metrics_page import NAMES, Series, page, plot, summary

ROWS, USERS, STAGES = 43_000_000, 400_000, ("click", "cart", "buy")
RATES = (-3.0, -2.0, -1.0)  # logits: some 6, 16 and 32 % of the rows before
FEW = 1000  # rows to warm up with: imports and traces are not measured


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


def funnel(outcomes: Any, *, intervals: bool) -> dict[str, float]:
    """Every figure of every stage."""
    from dataclasses import replace

    from funnel.evaluation.bootstrap import clusters_of
    from funnel.evaluation.report import judge

    clusters = clusters_of(outcomes.rows, outcomes.groups) if intervals else None
    report = judge(replace(outcomes, clusters=clusters), brief=not intervals, group_by="user")
    assert intervals == bool(report.cumulative["click"].intervals)
    return {one.name: one.auc for kind in (report.cumulative, report.conditional) for one in kind.values()}


def sklearn(outcomes: Any) -> dict[str, float]:
    """Three figures of the same probabilities."""
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

    found = {}
    for name, label, chance in columns(outcomes):
        found[name] = float(roc_auc_score(label, chance))
        average_precision_score(label, chance)
        log_loss(label, chance)
    return found


def keras(outcomes: Any) -> dict[str, float]:
    """One figure of them, in batches."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from funnel.model._keras import keras as tf_keras

    found = {}
    for name, label, chance in columns(outcomes):
        metric = tf_keras.metrics.AUC()
        for begin in range(0, len(label), 1 << 16):
            metric.update_state(label[begin : begin + (1 << 16)], chance[begin : begin + (1 << 16)])
        found[name] = float(metric.result())
    return found


WAYS = {
    "figures": partial(funnel, intervals=False),
    "intervals": partial(funnel, intervals=True),
    "sklearn": sklearn,
    "keras": keras,
}
assert set(WAYS) == set(NAMES)


def columns(outcomes: Any) -> Any:
    """Name, label and probability of each stage, over all rows and over the rows before it."""
    for stage, name in enumerate(outcomes.names.stages):
        yield name, outcomes.labels[:, stage], outcomes.chances[name]
        if stage:
            inside = outcomes.labels[:, stage - 1] == 1
            given = outcomes.names.conditionals[stage]
            yield given, outcomes.labels[inside, stage], outcomes.chances[given][inside]


def measure(way: str, rows: int) -> dict[str, Any]:
    """In this process: seconds and those of all its threads, without the drawing of the rows, and peak memory with them."""
    WAYS[way](drawn(FEW))
    outcomes = drawn(rows)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    areas = WAYS[way](outcomes)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "peak": after.ru_maxrss * 1024, "areas": areas}


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
    found = {way: Series(NAMES[way]) for way in flags.ways.split(",")}
    for _ in range(flags.repeats):
        for way, series in found.items():
            command = [sys.executable, __file__, "--way", way, "--rows", str(flags.rows)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            series.runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(way, series.runs[-1], flush=True)
    print(summary(found))
    if flags.docs:
        text = page(found, rows=flags.rows, users=USERS, repeats=flags.repeats, picture="metrics_speed.svg")
        (flags.docs / "metrics_speed.md").write_text(text, encoding="utf-8")
        plot(found, flags.docs / "metrics_speed.svg")


if __name__ == "__main__":
    main()
