"""How much each feature matters: by how much figures get worse when its values are dealt out anew among rows.

Breiman, 2001 (section 10); as a property of a model, Fisher et al., 2019 (model reliance). What a row says of the feature is
then that of another row, drawn as often as there are such rows, and has nothing to do any more with what happened, nor with the
row's other features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.drawn import dealt
from funnel.data.progress import Progress, Watch
from funnel.data.star import Star
from funnel.evaluation.comparison import Change, clusters_in
from funnel.evaluation.gather import gather
from funnel.evaluation.intervals import LEVEL, Estimate, intervals
from funnel.evaluation.outcomes import Outcomes
from funnel.evaluation.predict import columns
from funnel.evaluation.report import Kind, measured, without_nan
from funnel.evaluation.scores import Measured
from funnel.model.funnel_model import FunnelModel
from funnel.run_files import IMPORTANCE_FORMAT
from funnel.schema.features import Cross
from funnel.schema.funnel_schema import FunnelSchema

ROWS, REPEATS = 20_000, 3
# By figure: which sign of its change is a loss.
WORSE = {"log_loss": 1.0, "auc": -1.0}


@dataclass(frozen=True)
class Reliance:
    """What one probability loses without each feature.

    Attributes:
        name: The probability: `buy`, `buy_given_click`.
        stage: Whose it is.
        kind: `cumulative` or `conditional`.
        space: The rows that it is judged on.
        rows: How many.
        positives: How many of them reached the stage.
        figures: `log_loss` and `auc` with every feature in its place.
        lost: By feature, by figure: how much worse it gets, above 0 where the feature is of use; where the figure is defined.
    """

    name: str
    stage: str
    kind: Kind
    space: str
    rows: int
    positives: int
    figures: dict[str, float]
    lost: dict[str, dict[str, Change]]


@dataclass(frozen=True)
class Importance:
    """How much a model's probabilities owe to each of its features.

    Attributes:
        data: Where the rows are from.
        split: Which of them.
        space: What one row is.
        rows: How many were looked at.
        of: Of how many.
        repeats: How often each feature's values were dealt out; losses are means.
        seed: Of the rows, and of how values were dealt out.
        together: By feature: the crosses that it is a part of, whose values were dealt out with its own.
        probabilities: Every probability, once.
        group_by: What the rows are grouped by; None where no groups are declared.
        drawn: How many groups, or rows, the intervals' bootstrap draws from.
        weighted: Whether rows count for several.
        level: Of the intervals.
    """

    data: str
    split: str
    space: str
    rows: int
    of: int
    repeats: int
    seed: int
    together: dict[str, tuple[str, ...]]
    probabilities: tuple[Reliance, ...]
    group_by: str | None
    drawn: int
    weighted: bool
    level: float = LEVEL

    @property
    def order(self) -> tuple[str, ...]:
        """The features: first those without which some probability's log loss grows most, as a share of itself."""
        shares = {
            name: max(
                (one.lost[name]["log_loss"].value / one.figures["log_loss"] for one in self._judged(name)), default=-np.inf
            )
            for name in self.together
        }
        return tuple(sorted(shares, key=lambda name: -shares[name]))

    @property
    def unneeded(self) -> tuple[str, ...]:
        """The features of which no figure of any probability says that they are surely of use."""
        return tuple(
            name
            for name in self.order
            if not any(change.low > 0 for one in self.probabilities for change in one.lost[name].values())
        )

    def _judged(self, name: str) -> list[Reliance]:
        return [one for one in self.probabilities if "log_loss" in one.lost[name] and one.figures["log_loss"] > 0]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, as `importance.json` has it: undefined figures are null."""
        tree = asdict(self) | {"drawn": {"unit": self.group_by or self.space, "count": self.drawn}}
        found = {"format": IMPORTANCE_FORMAT, "order": self.order, "unneeded": self.unneeded}
        return dict(without_nan(found | tree))


def measure_importance(
    model: FunnelModel,
    star: Star,
    logits: Callable[[Star], NDArray[Any]],
    *,
    of: int,
    data: str,
    split: str,
    sampled: bool = False,
    repeats: int = REPEATS,
    seed: int = 0,
    watch: Watch = lambda _: None,
) -> Importance:
    """Deal out the values of each feature, and judge what the model then says.

    Args:
        model: The model.
        star: Rows with labels.
        logits: Its conditional logits of a star's facts.
        of: How many rows there are, of which these were drawn.
        data: Where they are from.
        split: Which they are.
        sampled: Whether they were sampled as the schema says: each then counts for all that it stands for.
        repeats: How often.
        seed: Of how.
        watch: Called with each Progress.

    Raises:
        DataError: The rows have no labels.
    """
    schema = model.schema
    usual = gather(model, [star], logits, sampled=sampled).outcomes
    together = {feature.name: _crosses(schema, feature.name) for feature in schema.features}
    orders = [np.random.default_rng([seed, number]).permutation(star.rows) for number in range(repeats)]

    def without(name: str) -> Iterator[Outcomes]:
        for order in orders:
            parts = [logits(part) for part in _pieces(star, {name, *together[name]}, order, schema.evaluate.batch_size)]
            found = np.concatenate(parts)
            yield replace(usual, logits=found, chances=columns(model, found))

    lost: dict[str, list[dict[str, Estimate]]] = {}
    first = _measured(usual)
    for number, name in enumerate(together):
        watch(Progress("features", number, len(together), "features"))
        lost[name] = losses([one.estimates for one in first], [[m.estimates for m in _measured(one)] for one in without(name)])
    watch(Progress("features", len(together), len(together), "features"))
    return Importance(
        data=data,
        split=split,
        space=schema.space,
        rows=star.rows,
        of=of,
        repeats=repeats,
        seed=seed,
        together=together,
        probabilities=_reliances(usual, first, lost),
        group_by=schema.evaluate.group_by,
        drawn=usual.drawn,
        weighted=sampled,
    )


def losses(
    usual: Sequence[Mapping[str, Estimate]], without: Sequence[Sequence[Mapping[str, Estimate]]]
) -> list[dict[str, Estimate]]:
    """By probability, by figure: how much worse it is without a feature, in the mean over the repeats.

    Args:
        usual: By probability: its figures with the feature.
        without: By repeat, by probability: likewise without it.
    """
    found: list[dict[str, Estimate]] = []
    for place, figures in enumerate(usual):
        each = [one[place] for one in without]
        found.append({})
        for figure, sign in WORSE.items():
            if figure in figures and all(figure in one for one in each):
                before, after = figures[figure], [one[figure] for one in each]
                value = sign * (float(np.mean([one.value for one in after])) - before.value)
                influence = sign * (np.mean([one.influence for one in after], axis=0) - before.influence)
                found[-1][figure] = Estimate(value, influence, "change")
    return found


def _crosses(schema: FunnelSchema, name: str) -> tuple[str, ...]:
    return tuple(cross.name for cross in schema.features if isinstance(cross, Cross) and name in cross.of)


def _pieces(star: Star, features: set[str], order: NDArray[np.int64], size: int) -> Iterator[Star]:
    """All facts, some at a time: a dimension with a row for each of many facts would be long."""
    for begin in range(0, star.rows, size):
        rows = np.arange(begin, min(begin + size, star.rows))
        yield dealt(star, features, rows, order[rows])


def _places(outcomes: Outcomes) -> Iterator[tuple[Kind, int]]:
    """Every probability once."""
    names = outcomes.names
    for stage, (reached, given) in enumerate(zip(names.stages, names.conditionals, strict=True)):
        yield "cumulative", stage
        if given != reached:
            yield "conditional", stage


def _measured(outcomes: Outcomes) -> list[Measured]:
    clusters = clusters_in(outcomes)
    return [measured(outcomes, kind, stage, clusters)[0] for kind, stage in _places(outcomes)]


def _reliances(
    outcomes: Outcomes, measures: Sequence[Measured], lost: Mapping[str, Sequence[Mapping[str, Estimate]]]
) -> tuple[Reliance, ...]:
    """All intervals are of the same resamples."""
    flat = [
        (place, name, figure, estimate)
        for name, by_place in lost.items()
        for place, figures in enumerate(by_place)
        for figure, estimate in figures.items()
    ]
    ends = intervals([estimate for *_, estimate in flat], clusters_in(outcomes))
    found: list[dict[str, dict[str, Change]]] = [{name: {} for name in lost} for _ in measures]
    for (place, name, figure, estimate), pair in zip(flat, ends, strict=True):
        if pair is not None:
            found[place][name][figure] = Change(estimate.value, *pair)
    return tuple(
        Reliance(
            name=one.scores.name,
            stage=outcomes.names.stages[stage],
            kind=kind,
            space=one.scores.space,
            rows=one.scores.rows,
            positives=one.scores.positives,
            figures={figure: getattr(one.scores, figure) for figure in WORSE},
            lost=changes,
        )
        for (kind, stage), one, changes in zip(_places(outcomes), measures, found, strict=True)
    )
