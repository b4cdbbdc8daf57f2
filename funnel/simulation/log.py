"""What a log tells of what happened: rows that were thrown away, labels that came too late, and labels that are missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import in_space
from funnel.data.maturity import length_of, snapshot_of
from funnel.data.sampling import keep_rates
from funnel.data.wanted import features_of
from funnel.errors import DataError
from funnel.schema.data import Time
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.stages import Maturity
from funnel.simulation.column import Column, Columns, Floats, Ints

PERIODS = 4  # before the labels were read, in which events are spread
MEAN_DELAY = 1 / 3  # of a period, from an event to what follows
READ_AT = 1_700_000_000.0  # when labels are read, where no time is declared: seconds, or the unit of a column of numbers
LEAST_WEIGHT, MOST_WEIGHT = 0.5, 2.0

Labels = NDArray[np.uint8]


class Log:
    """The columns that a log adds to the features, and the rows that it keeps.

    Args:
        schema: The declaration.
        rng: Gives random numbers for each name.
        labels: What happened: uint8 [facts, stages].
        tested: Positions of the test facts. Where rows say when their labels were read, theirs were a period later: all final.
        unknown: The share of labels that are null.

    Attributes:
        columns: Labels, times and weights: [facts].
        kept: Facts that were not thrown away: bool [facts].
    """

    def __init__(
        self, schema: FunnelSchema, rng: Callable[..., np.random.Generator], labels: Labels, tested: Ints, unknown: float
    ) -> None:
        self._schema, self._rng, self._tested = schema, rng, np.zeros(len(labels), bool)
        self._tested[tested] = True
        self.columns: Columns = {}
        self._seen = self._read(labels)
        rates = keep_rates(schema, self._seen)
        if schema.sampling is not None and not schema.sampling.test:
            rates[self._tested] = 1.0
        self.kept = rng("kept").random(len(labels)) < rates
        self._lost = {column: self._null(column, unknown) for column in self._readers()}
        for column, readers in self._readers().items():
            values = pl.Series(self._seen[:, readers].max(axis=1))
            self.columns[column] = Column(values.set(pl.Series(self._lost[column]), None) if unknown else values)
        if schema.data.weight is not None:
            weights = rng("weight").uniform(LEAST_WEIGHT, MOST_WEIGHT, len(labels))
            self.columns[schema.data.weight] = Column(pl.Series(weights.round(3)))

    def positives(self, rows: Ints) -> dict[str, int]:
        """By stage: how many of these rows are known to have reached it."""
        found = {}
        for k, (stage, place) in enumerate(zip(self._schema.stages, self._schema.topology, strict=True)):
            columns = [self._schema.stages[branch].label for branch in place.branches] or [stage.label]
            lost = np.any([self._lost[column][rows] for column in columns if column in self._lost], axis=0)
            found[stage.name] = int((self._seen[rows, k].astype(bool) & ~lost).sum())
        return found

    def _readers(self) -> dict[str, list[int]]:
        """By label column: the stages that read it."""
        found: dict[str, list[int]] = {}
        for k, stage in enumerate(self._schema.stages):
            if stage.label is not None:
                found.setdefault(stage.label, []).append(k)
        return found

    def _null(self, column: str, unknown: float) -> NDArray[np.bool_]:
        # A first stage is what the log is about.
        after = all(self._schema.topology[k].is_partial for k in self._readers()[column])
        return self._rng("unknown", column).random(len(self.kept)) < (unknown if after else 0.0)

    def _read(self, labels: Labels) -> Labels:
        """The labels as far as they were there when they were read."""
        seen = labels.copy()
        for k, (stage, place) in enumerate(zip(self._schema.stages, self._schema.topology, strict=True)):
            if place.is_join:
                seen[:, k] = seen[:, place.branches].any(axis=1)
                continue
            if stage.matures_after is not None:
                seen[:, k] &= self._in_time(stage.name, stage.matures_after)
            seen[:, k] &= in_space(seen, place)
        return seen

    def _in_time(self, stage: str, maturity: Maturity) -> NDArray[np.bool_]:
        """Whether what would happen after each event had happened when its label was read."""
        length, count = length_of(maturity), len(self._tested)
        read = snapshot_of(maturity) if maturity.snapshot_at is not None else READ_AT * (1e6 if maturity.timed else 1.0)
        events = read - PERIODS * length * self._rng("event", maturity.event).random(count)
        if isinstance(validation := self._schema.data.validation, Time) and validation.column == maturity.event:
            # Those held out are the latest.
            for rows in (~self._tested, self._tested):
                events[rows] = np.sort(events[rows])
        self._time(maturity.event, maturity, events)
        reads = np.full(count, float(read))
        if maturity.snapshot is not None:
            reads[self._tested] += length
            self._time(maturity.snapshot, maturity, reads)
        shares = self._rng("delay", stage).random(count)
        # Exponential, cut off where the period ends.
        delays = -MEAN_DELAY * np.log1p(-shares * -np.expm1(-1 / MEAN_DELAY)) * length
        return np.asarray(events + delays <= reads)

    def _time(self, column: str, maturity: Maturity, amounts: Floats) -> None:
        features = [f.name for f in features_of(self._schema, FACTS) if f.column_name == column]
        if features:
            message = f"column {column!r}: got the feature {features[0]!r} and times of labels, expected one of the two."
            raise DataError(f"{message} Simulate another schema.")
        whole = pl.Series(amounts.round().astype(np.int64))
        series = whole.cast(pl.Datetime("us", "UTC")) if maturity.timed else whole
        if column in self.columns and not self.columns[column].series.equals(series):
            raise DataError(
                f"column {column!r}: got times for two periods or snapshots, expected one. Simulate another schema."
            )
        self.columns[column] = Column(series)
