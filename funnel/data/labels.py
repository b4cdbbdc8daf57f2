"""Labels that contradict the funnel: a later stage without the earlier one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema


@dataclass(frozen=True)
class Consistent:
    """Labels after the declared policy.

    Attributes:
        labels: uint8 [rows, stages]; none is 1 where its parent is 0.
        kept: Positions of the rows among those that came in: int64 [rows].
        violations: By stage: rows that had it without its parent.
    """

    labels: NDArray[np.uint8]
    kept: NDArray[np.int64]
    violations: dict[str, int]


def make_consistent(schema: FunnelSchema, labels: NDArray[np.uint8], at: Callable[[int], str]) -> Consistent:
    """Apply `inconsistent_labels`.

    Args:
        schema: The declaration.
        labels: uint8 [rows, stages].
        at: Gives the place of a row, for messages.

    Raises:
        DataError: There are contradictions, and the policy is `error`.
    """
    edges = [(stage, parent) for stage, parent in enumerate(schema.parents) if parent >= 0]
    wrong = {stage: (labels[:, stage] == 1) & (labels[:, parent] == 0) for stage, parent in edges}
    violations = {schema.stages[stage].name: int(rows.sum()) for stage, rows in wrong.items()}
    kept = np.arange(len(labels))
    if not any(violations.values()):
        return Consistent(labels, kept, violations)
    labels = labels.copy()
    match schema.inconsistent_labels:
        case "error":
            raise DataError(_message(schema, wrong, at))
        case "drop":
            kept = np.flatnonzero(~np.any(list(wrong.values()), axis=0))
            labels = labels[kept]
        case "and":
            for stage, parent in edges:
                labels[:, stage] &= labels[:, parent]
        case "promote":
            for stage, parent in reversed(edges):
                labels[:, parent] |= labels[:, stage]
    return Consistent(labels, kept, violations)


def _message(schema: FunnelSchema, wrong: dict[int, NDArray[np.bool_]], at: Callable[[int], str]) -> str:
    stage = next(stage for stage, rows in wrong.items() if rows.any())
    child, parent = schema.stages[stage], schema.stages[schema.parents[stage]]
    counts = ", ".join(f"{rows.sum():,} {schema.stages[s].name}" for s, rows in wrong.items() if rows.any())
    return (
        f"{at(int(np.argmax(wrong[stage])))}: got {child.label} = 1 with {parent.label} = 0 (without the earlier stage: "
        f"{counts} of {len(wrong[stage]):,} rows read with this one), expected {child.name} only after {parent.name}. Declare "
        "`inconsistent_labels: drop`, `and` (take the later label away) or `promote` (add the earlier one), or mend the labels."
    )


def rates(reached: NDArray[np.int64], given: NDArray[np.int64]) -> tuple[float, ...]:
    """The rate of each stage given its parent, half a row added on each side so that none is 0 or 1.

    Args:
        reached: Rows that reached each stage: int64 [stages].
        given: Rows that reached each stage's parent: int64 [stages].
    """
    return tuple((float(count) + 0.5) / (float(rows) + 1) for count, rows in zip(reached, given, strict=True))
