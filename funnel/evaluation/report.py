"""The report: per stage, how well it ranks and how well it is calibrated, each over a named sample space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.curves import Curves, curves_of
from funnel.evaluation.intervals import LEVEL
from funnel.evaluation.outcomes import Outcomes
from funnel.evaluation.scores import Measured, Scores, measure, with_intervals
from funnel.evaluation.slices import Cut
from funnel.evaluation.steps import Loss, Step, losses, steps
from funnel.evaluation.truth import Truth, against_truth
from funnel.showing import html_of

Floats = NDArray[np.float64]

SURE = 3.3 / 1.96  # half widths: one in a thousand by chance, since parts are many

Kind = Literal["cumulative", "conditional"]
KINDS: tuple[Kind, Kind] = ("cumulative", "conditional")


@dataclass(frozen=True)
class Slice:
    """The scores of a part of the rows.

    Attributes:
        value: What the column says of them.
        rows: How many.
        share: Of all rows.
        cumulative: By stage.
        conditional: By stage.
        funnel: By stage: how many rows reach it.
        lost: By stage: at which steps its rate differs from that of all rows.
    """

    value: str
    rows: int
    share: float
    cumulative: dict[str, Scores]
    conditional: dict[str, Scores]
    funnel: tuple[Step, ...]
    lost: dict[str, tuple[Loss, ...]]


@dataclass(frozen=True)
class Worst:
    """A part of the rows in which a figure is surely worse than over all of them.

    Attributes:
        column: What the rows are parted by.
        value: What it says of these.
        probability: Which is judged.
        stage: Whose it is.
        kind: `cumulative` or `conditional`.
        measure: The figure: `auc`, or `predicted_over_observed`.
        score: Here.
        whole: Over all rows.
        low: Lower end of the interval here.
        high: Upper end.
        rows: How many.
        positives: How many of them reached the stage.
    """

    column: str
    value: str
    probability: str
    stage: str
    kind: Kind
    measure: str
    score: float
    whole: float
    low: float
    high: float
    rows: int
    positives: int


@dataclass(frozen=True)
class Report:
    """The scores of all stages.

    Attributes:
        space: What one row is.
        rows: How many.
        conditional: By stage: P(stage | parent, x), on the parent's rows.
        cumulative: By stage: P(stage | x), on all rows.
        constant: Stages whose conditional predictions are the same for all rows: they have collapsed.
        funnel: By stage: how many rows reach it, observed and predicted.
        curves: `cumulative` and `conditional`, each by stage: ROC and calibration.
        slices: By column: the same for parts of the rows.
        truth: By stage: its conditional against the true probabilities, where these are known.
        group_by: What the rows are grouped by; None where no groups are declared.
        drawn: How many groups, or rows, the intervals' bootstrap draws from.
        weighted: Whether rows count for several.
        level: Of the intervals.
    """

    space: str
    rows: int
    conditional: dict[str, Scores]
    cumulative: dict[str, Scores]
    constant: tuple[str, ...] = ()
    funnel: tuple[Step, ...] = ()
    curves: dict[str, dict[str, Curves]] = field(default_factory=dict)
    slices: dict[str, tuple[Slice, ...]] = field(default_factory=dict)
    truth: dict[str, Truth] | None = None
    group_by: str | None = None
    drawn: int = 0
    weighted: bool = False
    level: float = LEVEL

    def __repr__(self) -> str:
        areas = ", ".join(f"{one.name} {one.auc:.4f}" for one in self.probabilities)
        return f"<Report on {self.rows:,} rows: AUC {areas}>"

    def _repr_html_(self) -> str:
        return html_of(self)

    @property
    def probabilities(self) -> tuple[Scores, ...]:
        """The scores of each probability once: the cumulatives, then the conditionals that are others."""
        found = {one.name: one for scores in (self.cumulative, self.conditional) for one in scores.values()}
        return tuple(found.values())

    @property
    def worst(self) -> tuple[Worst, ...]:
        """The parts of the rows whose figures are surely worse than those of all rows, the worst first."""
        found = [(by, one) for column, parts in self.slices.items() for part in parts for by, one in self._worse(column, part)]
        return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: undefined scores are null."""
        tree = asdict(self)
        drawn = {"unit": self.group_by or self.space, "count": self.drawn}
        return without_nan(tree | {"drawn": drawn, "worst": [asdict(one) for one in self.worst]})

    def _worse(self, column: str, part: Slice) -> Iterator[tuple[float, Worst]]:
        """The figures that are worse in a part, each with how many half widths of its interval it is away."""
        for kind in KINDS:
            for stage, scores in getattr(part, kind).items():
                whole = getattr(self, kind)[stage]
                if kind == "conditional" and scores.name == part.cumulative[stage].name:
                    continue
                for figure in ("auc", "predicted_over_observed"):
                    away = _away(figure, scores, getattr(whole, figure))
                    if away > SURE:
                        low, high = scores.intervals[figure]
                        yield (
                            away,
                            Worst(
                                column=column,
                                value=part.value,
                                probability=scores.name,
                                stage=stage,
                                kind=kind,
                                measure=figure,
                                score=getattr(scores, figure),
                                whole=getattr(whole, figure),
                                low=low,
                                high=high,
                                rows=scores.rows,
                                positives=scores.positives,
                            ),
                        )


def _away(figure: str, scores: Scores, whole: float) -> float:
    """How many half widths of its interval a figure is on the wrong side of the whole's; at most 0 on the right one."""
    if figure not in scores.intervals or not math.isfinite(whole):
        return 0.0
    low, high = scores.intervals[figure]
    score = getattr(scores, figure)
    if figure == "auc":
        return (whole - score) / (high - score) if high > score else 0.0
    # Worse is what is further from 1, on either side, than the whole is.
    if score <= 0 or low <= 0 or abs(math.log(score)) <= abs(math.log(whole)):
        return 0.0
    nearest, target = (low, max(whole, 1.0)) if score > 1 else (high, min(whole, 1.0))
    width = abs(math.log(score / nearest))
    return abs(math.log(score / target)) / width if width > 0 else 0.0


def without_nan(value: Any) -> Any:
    """A tree as JSON can have it: undefined numbers are null."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(
    outcomes: Outcomes,
    *,
    constant: Sequence[str] = (),
    cuts: Sequence[Cut] = (),
    truth: Floats | None = None,
    group_by: str | None = None,
    brief: bool = False,
) -> Report:
    """Score every stage twice, each time on the rows of which it is known; for cumulatives these stand for the others, too.

    Args:
        outcomes: What was predicted and what happened. Rows and positives are not weighed.
        constant: Stages that have collapsed.
        cuts: Columns whose parts are judged, too.
        truth: The true probability of each conditional: [rows, stages].
        group_by: What `outcomes.groups` are.
        brief: Figures only: no intervals, no curves.
    """
    clusters = 0 if outcomes.clusters is None else int(outcomes.clusters.max(initial=-1)) + 1
    names = outcomes.names
    whole, curves = _measured(outcomes, clusters, curves=not brief)
    funnel = _funnel(outcomes)
    parts = [(one.column, _part(value, outcomes, rows, clusters)) for one in cuts for value, rows in one]
    everything = [whole, *(part.measured for _, part in parts)]
    # A stage that nothing precedes has one probability under both kinds.
    once = {id(one): one for by_kind in everything for kind in KINDS for one in by_kind[kind].values()}
    scores = (
        with_intervals(list(once.values()), clusters) if outcomes.clusters is not None else (m.scores for m in once.values())
    )
    scored = dict(zip(once, scores, strict=True))
    (cumulative, conditional), *of_parts = (
        tuple({stage: scored[id(one)] for stage, one in by_kind[kind].items()} for kind in KINDS) for by_kind in everything
    )
    slices: dict[str, tuple[Slice, ...]] = {one.column: () for one in cuts}
    for (column, part), (above, given) in zip(parts, of_parts, strict=True):
        share = part.rows / outcomes.rows
        lost = losses(part.funnel, funnel)
        slices[column] += (Slice(part.value, part.rows, share, above, given, part.funnel, lost),)
    near = None
    if truth is not None and outcomes.clusters is not None:
        near = against_truth(outcomes, truth)
    return Report(
        space=names.space,
        rows=outcomes.rows,
        conditional=conditional,
        cumulative=cumulative,
        constant=tuple(constant),
        funnel=funnel,
        curves=curves,
        slices=slices,
        truth=near,
        group_by=group_by,
        drawn=outcomes.drawn,
        weighted=outcomes.weights is not None,
    )


ByKind = dict[Kind, dict[str, Measured]]


@dataclass(frozen=True)
class _Part:
    value: str
    rows: int
    measured: ByKind
    funnel: tuple[Step, ...]


def _part(value: str, outcomes: Outcomes, rows: NDArray[np.int64], clusters: int) -> _Part:
    here = outcomes.only(rows)
    return _Part(value, here.rows, _measured(here, clusters, curves=False)[0], _funnel(here))


def _measured(outcomes: Outcomes, clusters: int, *, curves: bool) -> tuple[ByKind, dict[str, dict[str, Curves]]]:
    """Both probabilities of each stage; those of a stage that nothing precedes are one."""
    names = outcomes.names
    found: ByKind = {"cumulative": {}, "conditional": {}}
    drawn: dict[str, dict[str, Curves]] = {"cumulative": {}, "conditional": {}} if curves else {}
    for stage, name in enumerate(names.stages):
        for kind in KINDS:
            if kind == "conditional" and names.conditionals[stage] == name:
                found[kind][name] = found["cumulative"][name]
                if curves:
                    drawn[kind][name] = drawn["cumulative"][name]
                continue
            found[kind][name], lines = measured(outcomes, kind, stage, clusters, curves=curves)
            if lines is not None:
                drawn[kind][name] = lines
    return found, drawn


def measured(
    outcomes: Outcomes, kind: Kind, stage: int, clusters: int, *, curves: bool = False
) -> tuple[Measured, Curves | None]:
    """One probability of a stage, without its rows in their order; and its curves, if they are wanted."""
    names = outcomes.names
    if kind == "cumulative":
        one = measure(names.stages[stage], names.space, outcomes.all(stage), clusters)
    else:
        one = measure(names.conditionals[stage], names.conditional_spaces[stage], outcomes.given(stage), clusters)
    lines = curves_of(one.ranked, one.bins) if curves and one.ranked is not None else None
    return one.without_order(), lines


def _funnel(outcomes: Outcomes) -> tuple[Step, ...]:
    names = outcomes.names
    observed, predicted = zip(*(outcomes.rates(stage) for stage in range(len(names.stages))), strict=True)
    return steps(names.stages, names.topology, observed, predicted, outcomes.mass)
