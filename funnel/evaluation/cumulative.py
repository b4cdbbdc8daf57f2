"""Cumulative logits of conditional ones, in float64 and NumPy alone: what log losses over all rows are of.

The same as `funnel.model.likelihood.cumulative_logits`, of one stage, without gradients, and many times as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.sorting import blocks
from funnel.schema.topology import Topology

Floats = NDArray[np.float64]
ToCumulative = Callable[[NDArray[Any], int], Floats]


@dataclass(frozen=True)
class Cumulative:
    """The cumulative logits of a stage: a column that is made where it is asked for.

    Attributes:
        conditional: Conditional logits: [rows, stages].
        stage: The stage.
        of: Makes a stage's cumulative logits, float64 [n], of conditional ones [n, stages].
    """

    conditional: NDArray[Any]
    stage: int
    of: ToCumulative

    def __len__(self) -> int:
        return len(self.conditional)

    def __getitem__(self, rows: slice) -> Floats:
        return self.of(self.conditional[rows], self.stage)


def all_cumulative(topology: Topology, conditional: NDArray[Any]) -> Floats:
    """The cumulative logits of all stages: float64 [rows, stages].

    Args:
        topology: Where each stage stands.
        conditional: [rows, stages].
    """
    found = np.empty(conditional.shape)
    for rows in blocks(len(conditional)):
        for stage in range(len(topology)):
            found[rows, stage] = cumulative(topology, conditional[rows], stage)
    return found


def cumulative(topology: Topology, conditional: NDArray[Any], stage: int) -> Floats:
    """The logit of reaching a stage, P(stage | x), from those of the steps to it, P(step | the one before, x).

    With `-L_k = logsumexp(-L_parent, -z_k + softplus(-L_parent))`; that a stage did not happen, for one that is `unless` it, is
    a step of the logit -z. Infinite logits are certain steps, or impossible ones.

    Args:
        topology: Where each stage stands.
        conditional: z, [rows, stages].
        stage: The stage.

    Returns:
        float64 [rows].
    """
    first, *others = ((-1.0 if happens else 1.0, step) for step, happens in _steps(topology, stage))
    against = _signed(conditional, *first)  # minus the logit of all steps so far
    for sign, step in others:
        with np.errstate(invalid="ignore"):
            both = _signed(conditional, sign, step) + softplus(against)
        both[against == np.inf] = np.inf  # what is impossible stays so, however sure the step
        against = _log_of_sum(against, both)
    return np.negative(against, out=against)


def softplus(logits: Floats) -> Floats:
    """log(1 + exp(z)), which neither overflows nor loses digits: float64 [n]."""
    found = np.abs(logits)
    np.negative(found, out=found)
    _log1p_of_exp(found)
    found += np.maximum(logits, 0)
    return found


def _steps(topology: Topology, stage: int) -> list[tuple[int, bool]]:
    """What happens, or does not, for a stage to be reached: from the first step to the stage itself."""
    place = topology[stage]
    above = _steps(topology, place.parent) if place.parent >= 0 else []
    return [*above, *((other, False) for other in place.excluded), (stage, True)]


def _signed(conditional: NDArray[Any], sign: float, step: int) -> Floats:
    return np.multiply(conditional[:, step], sign, dtype=np.float64)


def _log_of_sum(one: Floats, other: Floats) -> Floats:
    """log(exp(one) + exp(other))."""
    with np.errstate(invalid="ignore"):
        apart = one - other
    np.abs(apart, out=apart)
    np.negative(apart, out=apart)
    apart[np.isnan(apart)] = 0  # infinite both
    _log1p_of_exp(apart)
    apart += np.maximum(one, other)
    return apart


def _log1p_of_exp(numbers: Floats) -> None:
    """In place, of numbers of at most 0."""
    np.exp(numbers, out=numbers)
    np.log1p(numbers, out=numbers)
