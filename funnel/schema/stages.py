"""Stages: the behaviours that people go through, each given an earlier one."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from funnel.schema._base import Column, Declared, Name, problem
from funnel.schema.features import Id

InconsistentLabels = Literal["error", "drop", "and", "promote"]
TIME = r"^\d+(\.\d+)?[smhd]$"


def _above_zero(period: Any) -> Any:
    """Of both types at once, so that one thing is said of what is neither."""
    text = isinstance(period, str) and re.match(TIME, period) is not None and float(period[:-1]) > 0
    number = isinstance(period, int | float) and not isinstance(period, bool) and 0 < period < math.inf
    if not (text or number):
        shown = "nothing" if period is None else repr(period)
        message = f"got {shown}, expected a time such as `90s`, `30m`, `12h` or `7d`, or a number above 0. Write one."
        raise problem((), message)
    return period


Period = Annotated[
    Annotated[str, Field(pattern=TIME)] | Annotated[float, Field(gt=0)],
    BeforeValidator(_above_zero),
]


class Maturity(Declared):
    """When a label is final: a row that the log caught too young may yet reach the stage."""

    period: Period = Field(examples=["7d"])
    """How long after the event: `90s`, `30m`, `12h`, `7d` for columns of times, or a number in the unit of columns of
    numbers."""
    event: Column = Field(examples=["shown_at"])
    """The column of the fact table that says when the period began: a time, or a number."""
    snapshot: Column | None = Field(default=None, examples=["read_at"])
    """The column that says when the row's label was read, of the same type."""
    snapshot_at: float | datetime | None = Field(default=None, examples=["2024-06-01T00:00:00Z"])
    """The same, where all labels were read at one time."""
    positives: Literal["known", "unknown"] = "known"
    """What a young row that has reached the stage already is. `known` keeps every positive; but with young negatives unknown,
    too many of the known labels are then positive. `unknown` leaves all young rows out, which is calibrated."""

    @model_validator(mode="after")
    def _one_snapshot(self) -> Maturity:
        if (self.snapshot is None) == (self.snapshot_at is None):
            got = "neither" if self.snapshot is None else "both"
            raise problem((), f"got {got} of `snapshot` and `snapshot_at`, expected one. Say when labels were read.")
        if self.snapshot_at is not None and isinstance(self.snapshot_at, datetime) != self.timed:
            got = "a time" if isinstance(self.snapshot_at, datetime) else "a number"
            want = f"a time, as 2024-05-31T00:00:00Z is, since `period` is {self.period!r}"
            if not self.timed:
                want = f"a number, since `period` is {self.period!r}"
            raise problem(("snapshot_at",), f"got {got}, expected {want}. Write both in the columns' type.")
        return self

    @property
    def timed(self) -> bool:
        """Whether the columns hold times, rather than numbers."""
        return isinstance(self.period, str)


class Stage(Declared):
    """One behaviour: what its label is called, and after which other behaviour it can happen."""

    name: Name = Field(examples=["buy"])
    """What the stage is called in predictions, metrics and plots: `buy`, and `buy_given_click` for the conditional."""
    label: Column | None = Field(default=None, examples=["bought"])
    """The column of the fact table that says whether it happened: 0 or 1, in text also false or true, or nothing where that is
    not known. Stages that exclude each other may read one column: a row that has it counts for the one that the row can have
    reached. Required, but for a join."""
    given: Name | None = Field(default=None, examples=["click"])
    """The stage that must happen first, or the name of the space. Default: the stage declared just before."""
    unless: Name | None = Field(default=None, examples=["cart"])
    """A stage with the same parent that must not have happened: the conditional is P(stage | given, not that one)."""
    any_of: Annotated[tuple[Name, ...], Field(min_length=2)] | None = Field(
        default=None, examples=[["buy_direct", "buy_other"]]
    )
    """Branches that exclude each other: the stage happens where one of them does, and their probabilities add up. It has no
    label and no tower of its own."""
    domains: Annotated[tuple[Id, ...], Field(min_length=1)] | None = Field(default=None, examples=[["feed", "search"]])
    """The domains that have this stage: ids of the feature `model.domain`. In rows of others its label is not looked at, and
    its prediction is NaN; so it is for stages given it. Default: all that have the stage before it."""
    matures_after: Maturity | None = Field(
        default=None, examples=[{"period": "7d", "event": "shown_at", "snapshot_at": "2024-06-01T00:00:00Z"}]
    )
    """After what time the label is final. Default: it always is."""
    prior: Annotated[float, Field(gt=0, lt=1)] | None = Field(default=None, examples=[0.02])
    """The expected conditional rate, P(stage | given): where the tower's bias starts. Default: the training rows' rate,
    or .05 when a model is built without data."""

    @model_validator(mode="after")
    def _is_a_stage_or_a_join(self) -> Stage:
        if self.any_of is None and self.label is None:
            raise problem(("label",), "got nothing, expected the column that says whether it happened. Name it.")
        if self.any_of is not None:
            for field in ("label", "given", "unless", "domains", "matures_after", "prior"):
                if getattr(self, field) is not None:
                    message = "got one beside `any_of`, expected none: it follows from the branches. Remove it."
                    raise problem((field,), message)
        return self
