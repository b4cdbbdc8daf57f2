"""Predicted over observed of every stage on unsampled test rows, learnt from down-sampled rows: corrected, and not.

    python benchmarks/sampling.py FOLDER OUT

simulates Ali-CCP below FOLDER, keeps all clicked rows and 2.5 % of the others, fits with each correction and with none, and
writes OUT/sampling.md. Each fit ends with two epochs of small steps: with those of Adam's default, the mean of the predictions
swings by some per cent from one seed to the next.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from markdown import table

import funnel
from funnel.training.process import tune_allocator, tune_threads

SCHEMA = Path(__file__).parents[1] / "schemas" / "aliccp.yaml"
RATES = "{impression: 0.025, click: 1, buy: 1}"
DRAWN, TEST, SEEDS = 6_000_000, 1_000_000, 3
SMALL_STEPS = (
    "train.epochs=2",
    "train.optimizer.dense.learning_rate=0.00001",
    "train.optimizer.embedding.learning_rate=0.002",
)
PRIORS = ("stages.click.prior=0.015", "stages.buy.prior=0.2")
WAYS = {
    "not corrected": (),
    "inverse (the default)": (f"sampling={RATES}",),
    "weights": (f"sampling={{rates: {RATES}, correction: weights}}",),
}


def main(folder: Path, out: Path) -> None:
    """Draw, fit and write."""
    drawn = funnel.load_schema(SCHEMA, [*PRIORS, f"sampling={RATES}"])
    rows = folder / "rows"
    if not rows.is_dir():
        print("\n".join(funnel.simulate(drawn, rows, DRAWN, TEST).lines()), flush=True)
    tune_allocator()
    tune_threads(drawn)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(SEEDS):
        for way, overrides in WAYS.items():
            first = funnel.load_schema(SCHEMA, [*overrides, f"train.seed={seed}", "train.epochs=3"])
            run = funnel.fit(first, rows, store=folder / f"{way}.store", out=folder / f"{way} {seed}")
            last = funnel.load_schema(first, SMALL_STEPS)
            run = funnel.fit(last, rows, store=folder / f"{way} {seed}.store", warm_start=run)
            found.setdefault(way, []).append(run.metrics["test"])
            print(
                way,
                seed,
                {k: round(v["predicted_over_observed"], 3) for k, v in _scores(run.metrics["test"]).items()},
                flush=True,
            )
    columns = list(_scores(found[next(iter(WAYS))][0]))
    lines = [
        [way, *(_range([_scores(one)[name]["predicted_over_observed"] for one in runs]) for name in columns)]
        for way, runs in found.items()
    ]
    (out / "sampling.md").write_text(table(["predicted / observed", *columns], lines), encoding="utf-8")


def _scores(report: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for kind in ("cumulative", "conditional") for one in report[kind].values()}


def _range(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
