"""Bags: columns of lists, out of feature lists, list columns, or texts with a separator."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.checker import Checker
from funnel.data.columns import OFFSETS, WEIGHTS, Columns
from funnel.errors import DataError
from funnel.schema.features import Bag

LARGEST = float(np.finfo(np.float32).max)


def bag(of: Checker, feature: Bag) -> Columns:
    """The columns of a bag: its codes (or rows, where its table hashes), its offsets, and maybe its weights."""
    if of.listed_field(feature.column_name):
        ids, weights, lengths = _bag_of_field(of, feature)
    else:
        ids, weights, lengths = _bag_of_column(of, feature)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ids = of.as_ids(ids, feature.column_name)
    if ids.null_count():
        # A null (or empty) id is no entry: an empty text splits into one.
        kept = ids.is_not_null().to_numpy()
        before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        ids, offsets = ids.drop_nulls(), before[offsets]
        weights = weights[kept] if weights is not None else None
    columns: Columns = {feature.name: of.rows_or_codes(feature, ids, offsets), feature.name + OFFSETS: offsets}
    return columns if weights is None else columns | {feature.name + WEIGHTS: weights}


def _bag_of_field(of: Checker, feature: Bag) -> tuple[pl.Series, NDArray[np.float32] | None, NDArray[np.int64]]:
    found = of.fields.get(feature.column_name)
    height = of.piece.frame.height
    lengths = np.bincount(found.rows, minlength=height) if found is not None else np.zeros(height, np.int64)
    if feature.missing == "error":
        of.refuse_missing(pl.Series(lengths == 0), feature)
    ids = found.ids if found is not None else pl.Series([], dtype=pl.Int64)
    values = found.values if found is not None else np.zeros(0)
    return ids, _as_weights(of, values, feature, lengths) if feature.weighted else None, lengths


def _bag_of_column(of: Checker, feature: Bag) -> tuple[pl.Series, NDArray[np.float32] | None, NDArray[np.int64]]:
    series = of.piece.frame[feature.column_name]
    if feature.missing == "error":
        of.refuse_missing(series.is_null(), feature)
    series = _split(of, series, feature)
    lengths = series.list.len().fill_null(0)
    if not feature.weighted:
        return _flat(series, lengths), None, lengths.to_numpy().astype(np.int64)
    column = feature.weights or feature.column_name
    weights = _split(of, of.piece.frame[column], feature)
    others = weights.list.len().fill_null(0)
    differ = (lengths != others).to_numpy()
    of.refuse(
        differ,
        column,
        "weights and ids of different number",
        lambda row: f"got {others[row]} weights for {lengths[row]} ids, expected as many. Mend the row.",
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
            return f"got the weight {found!r}, expected a finite number. Mend the row."

        of.refuse(of_row, feature.weights or feature.column_name, "a weight that is no number", message)
        numbers = np.where(bad, 0.0, numbers)
    return numbers.astype(np.float32)


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
