"""Stages: the behaviours that people go through, each given an earlier one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from funnel.schema._base import Column, Declared, Name, problem

InconsistentLabels = Literal["error", "drop", "and", "promote"]


Period = Annotated[str, Field(pattern=r"^\d+(\.\d+)?[smhd]$")] | Annotated[float, Field(gt=0)]


class Maturity(Declared):
    """When a label is final: a row that the log caught too young may yet reach the stage."""

    period: Period
    """How long after the event: `90s`, `30m`, `12h`, `7d` for columns of times, or a number in the unit of columns of
    numbers."""
    event: Column
    """The column of the fact table that says when the period began: a time, or a number."""
    snapshot: Column | None = None
    """The column that says when the row's label was read, of the same type."""
    snapshot_at: float | datetime | None = None
    """The same, where all labels were read at one time."""
    positives: Literal["known", "unknown"] = "known"
    """What a young row that has reached the stage already is. `known` keeps every positive; but with young negatives unknown,
    too many of the known labels are then positive. `unknown` leaves all young rows out, which is calibrated."""

    @model_validator(mode="after")
    def _one_snapshot(self) -> Maturity:
        if (self.snapshot is None) == (self.snapshot_at is None):
            got = "neither" if self.snapshot is None else "both"
            raise problem((), f"got {got} of `snapshot` and `snapshot_at`, expected one. Say when labels were read.")
        return self


class Stage(Declared):
    """One behaviour: what its label is called, and after which other behaviour it can happen."""

    name: Name
    """What the stage is called in predictions, metrics and plots: `buy`, and `buy_given_click` for the conditional."""
    label: Column | None = None
    """The column of the fact table that says whether it happened: 0 or 1, or nothing where that is not known. Stages that exclude each other may read one column: a
    row that has it counts for the one that the row can have reached. Required, but for a join."""
    given: Name | None = None
    """The stage that must happen first, or the name of the space. Default: the stage declared just before."""
    unless: Name | None = None
    """A stage with the same parent that must not have happened: the conditional is P(stage | given, not that one)."""
    any_of: Annotated[tuple[Name, ...], Field(min_length=2)] | None = None
    """Branches that exclude each other: the stage happens where one of them does, and their probabilities add up. It has no
    label and no tower of its own."""
    matures_after: Maturity | None = None
    """When the label is final. Default: always."""
    prior: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The expected conditional rate, P(stage | given): where the tower's bias starts. Default: the training rows' rate,
    or .05 when a model is built without data."""

    @model_validator(mode="after")
    def _is_a_stage_or_a_join(self) -> Stage:
        if self.any_of is None and self.label is None:
            raise problem(("label",), "got nothing, expected the column that says whether it happened. Name it.")
        if self.any_of is not None:
            for field in ("label", "given", "unless", "matures_after", "prior"):
                if getattr(self, field) is not None:
                    message = "got one beside `any_of`, expected none: it follows from the branches. Remove it."
                    raise problem((field,), message)
        return self
