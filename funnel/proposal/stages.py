"""Which columns are stages: 0/1 columns, each later one nearly only where the one before it is 1, and rarer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.data.label_numbers import label_numbers
from funnel.errors import DataError, have, listed
from funnel.proposal.columns import Column, share
from funnel.proposal.tables import Table
from funnel.proposal.words import depth

NESTED = 0.97  # of the rows with a later stage, at least so many have the one before
CHANCE = 1e-4  # so rarely would rows without a connection look nested
ALIKE = 0.999  # labels that agree in more rows are one


@dataclass(frozen=True)
class Guess:
    """Columns that look like stages.

    Attributes:
        columns: In order; empty where nothing looks like one.
        certain: Whether their names say so, too.
        others: Other columns of 0 and 1.
    """

    columns: tuple[str, ...]
    certain: bool
    others: tuple[str, ...]


def labels_in(table: Table) -> list[Column]:
    """Columns of 0 and 1, both of them there."""
    return [column for column in table.columns.values() if column.is_label]


def guess(table: Table) -> Guess:
    """The longest chain of nested 0/1 columns; those that are named like stages count most."""
    labels = labels_in(table)
    ones = [label_numbers(table.sample[label.name]).fill_null(0).to_numpy() == 1 for label in labels]
    labels, ones = _seen(labels, ones)
    order = sorted(range(len(labels)), key=lambda place: (-ones[place].sum(), depth(labels[place].name) or 0, place))
    best: dict[int, tuple[float, tuple[int, ...]]] = {}
    for place in order:
        # Where nothing nests, one column is a stage only if it is called like one.
        own = 1.0 if depth(labels[place].name) is not None else 0.25
        before = [best[other] for other in best if _nested(ones[place], ones[other])]
        score, chain = max(before, default=(0.0, ()))
        best[place] = (score + own, (*chain, place))
    score, chain = max(best.values(), key=lambda found: found[0], default=(0.0, ()))
    named = [depth(labels[place].name) is not None for place in chain]
    if len(chain) < 2 and not any(named) and len(labels) != 1:
        chain = ()
    columns = tuple(labels[place].name for place in chain)
    others = tuple(label.name for label in labels_in(table) if label.name not in columns)
    return Guess(columns, bool(columns) and all(named), others)


def _seen(labels: list[Column], ones: list[NDArray[np.bool_]]) -> tuple[list[Column], list[NDArray[np.bool_]]]:
    """Without those that are never, or always, 1 in the sample."""
    kept = [place for place, one in enumerate(ones) if one.any() and not one.all()]
    return [labels[place] for place in kept], [ones[place] for place in kept]


def _nested(later: NDArray[np.bool_], earlier: NDArray[np.bool_]) -> bool:
    """Whether one is nearly only where the other is, more than chance has it, and is another thing."""
    rate = earlier.mean()
    return (
        later.sum() < earlier.sum()
        and earlier[later].mean() >= NESTED
        and beyond_chance(int(later.sum()), float(rate))
        and (later == earlier).mean() < ALIKE
    )


def beyond_chance(rows: int, rate: float) -> bool:
    """Whether it means something that all of so many rows have what a share of all rows has."""
    return rate < 1 and rows * np.log(max(rate, 1e-300)) < np.log(CHANCE)


def require_labels(table: Table, names: Sequence[str], where: str) -> tuple[str, ...]:
    """The columns of the stages that were named.

    Raises:
        DataError: One is not there, is no 0/1 column, or comes twice.
    """
    for name in names:
        column = table.columns.get(name)
        if column is None:
            usable = [label.name for label in labels_in(table)] or list(table.columns)
            raise DataError(f"{where}: {name!r} is no column of {table.name} {have(name, usable)} Correct it.")
        if not column.is_label:
            raise DataError(f"{where}: {_unfit(column)}")
        if list(names).count(name) > 1:
            raise DataError(f"{where}: got {name!r} twice, expected each stage once. Remove one.")
    if not names:
        raise DataError(
            f"{where}: got no stages, expected columns of 0 and 1 (have: {listed(label.name for label in labels_in(table))})."
        )
    return tuple(names)


def _unfit(column: Column) -> str:
    name = repr(column.name)
    if not column.known:
        return f"{name} has no values at all, expected 0 and 1. Mend the column, or name another."
    if column.binary == column.known:
        kept, other = ("1", "0") if column.ones else ("0", "1")
        missing = f" and {column.missing:,} are missing" if column.missing else ""
        hint = f" If missing means {other}, fill it." if column.missing else ""
        return f"{name} is {kept} in all {column.known:,} rows with a value{missing}, expected 0 and 1.{hint} Mend the column."
    if column.kind in ("list", "time", "other"):
        return f"{name} has values of another kind ({column.kind}), expected 0 and 1. Name another column."
    found = f"such as {column.odd!r}" if column.odd else f"from {column.low:g} to {column.high:g}"
    return f"{name} has values {found}, expected 0 and 1, or true and false. Write 1 where the step was taken, else 0."


def contradictions(table: Table, labels: Sequence[str]) -> list[tuple[str, str, float]]:
    """For each stage after the first: it, the one before, and the share of sampled rows that have it alone."""
    known = [label_numbers(table.sample[label]) for label in labels]
    found = []
    for (before, name_before), (after, name) in zip(
        zip(known, labels, strict=True), list(zip(known, labels, strict=True))[1:], strict=False
    ):
        alone = ((after == 1) & (before == 0)).fill_null(value=False)
        if alone.any():
            found.append((name, name_before, share(alone)))
    return found
