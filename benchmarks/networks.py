"""Bodies on real exposures and on simulated Ali-CCP: AUCs, parameters, rows a second, memory.

    python benchmarks/networks.py WORK OUT [--kuairand DIR] [--impressions 100000] [--seeds 2] [BODY ...]

fits every body (or those that are named) with schemas/aliccp.yaml on impressions that it simulates, one in five of them clicked
and one in four of these bought, and with schemas/kuairand_histories.yaml on DIR (or $FUNNEL_KUAIRAND), each fit in a process of
its own, body after body in a round for each seed; and writes OUT/networks_tables.md. AUCs are means over the seeds; intervals
are the 95 % of the first seed's rows. Rates are those of the last epochs of the simulated rows, their medians, and the medians
of their ratios to the first body of the round: they want a machine with nothing else to do. What WORK has already is not made
again. Whoever chooses, chooses by the validation columns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import aliccp
import yaml
from markdown import table

import funnel

MAIN = "from funnel.cli import main; main()"
SCHEMAS = Path(__file__).parents[1] / "schemas"
RATES = {"click_rate": 0.2, "buy_rate": 0.25}  # more of both than there are, so that few rows tell bodies apart
BODIES: dict[str, dict[str, Any]] = {
    "shared_bottom": {"model.body": {"kind": "shared_bottom"}},
    "shared_bottom, 128 units": {"model.body": {"kind": "shared_bottom", "units": [128]}},
    "dcn": {"model.body": {"kind": "dcn"}},
    "dcn, rank 64": {"model.body": {"kind": "dcn", "rank": 64}},
    "fm": {"model.body": {"kind": "fm"}},
    "dot": {"model.body": {"kind": "dot"}},
    "mmoe": {"model.body": {"kind": "mmoe"}},
    "ple": {"model.body": {"kind": "ple"}},
    "dot, dcn, ple": {"model.body": [{"kind": "dot"}, {"kind": "dcn", "rank": 64}, {"kind": "ple"}]},
}


def main() -> None:
    """Fit what is not there, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("bodies", nargs="*", default=list(BODIES), metavar="BODY")
    parser.add_argument("--kuairand", type=Path, default=os.environ.get("FUNNEL_KUAIRAND"))
    parser.add_argument("--impressions", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    data = {"aliccp": aliccp.simulate(asked.work, asked.impressions, shared=10, test=asked.impressions * 2 // 5, rates=RATES)}
    if asked.kuairand is not None:
        data["kuairand_histories"] = with_histories(asked.work, asked.kuairand)
    runs: dict[str, dict[str, list[Path]]] = {}
    # All with the first seed come before any with the second: whoever has to stop has rows to compare.
    for seeds in range(1, asked.seeds + 1):
        runs = {name: fits(asked, name, rows, range(seeds)) for name, rows in data.items()}
    pages = [f"## {name}\n\n{page(each)}" for name, each in runs.items()]
    pages.insert(1, f"## Rates, on aliccp\n\n{rates(runs['aliccp'])}")
    (asked.out / "networks_tables.md").write_text("# Bodies, measured\n\n" + "\n".join(pages), encoding="utf-8")


def with_histories(work: Path, kuairand: Path) -> Path:
    """What the example makes of the exposures."""
    if not (made := work / "histories").is_dir():
        job = SCHEMAS.parent / "examples" / "kuairand" / "histories.py"
        subprocess.run([sys.executable, job, kuairand, made.with_suffix(".part")], check=True)  # noqa: S603  # our own
        made.with_suffix(".part").rename(made)
    return made


def fits(asked: argparse.Namespace, name: str, data: Path, seeds: range) -> dict[str, list[Path]]:
    """Runs of each body, one for each seed, body after body in each round."""
    work = asked.work
    runs = {body: [work / f"{name}-{body.replace(' ', '_')}-{seed}" for seed in seeds] for body in asked.bodies}
    for seed in seeds:
        for body, outs in runs.items():
            if not outs[seed].is_dir():
                print(outs[seed].name, file=sys.stderr, flush=True)
                places = {"data": data, "store": work / f"store-{name}", "out": outs[seed]}
                changes = {"train.seed": seed, "train.checkpoint": None} | BODIES[body]
                fit(SCHEMAS / f"{name}.yaml", places, changes)
    return runs


def fit(schema: Path, places: dict[str, Path], changes: dict[str, Any]) -> None:
    """Fit in a process of its own."""
    command = [sys.executable, "-c", MAIN, "fit", schema]
    command += [word for name, place in places.items() for word in (f"--{name}", place)]
    command += [word for path, value in changes.items() for word in ("--set", f"{path}={_text(value)}")]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own


def _text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 20).strip().removesuffix("...").strip()


def page(runs: dict[str, list[Path]]) -> str:
    """A table of some runs, in Markdown."""
    each = {body: [json.loads((out / "metrics.json").read_text())["splits"] for out in outs] for body, outs in runs.items()}
    one = next(iter(each.values()))[0]["test"]
    # What the first stage is given is all rows: its conditional is its cumulative.
    heads = [("cumulative", stage) for stage in one["cumulative"]] + [("conditional", stage) for stage in one["conditional"]][
        1:
    ]
    heads = [(kind, stage, split) for kind, stage in heads for split in ("validation", "test")]
    titles = [f"{stage}{' given its parent' if kind == 'conditional' else ''}, {split}" for kind, stage, split in heads]
    rows = []
    for body, outs in runs.items():
        areas = [_auc([found[split][kind][stage] for found in each[body]], split) for kind, stage, split in heads]
        rows.append([body, *areas, *_sizes(outs)])
    return table(["AUC of", *titles, "parameters", "in tables", "GB"], rows)


def rates(runs: dict[str, list[Path]]) -> str:
    """A table of how fast each is trained, in Markdown."""
    last = {body: [json.loads((out / "history.json").read_text())[-1] for out in outs] for body, outs in runs.items()}
    each = {body: [one["rows"] / one["seconds"] for one in found] for body, found in last.items()}
    first = next(iter(each.values()))
    rows = []
    for body, found in each.items():
        ratios = [mine / base for mine, base in zip(found, first, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([body, f"{statistics.median(found):,.0f}", spread])
    return table(["body", "rows/s", f"of the first's, {len(first)} rounds"], rows)


def _auc(scores: list[dict[str, Any]], split: str) -> str:
    low, high = scores[0]["intervals"]["auc"] if split == "test" else (None, None)
    return f"{statistics.fmean(one['auc'] for one in scores):.4f}" + (f" ({low:.3f} to {high:.3f})" if low else "")


def _sizes(outs: list[Path]) -> list[str]:
    model = funnel.load(outs[0]).model
    tables = {id(variable) for variable in model.network.tables}
    sizes = [(id(variable) in tables, int(variable.shape.num_elements())) for variable in model.trainable_variables]
    memory = [json.loads((out / "manifest.json").read_text())["peak_memory_bytes"] for out in outs]
    return [
        *(f"{sum(size for is_table, size in sizes if is_table == wanted):,}" for wanted in (False, True)),
        f"{statistics.median(memory) / 1e9:.2f}",
    ]


if __name__ == "__main__":
    main()
