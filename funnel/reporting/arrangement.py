"""Where the stages of a funnel stand in a picture: rows from the space down, columns from the left."""

from __future__ import annotations

from dataclasses import dataclass

from funnel.schema.topology import Topology


@dataclass(frozen=True)
class Spot:
    """Where a box is: columns from the left, in boxes, and rows from the top."""

    column: float
    row: int


def arrange(topology: Topology) -> list[Spot]:
    """Where the space and the stages stand: each below what it is given, and beside what it has that in common with.

    Args:
        topology: Where each stage stands in the tree.

    Returns:
        The space's spot, then the stages'; no two are the same.
    """
    rows = [0]
    for place in topology:
        above = [place.parent, *place.branches, *place.excluded]
        rows.append(1 + max(rows[other + 1] for other in above))
    children: dict[int, list[int]] = {}
    for stage, place in enumerate(topology):
        if not place.is_join:
            children.setdefault(place.parent, []).append(stage)
    columns: dict[int, float] = {}
    free = 0.0

    def put(stage: int) -> float:
        nonlocal free
        below = [put(child) for child in children.get(stage, ())]
        if below:
            columns[stage] = (below[0] + below[-1]) / 2
        else:
            columns[stage] = free
            free += 1
        return columns[stage]

    put(-1)
    for stage, place in enumerate(topology):
        if place.is_join:
            # Below its branches, and what comes after it below it.
            middle = sum(columns[branch] for branch in place.branches) / len(place.branches)
            before = set(columns)
            put(stage)
            for other in columns.keys() - before:
                columns[other] += middle - columns[stage] if other != stage else 0
            columns[stage] = middle
    spots = [Spot(columns[stage], rows[stage + 1]) for stage in range(-1, len(topology))]
    return _apart(spots)


def _apart(spots: list[Spot]) -> list[Spot]:
    """Move boxes of one row that stand upon each other to the right; then all, so that the leftmost is at 0."""
    columns = [spot.column for spot in spots]
    for row in {spot.row for spot in spots}:
        line = sorted((column, number) for number, column in enumerate(columns) if spots[number].row == row)
        free = -float("inf")
        for column, number in line:
            columns[number] = max(column, free)
            free = columns[number] + 1
    least = min(columns)
    return [Spot(column - least, spot.row) for column, spot in zip(columns, spots, strict=True)]
