"""Stages: the behaviours that people go through, each given an earlier one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from funnel.errors import have
from funnel.schema._base import Column, Declared, Name, problem, require_unique

InconsistentLabels = Literal["error", "drop", "and", "promote"]


class Stage(Declared):
    """One behaviour: what its label is called, and after which other behaviour it can happen."""

    name: Name
    """What the stage is called in predictions, metrics and plots: `buy`, and `buy_given_click` for the conditional."""
    label: Column
    """The column of the fact table that says whether it happened: 0 or 1."""
    given: Name | None = None
    """The stage that must happen first, or the name of the space. Default: the stage declared just before."""
    prior: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The expected conditional rate, P(stage | given): where the tower's bias starts. Default: the training rows' rate,
    or .05 when a model is built without data."""


def parents_of(space: str, stages: tuple[Stage, ...]) -> tuple[int, ...]:
    """Where each stage's parent stands among the stages; -1 for the space itself.

    Raises:
        PydanticCustomError: A stage names itself, a later stage, or nothing that is declared; two stages are called alike,
            or read one label.
    """
    require_unique(("stages",), [stage.name for stage in stages], "the stage name")
    require_unique(("stages",), [stage.label for stage in stages], "the label", "label")
    parents: list[int] = []
    for position, stage in enumerate(stages):
        above = [other.name for other in stages[:position]]
        if stage.name == space:
            message = f"{space!r} is the name of the space, expected another one. Rename the stage, or `space`."
            raise problem(("stages", position, "name"), message)
        if stage.given is None:
            parents.append(position - 1)
        elif stage.given == space:
            parents.append(-1)
        elif stage.given in above:
            parents.append(above.index(stage.given))
        else:
            named_later = stage.given in {other.name for other in stages[position:]}
            what = "comes later or is the stage itself, expected a stage above it" if named_later else "is not a stage above it"
            raise problem(("stages", position, "given"), f"{stage.given!r} {what} {have(stage.given, [space, *above])}")
    return tuple(parents)
