"""What each way of shuffling costs, and what it does to convergence.

    python benchmarks/shuffling.py schemas/aliccp.yaml --data DIR --work DIR [--set PATH=VALUE ...] [--seeds 3] [--out FILE]

Every way is fitted with several seeds, in turn, on one store. The scores are those of the validation rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import funnel
from funnel.data.batches import batches
from funnel.data.order import Epoch
from funnel.data.store import Store
from funnel.schema.reader import load_schema

WAYS = {
    "group": "{kind: group}",
    "window of 8,192": "{kind: window, rows: 8192}",
    "window of 32,768": "{kind: window, rows: 32768}",
    "window of 131,072": "{kind: window, rows: 131072}",
    "row": "{kind: row}",
}


def main() -> None:
    """Fit, and print a table."""
    flags = parse()
    base = load_schema(flags.schema, flags.overrides)
    store = funnel.prepare(flags.schema, flags.data, flags.work / "store", overrides=flags.overrides)
    print(f"{flags.schema}, {flags.data or base.data.root}: {store.shards('train').rows:,} training rows", flush=True)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for seed in range(flags.seeds):
        for way, shuffle in WAYS.items():
            overrides = [*flags.overrides, f"train.shuffle={shuffle}", f"train.seed={seed}", "train.early_stopping=null"]
            one = fitted(flags.schema, store, overrides)
            one["feed"], one["facts"] = fed(store, load_schema(flags.schema, overrides))
            found[way].append(one)
            print(f"seed {seed} {way}: {json.dumps(one)}", flush=True)
    text = table(found, base.stage_names)
    print(text)
    if flags.out:
        flags.out.write_text(text, encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What each way of shuffling costs, and what it does to convergence.")
    parser.add_argument("schema", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "shuffling")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def fitted(schema: Path, store: Store, overrides: list[str]) -> dict[str, Any]:
    """The scores of the validation rows after the last epoch, and the rate of training."""
    run = funnel.fit(schema, store, overrides=overrides)
    scores = run.metrics["validation"]["cumulative"]
    rows, seconds = (sum(epoch[key] for epoch in run.history[1:] or run.history) for key in ("rows", "seconds"))
    return {"rate": rows / seconds} | {
        f"{stage} {score}": scores[stage][score] for stage in run.schema.stage_names for score in ("auc", "log_loss")
    }


def fed(store: Store, schema: Any) -> tuple[float, float]:
    """Facts a second that batches are made at, and how many share a row of the first dimension within a batch."""
    epoch = Epoch(store.shards("train"), schema.train.batch_size, schema.train.shuffle, schema.train.seed)
    first = next(iter(schema.data.dimensions), None)
    begun, facts, used = time.perf_counter(), 0, 0
    for batch, labels in batches(epoch):
        facts += len(labels)
        used += len(labels) if first is None else int(batch[f"index/{first.name}"].max()) + 1
        if time.perf_counter() - begun > 5:
            break
    return facts / (time.perf_counter() - begun), facts / used


def table(found: dict[str, list[dict[str, Any]]], stages: tuple[str, ...]) -> str:
    """Means over the seeds, and the deviation of one fit from another."""
    names = [f"{stage} {score}" for stage in stages for score in ("auc", "log_loss")]
    heads = ["shuffle", "facts per dimension row", "fed rows/s", "trained rows/s", *(name.replace("_", " ") for name in names)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for way, runs in found.items():
        cells = [way, f"{middle(runs, 'facts'):.1f}", f"{middle(runs, 'feed'):,.0f}", f"{middle(runs, 'rate'):,.0f}"]
        for name in names:
            values = [run[name] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.4f} ± {spread:.4f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def middle(runs: list[dict[str, Any]], name: str) -> float:
    """The median over the seeds."""
    return statistics.median(run[name] for run in runs)


if __name__ == "__main__":
    main()
