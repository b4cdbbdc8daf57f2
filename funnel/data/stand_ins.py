"""Rows that stand for others of which it is not known whether they reached a stage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import ABSENT, Labels, in_space, is_closed, is_known
from funnel.schema.topology import Place, Topology


def stand_ins(
    labels: Labels, stage: int, topology: Topology, weights: NDArray[Any] | None = None
) -> NDArray[np.float64] | None:
    """How many rows each stands for where a cumulative label is judged: float64 [rows], 0 where the label is not known.

    Of a row without the parent it is known that it did not reach the stage, whatever was written: were unknown labels just left
    out, rows with the parent would be too few among the others, and every rate too low. So each row with the parent and a known
    label stands for its part of those without one; likewise where it is not known whether a row had the parent. That is
    right where labels are lost by chance among the rows of one kind.

    Rows whose domain lacks the stage stand for none, and none for them.

    A column that several stages read tells of neither where it is not known which: of the last kind, only its 0s would be
    known. There, rows of which it is known stand for those of which it is not, as they do where that stage is judged.

    Args:
        labels: 0, 1, UNKNOWN or ABSENT: uint8 [rows, stages].
        stage: The stage.
        topology: Where each stage stands.
        weights: How many rows each stands for already: float [rows]; None is 1 each.

    Returns:
        None where every row stands for itself alone.
    """
    place = topology[stage]
    known = is_answered(labels, stage, place)
    if known.all() and weights is None:
        return None
    whole = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    inside, elsewhere = kinds(labels, stage, place)
    if place.shares_label:
        before = stand_ins(labels, place.before, topology, weights) if place.before >= 0 else None
        whole = whole if before is None else before
    found = np.where(known, whole, 0.0)
    for alike in (inside,) if place.shares_label else (inside, elsewhere):
        known_ones = float(found[alike].sum())
        if known_ones:
            found[alike] *= float(whole[alike].sum()) / known_ones
    return found


def is_answered(labels: Labels, stage: int, place: Place) -> NDArray[np.bool_]:
    """The rows that a stage's cumulative is judged on: those whose label is known, and known to be this stage's."""
    known = is_known(labels[:, stage])
    return known & ~kinds(labels, stage, place)[1] if place.shares_label else known


def is_answered_inside(labels: Labels, stage: int, place: Place) -> NDArray[np.bool_]:
    """The rows that a stage's conditional is judged on: those known to be its own, whose label is known."""
    return is_known(labels[:, stage]) & in_space(labels, place)


def kinds(labels: Labels, stage: int, place: Place) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rows known to be those of a stage's conditional, and those of which that is not known: bool [rows] each."""
    there = labels[:, stage] != ABSENT
    inside = in_space(labels, place) & there
    return inside, there & ~(inside | is_closed(labels, place))
