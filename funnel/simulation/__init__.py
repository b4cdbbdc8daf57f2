"""Files for any schema, drawn from a known truth: to try a schema before there are data, and to measure what a model recovers.

A stage's conditional logit is the sum of the features' effects: one per id, a smooth one per number, the mean over a bag, and
products of the latent factors of two ids. A part of an effect's variance is common to all stages, as who clicks also buys:
`selection` says how large a part. What the files then lack is drawn apart, so that the truth, and what happened, are the same
with and without it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from funnel.data.labels import UNKNOWN
from funnel.data.sampling import is_sampled
from funnel.errors import DataError, listed
from funnel.folders import whole_folder
from funnel.locations.location import Location, location
from funnel.locations.remote import Remote
from funnel.locations.transfer import copying
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.simulation.column import Ints
from funnel.simulation.domains import absent_stages
from funnel.simulation.draws import Draws
from funnel.simulation.files import Layout, sources, write
from funnel.simulation.files import frame as as_frame
from funnel.simulation.files import layout as lay_out
from funnel.simulation.log import log_of, rows_by_stage
from funnel.simulation.uses import require_one_use
from funnel.simulation.world import World

__all__ = ["Simulated", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """What was written.

    Attributes:
        out: The folder.
        files: Relative to it.
        impressions: Rows, by split.
        drawn: The same, before sampling threw some away.
        positives: Rows with a label, by split and stage.
        unknown: Rows of which it is not known whether they reached a stage, by split and stage.
        shared: Whether training and test rows stand in the same files (`data.test`): counts of either are then of both.
    """

    out: Location
    files: tuple[Path, ...]
    impressions: dict[str, int]
    drawn: dict[str, int]
    positives: dict[str, dict[str, int]]
    unknown: dict[str, dict[str, int]]
    shared: bool = False

    def lines(self) -> list[str]:
        """One line for each split, for people."""
        if self.shared:
            return [self._line("train", "train and test")]
        return [self._line(split, split) for split in self.impressions]

    def _line(self, split: str, called: str) -> str:
        rows, drawn = self.impressions[split], self.drawn[split]
        stages = [
            f"{count:,} {stage}" + (f" ({lost:,} unknown)" if (lost := self.unknown[split][stage]) else "")
            for stage, count in self.positives[split].items()
        ]
        return f"{called}: {rows:,} rows{f' of {drawn:,} drawn' if rows < drawn else ''}; {', '.join(stages)}"


@dataclass(frozen=True)
class _Wish:
    """What was asked for."""

    schema: FunnelSchema
    impressions: int
    test_impressions: int
    seed: int
    selection: float
    unknown: float


def simulate(
    schema: str | Path | Mapping[str, Any] | FunnelSchema,
    out: str | Path,
    impressions: int,
    test_impressions: int | None = None,
    seed: int = 0,
    *,
    selection: float = 1.0,
    unknown: float = 0.0,
    overrides: Sequence[str] = (),
) -> Simulated:
    """Write files that the schema's patterns match, and their truth to `truth/train.parquet` and `truth/test.parquet`.

    A pure function of schema, sizes, seed and options. The folder appears whole or not at all; a former simulation is replaced.
    The truth is of the rows that are written, in their order, whatever is known of their labels.

    Args:
        schema: A file, a mapping, or a schema. Its `matures_after` has late labels lack, its `sampling` thins the rows out.
        out: The folder to write, or its URL.
        impressions: Training facts, before they are sampled.
        test_impressions: Test facts, likewise. Default: a fifth of the training facts.
        seed: Another one is another truth.
        selection: How strongly the rows that reach later stages are selected, 0 or more: how many times the variance of the
            effects that are a stage's own is that of the effects that all stages have in common. With 0, rows that reach a
            stage are no likelier than others to go on; with `inf`, those come first that would go on.
        unknown: The share of labels that are null, in [0, 1), of each column that only stages given another one read.
        overrides: `path=value` texts, such as `stages.buy.prior=0.1`.

    Raises:
        SchemaError: The schema is not right.
        DataError: The folder holds something else, the patterns cannot be told apart, a column has two uses, or no row is left.
    """
    test_impressions = max(1, impressions // 5) if test_impressions is None else test_impressions
    wish = _Wish(load_schema(schema, overrides), impressions, test_impressions, seed, selection, unknown)
    _require_sense(wish)
    place = location(out)
    if isinstance(place, Remote):
        _refuse_foreign(place)
        with whole_folder(place, DataError, replace=place.exists()) as folder:
            return _write_all(wish, folder.resolve(), place)
    out = place.resolve()
    _refuse_foreign(out)
    partial = out.parent / f".{out.name}.{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        made = _write_all(wish, partial, out)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def _require_sense(wish: _Wish) -> None:
    if (fewest := min(wish.impressions, wish.test_impressions)) < 1:
        raise DataError(f"impressions: got {fewest:,}, expected 1 or more. Ask for some rows.")
    if not wish.selection >= 0:
        raise DataError(f"selection: got {wish.selection:g}, expected 0 or more. 1 is usual, 4 is strong.")
    if not 0 <= wish.unknown < 1:
        raise DataError(f"unknown: got {wish.unknown}, expected a share of 0 or more, and below 1. Some labels must be known.")
    require_one_use(wish.schema)


def _refuse_foreign(out: Location) -> None:
    if isinstance(out, Remote) and copying(out) is not None:
        return  # a simulation, or another folder of ours, that was not copied whole
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: got a file, expected a folder or nothing. Name another folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / "truth" / "train.parquet").is_file():
        found = listed(sorted(path.name for path in out.iterdir()), 3)
        raise DataError(f"{out}: got a folder with other files ({found}), expected a former simulation. Name another folder.")


def _write_all(wish: _Wish, folder: Path, out: Location) -> Simulated:
    """Write everything into a folder that will be moved to `out`."""
    schema, draws = wish.schema, Draws(wish.schema.name, wish.seed)
    layout = lay_out(schema, folder)
    drawn = _rows_of(wish, layout)
    facts = 1 + max(int(positions[-1]) for positions in drawn.values())
    # Not those that are training rows, too.
    tested = np.setdiff1d(drawn["test"], drawn["train"]) if "test" in drawn else drawn["train"][:0]
    world = World(schema, draws, wish.impressions, facts, selection=wish.selection, later=tested)
    truth, happened = world.label()
    log = log_of(schema, happened, world.clock, draws, wish.unknown, absent=absent_stages(schema, world.tables[FACTS]))
    world.tables[FACTS] |= log.columns
    rows = {
        split: positions[log.kept[positions]] if is_sampled(schema, split) else positions for split, positions in drawn.items()
    }
    for split, positions in rows.items():
        if not len(positions):
            raise DataError(
                f"sampling: got none of {len(drawn[split]):,} {split} rows, expected some. Ask for more impressions."
            )
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
    labels = {split: log.labels[positions] for split, positions in rows.items()}
    return Simulated(
        out,
        files=tuple(sorted({path.relative_to(folder) for paths in layout.values() for path in paths})),
        impressions={split: len(positions) for split, positions in rows.items()},
        drawn={split: len(positions) for split, positions in drawn.items()},
        positives={split: rows_by_stage(schema, known, 1) for split, known in labels.items()},
        unknown={split: rows_by_stage(schema, known, UNKNOWN) for split, known in labels.items()},
        shared=schema.data.test is not None,
    )


def _rows_of(wish: _Wish, layout: Layout) -> dict[str, Ints]:
    """The rows of each split, as they are drawn: those that read the same files have the same ones."""
    sizes = {
        "train": wish.impressions,
        "validation": max(1, wish.impressions // 10),
        "test": wish.test_impressions,
    }
    owner = {s: next(o for o in sizes if layout.get((FACTS, o)) == layout[FACTS, s]) for s in sizes if (FACTS, s) in layout}
    rows: dict[str, Ints] = {}
    for split, first in owner.items():
        if is_sampled(wish.schema, split) != is_sampled(wish.schema, first):
            raise DataError(
                f"sampling: {first} and {split} read the same files, but only {first} rows are sampled, expected both or other "
                "files. Declare `sampling: {rates: ..., test: true}`, or name other files."
            )
        begin = sum(len(rows[other]) for other in rows if owner[other] == other)
        rows[split] = rows[first] if first in rows else np.arange(begin, begin + sizes[split])
    return rows
