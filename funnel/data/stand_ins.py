"""Rows that stand for others of which it is not known whether they reached a stage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import UNKNOWN, Labels, in_space, is_closed
from funnel.schema.topology import Place


def stand_ins(labels: Labels, stage: int, place: Place, weights: NDArray[Any] | None = None) -> NDArray[np.float64] | None:
    """How many rows each stands for where a cumulative label is judged: float64 [rows], 0 where the label is not known.

    Of a row without the parent it is known that it did not reach the stage, whatever was written: were unknown labels just left
    out, rows with the parent would be too few among the others, and every rate too low. So each row with the parent and a known
    label stands for its part of those without one; likewise where it is not known whether a row had the parent. That is
    right where labels are lost by chance among the rows of one kind.

    Args:
        labels: 0, 1, or UNKNOWN: uint8 [rows, stages].
        stage: The stage.
        place: Where it stands.
        weights: How many rows each stands for already: float [rows]; None is 1 each.

    Returns:
        None where every row stands for itself alone.
    """
    known = labels[:, stage] != UNKNOWN
    if known.all() and weights is None:
        return None
    found = np.where(known, 1.0 if weights is None else weights, 0.0)
    for alike in kinds(labels, place):
        all_of_them = float(np.count_nonzero(alike) if weights is None else weights[alike].sum(dtype=np.float64))
        known_ones = float(found[alike].sum())
        if known_ones:
            found[alike] *= all_of_them / known_ones
    return found


def kinds(labels: Labels, place: Place) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rows known to be those of a stage's conditional, and those of which that is not known: bool [rows] each."""
    inside = in_space(labels, place)
    return inside, ~(inside | is_closed(labels, place))
