"""Files for any schema, drawn from a known truth: to try a schema before there are data, and to measure what a model recovers.

A stage's conditional logit is the sum of the features' effects: one per id, a smooth one per number, the mean over a bag, and
products of the latent factors of two ids. Half of an effect's variance is common to all stages, as who clicks also buys.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from funnel.data.normalise import features_of
from funnel.data.readers import find_files
from funnel.errors import DataError, listed
from funnel.schema.data import Csv, FeatureList, Held, Parquet, Source, Time
from funnel.schema.features import Bag, Bucketize, Categorical, Cross, Log1p, Numeric, Standardize
from funnel.schema.funnel_schema import FACTS, FunnelSchema

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Home = tuple[str, ...]  # the patterns of a table: dimensions that read the same files are one table

DEFAULT_PRIOR = 0.2
MISSING_SHARE = 0.03
MOST_IDS = 2000
FEW_IDS = 60  # so many ids of one feature are learnt even from the few rows of a late stage
COMMON = np.sqrt(0.5)  # of an effect that all stages share, and as much is a stage's own
RANK = 3


@dataclass(frozen=True)
class Simulated:
    """What was written.

    Attributes:
        out: The folder.
        files: The files with rows, relative to it.
        impressions: By split: how many facts.
        positives: By split and stage: how many facts have it.
    """

    out: Path
    files: tuple[Path, ...]
    impressions: dict[str, int]
    positives: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Column:
    """A column: as it is written, and as the truth sees it.

    Attributes:
        series: Ids as text, lists of them, or numbers: [rows].
        codes: Position of each id among `size`, -1 where missing: [rows], or [entries] of lists.
        size: How many ids there are.
        latent: What stands behind a number, 0 where missing: [rows].
        rows: Each entry's row, where there are lists: [entries].
        weights: Each entry's weight, where there are lists: [entries].
        separator: Between the entries, where a list is one text.
        key: Whether the ids are a dimension's.
    """

    series: pl.Series
    codes: Ints | None = None
    size: int = 0
    latent: Floats | None = None
    rows: Ints | None = None
    weights: Floats | None = None
    separator: str | None = None
    key: bool = False


Columns = dict[str, _Column]


def simulate(
    schema: FunnelSchema, out: Path, impressions: int, test_impressions: int | None = None, seed: int = 0
) -> Simulated:
    """Write files that the schema's patterns match, and the truth behind them as `truth/train.parquet` and `truth/test.parquet`.

    A pure function of schema, sizes and seed. The folder appears whole or not at all; a former simulation is replaced.

    Args:
        schema: The declaration.
        out: The folder to write.
        impressions: Training facts.
        test_impressions: Test facts. Default: a fifth of the training facts.
        seed: Another one is another truth.

    Raises:
        DataError: The folder holds something else, or the patterns cannot be told apart.
    """
    if min(impressions, test_impressions or 1) < 1:
        raise DataError(f"impressions: got {min(impressions, test_impressions or 1):,}, expected 1 or more. Ask for some rows.")
    out = out.resolve()
    _refuse_foreign(out)
    partial = out.parent / f".{out.name}.{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        written = _write_all(
            schema, partial, impressions, max(1, impressions // 5 if test_impressions is None else test_impressions), seed
        )
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
    schema: FunnelSchema, folder: Path, impressions: int, test_impressions: int, seed: int
) -> tuple[tuple[Path, ...], dict[str, int], dict[str, dict[str, int]]]:
    layout = _layout(schema, folder)
    sizes = {"train": impressions, "validation": max(1, impressions // 10), "test": test_impressions}
    # Splits that read the same files have the same rows.
    owner = {
        split: next(s for s in sizes if layout.get((FACTS, s)) == paths)
        for (name, split), paths in layout.items()
        if name == FACTS
    }
    own = [split for split in sizes if owner.get(split) == split]
    ends = dict(zip(own, np.cumsum([sizes[split] for split in own]).tolist(), strict=True))
    parts = {split: np.arange(ends[owner[split]] - sizes[owner[split]], ends[owner[split]]) for split in owner}
    world = _World(schema, seed, impressions, max(ends.values()))
    truth, labels = world.truth_and_labels()
    (folder / "truth").mkdir()
    for split in sorted({"train", "test"} & set(parts)):
        truth[parts[split]].write_parquet(folder / "truth" / f"{split}.parquet")
    for (source, split), paths in layout.items():
        rows = (
            parts[split]
            if source == FACTS
            else world.used(source, parts, split, shared=layout.get((source, "test")) == layout[source, "train"])
        )
        _write(world.frame(source), rows, schema.files_of(source), paths)
    positives = {s: {n: int(labels[n][rows].sum()) for n in schema.stage_names} for s, rows in parts.items()}
    files = sorted({path.relative_to(folder) for paths in layout.values() for path in paths})
    return tuple(files), {split: len(rows) for split, rows in parts.items()}, positives
