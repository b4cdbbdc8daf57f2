"""The funnel as a whole: how many rows get how far, observed and predicted, and at which step a part of them is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from funnel.schema.topology import Topology


@dataclass(frozen=True)
class Step:
    """One stage of all rows.

    Attributes:
        stage: Its name.
        given: Its parent's; None for the space.
        observed: Rows that reached it; where labels are unknown or rows sampled, as many as those that are known stand for.
        predicted: The sum of the probabilities.
        observed_rate: Share of all rows.
        predicted_rate: Likewise.
        observed_step: Share of the parent's rows, the rate over the parent's rate; NaN where none reached that.
        predicted_step: Likewise.
    """

    stage: str
    given: str | None
    observed: float
    predicted: float
    observed_rate: float
    predicted_rate: float
    observed_step: float
    predicted_step: float


@dataclass(frozen=True)
class Loss:
    """One step's part of a difference between a part of the rows and all of them, as logarithms.

    Attributes:
        stage: The step's stage.
        observed: log(its step rate here / over all rows); NaN where one of them is 0.
        predicted: Likewise.
    """

    stage: str
    observed: float
    predicted: float


def steps(
    names: Sequence[str], topology: Topology, observed: Sequence[float], predicted: Sequence[float], rows: float
) -> tuple[Step, ...]:
    """The funnel from its rates.

    Args:
        names: The stages.
        topology: Where each stands.
        observed: Share of the rows that reached each.
        predicted: Mean of its probability.
        rows: How many these are.
    """
    found = []
    for stage, place in enumerate(topology):
        above = (observed[place.parent], predicted[place.parent]) if place.parent >= 0 else (1.0, 1.0)
        found.append(
            Step(
                stage=names[stage],
                given=names[place.parent] if place.parent >= 0 else None,
                observed=observed[stage] * rows,
                predicted=predicted[stage] * rows,
                observed_rate=observed[stage],
                predicted_rate=predicted[stage],
                observed_step=_ratio(observed[stage], above[0]),
                predicted_step=_ratio(predicted[stage], above[1]),
            )
        )
    return tuple(found)


def losses(part: Sequence[Step], whole: Sequence[Step]) -> dict[str, tuple[Loss, ...]]:
    """By stage: at which steps on the way to it a part of the rows differs from all of them.

    log P(stage | part) - log P(stage | all) is the sum of the steps' parts, exactly: each rate is the product of the step rates
    on the way to it.
    """
    own = {
        here.stage: Loss(
            here.stage,
            _log(here.observed_step) - _log(there.observed_step),
            _log(here.predicted_step) - _log(there.predicted_step),
        )
        for here, there in zip(part, whole, strict=True)
    }
    found: dict[str, tuple[Loss, ...]] = {}
    for step in part:
        found[step.stage] = (*(found[step.given] if step.given is not None else ()), own[step.stage])
    return found


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else math.nan


def _log(rate: float) -> float:
    return math.log(rate) if rate > 0 else math.nan
