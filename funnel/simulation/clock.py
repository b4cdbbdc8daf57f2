"""When periods began and when labels were read, for stages whose labels become final, and the columns that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.maturity import EPOCH, MICROSECOND, length_of, snapshot_of
from funnel.schema.data import Time
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.stages import Maturity
from funnel.simulation.column import Column, Columns, Floats, Ints
from funnel.simulation.draws import Draws

PERIODS = 4  # events lie in so many, before labels are read
USUAL_TIME = (datetime(2024, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
USUAL_NUMBER = 100  # of periods since 0


@dataclass(frozen=True)
class Clock:
    """Events, and when labels were read.

    Attributes:
        columns: Of the facts, that say so.
        ages: By stage that matures: for how long its event had been when each fact's label was read: [facts], in microseconds,
            or in the unit of the columns.
    """

    columns: Columns
    ages: dict[str, Floats]


def clock_of(schema: FunnelSchema, draws: Draws, facts: int, later: Ints) -> Clock:
    """Draw events, uniform over the four periods before labels are read: of the longest period that a column serves.

    Where validation goes by the column, events grow from row to row, so that those of test rows are the latest.

    Args:
        schema: The declaration.
        draws: The times are a pure function of this, too.
        facts: How many.
        later: Facts whose labels are read a period later, when all are final, where a column says when they are: the test rows.
    """
    maturities = [stage.matures_after for stage in schema.stages if stage.matures_after is not None]
    values: dict[str, NDArray[Any]] = {}
    columns: Columns = {}
    for name in dict.fromkeys(maturity.event for maturity in maturities):
        readers = [maturity for maturity in maturities if maturity.event == name]
        span = PERIODS * max(length_of(reader) for reader in readers)
        began = max(_read_at(reader, maturities) for reader in readers) - span * draws.of("event", name).random(facts)
        values[name] = np.sort(began) if _is_order(schema, name) else began
        values[name] = _rounded(values[name], readers)
        columns[name] = number_column(values[name]) if not readers[0].timed else _times(values[name])
    reads: dict[str, NDArray[Any]] = {}
    for maturity in maturities:
        if (column := maturity.snapshot) is not None and column not in reads:
            reads[column] = np.full(facts, _read_at(maturity, maturities))
            longest = max(length_of(other) for other in maturities if other.snapshot == column)
            reads[column][later] += int(longest) if maturity.timed else longest
            columns[column] = number_column(reads[column]) if not maturity.timed else _times(reads[column])
    ages = {
        stage.name: np.asarray(reads.get(own.snapshot or "", _read_at(own, maturities)) - values[own.event], np.float64)
        for stage in schema.stages
        if (own := stage.matures_after) is not None
    }
    return Clock(columns, ages)


def number_column(values: NDArray[Any]) -> Column:
    """Numbers that have no effect on any stage."""
    return Column(pl.Series(values), latent=np.zeros(len(values)))


def _times(microseconds: NDArray[np.int64]) -> Column:
    return Column(pl.Series(microseconds).cast(pl.Datetime("us")))


def _read_at(maturity: Maturity, maturities: Sequence[Maturity]) -> float | int:
    """When labels were read: as declared; where a column says so, the latest moment that is declared for others, if any."""
    if maturity.snapshot is None:
        return snapshot_of(maturity)
    alike = [other for other in maturities if other.timed == maturity.timed]
    usual = USUAL_TIME if maturity.timed else USUAL_NUMBER * max(length_of(other) for other in alike)
    return max((snapshot_of(other) for other in alike if other.snapshot is None), default=usual)


def _is_order(schema: FunnelSchema, column: str) -> bool:
    return isinstance(schema.data.validation, Time) and schema.data.validation.column == column


def _rounded(events: Floats, readers: Sequence[Maturity]) -> NDArray[Any]:
    """Whole microseconds; numbers to a hundred thousandth of the shortest period or so."""
    if readers[0].timed:
        return events.astype(np.int64)
    digits = max(0, 5 - int(np.floor(np.log10(min(length_of(reader) for reader in readers)))))
    return np.round(events, digits)
