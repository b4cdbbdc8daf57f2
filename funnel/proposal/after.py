"""Columns that are told only after a step: by where they have values, and by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.label_numbers import label_numbers
from funnel.proposal.columns import Column, numbers_of
from funnel.proposal.stages import NESTED, beyond_chance
from funnel.proposal.tables import Table
from funnel.proposal.words import is_of_the_past, sounds_like_a_step

MOSTLY = 0.75
LIFT = 1.5  # times the rate of all rows


def known_after(table: Table, labels: Sequence[str]) -> dict[str, str]:
    """For each column of the facts that a later step seems to write: why it seems so."""
    ones = {label: label_numbers(table.sample[label]).fill_null(0).to_numpy() == 1 for label in labels}
    found = {name: _reason(table, column, ones) for name, column in table.columns.items() if name not in labels}
    return {name: reason for name, reason in found.items() if reason is not None}


def _reason(table: Table, column: Column, ones: Mapping[str, NDArray[np.bool_]]) -> str | None:
    rows = _there(table.sample[column.name], numeric=column.numeric)
    if rows.all() or not rows.any():
        return None
    step = sounds_like_a_step(column.name) and not is_of_the_past(column.name)
    for label, reached in reversed([*ones.items()]):
        share, rate = float(reached[rows].mean()), float(reached.mean())
        what = (
            f"{'other than 0' if column.numeric else 'there'} {'only' if share == 1 else f'in {share:.1%}'} where {label} is 1"
        )
        if share >= NESTED and beyond_chance(int(rows.sum()), rate):
            return f"{what}: written afterwards"
        if step and share >= max(MOSTLY, LIFT * rate):
            return f"{what} ({rate:.1%} of all rows), and named like a step: written afterwards, it seems"
    if column.is_label and step:
        return "named like a step, and no stage: add it if it is known before the first one"
    return None


def _there(values: pl.Series, *, numeric: bool) -> NDArray[np.bool_]:
    """Which rows have a value, a number other than 0, or a list with entries. Of texts, 0 may be one id among others."""
    if numeric:
        return np.asarray((numbers_of(values).fill_null(0) != 0).to_numpy())
    there = values.list.len() > 0 if values.dtype.base_type() == pl.List else values.is_not_null()
    return np.asarray(there.fill_null(value=False).to_numpy())
