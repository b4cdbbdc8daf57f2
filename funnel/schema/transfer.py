"""What goes from the tower of a stage to that of the stage given it, and what is learnt that does not come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from funnel.schema._base import Declared, Name, Positive, Shorthand, problem, require_known
from funnel.schema.objective import Division, Objective
from funnel.schema.topology import Topology

Several = Annotated[tuple[Name, ...], Field(min_length=1)]


class NoTransfer(Declared):
    """Towers know of each other only through the body, and through the product of their probabilities."""

    kind: Literal["none"]
    """Nothing."""


class Aitm(Declared):
    """A stage's tower is told what that of its parent has found out: Xi et al., 2021 (AITM).

    A vector is made of the parent tower's output, and attention over it and the tower's own output says what the logit is made
    of. From a parent that is a join (`any_of`), which has no tower, those of its branches do the same.
    """

    kind: Literal["aitm"]
    """A vector along each edge, and attention."""
    units: Positive | None = Field(default=None, examples=[32])
    """Width of what is attended to. Default: that of the tower's last layer."""
    calibrator: Annotated[float, Field(ge=0)] = 0.0
    """Factor on the mean of max(P(stage) - P(parent), 0), so that no stage is likelier than its parent. For `division` alone:
    elsewhere P(stage) is a product, which never is."""
    stop_gradient: Several | Literal["all"] | None = Field(default=None, examples=[["buy"]])
    """The stages of which what is learnt does not reach the towers before theirs; `all` of them, or none."""


class StopGradient(Declared):
    """What is learnt of a stage does not reach the towers before its own: P(click), detached in P(click) P(buy | click)."""

    kind: Literal["stop_gradient"]
    """Probabilities stay as they are; gradients end."""
    stages: Several | None = Field(default=None, examples=[["buy"]])
    """The stages whose gradients end at their own tower, and the body. Default: all."""


Transfer = Annotated[NoTransfer | Aitm | StopGradient, Field(discriminator="kind"), Shorthand("aitm")]


def stopped_stages(transfer: Transfer, names: Sequence[str]) -> frozenset[int]:
    """The stages of which what is learnt does not reach the towers before theirs."""
    match transfer:
        case StopGradient(stages=None) | Aitm(stop_gradient="all"):
            return frozenset(range(len(names)))
        case StopGradient(stages=tuple() as some) | Aitm(stop_gradient=tuple() as some):
            return frozenset(names.index(name) for name in some)
        case _:
            return frozenset()


def towers_before(topology: Topology, stage: int) -> tuple[int, ...]:
    """The stages whose towers a stage's is told of: its parent; of a parent that is a join, its branches."""
    above = [topology[stage].parent] if topology[stage].parent >= 0 else []
    found: list[int] = []
    while above:
        one = above.pop(0)
        if topology[one].is_join:
            above = [*topology[one].branches, *above]
        elif one not in found:
            found.append(one)
    return tuple(found)


def require_transfer(transfer: Transfer, objective: Objective, names: Sequence[str], topology: Topology) -> None:
    """Refuse what would do nothing.

    Raises:
        PydanticCustomError: With the reason.
    """
    where = ("model", "transfer")
    some = transfer.stages if isinstance(transfer, StopGradient) else getattr(transfer, "stop_gradient", None)
    able = [name for name, place in zip(names, topology, strict=True) if place.is_partial]
    key = "stages" if isinstance(transfer, StopGradient) else "stop_gradient"
    for position, name in enumerate(some if isinstance(some, tuple) else ()):
        require_known((*where, key, position), name, able, "a stage given another")
    if isinstance(transfer, StopGradient) and not objective.cumulative:
        message = (
            f"got 'stop_gradient' with the objective {objective.kind!r}, under which no stage teaches another's tower: "
            "there is nothing to stop. Remove it."
        )
        raise problem((*where, "kind"), message)
    if isinstance(transfer, Aitm) and transfer.calibrator and not isinstance(objective, Division):
        message = (
            f"got a factor with the objective {objective.kind!r}, under which P(stage) is P(parent) times P(stage | parent), "
            "and so never above it: there is nothing to calibrate. Remove it; it is for `division`."
        )
        raise problem((*where, "calibrator"), message)
