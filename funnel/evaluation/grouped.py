"""The AUC within each group of rows, such as those of a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.sorting import HALF, ascending, blocks, changes, ordinals, parts, sort, sums, sums_by_class, with_places

Floats = NDArray[np.float64]
SCORE = np.uint64(1)  # bits below a score: the label's
GROUP = np.uint64(33)  # bits below a group: a score's and the label's


@dataclass(frozen=True)
class Part:
    """Rows by ascending group, and score within it: all rows of some groups.

    Attributes:
        groups: [n].
        new_run: Where another group, or another score of the group, begins: bool [n].
        positive: The weight of each row's positive: bool where rows have no weights, else float64, [n].
        whole: The weight of each row, float64 [n]; None is 1 each.
    """

    groups: NDArray[Any]
    new_run: NDArray[np.bool_]
    positive: NDArray[Any]
    whole: Floats | None


def group_areas(
    labels: NDArray[np.bool_], scores: NDArray[Any], groups: NDArray[np.int32], weights: Floats | None = None
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The AUC within each group that has both classes.

    Args:
        labels: [n].
        scores: Floats without NaN, [n].
        groups: Of at least 0, [n].
        weights: [n]; None is 1 each.

    Returns:
        The groups, ascending; their AUCs; and their weight: [groups with both classes] each.
    """
    packed = weights is None and scores.dtype == np.float32
    there = _packed(labels, scores, groups) if packed else _looked_up(labels, scores, groups, weights)
    found = [_areas(part) for part in there]
    names, areas, mass = zip(*found, strict=True) if found else ([np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)])
    return np.concatenate(names), np.concatenate(areas), np.concatenate(mass)


def _packed(labels: NDArray[np.bool_], scores: NDArray[np.float32], groups: NDArray[np.int32]) -> Iterator[Part]:
    """By sorting numbers that hold group, score and label of each row."""
    wanted = _with_positives(labels, groups)
    every = bool(wanted.all())
    keys, count = np.empty(len(groups), np.uint64), 0
    for rows in blocks(len(groups)):
        used: Any = slice(None) if every else np.flatnonzero(wanted[groups[rows]])
        key = groups[rows][used].astype(np.uint64)
        key <<= GROUP - SCORE
        key |= ordinals(scores[rows][used])
        key <<= SCORE
        key |= labels[rows][used]
        keys[count : count + len(key)] = key
        count += len(key)
    keys = keys[:count]
    sort(keys)
    for rows in parts(keys, ignored=int(GROUP)):
        key = keys[rows]
        positive = (key & np.uint64(1)).astype(np.bool_)
        yield Part((key >> GROUP).astype(np.int64), changes(key >> SCORE), positive, None)


def _looked_up(
    labels: NDArray[np.bool_], scores: NDArray[Any], groups: NDArray[np.int32], weights: Floats | None
) -> Iterator[Part]:
    """By sorting places: for scores of 64 bits, and for rows with weights."""
    order = ascending(scores)
    group = groups[order]
    used = _with_positives(labels, groups)[group]
    keys = with_places(group[used])
    order = order[used][keys.astype(np.uint32)]  # the lower half
    for rows in parts(keys, ignored=int(HALF)):
        places, group = order[rows], (keys[rows] >> HALF).astype(np.int64)
        label, score = labels[places], scores[places]
        whole = None if weights is None else weights[places]
        yield Part(group, changes(group) | changes(score), label if whole is None else label * whole, whole)


def _with_positives(labels: NDArray[np.bool_], groups: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The groups that count at all: for rare events, most rows are of others."""
    found = np.zeros(int(groups.max(initial=-1)) + 1, np.bool_)
    found[groups[labels]] = True
    return found


def _areas(part: Part) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of the groups of a part, what `group_areas` returns."""
    starts = np.flatnonzero(part.new_run)
    group = part.groups[starts]
    first = np.flatnonzero(changes(group))  # each group's first run
    positive, negative = sums_by_class(part.positive, part.whole, starts)
    positives, negatives = sums(positive, first), sums(negative, first)
    # Back to 0 at every group: the running sum stays as small, and so as precise, as the group's own.
    steps = negative.copy()
    steps[first[1:]] -= negatives[:-1]
    won = sums(positive * (np.cumsum(steps) - negative / 2), first)
    mixed = (positives > 0) & (negatives > 0)
    areas = np.clip(won[mixed] / (positives[mixed] * negatives[mixed]), 0.0, 1.0)
    return group[first][mixed].astype(np.int64), areas, (positives + negatives)[mixed]
