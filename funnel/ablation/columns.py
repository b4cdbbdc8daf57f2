"""The columns of the table: each one score of one probability, over one sample space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from funnel.ablation.rows import Rows
from funnel.data.labels import ABSENT
from funnel.data.stand_ins import is_answered, is_answered_inside, stand_ins
from funnel.evaluation.bootstrap import pooled
from funnel.evaluation.influence import auc_influence, calibration_influence
from funnel.schema.funnel_schema import FunnelSchema

Floats = NDArray[np.float64]
Measure = Literal["AUC", "pred/obs", "pred/true"]


@dataclass(frozen=True)
class Column:
    """One score of one probability.

    Attributes:
        name: The probability: `buy`, `buy_given_click`.
        measure: `AUC`, or the sum of the predictions over that of the outcomes (`pred/obs`) or of the true probabilities
            (`pred/true`): 1 is calibrated.
        space: The rows that it is judged on: the space, or the parent stage.
        truth: Whether outcomes are true probabilities, for all rows: what labels cannot show where the parent did not happen.
        stage: The stage's position.
        conditional: Whether the probability is given the parent.
        rows: How many rows it is judged on.
        positives: How many of them reached the stage; for the truth, how many are expected to.
    """

    name: str
    measure: Measure
    space: str
    truth: bool
    stage: int
    conditional: bool
    rows: int
    positives: float

    @property
    def about(self) -> str:
        """The probability, and that it is compared to the truth, where it is."""
        return f"{self.name} over all rows (truth)" if self.truth else self.name

    @property
    def title(self) -> str:
        """What stands above the column."""
        return f"{self.about}: {self.measure}"


def columns_of(schema: FunnelSchema, rows: Rows) -> tuple[Column, ...]:
    """Each stage's cumulative, and its conditional where that is another probability; there, the truth too if it is known."""
    found: list[Column] = []

    def add(name: str, space: str, stage: int, *, conditional: bool, truth: bool = False) -> None:
        outcomes, judged = outcomes_of(schema, rows, stage, conditional=conditional, truth=truth)
        counts = (int(judged.sum()), float(outcomes.sum()))
        measures: tuple[Measure, ...] = ("AUC", "pred/true" if truth else "pred/obs")
        found.extend(Column(name, measure, space, truth, stage, conditional, *counts) for measure in measures)

    for stage, (cumulative, conditional) in enumerate(zip(schema.stage_names, schema.conditional_names, strict=True)):
        add(cumulative, schema.space, stage, conditional=False)
        if conditional != cumulative:
            add(conditional, schema.conditional_spaces[stage], stage, conditional=True)
            if rows.truth is not None:
                add(conditional, schema.space, stage, conditional=True, truth=True)
    return tuple(found)


def outcomes_of(
    schema: FunnelSchema, rows: Rows, stage: int, *, conditional: bool, truth: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """What predictions are held against: float64 [judged rows], and which rows these are: bool [rows]."""
    if truth:
        if rows.truth is None:
            raise ValueError("got rows without a truth, expected one.")
        there = rows.labels[:, stage] != ABSENT
        return rows.truth[there, stage], there
    place = schema.topology[stage]
    judged = is_answered_inside(rows.labels, stage, place) if conditional else is_answered(rows.labels, stage, place)
    return rows.labels[judged, stage].astype(np.float64), judged


def score(
    column: Column, schema: FunnelSchema, rows: Rows, conditional: NDArray[Any], cumulative: Floats
) -> tuple[float, Floats]:
    """A column's score of one fit, and the influence of each cluster of rows on it.

    Args:
        column: What is scored.
        schema: The declaration.
        rows: The test rows.
        conditional: Logits, [rows, stages].
        cumulative: Logits, [rows, stages].

    Returns:
        The score, NaN where it is undefined; and float64 [clusters].
    """
    outcomes, judged = outcomes_of(schema, rows, column.stage, conditional=column.conditional, truth=column.truth)
    logits = np.asarray((conditional if column.conditional else cumulative)[:, column.stage], np.float64)[judged]
    weights = rows.weights
    if not (column.conditional or column.truth):
        weights = stand_ins(rows.labels, column.stage, schema.topology, weights)
    weights = None if weights is None else weights[judged]
    if column.measure == "AUC":
        value, influence = auc_influence(outcomes, logits, weights)
    else:
        value, influence = calibration_influence(outcomes, np.exp(-np.logaddexp(0, -logits)), weights)
    of_all = np.zeros(rows.shape[0])
    of_all[judged] = influence
    return value, pooled(of_all, rows.clusters)
