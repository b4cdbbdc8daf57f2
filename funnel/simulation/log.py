"""What a log has of the labels: not those that came after it was read, nor those that it lost, nor rows that it threw away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import UNKNOWN, make_consistent
from funnel.data.maturity import length_of, matured
from funnel.data.sampling import keep_rates
from funnel.schema.funnel_schema import FunnelSchema
from funnel.simulation.clock import Clock
from funnel.simulation.column import Column, Columns
from funnel.simulation.draws import Draws

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Log:
    """Labels as they are written.

    Attributes:
        columns: Of the facts, null where a label was lost.
        labels: As they will be read: 0, 1, UNKNOWN or ABSENT: uint8 [facts, stages].
        kept: Whether a row is kept where rows are sampled: [facts].
    """

    columns: Columns
    labels: Labels
    kept: NDArray[np.bool_]


def log_of(
    schema: FunnelSchema,
    labels: Labels,
    clock: Clock,
    draws: Draws,
    unknown: float,
    *,
    absent: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
) -> Log:
    """Write down what is known.

    Args:
        schema: The declaration.
        labels: What has happened, or will have in the end: uint8 [facts, stages].
        clock: When the labels are read.
        draws: What is not known is a pure function of this, too.
        unknown: The share of rows without a label, for each column of labels that only stages given another one read.
        absent: By stage that some facts lack: which do, [facts].
    """
    labels = labels.copy()
    for position, name in enumerate(schema.stage_names):
        if name in absent:
            labels[absent[name], position] = 0
    shown = _shown(schema, labels, clock, draws)
    written: dict[str, Labels] = {}
    for position, stage in enumerate(schema.stages):
        if stage.label is not None:
            written[stage.label] = written.get(stage.label, shown[:, position]) | shown[:, position]
    columns: Columns = {}
    for name, column in written.items():
        readers = [place for place, stage in enumerate(schema.stages) if stage.label == name]
        lost = draws.of("unknown", name).random(len(labels)) < unknown
        lost &= all(schema.topology[place].parent >= 0 for place in readers)
        lost |= np.all([absent.get(schema.stage_names[place], np.zeros(len(labels), bool)) for place in readers], axis=0)
        columns[name] = Column(pl.Series(column).set(pl.Series(lost), None) if lost.any() else pl.Series(column))
        written[name] = np.where(lost, np.uint8(UNKNOWN), column)
    known = _as_read(schema, written, clock, absent)
    # By what can be read, so that whoever reads it knows at what rate a row was kept.
    kept = draws.of("kept").random(len(labels)) < keep_rates(schema, known)
    return Log(columns, known, kept)


def _shown(schema: FunnelSchema, labels: Labels, clock: Clock, draws: Draws) -> Labels:
    """The labels that were there when they were read: uint8 [facts, stages].

    A stage was there, at the latest, when one that comes after it was.
    """
    happened = labels == 1
    shown = np.zeros_like(happened)
    for position, (stage, place) in reversed(list(enumerate(zip(schema.stages, schema.topology, strict=True)))):
        own = shown[:, position]
        if place.is_join:
            branches = list(place.branches)
            shown[:, branches] |= own[:, None] & happened[:, branches]
        elif (maturity := stage.matures_after) is not None:
            delays = _delays(draws.of("delay", stage.name), len(labels), length_of(maturity))
            own |= happened[:, position] & (delays <= clock.ages[stage.name])
        else:
            own |= happened[:, position]
        if place.parent >= 0:
            shown[:, place.parent] |= own
    return shown.astype(np.uint8)


def _delays(rng: np.random.Generator, size: int, period: float) -> NDArray[np.float64]:
    """From the event to the stage: exponential, of a mean of a third of the period, cut off at its end: [size]."""
    mean = period / 3
    return np.minimum(-mean * np.log1p(rng.random(size) * np.expm1(-period / mean)), period)


def _as_read(schema: FunnelSchema, written: dict[str, Labels], clock: Clock, absent: Mapping[str, NDArray[np.bool_]]) -> Labels:
    """What will be known of each stage: uint8 [facts, stages]."""
    read: dict[str, Labels] = {}
    for stage in schema.stages:
        if stage.label is not None:
            read[stage.name] = written[stage.label]
            if (maturity := stage.matures_after) is not None:
                young = clock.ages[stage.name] < length_of(maturity)
                read[stage.name] = matured(read[stage.name], young, maturity)
    return make_consistent(schema, read, _row, absent).labels


def _row(row: int) -> str:
    return f"simulated row {row}"


def rows_by_stage(schema: FunnelSchema, labels: NDArray[Any], value: int) -> dict[str, int]:
    """How many rows have a label, by stage."""
    return {name: int((column == value).sum()) for name, column in zip(schema.stage_names, labels.T, strict=True)}
