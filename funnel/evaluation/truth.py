"""True probabilities, where rows were simulated: what no label can show, since rows without the parent have no outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import ABSENT
from funnel.errors import DataError
from funnel.evaluation.bootstrap import pooled
from funnel.evaluation.influence import auc_influence, calibration_influence
from funnel.evaluation.intervals import Estimate, Interval, intervals
from funnel.evaluation.outcomes import Outcomes
from funnel.locations.location import Location, location
from funnel.locations.transfer import fetched

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """A conditional against its true values, over all rows of the space that have the stage, also those without the parent.

    Attributes:
        name: The probability.
        rows: How many.
        auc: How well it ranks outcomes that were drawn with the true probabilities, in the mean over the draws.
        auc_of_truth: How well the true probabilities themselves do: no model does better.
        predicted_over_true: Sum of the predictions over that of the true probabilities.
        mean_absolute_error: Of the predictions, from the true probabilities.
        correlation: Of both (Pearson's); NaN where one of them is constant.
        intervals: Of `auc` and `predicted_over_true`.
    """

    name: str
    rows: int
    auc: float
    auc_of_truth: float
    predicted_over_true: float
    mean_absolute_error: float
    correlation: float
    intervals: dict[str, Interval]


def read_truth(path: str | Location, names: Sequence[str], positions: NDArray[np.int64], read: int) -> Floats:
    """True probabilities of rows, as `funnel simulate` writes them: Parquet, a row for each of the data's, a column for each.

    Args:
        path: The file, or its URL.
        names: The columns: the conditionals.
        positions: Where each wanted row stood among those that were read.
        read: How many were read.

    Returns:
        float64 [rows, names].

    Raises:
        DataError: It cannot be read, or is of other rows.
    """
    with fetched(location(path)) as copy:
        try:
            frame = pl.read_parquet(copy)
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{copy}: cannot be read: {reason}. Give the Parquet file of the truth.") from None
    lacking = [name for name in names if name not in frame.columns]
    if lacking or frame.height != read:
        got = f"no column {lacking[0]!r}" if lacking else f"{frame.height:,} rows for {read:,} rows of data"
        raise DataError(f"{path}: has {got}: it is of other rows. Give the truth of these.")
    found = frame[positions].select(names).to_numpy().astype(np.float64, copy=False)
    if not ((found >= 0) & (found <= 1)).all():
        raise DataError(
            f"{path}: has values that are not between 0 and 1, expected probabilities. Give the truth of these rows."
        )
    return found


def against_truth(outcomes: Outcomes, truth: Floats) -> dict[str, Truth]:
    """By stage: how near its conditional is to the truth.

    Args:
        outcomes: The rows, with clusters.
        truth: The true probability of each stage's conditional: [rows, stages].
    """
    near = {stage: measure_truth(outcomes, place, truth[:, place]) for place, stage in enumerate(outcomes.names.stages)}
    return {stage: truth_ for stage, (truth_, _) in near.items()}


def measure_truth(outcomes: Outcomes, stage: int, true: Floats) -> tuple[Truth, dict[str, Estimate]]:
    """How near one conditional is to the truth, with its intervals, and what these were drawn from.

    Args:
        outcomes: The rows, with clusters.
        stage: Whose conditional.
        true: Its true values: [rows].
    """
    if outcomes.clusters is None:
        raise ValueError("got rows without clusters, expected some.")
    count = int(outcomes.clusters.max(initial=-1)) + 1
    there = outcomes.labels[:, stage] != ABSENT
    if not there.all():
        outcomes, true = outcomes.only(there), true[there]
    clusters, weights = outcomes.clusters, outcomes.weights
    assert clusters is not None  # noqa: S101  # for the type checker
    mass = np.ones(len(true)) if weights is None else weights
    name = outcomes.names.conditionals[stage]
    predicted = outcomes.chances[name].astype(np.float64)
    area, of_area = auc_influence(true, predicted, weights)
    ratio, of_ratio = calibration_influence(true, predicted, weights)
    estimates = {
        "auc": Estimate(area, pooled(of_area, clusters), "share"),
        "predicted_over_true": Estimate(ratio, pooled(of_ratio, clusters), "ratio"),
    }
    ends = dict(zip(estimates, intervals(list(estimates.values()), count), strict=True))
    found = Truth(
        name=name,
        rows=len(true),
        auc=area,
        auc_of_truth=auc_influence(true, true, weights)[0],
        predicted_over_true=ratio,
        mean_absolute_error=float(np.average(np.abs(predicted - true), weights=mass)) if len(true) else float("nan"),
        correlation=_correlation(true, predicted, mass),
        intervals={figure: pair for figure, pair in ends.items() if pair is not None},
    )
    return found, estimates


def _correlation(one: Floats, other: Floats, mass: Floats) -> float:
    if not mass.sum() > 0:
        return float("nan")
    first, second = (values - np.average(values, weights=mass) for values in (one, other))
    spread = float((mass * first**2).sum() * (mass * second**2).sum())
    return float((mass * first * second).sum() / spread**0.5) if spread > 0 else float("nan")
