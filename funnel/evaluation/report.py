"""The report: per stage, how well it ranks and how well it is calibrated, each over a named sample space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import UNKNOWN, in_space
from funnel.data.stand_ins import is_answered, stand_ins
from funnel.evaluation.metrics import (
    auc,
    auc_standard_error,
    group_auc,
    log_loss_from_logits,
    normalized_entropy,
    predicted_over_observed,
)
from funnel.schema.topology import Topology


@dataclass(frozen=True)
class Scores:
    """How good one probability is over one sample space; NaN where a score is undefined.

    Attributes:
        name: The probability: `buy`, `buy_given_click`.
        space: The rows it is judged on: the space, or the parent stage.
        rows: How many were judged: those whose label is known.
        positives: How many of them reached the stage.
        auc: Exact rank AUC.
        auc_error: Its standard error (DeLong).
        log_loss: Mean cross-entropy, in nats.
        normalized_entropy: log_loss over that of the observed rate; below 1 is better than a constant.
        predicted_over_observed: Sum of the probabilities over the positives; 1 is calibrated.
        group_auc: Mean AUC within groups, weighted by their rows; None where no groups are declared.
    """

    name: str
    space: str
    rows: int
    positives: int
    auc: float
    auc_error: float
    log_loss: float
    normalized_entropy: float
    predicted_over_observed: float
    group_auc: float | None


@dataclass(frozen=True)
class Report:
    """The scores of all stages.

    Attributes:
        conditional: By stage: P(stage | parent, x), on the parent's rows.
        cumulative: By stage: P(stage | x), on all rows.
        constant: Stages whose conditional predictions are the same for all rows: they have collapsed.
    """

    conditional: dict[str, Scores]
    cumulative: dict[str, Scores]
    constant: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: undefined scores are null."""
        return without_nan(asdict(self) | {"constant": list(self.constant)})


def without_nan(value: Any) -> Any:
    """A tree as JSON can have it: undefined numbers are null."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(
    *,
    names: Sequence[str],
    conditional_names: Sequence[str],
    topology: Topology,
    conditional_spaces: Sequence[str],
    space: str,
    labels: NDArray[np.uint8],
    conditional_logits: NDArray[Any],
    cumulative_logits: NDArray[Any],
    groups: NDArray[np.int64] | None = None,
    constant: Sequence[str] = (),
    weights: NDArray[Any] | None = None,
) -> Report:
    """Score every stage twice, each time on the rows of which it is known; for cumulatives these stand for the others, too.

    Args:
        names: The stages.
        conditional_names: What their conditionals are called.
        topology: Where each stage stands.
        conditional_spaces: What the rows are called that each conditional is about.
        space: What the space is called.
        labels: 0, 1, or UNKNOWN: uint8 [rows, stages].
        conditional_logits: [rows, stages].
        cumulative_logits: [rows, stages].
        groups: int64 [rows], or None.
        constant: Stages that have collapsed.
        weights: How many rows each stands for: float [rows]; None counts each once. Rows and positives are not weighed.
    """
    conditional, cumulative = {}, {}
    for stage, (name, place) in enumerate(zip(names, topology, strict=True)):
        rows = (labels[:, stage] != UNKNOWN) & in_space(labels, place)
        of_given = _Rows(labels[:, stage], conditional_logits[:, stage], groups, weights)
        of_all = _Rows(labels[:, stage], cumulative_logits[:, stage], groups, stand_ins(labels, stage, topology, weights))
        conditional[name] = _scores(conditional_names[stage], conditional_spaces[stage], of_given.only(rows))
        cumulative[name] = _scores(name, space, of_all.only(is_answered(labels, stage, place)))
    return Report(conditional, cumulative, tuple(constant))


@dataclass(frozen=True)
class _Rows:
    """What one probability is judged on, each [rows]."""

    labels: NDArray[np.uint8]
    logits: NDArray[Any]
    groups: NDArray[np.int64] | None
    weights: NDArray[Any] | None

    def only(self, rows: NDArray[np.bool_]) -> _Rows:
        groups, weights = (None if one is None else one[rows] for one in (self.groups, self.weights))
        return _Rows(self.labels[rows], self.logits[rows], groups, weights)


def _scores(name: str, space: str, rows: _Rows) -> Scores:
    labels, logits = rows.labels, rows.logits.astype(np.float64)
    weighted: tuple[NDArray[Any], ...] = () if rows.weights is None else (rows.weights,)
    chances = np.exp(-np.logaddexp(0, -logits))
    return Scores(
        name=name,
        space=space,
        rows=len(labels),
        positives=int(labels.sum()),
        auc=auc(labels, logits, *weighted),
        auc_error=auc_standard_error(labels, logits, *weighted),
        log_loss=log_loss_from_logits(labels, logits, *weighted),
        normalized_entropy=normalized_entropy(labels, logits, *weighted),
        predicted_over_observed=predicted_over_observed(labels, chances, *weighted),
        group_auc=None if rows.groups is None else group_auc(labels, logits, rows.groups, *weighted)[0],
    )
