"""The run's own predictions of some rows, and the scale of each score's differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from funnel.data.columns import take
from funnel.data.star import Star
from funnel.data.store import Shards
from funnel.evaluation.predict import score_columns
from funnel.run import Run
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema

STEP = np.float32(1e-3)  # of a probability: far more than it is rounded by

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """What the run says.

    Attributes:
        position: Which rows, ascending: int64 [n].
        columns: By probability or score: float32 [n].
        scales: By score: what a difference is divided by, to be one of the probabilities: float32 [n].
    """

    position: NDArray[np.int64]
    columns: dict[str, Floats]
    scales: dict[str, Floats]

    def find(self, position: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some rows have predictions, and where these are."""
        place = np.minimum(np.searchsorted(self.position, position), len(self.position) - 1)
        rows = np.flatnonzero(self.position[place] == position)
        return rows, place[rows]


def predictions(run: Run, shards: Shards, rows: int) -> Predictions:
    """Of so many rows, at most: whole shards, and the first rows of the last one.

    Args:
        run: What predicts.
        shards: The rows, encoded.
        rows: How many, at least 1.
    """
    positions: list[NDArray[np.int64]] = []
    columns: dict[str, list[Floats]] = {}
    scales: dict[str, list[Floats]] = {}
    for star in shards.once():
        some = star if star.rows <= rows else _first(star, rows)
        made = run.predictions(some)
        positions.append(np.array(some.position, np.int64))
        for found, values in ((columns, made), (scales, score_scales(run.schema, some, made))):
            for name, column in values.items():
                found.setdefault(name, []).append(column)
        rows -= some.rows
        if not rows:
            break
    position = np.concatenate(positions)
    order = np.argsort(position)
    joined = [{name: np.concatenate(parts)[order] for name, parts in found.items()} for found in (columns, scales)]
    return Predictions(position[order], *joined)


def score_scales(schema: FunnelSchema, star: Star, found: Mapping[str, Floats]) -> dict[str, Floats]:
    """By score: how much it moves with the probabilities in it, or its own size, where that is more, and at least 1.

    A service's last bit of a probability is not the run's, and `buy * price` moves `price` times as much.

    Args:
        schema: The declaration.
        star: The facts.
        found: Every probability and score by name: float32 [rows].
    """
    chances = {name: found[name] for name in schema.probability_names}
    moved = {score: np.zeros(star.rows, np.float32) for score in schema.scores}
    for name in {name for one in schema.expressions.values() for name in one.names} & chances.keys():
        less = chances[name] * (1 - STEP)
        changed = score_columns(schema, star, {**chances, name: less})
        with np.errstate(all="ignore"):
            for score, values in changed.items():
                moved[score] += np.abs((found[score] - values) / (chances[name] - less))
    return {score: np.fmax(np.fmax(np.abs(found[score]), slope), np.float32(1)) for score, slope in moved.items()}


def _first(star: Star, rows: int) -> Star:
    """The first facts of a star."""
    some = np.arange(rows)
    index = {name: array[some] for name, array in star.index.items()}
    sources = star.sources | {FACTS: take(star.sources[FACTS], some)}
    return replace(star, sources=sources, index=index, position=star.position[some], groups=None, weights=None)
