"""Columns of moments: dates and times, as types, texts, or numbers since an epoch."""

from __future__ import annotations

import polars as pl

from funnel.proposal.columns import Column, numbers_of, share
from funnel.proposal.tables import Table
from funnel.proposal.words import BIRTHS, MOMENTS, suggests

ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?$"
OTHER = r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}(?: .*)?$"
HELD = 0.1
MOST_HELD = 0.5
SECONDS = (500_000_000, 4_100_000_000)  # 1985 to 2099, since 1970


def is_moment(table: Table, column: Column) -> bool:
    """Whether a column says when something was."""
    if column.kind == "time":
        return True
    if column.kind == "text" and not column.numeric:
        values = table.sample[column.name].drop_nulls()
        return bool(len(values)) and bool(values.str.contains(f"{ISO}|{OTHER}").all())
    if not column.whole or not suggests(column.name, MOMENTS):
        return False
    return any(
        low <= column.low and column.high <= high for low, high in (_epoch(1), _epoch(1000), _epoch(10**6))
    ) or _is_dates(table.sample[column.name], column)


def clock(table: Table, moments: list[str]) -> str | None:
    """The finest column of times that every row has and that sorts: what validation may go by."""
    # When people were born says nothing of when rows came.
    able = [name for name in moments if not suggests(name, BIRTHS) and _sorts(table, table.columns[name])]
    return max(able, key=lambda name: table.columns[name].distinct, default=None)


def _epoch(unit: int) -> tuple[int, int]:
    return SECONDS[0] * unit, SECONDS[1] * unit


def _is_dates(values: pl.Series, column: Column) -> bool:
    """Whole numbers such as 20240131."""
    if column.low < 19_000_101 or column.high > 21_001_231:
        return False
    numbers = numbers_of(values).drop_nulls().cast(pl.Int64)
    month, day = numbers // 100 % 100, numbers % 100
    return bool((month.is_between(1, 12) & day.is_between(1, 31)).all())


def _sorts(table: Table, column: Column) -> bool:
    if column.missing or column.distinct < 2:
        return False
    values = table.sample[column.name]
    if column.kind == "text" and not column.whole:
        return bool(values.str.contains(ISO).all()) and _parts(values)
    return _parts(values if column.kind == "time" else numbers_of(values))


def _parts(values: pl.Series) -> bool:
    """Whether about the latest tenth can be told from the rest."""
    cut = values.sort()[int((1 - HELD) * len(values))]
    return 0 < share(values >= cut) <= MOST_HELD
