"""Raw frames -> chunks: each column checked and brought to the one form that the rest of the library knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from funnel.data.chunk import Chunk, Lists
from funnel.data.feature_list import Kind, field_column
from funnel.data.readers import Piece
from funnel.errors import DataError
from funnel.schema.data import Time
from funnel.schema.features import Bag, Categorical, Cross, Fill, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema

TIME = "time"
LARGEST = float(np.finfo(np.float32).max)


def key_role(dimension: str) -> str:
    """The plain column that holds a dimension's key."""
    return f"key {dimension}"


def label_role(stage: str) -> str:
    """The plain column that holds a stage's label."""
    return f"label {stage}"


def plain_columns(schema: FunnelSchema, source: str, *, labels: bool) -> dict[str, str]:
    """The columns of a source that are no features, by role."""
    if source != FACTS:
        return {key_role(source): schema.dimension(source).key}
    roles = {key_role(dimension.name): dimension.key_in_facts for dimension in schema.data.dimensions}
    if labels:
        roles |= {label_role(stage.name): stage.label for stage in schema.stages}
        if isinstance(schema.data.validation, Time):
            roles[TIME] = schema.data.validation.column
    return roles


def wanted_columns(schema: FunnelSchema, source: str, *, labels: bool) -> list[tuple[str, Kind]]:
    """The columns of a source that are read, and how."""
    wanted: list[tuple[str, Kind]] = [(column, "id") for column in plain_columns(schema, source, labels=labels).values()]
    for feature in features_of(schema, source):
        match feature:
            case Categorical():
                wanted.append((feature.column_name, "id"))
            case Numeric():
                wanted.append((feature.column_name, "value"))
            case Bag():
                wanted.append((feature.column_name, "bag"))
                if feature.weights is not None:
                    wanted.append((feature.weights, "weights"))
    return wanted


def features_of(schema: FunnelSchema, source: str) -> Iterable[Categorical | Bag | Numeric]:
    """The features that read a column of a source."""
    return (f for f in schema.features if not isinstance(f, Cross) and schema.source_of(f) == source)


def normalise(schema: FunnelSchema, source: str, piece: Piece, *, labels: bool) -> Chunk:
    """Check the columns of a piece, and take them apart.

    Args:
        schema: The declaration.
        source: `facts`, or a dimension's name.
        piece: Rows as they were read.
        labels: Whether the labels are needed.

    Raises:
        DataError: A column of the wrong type, a missing value that is declared an error, a label that is not 0 or 1.
    """
    ids, lists, numbers = {}, {}, {}
    for feature in features_of(schema, source):
        match feature:
            case Categorical():
                ids[feature.name] = _ids(feature, piece)
            case Bag():
                lists[feature.name] = _lists(feature, piece)
            case Numeric():
                numbers[feature.name] = _numbers(feature, piece)
    plain = {}
    for role, column in plain_columns(schema, source, labels=labels).items():
        series = _column(piece, column, "id")
        match role.split()[0]:
            case "key":
                plain[role] = _key(series, piece)
            case "label":
                plain[role] = _label(series, piece)
            case _:
                plain[role] = _moment(series, piece)
    return Chunk(piece.frame.height, ids, lists, numbers, plain)


def _column(piece: Piece, column: str, kind: Kind) -> pl.Series:
    name = field_column(column, kind)
    series = piece.frame[name if name in piece.frame.columns else column]
    return series.cast(pl.String) if series.dtype in (pl.Categorical, pl.Enum) else series


def _first(mask: pl.Series) -> int:
    return int(mask.arg_max() or 0)


def as_text(series: pl.Series, piece: Piece, column: str) -> pl.Series:
    """Ids as text, null where missing. Whole numbers become decimal text, so that 7 and "7" are one id in every format.

    Raises:
        DataError: A type that cannot hold ids exactly.
    """
    kind = series.dtype
    if kind.is_float() and not series.is_null().all():
        raise DataError(
            f"{piece.where} column {column!r}: got ids as {kind}, expected text or whole numbers: a float cannot hold "
            "every id. Cast the column (pandas: .astype('Int64'))."
        )
    if kind.is_nested():
        message = f"got lists ({kind}), expected one id a row. Declare the feature as a bag."
        raise DataError(f"{piece.where} column {column!r}: {message}")
    if kind == pl.Boolean:
        series = series.cast(pl.UInt8)
    try:
        text = series.cast(pl.String)
    except PolarsError:
        raise DataError(f"{piece.where} column {column!r}: got {kind}, expected text or whole numbers. Cast it.") from None
    return text.replace("", None) if (text == "").any() else text


def _ids(feature: Categorical, piece: Piece) -> pl.Series:
    text = as_text(_column(piece, feature.column_name, "id"), piece, feature.column_name)
    if isinstance(feature.missing, Fill):
        return text.fill_null(str(feature.missing.fill))
    if feature.missing == "error":
        _refuse_missing(text.is_null(), feature, piece)
    return text


def _refuse_missing(missing: pl.Series, feature: Any, piece: Piece) -> None:
    if missing.any():
        raise DataError(
            f"{piece.at(_first(missing))} column {feature.column_name!r}: got no value for the feature {feature.name!r}, which "
            f"declares `missing: error` ({int(missing.sum()):,} rows have none). Mend the data, or declare what missing means."
        )


def _numbers(feature: Numeric, piece: Piece) -> NDArray[np.float64]:
    series = _column(piece, feature.column_name, "value")
    if series.dtype == pl.String:
        series = series.str.strip_chars().replace("", None)
    if series.dtype.is_nested() or series.dtype.is_temporal():
        message = f"got {series.dtype}, expected numbers. Correct the column, or the feature's kind."
        raise DataError(f"{piece.where} column {feature.column_name!r}: {message}")
    values = series.cast(pl.Float64, strict=False)
    bad = (values.is_null() & series.is_not_null()) | (values.is_not_nan() & (values.abs() > LARGEST)).fill_null(value=False)
    if bad.any():
        row = _first(bad)
        message = f"got {series[row]!r}, expected a finite number. Mend the row, or declare the feature categorical."
        raise DataError(f"{piece.at(row)} column {feature.column_name!r}: {message}")
    values = values.fill_nan(None)
    if isinstance(feature.missing, Fill):
        values = values.fill_null(float(feature.missing.fill))
    elif feature.missing == "error":
        _refuse_missing(values.is_null(), feature, piece)
    return values.fill_null(float("nan")).to_numpy()


def _lists(feature: Bag, piece: Piece) -> Lists:
    series = _column(piece, feature.column_name, "bag")
    if feature.missing == "error":
        _refuse_missing(series.is_null(), feature, piece)
    weights = None
    if feature.weighted:
        weights = _split(_column(piece, feature.weights or feature.column_name, "weights"), feature, piece)
    series = _split(series, feature, piece)
    lengths = series.list.len().fill_null(0)
    values = as_text(_flat(series, lengths), piece, feature.column_name)
    flat = _weights(_flat(weights, lengths), feature, piece) if weights is not None else None
    if weights is not None:
        _check_parallel(lengths, weights.list.len().fill_null(0), feature, piece)
    # A null (or empty) id is no entry: an empty text splits into one.
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])
    if values.null_count():
        kept = values.is_not_null().to_numpy()
        before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        values, offsets = values.drop_nulls(), before[offsets]
        flat = flat[kept] if flat is not None else None
    return Lists(values, offsets, flat)


def _split(series: pl.Series, feature: Bag, piece: Piece) -> pl.Series:
    """One text a row into lists."""
    if series.dtype.base_type() in (pl.List, pl.Array):
        return series.arr.to_list() if series.dtype.base_type() == pl.Array else series
    if series.dtype == pl.String and feature.separator is not None:
        return series.replace("", None).str.split(feature.separator)
    if series.is_null().all():
        return pl.Series(series.name, [None] * len(series), dtype=pl.List(pl.String))
    raise DataError(
        f"{piece.where} column {series.name!r}: got one {series.dtype} a row for the bag {feature.name!r}, "
        "expected lists, or text and a `separator`. Declare the feature categorical, or say what separates the ids."
    )


def _flat(lists: pl.Series, lengths: pl.Series) -> pl.Series:
    """All entries, one after the other."""
    return lists.filter(lists.list.len().fill_null(0) > 0).explode() if lengths.sum() else pl.Series([], dtype=pl.String)


def _weights(flat: pl.Series, feature: Bag, piece: Piece) -> NDArray[np.float32]:
    numbers = flat.cast(pl.Float64, strict=False)
    bad = ~(numbers.abs() <= LARGEST).fill_null(value=False)
    if bad.any():
        found = flat[_first(bad)]
        message = f"got the weight {found!r}, expected a finite number. Mend the row."
        raise DataError(f"{piece.where} column {feature.weights or feature.column_name!r}: {message}")
    return numbers.cast(pl.Float32).to_numpy()


def _check_parallel(ids: pl.Series, weights: pl.Series, feature: Bag, piece: Piece) -> None:
    differ = ids != weights
    if differ.any():
        row = _first(differ)
        message = f"got {weights[row]} weights for {ids[row]} ids, expected as many. Mend the row."
        raise DataError(f"{piece.at(row)} column {feature.weights or feature.column_name!r}: {message}")


def _key(series: pl.Series, piece: Piece) -> pl.Series:
    text = as_text(series, piece, series.name)
    if text.null_count():
        row = _first(text.is_null())
        raise DataError(f"{piece.at(row)} column {series.name!r}: got no key, expected one in every row. Mend the row.")
    return text


def _label(series: pl.Series, piece: Piece) -> pl.Series:
    numbers = series.cast(pl.Float64, strict=False) if not series.dtype.is_nested() else pl.Series([None] * len(series))
    good = numbers.is_in([0.0, 1.0]).fill_null(value=False)
    if not good.all():
        row = _first(~good)
        shown = "a list" if series.dtype.is_nested() else repr(series[row])
        message = f"got {shown} as label, expected 0 or 1 ({int((~good).sum()):,} rows differ). Mend the column."
        raise DataError(f"{piece.at(row)} column {series.name!r}: {message}")
    return numbers.cast(pl.UInt8)


def _moment(series: pl.Series, piece: Piece) -> pl.Series:
    series = series.replace("", None) if series.dtype == pl.String else series
    series = series.fill_nan(None) if series.dtype.is_float() else series
    if series.null_count():
        row = _first(series.is_null())
        raise DataError(f"{piece.at(row)} column {series.name!r}: got no time, expected one in every row. Mend the row.")
    return series
