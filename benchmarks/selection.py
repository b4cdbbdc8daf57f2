"""What the entire space is worth as the rows that are clicked become more and more unlike the others.

    python benchmarks/selection.py FOLDER OUT [LEVEL ...]

simulates Ali-CCP below FOLDER, from clicks that have nothing to do with purchases (--selection 0) to clicks by those that buy
(inf); fits `esmm`, `esmm-ns`, and `parent_space` with shared embeddings and without, with ten seeds each; and writes
OUT/selection_tables.md and OUT/selection.svg. What FOLDER has already is not made again.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markdown import table
from matplotlib.figure import Figure

import funnel
from funnel.training.process import tune_allocator, tune_threads

SCHEMA = Path(__file__).parents[1] / "schemas" / "aliccp.yaml"
PRIORS = ("stages.click.prior=0.04", "stages.buy.prior=0.12")
TRAIN, TEST, REPEATS = 500_000, 200_000, 10
LEVELS = (0.0, 1.0, 4.0, math.inf)
FIRST, OTHERS = "esmm", ("parent_space", "esmm-ns", "parent_space-ns")
TRUTH = "buy_given_click over all rows (truth)"
COLUMNS = ((TRUTH, "AUC"), (TRUTH, "pred/true"), ("buy_given_click", "AUC"), ("buy", "AUC"), ("buy", "pred/obs"))
COLOURS = ("#2166ac", "#b2182b", "#4d9221")


def measured(folder: Path, levels: list[float]) -> dict[float, dict[str, Any]]:
    """By strength of the selection: the ablation, as JSON has it."""
    found = {}
    for level in levels:
        rows = folder / f"rows-{level:g}"
        if not rows.is_dir():
            drawn = funnel.load_schema(SCHEMA, PRIORS)
            print(f"selection {level:g}:", *funnel.simulate(drawn, rows, TRAIN, TEST, selection=level).lines(), flush=True)
        schema = funnel.load_schema(SCHEMA, ["train.checkpoint=null", "train.epochs=3"])
        tune_allocator()
        tune_threads(schema)
        made = funnel.ablate(
            schema,
            rows,
            objectives=[FIRST, *OTHERS],
            repeats=REPEATS,
            out=folder / f"fits-{level:g}",
            store=folder / f"store-{level:g}",
            watch=_say,
        )
        found[level] = made.as_dict()
    return found


def _say(event: Any) -> None:
    if type(event).__name__ == "FitEnded":
        print(event, flush=True)


def page(found: dict[float, dict[str, Any]]) -> str:
    """The tables, in Markdown."""
    names = (FIRST, *OTHERS)
    parts = []
    for about, measure in COLUMNS:
        rows = [
            [f"{level:g}", *(_spread(_cell(one, name, about, measure), measure) for name in names)]
            for level, one in found.items()
        ]
        parts += [
            f"## `{about.partition(' ')[0]}`{''.join(about.partition(' ')[1:])}: {measure}",
            "",
            table(["selection", *names], rows),
        ]
        if measure == "AUC":
            rows = [
                [f"{level:g}", *(_advantage(_cell(one, name, about, measure)) for name in OTHERS)]
                for level, one in found.items()
            ]
            parts += [f"{FIRST} less each of the others, with 95 % intervals:", "", table(["selection", *OTHERS], rows)]
    return "\n".join(parts)


def _cell(one: dict[str, Any], name: str, about: str, measure: str) -> dict[str, Any]:
    place = next(k for k, column in enumerate(one["columns"]) if column["title"] == f"{about}: {measure}")
    return next(row for row in one["rows"] if row["name"] == name)["cells"][place]


def _spread(cell: dict[str, Any], measure: str) -> str:
    digits = 4 if measure == "AUC" else 3
    return f"{cell['mean']:.{digits}f} ± {cell['deviation']:.{digits}f}"


def _advantage(cell: dict[str, Any]) -> str:
    text = f"{-cell['difference']:+.4f} ({-cell['high']:+.4f} to {-cell['low']:+.4f})"
    return f"**{text}**" if cell["low"] > 0 or cell["high"] < 0 else text


def _common(level: float) -> float:
    return 1 - 1 / (1 + level)


def plot(found: dict[float, dict[str, Any]], path: Path) -> None:
    """The advantage in AUC over all rows, by the strength of the selection."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="#444444", linewidth=0.8)
    for place, (name, colour) in enumerate(zip(OTHERS, COLOURS, strict=True)):
        cells = [_cell(one, name, TRUTH, "AUC") for one in found.values()]
        middle = [-cell["difference"] for cell in cells]
        ends = [
            [m + cell["high"] for m, cell in zip(middle, cells, strict=True)],
            [-cell["low"] - m for m, cell in zip(middle, cells, strict=True)],
        ]
        at = [_common(level) + 0.012 * (place - 1) for level in found]
        axes.errorbar(at, middle, ends, label=f"over {name}", color=colour, marker="o", markersize=5, capsize=3, linewidth=1.4)
    axes.set_xticks([_common(level) for level in found], [f"{_common(level):g}\nselection {level:g}" for level in found])
    axes.set_xlabel("share of the effects' variance that click and purchase have in common")
    axes.set_ylabel("advantage of esmm")
    axes.set_title("P(buy | click) over all rows, against the truth: AUC of esmm less that of others", fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.legend(frameon=False, loc="upper left")
    with mpl.rc_context({"svg.hashsalt": "funnel", "svg.fonttype": "path"}):
        figure.savefig(path, metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=120)


def main(folder: Path, out: Path, levels: list[float]) -> None:
    """Measure, and write."""
    found = dict(sorted(measured(folder, levels).items()))
    (out / "selection_tables.md").write_text(page(found), encoding="utf-8")
    plot(found, out / "selection.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [float(level) for level in sys.argv[3:]] or list(LEVELS))
