"""Files for any schema, drawn from a known truth: to try a schema before there are data, and to measure what a model recovers.

A stage's conditional logit is the sum of the features' effects: one per id, a smooth one per number, the mean over a bag, and
products of the latent factors of two ids. A share of an effect's variance, `selection`, is common to all stages, as who clicks
also buys: without any, rows that reach a later stage are no better than others; with all of it, they are those that go on.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from funnel.errors import DataError, listed
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.simulation.column import Ints
from funnel.simulation.files import frame as as_frame
from funnel.simulation.files import layout as lay_out
from funnel.simulation.files import sources, write
from funnel.simulation.log import Log
from funnel.simulation.world import World

__all__ = ["Simulated", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """What was written."""

    out: Path
    files: tuple[Path, ...]  # relative to the folder
    impressions: dict[str, int]  # by split
    positives: dict[str, dict[str, int]]  # by split and stage: as the files have them
    drawn: dict[str, int]  # by split: rows before some were thrown away

    def lines(self) -> list[str]:
        """One line for each split, for people."""
        lines = []
        for split, rows in self.impressions.items():
            of = f" of {self.drawn[split]:,} drawn" if rows < self.drawn[split] else ""
            lines.append(f"{split}: {rows:,} rows{of}; " + ", ".join(f"{n:,} {s}" for s, n in self.positives[split].items()))
        return lines


def simulate(
    schema: FunnelSchema,
    out: Path,
    impressions: int,
    test_impressions: int | None = None,
    seed: int = 0,
    *,
    selection: float = 0.5,
    unknown: float = 0.0,
) -> Simulated:
    """Write files that the schema's patterns match, and their truth to `truth/train.parquet` and `truth/test.parquet`.

    A pure function of its arguments. The folder appears whole or not at all; a former simulation is replaced. Where the schema
    declares them, rows are thrown away (`sampling`), labels are read before they are final (`matures_after`), and rows have
    weights. The truth is that of all rows, and of final labels.

    Args:
        schema: The declaration.
        out: The folder to write.
        impressions: Training facts, before some are thrown away.
        test_impressions: Test facts. Default: a fifth of the training facts.
        seed: Another one is another truth.
        selection: How strongly the rows that reach later stages are selected, from 0 to 1: the share of the variance of each
            feature's effect that is common to all stages.
        unknown: The share of rows whose label is null, drawn for each label of stages that come after another.

    Raises:
        DataError: The folder holds something else, or the patterns cannot be told apart; a share is out of its range.
    """
    for name, share, end in (("selection", selection, "1"), ("unknown", unknown, "less than 1")):
        if not 0 <= share <= 1 or (share == 1 and name == "unknown"):
            raise DataError(f"{name}: got {share:g}, expected 0 to {end}. Give a share.")
    test_impressions = max(1, impressions // 5) if test_impressions is None else test_impressions
    if min(impressions, test_impressions) < 1:
        raise DataError(f"impressions: got {min(impressions, test_impressions):,}, expected 1 or more. Ask for some rows.")
    out = out.resolve()
    _refuse_foreign(out)
    partial = out.parent / f".{out.name}.{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        sizes = {"train": impressions, "validation": max(1, impressions // 10), "test": test_impressions}
        written = _write_all(schema, partial, sizes, seed, selection=selection, unknown=unknown)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Simulated(out, *written)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: got a file, expected a folder or nothing. Name another folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / "truth" / "train.parquet").is_file():
        found = listed(sorted(path.name for path in out.iterdir()), 3)
        raise DataError(f"{out}: got a folder with other files ({found}), expected a former simulation. Name another folder.")


def _write_all(
    schema: FunnelSchema, folder: Path, sizes: dict[str, int], seed: int, *, selection: float, unknown: float
) -> tuple[tuple[Path, ...], dict[str, int], dict[str, dict[str, int]], dict[str, int]]:
    layout = lay_out(schema, folder)
    # Splits that read the same files have the same rows.
    owner = {s: next(o for o in sizes if layout.get((FACTS, o)) == layout[FACTS, s]) for s in sizes if (FACTS, s) in layout}
    rows: dict[str, Ints] = {}
    for split, first in owner.items():
        begin = sum(len(rows[other]) for other in rows if owner[other] == other)
        rows[split] = rows[first] if first in rows else np.arange(begin, begin + sizes[split])
    drawn = {split: len(positions) for split, positions in rows.items()}
    world = World(schema, seed, sizes["train"], 1 + max(int(positions[-1]) for positions in rows.values()), selection)
    truth, labels = world.label()
    log = Log(schema, world.rng, labels, rows["test"] if owner.get("test") == "test" else rows["train"][:0], unknown)
    world.tables[FACTS] |= log.columns
    rows = {split: positions[log.kept[positions]] for split, positions in rows.items()}
    (folder / "truth").mkdir()
    for split in rows.keys() & {"train", "test"}:
        truth[rows[split]].write_parquet(folder / "truth" / f"{split}.parquet")
    for (home, split), paths in layout.items():
        files = schema.files_of(sources(schema)[home][0])
        frame = as_frame(files, world.tables[home])
        if home == FACTS:
            frame = frame[rows[split]]
        elif layout[home, "train"] != layout.get((home, "test"), ()):
            # Validation facts look their dimensions up in the training rows' files.
            frame = frame[world.used(home, [rows[name] for name in rows if (name == "test") == (split == "test")])]
        write(frame, files, paths)
    positives = {split: log.positives(rows[split]) for split in rows}
    found = sorted({path.relative_to(folder) for paths in layout.values() for path in paths})
    return tuple(found), {split: len(positions) for split, positions in rows.items()}, positives, drawn
