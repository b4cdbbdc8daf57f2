"""Labels that contradict the funnel: a later stage without the earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.topology import Place, Topology


@dataclass(frozen=True)
class Consistent:
    """Labels after the declared policy.

    Attributes:
        labels: uint8 [rows, stages]; none is 1 where its parent is 0, or where one that it excludes is 1; joins are 1 where one
            of their branches is.
        kept: Positions of the rows among those that came in: int64 [rows].
        violations: By stage: rows that had it without its parent, and, as `stage unless other`, together with one it excludes.
    """

    labels: NDArray[np.uint8]
    kept: NDArray[np.int64]
    violations: dict[str, int]


def in_space(labels: NDArray[np.uint8], place: Place) -> NDArray[np.bool_]:
    """The rows that a stage's conditional is about: those with its parent, and without the stages that it excludes."""
    rows = labels[:, place.parent] == 1 if place.parent >= 0 else np.ones(len(labels), bool)
    for other in place.excluded:
        rows &= labels[:, other] == 0
    return rows


def make_consistent(schema: FunnelSchema, read: Mapping[str, NDArray[np.uint8]], at: Callable[[int], str]) -> Consistent:
    """Apply `inconsistent_labels`.

    Args:
        schema: The declaration.
        read: By stage that is no join: its column, uint8 [rows].
        at: Gives the place of a row, for messages.

    Raises:
        DataError: There are contradictions, and the policy is `error`.
    """
    labels = _as_read(schema, read)
    wrong = dict(_contradictions(schema, labels))
    violations = {name: int(rows.sum()) for name, rows in wrong.items()}
    kept = np.arange(len(labels))
    if not any(violations.values()):
        return Consistent(labels, kept, violations)
    match schema.inconsistent_labels:
        case "error":
            raise DataError(_message(schema, wrong, at))
        case "drop":
            kept = np.flatnonzero(~np.any(list(wrong.values()), axis=0))
            labels = labels[kept]
        case "promote":
            _promote(schema.topology, labels)
    _take_away(schema.topology, labels)
    return Consistent(labels, kept, violations)


def _as_read(schema: FunnelSchema, read: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Labels as the columns have them: uint8 [rows, stages].

    A column that several stages read counts for the one that a row can have reached; where there is none, for the last.
    """
    columns = [stage.label for stage in schema.stages]
    labels = np.zeros([len(next(iter(read.values()))), len(columns)], np.uint8)
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            labels[:, stage] = labels[:, place.branches].any(axis=1)
            continue
        labels[:, stage] = read[schema.stages[stage].name]
        readers = [other for other, column in enumerate(columns) if column == columns[stage]]
        if len(readers) > 1:
            can = in_space(labels, place)
            if stage == readers[-1]:
                can |= ~labels[:, readers[:-1]].any(axis=1)
            labels[:, stage] &= can
    return labels


def _contradictions(schema: FunnelSchema, labels: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """By what is violated: the rows."""
    names = schema.stage_names
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            continue
        if place.parent >= 0:
            yield names[stage], (labels[:, stage] == 1) & (labels[:, place.parent] == 0)
        for other in place.excluded:
            yield f"{names[stage]} unless {names[other]}", (labels[:, stage] == 1) & (labels[:, other] == 1)


def _promote(topology: Topology, labels: NDArray[np.uint8]) -> None:
    """Add what is missing above each label; to a join without a branch, the last one that nothing excludes."""
    _take_away_excluded(topology, labels)
    _promote_parents(topology, labels)
    for stage, place in reversed(list(enumerate(topology))):
        for path in sorted(place.inside, key=lambda path: path[-1], reverse=True):
            lacks = (labels[:, stage] == 1) & ~labels[:, place.branches].any(axis=1)
            excluded = labels[:, [other for other, happens in path if not happens]].any(axis=1)
            labels[lacks & ~excluded, path[-1][0]] = 1
        if place.is_join:
            _promote_parents(topology, labels)


def _promote_parents(topology: Topology, labels: NDArray[np.uint8]) -> None:
    for stage in range(len(topology) - 1, -1, -1):
        if topology[stage].parent >= 0:
            labels[:, topology[stage].parent] |= labels[:, stage]


def _take_away_excluded(topology: Topology, labels: NDArray[np.uint8]) -> None:
    for stage, place in enumerate(topology):
        for other in place.excluded:
            labels[:, stage] &= labels[:, other] == 0


def _take_away(topology: Topology, labels: NDArray[np.uint8]) -> None:
    """Take later labels away where they contradict earlier ones."""
    for stage, place in enumerate(topology):
        if place.is_join:
            labels[:, stage] = labels[:, place.branches].any(axis=1)
        else:
            labels[:, stage] &= in_space(labels, place)


def _message(schema: FunnelSchema, wrong: Mapping[str, NDArray[np.bool_]], at: Callable[[int], str]) -> str:
    first = next(name for name, rows in wrong.items() if rows.any())
    name, _, other = first.partition(" unless ")
    stage = schema.stage_names.index(name)
    child, rows = schema.stages[stage], wrong[first]
    counts = ", ".join(f"{rows.sum():,} {what}" for what, rows in wrong.items() if rows.any())
    if other:
        got, expected = f"{schema.stages[schema.stage_names.index(other)].label} = 1", f"{name} only without {other}"
        kind, repair = "together with one that it excludes", "`and` (take the later label away)"
    else:
        parent = schema.stages[schema.topology[stage].parent]
        got, expected = f"{parent.label or parent.name} = 0", f"{name} only after {parent.name}"
        kind, repair = "without the earlier stage", "`and` (take the later label away) or `promote` (add the earlier one)"
    return (
        f"{at(int(np.argmax(rows)))}: got {child.label} = 1 with {got} ({kind}: {counts} of {len(rows):,} rows read with this "
        f"one), expected {expected}. Declare `inconsistent_labels: drop`, {repair}, or mend the labels."
    )


def rates(reached: NDArray[np.int64], given: NDArray[np.int64]) -> tuple[float, ...]:
    """The rate of each stage given its parent, half a row added on each side so that none is 0 or 1.

    Args:
        reached: Rows that reached each stage: int64 [stages].
        given: Rows that each stage's conditional is about: int64 [stages].
    """
    return tuple((float(count) + 0.5) / (float(rows) + 1) for count, rows in zip(reached, given, strict=True))
