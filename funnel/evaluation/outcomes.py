"""Rows with what was predicted for them and what happened: all that a report is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import ABSENT
from funnel.data.stand_ins import is_answered, is_answered_inside, stand_ins
from funnel.evaluation.cumulative import Cumulative, ToCumulative
from funnel.evaluation.metrics import weighted_mean
from funnel.evaluation.rows import Rows
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.topology import Topology

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Names:
    """What stages, probabilities and rows are called.

    Attributes:
        space: What one row is.
        stages: The stages, and so their cumulatives.
        conditionals: Their conditionals; that of a stage which nothing precedes is its cumulative, under one name.
        conditional_spaces: What the rows are called that each conditional is about.
        topology: Where each stage stands.
    """

    space: str
    stages: tuple[str, ...]
    conditionals: tuple[str, ...]
    conditional_spaces: tuple[str, ...]
    topology: Topology


def names_of(schema: FunnelSchema) -> Names:
    """As a schema has it."""
    return Names(schema.space, schema.stage_names, schema.conditional_names, schema.conditional_spaces, schema.topology)


@dataclass(frozen=True)
class Outcomes:
    """Rows of a split.

    Attributes:
        names: What is what.
        labels: 0, 1, UNKNOWN or ABSENT: uint8 [rows, stages].
        logits: Of the conditionals: [rows, stages].
        to_cumulative: Makes a stage's cumulative logits, float64 [n], of `logits` of some rows, [n, stages], and the stage.
        chances: Every probability by name, as `predict` gives it: float32 [rows].
        weights: How many rows each stands for: float64 [rows]; None counts each once.
        groups: Whose each row is: int32 [rows] of at least 0; None where no groups are declared.
        clusters: What the bootstrap draws together, likewise; None for no intervals.
    """

    names: Names
    labels: NDArray[np.uint8]
    logits: NDArray[Any]
    to_cumulative: ToCumulative
    chances: Mapping[str, NDArray[np.float32]]
    weights: Floats | None = None
    groups: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.labels)

    @property
    def mass(self) -> float:
        """How many they stand for."""
        return float(self.rows if self.weights is None else self.weights.sum())

    @property
    def drawn(self) -> int:
        """How many groups, or rows, the bootstrap draws from, before they are pooled."""
        return self.rows if self.groups is None else int(np.count_nonzero(np.bincount(self.groups)))

    def only(self, rows: NDArray[Any]) -> Outcomes:
        """Some of them."""
        weights, groups, clusters = (None if one is None else one[rows] for one in (self.weights, self.groups, self.clusters))
        return replace(
            self,
            labels=self.labels[rows],
            logits=self.logits[rows],
            chances={name: values[rows] for name, values in self.chances.items()},
            weights=weights,
            groups=groups,
            clusters=clusters,
        )

    def given(self, stage: int) -> Rows:
        """What a conditional is judged on: the rows known to be its own whose label is known."""
        own = is_answered_inside(self.labels, stage, self.names.topology[stage])
        chances = self.chances[self.names.conditionals[stage]]
        return self._rows(stage, own, self.logits[:, stage], chances, self.weights)

    def all(self, stage: int) -> Rows:
        """What a cumulative is judged on: the rows whose label is known, which stand for the others, too."""
        known = is_answered(self.labels, stage, self.names.topology[stage])
        weights = stand_ins(self.labels, stage, self.names.topology, self.weights)
        return self._rows(stage, known, None, self.chances[self.names.stages[stage]], weights)

    def rates(self, stage: int) -> tuple[float, float]:
        """The share of all rows that reached a stage, and that which is predicted; rows that lack the stage do not reach it."""
        absent = self.labels[:, stage] == ABSENT
        if absent.any():
            here = self.only(~absent)
            share = here.mass / self.mass if self.mass else math.nan
            observed, predicted = here.rates(stage) if here.rows else (0.0, 0.0)
            return observed * share, predicted * share
        weights = stand_ins(self.labels, stage, self.names.topology, self.weights)
        known = is_answered(self.labels, stage, self.names.topology[stage])
        label = self.labels[:, stage] == 1
        observed = weighted_mean(label if weights is not None else label[known], weights)
        return observed, weighted_mean(self.chances[self.names.stages[stage]], self.weights)

    def _rows(
        self,
        stage: int,
        used: NDArray[np.bool_],
        logits: NDArray[Any] | None,
        chances: NDArray[np.float32],
        weights: Floats | None,
    ) -> Rows:
        # A view where all are: most columns are long.
        kept: Any = slice(None) if used.all() else used
        weights, groups, clusters = (None if one is None else one[kept] for one in (weights, self.groups, self.clusters))
        label = self.labels[kept, stage] == 1
        column = Cumulative(self.logits[kept], stage, self.to_cumulative) if logits is None else logits[kept]
        return Rows(label, chances[kept], column, weights, groups, clusters)
