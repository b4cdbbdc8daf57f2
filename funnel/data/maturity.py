"""Rows that the log caught too young: a stage that they have not reached, they may yet reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import UNKNOWN, Labels
from funnel.errors import DataError
from funnel.schema.stages import Maturity

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def amounts(series: pl.Series, maturity: Maturity, where: str) -> pl.Series:
    """A column as numbers that can be subtracted from each other: microseconds since 1970, where the period is one of time.

    Args:
        series: Times (without a zone: in UTC), texts of times (ISO 8601), numbers, or texts of numbers.
        maturity: The declaration.
        where: Names the column, for messages.

    Returns:
        Int64 microseconds, or Float64: null where there is none, and where a text is no time or number.

    Raises:
        DataError: Numbers for a period of time, times for one of numbers, or something else.
    """
    kind, period = series.dtype, maturity.period
    if kind == pl.Null:
        return series.cast(pl.Int64)
    if maturity.timed:
        if kind == pl.String:
            return _parsed(series).dt.timestamp("us")
        if kind == pl.Date or isinstance(kind, pl.Datetime):
            return series.cast(pl.Datetime("us")).dt.timestamp("us") if kind == pl.Date else series.dt.timestamp("us")
        raise DataError(
            f"{where}: got {kind}, expected times, since matures_after.period is {period!r}. Write the period as a number in "
            "the column's unit, or cast the column."
        )
    if kind == pl.String:
        return series.str.strip_chars().cast(pl.Float64, strict=False).fill_nan(None)
    if kind.is_numeric():
        return series.cast(pl.Float64).fill_nan(None)
    raise DataError(
        f"{where}: got {kind}, expected numbers, since matures_after.period is {period!r}. Write the period with its unit, as "
        "in `7d`, or name another column."
    )


def _parsed(texts: pl.Series) -> pl.Series:
    """ISO 8601 as times: the day, then maybe the time, with seconds and a zone or without."""
    texts = texts.str.strip_chars().str.replace(r"^(\d{4}-\d{2}-\d{2})(?:$|[ tT])", "${1}T").str.replace(r"T$", "T00:00:00")
    texts = texts.str.replace(r"[zZ]$", "+00:00").str.replace(r"^(.{10}T\d{2}:\d{2})($|[+-])", "${1}:00${2}")
    texts = texts.str.replace(r"(T[0-9:.]+)$", "${1}+00:00").str.replace(r"([+-]\d{2})$", "${1}:00")
    return texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us")


def is_young(event: NDArray[Any], snapshot: NDArray[Any] | None, maturity: Maturity) -> NDArray[np.bool_]:
    """Whether a row's label was read before its period was over.

    Args:
        event: From `amounts`: [rows].
        snapshot: Likewise; None where all labels were read at one time.
        maturity: The declaration.
    """
    read = snapshot_of(maturity) if snapshot is None else snapshot
    return np.asarray(read - event < length_of(maturity))


def snapshot_of(maturity: Maturity) -> float | int:
    """When all labels were read."""
    at = maturity.snapshot_at
    if isinstance(at, datetime):
        return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
    return float(at or 0)


def length_of(maturity: Maturity) -> float:
    """The period: in microseconds, or in the unit of the columns."""
    period = maturity.period
    return float(period[:-1]) * SECONDS[period[-1]] * 1e6 if isinstance(period, str) else period


def matured(labels: Labels, young: NDArray[np.bool_], maturity: Maturity) -> Labels:
    """Labels [rows] without those that are not final yet."""
    unknown = young if maturity.positives == "unknown" else young & (labels == 0)
    return np.where(unknown, np.uint8(UNKNOWN), labels)
