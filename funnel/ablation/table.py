"""The table: for each variant and column the mean and the spread over the seeds, and how far it is from the first row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.ablation.columns import Column, columns_of, score
from funnel.ablation.folder import Folder
from funnel.ablation.rows import Rows
from funnel.ablation.variants import PAPER, Variant, title_of
from funnel.data.progress import Progress
from funnel.evaluation.bootstrap import RESAMPLES, paired_intervals
from funnel.evaluation.cumulative import all_cumulative
from funnel.evaluation.report import without_nan
from funnel.locations.location import Location
from funnel.schema.funnel_schema import FunnelSchema

LEVEL = 0.95


@dataclass(frozen=True)
class Cell:
    """One score of one variant.

    Attributes:
        values: By repeat; NaN where undefined.
        difference: Of its mean to that of the first row; None in the first row.
        low: Lower end of the difference's interval; None in the first row.
        high: Upper end.
    """

    values: tuple[float, ...]
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def mean(self) -> float:
        """Over the repeats."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """The standard deviation over the repeats; NaN where there is one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        name: `esmm-ns`.
        paper: What Ma et al., 2018, call it; None where they have no such row.
        objective: The objective's options, as they were fitted.
        share_embeddings: Whether stages share embeddings.
        cells: In the order of the columns.
        collapsed: By seed: stages whose conditional predictions are the same for all test rows. Empty where all is well.
    """

    name: str
    paper: str | None
    objective: dict[str, Any]
    share_embeddings: bool
    cells: tuple[Cell, ...]
    collapsed: dict[int, list[str]]

    @property
    def title(self) -> str:
        """The name, after that of the paper where it has one."""
        return title_of(self.name)


@dataclass(frozen=True)
class Ablation:
    """The comparison, done.

    Attributes:
        name: Of the schema.
        out: The folder with all of it.
        data: Where the rows are from.
        space: What a row is.
        test_rows: How many there are.
        drawn: What the bootstrap draws beside seeds: `rows`, or `groups of <feature>`.
        seeds: Of the repeats.
        columns: What is scored.
        rows: The variants, in the order asked for; differences are to the first.
        left_out: By variant without a row: why.
        remarks: What else there is to know.
        versions: What it was made with.
    """

    name: str
    out: Location
    data: str
    space: str
    test_rows: int
    drawn: str
    seeds: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    left_out: dict[str, str]
    remarks: tuple[str, ...]
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: undefined scores are null."""
        made = {
            "schema": self.name,
            "data": self.data,
            "space": self.space,
            "test_rows": self.test_rows,
            "seeds": list(self.seeds),
            "interval": {
                "level": LEVEL,
                "kind": "paired bootstrap, percentile",
                "drawn": [self.drawn, "seeds"],
                "resamples": RESAMPLES,
            },
            "columns": [_described(column) for column in self.columns],
            "rows": [
                {
                    "name": row.name,
                    "paper": row.paper,
                    "objective": row.objective,
                    "share_embeddings": row.share_embeddings,
                    "collapsed": row.collapsed,
                    "cells": [
                        {"mean": cell.mean, "deviation": cell.deviation, **asdict(cell), "values": list(cell.values)}
                        for cell in row.cells
                    ],
                }
                for row in self.rows
            ],
            "left_out": self.left_out,
            "remarks": list(self.remarks),
            "versions": self.versions,
        }
        return without_nan(made)


def _described(column: Column) -> dict[str, Any]:
    told = asdict(column) | {"title": column.title}
    return {key: told[key] for key in ("title", "name", "measure", "space", "truth", "rows", "positives")}


def make_table(
    schema: FunnelSchema,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    rows: Rows,
    *,
    folder: Folder,
    watch: Callable[[Any], None],
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Score all fits on the test rows, and compare each variant to the first one.

    Args:
        schema: The declaration.
        variants: With a fit in the folder for each seed.
        seeds: Of the repeats.
        rows: The test rows.
        folder: Where the fits are.
        watch: Called with each Progress.
    """
    columns = columns_of(schema, rows)
    clusters = int(rows.clusters.max(initial=-1)) + 1
    values = np.empty([len(columns), len(variants), len(seeds)])
    # Half the precision serves an interval: of many variants and seeds, this is what takes memory.
    influences = np.empty([*values.shape, clusters], np.float32)
    found: list[list[Mapping[str, Any]]] = [[] for _ in variants]
    for v, variant in enumerate(variants):
        for s, seed in enumerate(seeds):
            watch(Progress("judging", v * len(seeds) + s, len(variants) * len(seeds), "fits"))
            found[v].append(folder.metrics(variant.name, seed) or {})
            conditional = folder.logits(variant.name, seed, rows.shape)
            cumulative = all_cumulative(schema.topology, conditional)
            for c, column in enumerate(columns):
                values[c, v, s], influences[c, v, s] = score(column, schema, rows, conditional, cumulative)
    compared = [_cells(values[c], influences[c]) for c in range(len(columns))]
    made = []
    for v, variant in enumerate(variants):
        collapsed = {
            seed: list(one["test"]["constant"]) for seed, one in zip(seeds, found[v], strict=True) if one["test"]["constant"]
        }
        objective, shared = variant.schema.objective.model_dump(mode="json"), variant.schema.model.share_embeddings
        cells = tuple(column[v] for column in compared)
        made.append(Row(variant.name, PAPER.get(variant.name), objective, shared, cells, collapsed))
    return columns, tuple(made)


def _cells(values: NDArray[np.float64], influences: NDArray[np.float32]) -> list[Cell]:
    """One column, from its scores [variants, seeds] and the influences on them [variants, seeds, clusters]."""
    differences = values[1:] - values[:1]
    intervals = paired_intervals(differences, influences[1:].astype(np.float64) - influences[:1], level=LEVEL)
    cells = [Cell(tuple(values[0].tolist()))]
    for own, difference, (low, high) in zip(values[1:], differences, intervals, strict=True):
        cells.append(Cell(tuple(own.tolist()), float(difference.mean()), float(low), float(high)))
    return cells
