"""What the entire space is worth as the rows that are clicked become more and more unlike the others.

    python benchmarks/selection.py FOLDER OUT

simulates Ali-CCP below FOLDER, from clicks that have nothing to do with purchases to clicks by those that buy; fits `esmm`,
`esmm-ns`, and `parent_space` with shared embeddings and without, with ten seeds each; and writes OUT/selection.md and .svg. What
FOLDER has already is not made again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from markdown import table

import funnel
from funnel.training.process import tune_allocator, tune_threads

SCHEMA = Path(__file__).parents[1] / "schemas" / "aliccp.yaml"
PRIORS = ("stages.click.prior=0.04", "stages.buy.prior=0.12")
TRAIN, TEST, REPEATS = 500_000, 200_000, 10
LEVELS = (0.0, 0.5, 0.8, 1.0)
FIRST, OTHERS = "esmm", ("parent_space", "esmm-ns", "parent_space-ns")
TRUTH = "buy_given_click over all rows (truth)"
COLUMNS = {(TRUTH, "AUC"): 4, (TRUTH, "pred/true"): 3, ("buy_given_click", "AUC"): 4, ("buy", "AUC"): 4, ("buy", "pred/obs"): 3}


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


def main(folder: Path, out: Path, levels: list[float]) -> None:
    """Measure, and write."""
    found = measured(folder, levels)
    print({level: list(one) for level, one in found.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [float(level) for level in sys.argv[3:]] or list(LEVELS))
