"""Stages: the behaviours that people go through, each given an earlier one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from funnel.schema._base import Column, Declared, Name, problem

InconsistentLabels = Literal["error", "drop", "and", "promote"]


class Stage(Declared):
    """One behaviour: what its label is called, and after which other behaviour it can happen."""

    name: Name
    """What the stage is called in predictions, metrics and plots: `buy`, and `buy_given_click` for the conditional."""
    label: Column | None = None
    """The column of the fact table that says whether it happened: 0 or 1. Stages that exclude each other may read one column: a
    row that has it counts for the one that the row can have reached. Required, but for a join."""
    given: Name | None = None
    """The stage that must happen first, or the name of the space. Default: the stage declared just before."""
    unless: Name | None = None
    """A stage with the same parent that must not have happened: the conditional is P(stage | given, not that one)."""
    any_of: Annotated[tuple[Name, ...], Field(min_length=2)] | None = None
    """Branches that exclude each other: the stage happens where one of them does, and their probabilities add up. It has no
    label and no tower of its own."""
    prior: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The expected conditional rate, P(stage | given): where the tower's bias starts. Default: the training rows' rate,
    or .05 when a model is built without data."""

    @model_validator(mode="after")
    def _is_a_stage_or_a_join(self) -> Stage:
        if self.any_of is None and self.label is None:
            raise problem(("label",), "got nothing, expected the column that says whether it happened. Name it.")
        if self.any_of is not None:
            for field in ("label", "given", "unless", "prior"):
                if getattr(self, field) is not None:
                    message = "got one beside `any_of`, expected none: it follows from the branches. Remove it."
                    raise problem((field,), message)
        return self
