"""Each column -> a feature, or the reason why it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from funnel.proposal.columns import FEW, Column, numbers_of
from funnel.proposal.lists import Lists, lists_in, weights_in
from funnel.proposal.tables import Table
from funnel.proposal.words import sounds_like
from funnel.proposal.written import written_otherwise
from funnel.schema._base import LARGEST

CATEGORIES = 100  # whole numbers of no telling name are ids where there are no more of them,
PER_ID = 5  # or where each comes so often
MANY = 100_000  # ids: rare ones then share a row
MOST = 1_000_000  # rows of a table
HEAVY = 2.0  # skewness from which numbers are taken by their logarithm
WORDY = 4  # words of a free text
MOSTLY = 0.5
INT64 = 2.0**63


@dataclass(frozen=True)
class Feature:
    """A feature that is proposed.

    Attributes:
        column: The column that it reads.
        kind: `categorical`, `bag` or `numeric`.
        keys: What else is declared, in order.
        about: What the column holds, for a comment.
    """

    column: str
    kind: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A column that is not proposed.

    Attributes:
        column: Which.
        reason: Why.
    """

    column: str
    reason: str


def features_of(table: Table, without: Mapping[str, str], *, facts: bool) -> list[Feature | LeftOut]:
    """What becomes of each column.

    Args:
        table: The rows.
        without: By column: why it is left out, for reasons of others; an empty reason where nothing is said of it.
        facts: Whether these are the facts: whose ids are as rare as they look here.
    """
    lists = lists_in(table)
    weights = weights_in(lists)
    seen: dict[int, str] = {}
    found: list[Feature | LeftOut] = []
    for name, column in table.columns.items():
        twin = seen.setdefault(column.digest, name)
        if name in without:
            found += [LeftOut(name, without[name])] if without[name] else []
        elif name in weights.values() and not any(without.get(bag) for bag, own in weights.items() if own == name):
            continue  # comes with its bag
        elif (reason := _useless(column) or written_otherwise(table, column)) is not None:
            found.append(LeftOut(name, reason))
        elif twin != name:
            found.append(LeftOut(name, f"the same as {twin} in every row"))
        elif name in lists:
            found.append(_bag(name, lists[name], weights.get(name)))
        else:
            found.append(_alone(table, column, facts=facts))
    return found


def _useless(column: Column) -> str | None:
    if not column.known:
        return "no values"
    if column.kind == "other":
        return "values of a kind that no feature reads: structs, bytes, durations, times of the day, or lists of lists"
    if column.broken:
        return f"texts with line breaks, in {column.broken:,} rows, which no id may have: take them out"
    if column.distinct == 1 and not column.missing:
        return "the same in every row"
    return None


def _bag(name: str, lists: Lists, weights: str | None) -> Feature | LeftOut:
    if lists.fractions:
        return LeftOut(name, "lists of numbers that are no ids, and of no other column's entries")
    keys: dict[str, Any] = {"separator": lists.separator} if lists.separator is not None else {}
    if weights is not None:
        keys |= {"weighted": True, "weights": weights}
    mean = float(lists.lengths.mean()) if len(lists.lengths) else 0.0
    return Feature(name, "bag", keys, f"{lists.ids:,} ids, {mean:.2g} a row")


def _alone(table: Table, column: Column, *, facts: bool) -> Feature | LeftOut:
    """One value a row."""
    if (reason := _no_value(table, column)) is not None:
        return LeftOut(column.name, reason)
    if _is_number(table, column) or column.kind == "real":
        return _numeric(table, column)
    if (reason := _no_id(table, column, facts=facts)) is not None:
        return LeftOut(column.name, reason)
    return Feature(column.name, "categorical", _table(column), _ids(column))


def _no_value(table: Table, column: Column) -> str | None:
    """Why a column is neither number nor id."""
    if _is_beyond(table, column):
        return "whole numbers beyond 64 bits, which are refused as ids: write them in hexadecimal"
    if column.unique and column.whole and column.high - column.low == column.rows - 1:
        return "a number of its own in each row, without gaps: the number of the row"
    if column.kind == "real" and (column.numbers < column.known or max(column.high, -column.low) > LARGEST):
        return "some values are not finite, or beyond float32"
    return None


def _no_id(table: Table, column: Column, *, facts: bool) -> str | None:
    """Why a column that is no number does not tell rows apart usefully."""
    if column.kind == "text" and (reason := _unreadable(table, column)):
        return reason
    if column.unique and (facts or not column.numeric):
        return "a value of its own in each row: nothing that is learnt of one helps with another"
    if facts and column.once > MOSTLY * column.rows:
        return f"{column.distinct:,} ids, {column.once:,} of which come once: too few rows of each"
    return None


def _is_beyond(table: Table, column: Column) -> bool:
    if column.kind == "whole":
        return max(column.high, -column.low) >= INT64
    return column.kind == "text" and column.numeric and bool(table.sample[column.name].str.contains(r"^-?\d{19,}$").any())


def _is_number(table: Table, column: Column) -> bool:
    """Whether a column of numbers is a quantity rather than ids."""
    if not column.numeric or (column.kind == "text" and (column.typed or column.padded)) or column.kind == "yes_no":
        return False
    if column.high > LARGEST or column.low < -LARGEST:
        return False
    said = sounds_like(column.name)
    if not column.whole:
        # 1.0 and 2.0 may be ids that were numbers once.
        numbers = numbers_of(table.sample[column.name]).drop_nulls()
        return column.distinct > CATEGORIES or bool((numbers != numbers.floor()).any()) or said == "amount"
    if column.distinct <= 2 or said == "id":
        return False
    return said == "amount" or column.distinct > max(CATEGORIES, column.known // PER_ID)


def _numeric(table: Table, column: Column) -> Feature:
    numbers = numbers_of(table.sample[column.name]).drop_nulls().to_numpy()
    heavy = column.low >= 0 and _skewness(numbers) > HEAVY
    about = f"{column.low:,.6g} to {column.high:,.6g}{_missing(column)}"
    return Feature(column.name, "numeric", {"transform": "log1p"} if heavy else {}, about)


def _skewness(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    spread = float(numbers.std()) if len(numbers) else 0.0
    if not spread > 0 or not np.isfinite(spread):
        return 0.0
    return float((((numbers - numbers.mean()) / spread) ** 3).mean())


def _unreadable(table: Table, column: Column) -> str | None:
    """Why a text is neither id nor number."""
    values = table.sample[column.name].drop_nulls()
    if column.numbers > 0.9 * column.known and column.distinct > CATEGORIES and not column.numeric:
        return f"numbers, but for texts such as {column.odd!r} in {1 - column.numbers / column.known:.2%}: empty these"
    spaces = values.str.count_matches(r"\S\s+\S").mean() or 0
    if float(spaces) >= WORDY - 1 and column.distinct > 0.2 * column.known:  # type: ignore[arg-type]
        return f"free text, {column.distinct:,} different ones"
    return None


def _table(column: Column) -> dict[str, Any]:
    """How a large vocabulary is kept small."""
    if column.distinct <= MANY:
        return {}
    keys: dict[str, Any] = {"min_count": FEW} if column.rare < 0.2 * column.known else {}
    return keys | ({"max_rows": MOST} if column.distinct > MOST else {})


def _ids(column: Column) -> str:
    hint = "; kind: numeric if more is more of something" if column.whole and column.distinct > 2 and _open(column) else ""
    return f"{column.distinct:,} ids{_missing(column)}{hint}"


def _open(column: Column) -> bool:
    return not (column.typed and column.kind == "text") and not column.padded and sounds_like(column.name) is None


def _missing(column: Column) -> str:
    return f", {column.missing / column.rows:.1%} missing" if column.missing else ""


def copies(facts: Table, dimension: Table, key: str, fact_key: str) -> list[str]:
    """Columns of the facts that only repeat a dimension's."""
    shared = [name for name in facts.columns if name in dimension.columns and name not in (key, fact_key)]
    if not shared:
        return []
    left = facts.sample.select(pl.col(fact_key).cast(pl.String).alias("key"), *shared)
    right = dimension.sample.select(pl.col(key).cast(pl.String).alias("key"), *(pl.col(n).alias(f"{n} there") for n in shared))
    both = left.join(right, on="key", how="inner")
    return [name for name in shared if both.height and _equal(both[name], both[f"{name} there"])]


def _equal(mine: pl.Series, theirs: pl.Series) -> bool:
    if mine.dtype.is_nested() or theirs.dtype.is_nested():
        return bool(mine.dtype == theirs.dtype and mine.equals(theirs, check_names=False))
    one, other = (series.cast(pl.String) for series in (mine, theirs))
    if mine.dtype.is_numeric() or theirs.dtype.is_numeric():
        one, other = numbers_of(mine), numbers_of(theirs)
    return bool(one.equals(other, check_names=False))
