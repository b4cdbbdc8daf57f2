"""Labels along the funnel: what is known of each stage, and what becomes of those that contradict each other.

A label is 1, 0, or UNKNOWN, and they are combined as in Kleene's logic: what follows whatever an unknown one is, is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.topology import Place, Topology

UNKNOWN = 255  # of a label in a store; in a batch it is NaN
ABSENT = 254  # of one whose stage the row's domain lacks, whatever is known of its parent; in a batch it is NaN, too

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Consistent:
    """Labels after the declared policy.

    Attributes:
        labels: 0, 1, UNKNOWN or ABSENT: uint8 [rows, stages]; all are 0 where the parent is 0, or one that is excluded is 1;
            joins are 1 where one of their branches is.
        kept: Positions of the rows among those that came in: int64 [rows].
        violations: By stage: rows that had it without its parent, and, as `stage unless other`, together with one it excludes.
        elsewhere: By stage that some rows lack: how many of these have its label 1, which is not looked at.
    """

    labels: Labels
    kept: NDArray[np.int64]
    violations: dict[str, int]
    elsewhere: dict[str, int] = field(default_factory=dict)


def is_known(labels: Labels) -> NDArray[np.bool_]:
    """Which labels say what happened: bool, of their shape."""
    return labels <= 1


def in_space(labels: Labels, place: Place) -> NDArray[np.bool_]:
    """The rows that a stage's conditional is about: those known to have its parent, and to lack the stages that it excludes."""
    rows = labels[:, place.parent] == 1 if place.parent >= 0 else np.ones(len(labels), bool)
    for other in place.excluded:
        rows &= labels[:, other] == 0
    return rows


def is_closed(labels: Labels, place: Place) -> NDArray[np.bool_]:
    """The rows known not to be those that a stage's conditional is about: they did not reach it."""
    rows = labels[:, place.parent] == 0 if place.parent >= 0 else np.zeros(len(labels), bool)
    for other in place.excluded:
        rows |= labels[:, other] == 1
    return rows


def make_consistent(
    schema: FunnelSchema,
    read: Mapping[str, Labels],
    at: Callable[[int], str],
    absent: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Consistent:
    """Say what is known of each stage, and apply `inconsistent_labels`.

    Args:
        schema: The declaration.
        read: By stage that is no join: its column, uint8 [rows].
        at: Gives the place of a row, for messages.
        absent: By stage that some rows lack: which do, [rows]; what its column says there is not looked at.

    Raises:
        DataError: There are contradictions, and the policy is `error`.
    """
    lacking = absent or {}
    seen = {name: np.where(lacking[name], UNKNOWN, column) if name in lacking else column for name, column in read.items()}
    found = _policed(schema, seen, at)
    for stage, name in enumerate(schema.stage_names):
        if name in lacking:
            found.labels[lacking[name][found.kept], stage] = ABSENT
    elsewhere = {name: int((column[lacking[name]] == 1).sum()) for name, column in read.items() if name in lacking}
    return replace(found, elsewhere=elsewhere)


def _policed(schema: FunnelSchema, read: Mapping[str, Labels], at: Callable[[int], str]) -> Consistent:
    columns = _columns(schema, read)
    labels = _as_read(schema, columns)
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
            return Consistent(labels[kept], kept, violations)
        case "promote":
            _promote(schema.topology, labels, columns)
    _take_away(schema.topology, labels, columns)
    return Consistent(labels, kept, violations)


def _columns(schema: FunnelSchema, read: Mapping[str, Labels]) -> Labels:
    """What the column of each stage says; of a join, the one that all its branches read, else nothing: uint8 [rows, stages]."""
    columns = np.full([len(next(iter(read.values()))), len(schema.stages)], UNKNOWN, np.uint8)
    names: list[str | None] = []
    for stage, place in enumerate(schema.topology):
        own = schema.stages[stage].label
        if not place.is_join:
            columns[:, stage] = read[schema.stages[stage].name]
        elif len({names[branch] for branch in place.branches}) == 1 and (own := names[place.branches[0]]) is not None:
            first = columns[:, place.branches[0]]
            # They may differ where a branch matures later.
            same = (columns[:, place.branches] == first[:, None]).all(axis=1)
            columns[:, stage] = np.where(same, first, UNKNOWN)
        names.append(own)
    return columns


def _as_read(schema: FunnelSchema, columns: Labels) -> Labels:
    """Labels as the columns have them: uint8 [rows, stages].

    A column that several stages read counts for the one that a row can have reached; where there is none, for the last.
    """
    names = [stage.label for stage in schema.stages]
    labels = columns.copy()
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            labels[:, stage] = _joined(labels, place, columns[:, stage])
            continue
        closed = is_closed(labels, place)
        readers = [other for other, name in enumerate(names) if name == names[stage]]
        if len(readers) > 1:
            can = np.where(closed, 0, np.where(in_space(labels, place), 1, UNKNOWN)).astype(np.uint8)
            if stage == readers[-1]:
                can = _either(can, _negated(_any(labels[:, readers[:-1]])))
            labels[:, stage] = _both(labels[:, stage], can)
        labels[closed & (labels[:, stage] == UNKNOWN), stage] = 0
    return labels


def _joined(labels: Labels, place: Place, column: Labels) -> Labels:
    """Whether one of a join's branches happened; where that is open after its parent did, what their one column says."""
    found = _any(labels[:, place.branches])
    asked = found == UNKNOWN
    if place.parent >= 0:
        asked &= labels[:, place.parent] == 1
    return np.where(asked, column, found)


# UNKNOWN has all bits of 1: where neither side decides, a bitwise `or` is UNKNOWN if one side is.


def _both(one: Labels, other: Labels) -> Labels:
    return np.where((one == 0) | (other == 0), np.uint8(0), one | other)


def _either(one: Labels, other: Labels) -> Labels:
    return np.where((one == 1) | (other == 1), np.uint8(1), one | other)


def _any(labels: Labels) -> Labels:
    found = labels[:, 0]
    for column in labels.T[1:]:
        found = _either(found, column)
    return found


def _negated(one: Labels) -> Labels:
    return np.where(one == UNKNOWN, one, one ^ 1)


def _contradictions(schema: FunnelSchema, labels: Labels) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """By what is violated: the rows."""
    names = schema.stage_names
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            continue
        if place.parent >= 0:
            yield names[stage], (labels[:, stage] == 1) & (labels[:, place.parent] == 0)
        for other in place.excluded:
            yield f"{names[stage]} unless {names[other]}", (labels[:, stage] == 1) & (labels[:, other] == 1)


def _promote(topology: Topology, labels: Labels, columns: Labels) -> None:
    """Add what is missing above each label; to a join without a branch, the last one that nothing excludes."""
    _take_away_excluded(topology, labels)
    _promote_parents(topology, labels)
    for stage, place in reversed(list(enumerate(topology))):
        for path in sorted(place.inside, key=lambda path: path[-1], reverse=True):
            lacks = (labels[:, stage] == 1) & (labels[:, place.branches] == 0).all(axis=1)
            excluded = (labels[:, [other for other, happens in path if not happens]] == 1).any(axis=1)
            labels[lacks & ~excluded, path[-1][0]] = 1
        if place.is_join:
            _promote_parents(topology, labels)
    # What was 0 only since an earlier stage was, is unknown again where that one was added.
    labels[(columns == UNKNOWN) & (labels == 0)] = UNKNOWN


def _promote_parents(topology: Topology, labels: Labels) -> None:
    for stage in range(len(topology) - 1, -1, -1):
        parent = topology[stage].parent
        if parent >= 0:
            labels[(labels[:, stage] == 1) & (labels[:, parent] == 0), parent] = 1


def _take_away_excluded(topology: Topology, labels: Labels) -> None:
    for stage, place in enumerate(topology):
        for other in place.excluded:
            labels[labels[:, other] == 1, stage] = 0


def _take_away(topology: Topology, labels: Labels, columns: Labels) -> None:
    """Take later labels away where they contradict earlier ones."""
    for stage, place in enumerate(topology):
        if place.is_join:
            labels[:, stage] = _joined(labels, place, columns[:, stage])
        else:
            labels[is_closed(labels, place), stage] = 0


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


def rates(passed: NDArray[Any], given: NDArray[Any]) -> tuple[float, ...]:
    """The rate of each stage given its parent, half a row added on each side so that none is 0 or 1.

    Args:
        passed: Of the rows that each stage's conditional is about, those that reached it: [stages].
        given: The rows that each stage's conditional is about, and whose label is known: [stages].
    """
    return tuple((float(count) + 0.5) / (float(rows) + 1) for count, rows in zip(passed, given, strict=True))
