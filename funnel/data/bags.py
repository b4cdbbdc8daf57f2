"""Bags and sequences: columns of lists, out of feature lists, list columns, or texts with a separator."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.checker import Checker
from funnel.data.columns import OFFSETS, WEIGHTS, Columns
from funnel.errors import DataError
from funnel.schema.features import Bag, Sequence

LARGEST = float(np.finfo(np.float32).max)


def bag(of: Checker, feature: Bag, beside: Collection[Sequence] = ()) -> Columns:
    """The columns of a bag: its codes (or rows, where its table hashes), its offsets, and maybe its weights, or times.

    Args:
        of: The piece.
        feature: The bag.
        beside: Sequences whose entries say more of those of this one: their columns come with it.
    """
    found = [_entries(of, one) for one in (feature, *beside)]
    if beside:
        found = _as_long(of, (feature, *beside), found)
    (ids, numbers, lengths), *others = found
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ids = of.as_ids(ids, feature.column_name)
    # A null (or empty) id is no entry: an empty text splits into one.
    kept = ids.is_not_null().to_numpy() if ids.null_count() else None
    if isinstance(feature, Sequence) and feature.last is not None:
        kept = _newest(kept, offsets, feature.last)
    if kept is not None:
        before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        ids, offsets = ids.filter(pl.Series(kept)), before[offsets]
        numbers = numbers[kept] if numbers is not None else None
    columns: Columns = {feature.name: of.rows_or_codes(feature, ids, offsets), feature.name + OFFSETS: offsets}
    if numbers is not None:
        columns[feature.name + WEIGHTS] = numbers
    for one, (other, _, _) in zip(beside, others, strict=True):
        # One without an id is an entry all the same.
        others_ids = of.as_ids(other if kept is None else other.filter(pl.Series(kept)), one.column_name)
        columns |= {one.name: of.rows_or_codes(one, others_ids, offsets), one.name + OFFSETS: offsets}
    return columns


def _newest(kept: NDArray[np.bool_] | None, offsets: NDArray[np.int64], last: int) -> NDArray[np.bool_]:
    """Which entries are among the last ones of their list: bool [entries]."""
    there = np.ones(int(offsets[-1]), bool) if kept is None else kept
    before = np.concatenate([[0], np.cumsum(there, dtype=np.int64)])
    ends = np.repeat(before[offsets[1:]], np.diff(offsets))
    return np.asarray(there & (ends - before[:-1] <= last))


Entries = tuple[pl.Series, NDArray[np.float32] | None, NDArray[np.int64]]  # ids, numbers, and how many each row has


def _entries(of: Checker, feature: Bag) -> Entries:
    return _bag_of_field(of, feature) if of.listed_field(feature.column_name) else _bag_of_column(of, feature)


def _as_long(of: Checker, features: tuple[Bag, ...], found: list[Entries]) -> list[Entries]:
    """Lists that stand beside each other, those of rows where they are not as long left out."""
    leader, lengths = features[0], found[0][2]
    bad = np.zeros(len(lengths), bool)
    for feature, (_, _, others) in zip(features[1:], found[1:], strict=True):

        def message(row: int, others: NDArray[np.int64] = others) -> str:
            return f"got {others[row]} entries beside {lengths[row]} of {leader.name!r}, expected as many. Mend the row."

        of.refuse(others != lengths, feature.column_name, "sequences of different lengths", message)
        bad |= others != lengths
    if not bad.any():
        return found
    left = []
    for ids, numbers, own in found:
        good = np.repeat(~bad, own)
        some = numbers[good] if numbers is not None else None
        left.append((ids.filter(pl.Series(good)), some, np.where(bad, 0, own)))
    return left


def _bag_of_field(of: Checker, feature: Bag) -> Entries:
    found = of.fields.get(feature.column_name)
    height = of.piece.frame.height
    lengths = np.bincount(found.rows, minlength=height) if found is not None else np.zeros(height, np.int64)
    if feature.missing == "error":
        of.refuse_missing(pl.Series(lengths == 0), feature)
    ids = found.ids if found is not None else pl.Series([], dtype=pl.Int64)
    values = found.values if found is not None else np.zeros(0)
    return ids, _as_weights(of, values, feature, lengths) if feature.numbered else None, lengths


def _bag_of_column(of: Checker, feature: Bag) -> Entries:
    series = of.piece.frame[feature.column_name]
    if feature.missing == "error":
        of.refuse_missing(series.is_null(), feature)
    series = _split(of, series, feature)
    lengths = series.list.len().fill_null(0)
    if not feature.numbered:
        return _flat(series, lengths), None, lengths.to_numpy().astype(np.int64)
    column, what = feature.numbers or feature.column_name, _what(feature)
    weights = _split(of, of.piece.frame[column], feature)
    others = weights.list.len().fill_null(0)
    differ = (lengths != others).to_numpy()
    of.refuse(
        differ,
        column,
        f"{what}s and ids of different number",
        lambda row: f"got {others[row]} {what}s for {lengths[row]} ids, expected as many. Mend the row.",
    )
    if differ.any():
        # These rows are left out; until then their lists are empty, so that the others stay parallel.
        series, weights = (one.set(pl.Series(differ), None) for one in (series, weights))
        lengths = lengths.set(pl.Series(differ), 0)
    sizes = lengths.to_numpy().astype(np.int64)
    return _flat(series, lengths), _as_weights(of, _flat(weights, lengths), feature, sizes), sizes


def _as_weights(of: Checker, flat: Any, feature: Bag, lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    numbers = flat if isinstance(flat, np.ndarray) else flat.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    # NaN is no number either.
    bad = ~(np.abs(numbers) <= LARGEST)
    if bad.any():
        places = np.flatnonzero(bad)
        rows = np.repeat(np.arange(len(lengths)), lengths)[places]
        of_row = np.zeros(len(lengths), bool)
        of_row[rows] = True

        def message(row: int) -> str:
            found = flat[int(places[np.searchsorted(rows, row)])]
            return f"got the {_what(feature)} {found!r}, expected a finite number. Mend the row."

        column = feature.numbers or feature.column_name
        of.refuse(of_row, column, f"a {_what(feature)} that is no number", message)
        numbers = np.where(bad, 0.0, numbers)
    return numbers.astype(np.float32)


def _what(feature: Bag) -> str:
    return "time" if isinstance(feature, Sequence) else "weight"


def _split(of: Checker, series: pl.Series, feature: Bag) -> pl.Series:
    """One text a row into lists."""
    if series.dtype.base_type() in (pl.List, pl.Array):
        return series.arr.to_list() if series.dtype.base_type() == pl.Array else series
    if series.dtype == pl.String and feature.separator is not None:
        return series.replace("", None).str.split(feature.separator)
    if series.is_null().all():
        return pl.Series(series.name, [None] * len(series), dtype=pl.List(pl.String))
    raise DataError(
        f"{of.piece.where} column {series.name!r}: got one {series.dtype} a row for the bag {feature.name!r}, "
        "expected lists, or text and a `separator`. Declare the feature categorical, or say what separates the ids."
    )


def _flat(lists: pl.Series, lengths: pl.Series) -> pl.Series:
    """All entries, one after the other."""
    return lists.filter(lengths > 0).explode() if lengths.sum() else pl.Series([], dtype=pl.String)
