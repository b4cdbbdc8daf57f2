"""The tables of the gallery: what each shipped schema is, and what a fit on simulated rows reaches against the known truth.

    python benchmarks/gallery.py FOLDER OUT [NAME ...]

simulates, fits and judges the schemas that are named (none: all; `-`: none) below FOLDER, and writes OUT/gallery_tables.md: of
every schema what its header says, and of those that FOLDER has, their figures. What FOLDER has already is not made again.
Where the variable FUNNEL_HILLSTROM names a folder with hillstrom.csv, its real rows are fitted, too.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from markdown import table

import funnel

SCHEMAS = sorted((Path(__file__).parents[1] / "schemas").glob("*.yaml"))
TRAIN, TEST = 50_000, 20_000
PARTS = ("Domain", "Stages", "Source", "Shows")


def header(path: Path) -> dict[str, str]:
    """What a schema's header says, by part: lines that begin further to the right go on with the part before."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        if begun := re.match(r"# (\w+) {2,}(\S.*)$", line):
            found[begun[1]] = begun[2]
        elif (more := re.match(r"# {10}(\S.*)$", line)) and found:
            last = list(found)[-1]
            found[last] += f" {more[1]}"
        else:
            break
    return found


def measure(path: Path, folder: Path) -> None:
    """Simulate, fit as declared, and judge against the truth; FOLDER/NAME.json says what came out."""
    rows, run = folder / f"{path.stem}-rows", folder / f"{path.stem}-run"
    if not rows.is_dir():
        funnel.simulate(path, rows, TRAIN, TEST)
    fitted = funnel.fit(path, rows, out=run) if not run.is_dir() else funnel.load(run)
    judged = fitted.evaluate(rows, truth=rows / "truth" / "test.parquet").as_dict()
    (folder / f"{path.stem}.json").write_text(json.dumps(judged), encoding="utf-8")


def lines(judged: dict[str, Any], name: str) -> list[list[str]]:
    """A line for each conditional of a schema."""
    return [
        [
            f"{name}: {truth['name']}",
            f"{truth['rows']:,}",
            f"{judged['conditional'][stage]['positives']:,}",
            f"{truth['auc']:.3f}",
            f"{truth['auc_of_truth']:.3f}",
            f"{truth['predicted_over_true']:.3f}",
        ]
        for stage, truth in judged["truth"].items()
    ]


def by_arm(folder: Path) -> str:
    """What a fit of Hillstrom's real rows found in the test rows, of all and of each arm; nothing without such a fit."""
    run, rows = folder / "hillstrom-real-run", os.environ.get("FUNNEL_HILLSTROM")
    if not run.is_dir():
        if rows is None:
            return ""
        funnel.fit(Path(__file__).parents[1] / "schemas" / "hillstrom.yaml", rows, out=run)
    test = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["splits"]["test"]
    head = ["arm: probability", "rows", "positives", "observed rate", "AUC", "95 %", "predicted / observed", "95 %"]
    found = []
    for name, part in [("all", test), *((part["value"], part) for part in test["slices"]["arm"])]:
        for kind, stages in (("cumulative", ("visit", "conversion")), ("conditional", ("conversion",))):
            for stage in stages:
                one = part[kind][stage]
                line = [
                    f"{name}: {one['name']}",
                    f"{one['rows']:,}",
                    f"{one['positives']:,}",
                    f"{one['positives'] / one['rows']:.2%}",
                ]
                for figure, places in (("auc", 3), ("predicted_over_observed", 2)):
                    ends = one["intervals"].get(figure)
                    line += [f"{one[figure]:.{places}f}", "" if ends is None else "-".join(f"{end:.{places}f}" for end in ends)]
                found.append(line)
    return f"\nThe real rows of Hillstrom's challenge, {test['rows']:,} test rows:\n\n" + table(head, found)


def main(folder: Path, out: Path, names: list[str]) -> None:
    """Measure, and write the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in SCHEMAS:
        wanted = path.stem in names if names else True
        if wanted and not (folder / f"{path.stem}.json").is_file():
            measure(path, folder)
    text = "| schema | " + " | ".join(part.lower() for part in PARTS) + " |\n" + "| --- " * (len(PARTS) + 1) + "|\n"
    for path in SCHEMAS:
        said = header(path)
        cells = [said[part].replace("|", "\\|") for part in PARTS]
        text += f"| [{path.stem}](../schemas/{path.name}) | " + " | ".join(cells) + " |\n"
    found = [path for path in SCHEMAS if (folder / f"{path.stem}.json").is_file()]
    if found:
        head = ["probability", "test rows", "positives", "AUC", "AUC of the truth", "predicted / true"]
        rows = [line for path in found for line in lines(json.loads((folder / f"{path.stem}.json").read_text()), path.stem)]
        text += (
            f"\n{TRAIN:,} training and {TEST:,} test rows, simulated; where both stand in one file, a share of the former.\n\n"
        )
        text += table(head, rows)
    text += by_arm(folder)
    (out / "gallery_tables.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
