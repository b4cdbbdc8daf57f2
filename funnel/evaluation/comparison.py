"""Runs judged on the same rows: by how much their figures differ, and how sure that is.

Figures of two runs on the same rows err together: a hard user is hard for both. Resamples of rows are therefore drawn once for
all runs, and the interval is that of the difference, which is far narrower than the intervals of the two would suggest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from funnel.evaluation.intervals import LEVEL, Estimate, intervals
from funnel.evaluation.outcomes import Floats, Outcomes
from funnel.evaluation.report import Kind, measured, without_nan
from funnel.evaluation.scores import Scores, with_intervals
from funnel.evaluation.slices import Cut
from funnel.evaluation.truth import Truth, measure_truth


@dataclass(frozen=True)
class Change:
    """By how much a figure of a run is greater than that of the first run.

    Attributes:
        value: The difference.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Compared:
    """One probability, as every run predicts it.

    Attributes:
        name: The probability.
        stage: Whose it is.
        kind: `cumulative` or `conditional`.
        space: The rows that it is judged on.
        scores: By run.
        changes: By run, by figure; nothing for the first run, and where a figure has no interval.
    """

    name: str
    stage: str
    kind: Kind
    space: str
    scores: tuple[Scores, ...]
    changes: tuple[dict[str, Change], ...]


@dataclass(frozen=True)
class ComparedTruth:
    """One conditional against its true values over all rows, as every run predicts it.

    Attributes:
        name: The probability.
        stage: Whose it is.
        scores: By run.
        changes: By run, by figure.
    """

    name: str
    stage: str
    scores: tuple[Truth, ...]
    changes: tuple[dict[str, Change], ...]


@dataclass(frozen=True)
class ComparedSlice:
    """A part of the rows.

    Attributes:
        value: What the column says of them.
        rows: How many.
        share: Of all rows.
        probabilities: Those of the whole.
    """

    value: str
    rows: int
    share: float
    probabilities: tuple[Compared, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs on the same rows; differences are to the first.

    Attributes:
        runs: What they are called.
        data: Where the rows are from.
        split: Which of them.
        space: What one row is.
        rows: How many.
        left_out: Rows that one of the runs could not use.
        alone: Probabilities that not all runs have: they are not compared.
        probabilities: Those that all have, in the order of the first run's stages.
        slices: By column.
        truth: Where the true probabilities are known.
        group_by: What the rows are grouped by; None where no groups are declared.
        drawn: How many groups, or rows, the bootstrap draws from.
        weighted: Whether rows count for several.
        level: Of the intervals.
    """

    runs: tuple[str, ...]
    data: str
    split: str
    space: str
    rows: int
    left_out: int
    alone: tuple[str, ...]
    probabilities: tuple[Compared, ...]
    slices: dict[str, tuple[ComparedSlice, ...]]
    truth: tuple[ComparedTruth, ...] | None
    group_by: str | None
    drawn: int
    weighted: bool
    level: float = LEVEL

    def as_dict(self) -> dict[str, Any]:
        """For JSON: undefined scores are null."""
        tree = asdict(self) | {"drawn": {"unit": self.group_by or self.space, "count": self.drawn}}
        return without_nan(tree)


def compare_probabilities(outcomes: Sequence[Outcomes], shared: Collection[str]) -> tuple[Compared, ...]:
    """Judge every run on the rows of the first.

    Args:
        outcomes: By run: the same rows, labels, weights, groups and clusters, under the names of the first.
        shared: The probabilities that all runs have.
    """
    count = clusters_in(outcomes[0])
    places = [place for place in _places(outcomes[0]) if place[1] in shared]
    by_place = [[measured(one, kind, stage, count)[0] for one in outcomes] for kind, _, stage in places]
    scores = list(with_intervals([one for by_run in by_place for one in by_run], count))
    changes = changes_of([[one.estimates for one in by_run] for by_run in by_place], count)
    names, runs = outcomes[0].names, len(outcomes)
    return tuple(
        Compared(
            name=name,
            stage=names.stages[stage],
            kind=kind,
            space=names.space if kind == "cumulative" else names.conditional_spaces[stage],
            scores=tuple(scores[number * runs : (number + 1) * runs]),
            changes=changed,
        )
        for number, ((kind, name, stage), changed) in enumerate(zip(places, changes, strict=True))
    )


def compare_slices(outcomes: Sequence[Outcomes], shared: Collection[str], parts: Cut) -> tuple[ComparedSlice, ...]:
    """The same for the rows of each value of a column."""
    total = outcomes[0].rows
    return tuple(
        ComparedSlice(value, len(rows), len(rows) / total, compare_probabilities([one.only(rows) for one in outcomes], shared))
        for value, rows in parts
    )


def compare_truth(outcomes: Sequence[Outcomes], shared: Collection[str], truth: Floats) -> tuple[ComparedTruth, ...]:
    """The conditionals against their true values, over all rows.

    Args:
        outcomes: By run.
        shared: The probabilities that all runs have.
        truth: [rows, stages].
    """
    names = outcomes[0].names
    stages = [stage for stage, name in enumerate(names.conditionals) if name in shared]
    near = [[measure_truth(one, stage, truth[:, stage]) for one in outcomes] for stage in stages]
    changes = changes_of([[estimates for _, estimates in by_run] for by_run in near], clusters_in(outcomes[0]))
    return tuple(
        ComparedTruth(names.conditionals[stage], names.stages[stage], tuple(scores for scores, _ in by_run), changed)
        for stage, by_run, changed in zip(stages, near, changes, strict=True)
    )


def changes_of(estimates: Sequence[Sequence[Mapping[str, Estimate]]], clusters: int) -> list[tuple[dict[str, Change], ...]]:
    """By subject and run, by figure: how far the figure is from that of the first run.

    Args:
        estimates: By subject, run and figure.
        clusters: How many there are.
    """
    wanted = [
        (subject, run, figure, Estimate(there.value - one.value, there.influence - one.influence, "change"))
        for subject, (first, *others) in enumerate(estimates)
        for run, other in enumerate(others, start=1)
        for figure, one in first.items()
        if (there := other.get(figure)) is not None
    ]
    found: list[tuple[dict[str, Change], ...]] = [tuple({} for _ in by_run) for by_run in estimates]
    ends = intervals([estimate for *_, estimate in wanted], clusters)
    for (subject, run, figure, estimate), pair in zip(wanted, ends, strict=True):
        if pair is not None and math.isfinite(estimate.value):
            found[subject][run][figure] = Change(estimate.value, *pair)
    return found


def clusters_in(outcomes: Outcomes) -> int:
    """How many clusters the bootstrap draws from."""
    if outcomes.clusters is None:
        raise ValueError("got rows without clusters, expected some.")
    return int(outcomes.clusters.max(initial=-1)) + 1


def _places(outcomes: Outcomes) -> Iterator[tuple[Kind, str, int]]:
    """Every probability once: kind, name and stage."""
    names = outcomes.names
    for stage, (reached, given) in enumerate(zip(names.stages, names.conditionals, strict=True)):
        yield "cumulative", reached, stage
        if given != reached:
            yield "conditional", given, stage
