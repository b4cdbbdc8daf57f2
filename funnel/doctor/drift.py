"""Whether the test rows are still what the training rows were."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.holdout import group_of
from funnel.data.progress import Progress, Watch
from funnel.data.sampling import is_sampled
from funnel.data.store import Store
from funnel.doctor.checkup import StageRows
from funnel.doctor.finding import Finding, differ
from funnel.doctor.sample import Sample
from funnel.doctor.stages import training_spaces
from funnel.doctor.tallies import MOST_ENTRIES, owners, weighed
from funnel.schema.data import Fraction
from funnel.schema.features import Bag
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import FIRST

SHARE, INDEX, FACTOR = 0.1, 0.25, 2.0
BINS, IDS = 10, 62  # of numbers; the most frequent ids, the rest being one


def drift_findings(
    schema: FunnelSchema, store: Store, train: Sample, by_stage: dict[str, StageRows], watch: Watch
) -> Iterator[Finding]:
    """Compare the test rows with the training rows; nothing where there are none."""
    test = store.manifest["splits"].get("test")
    if test is None:
        return
    learnt_from = store.manifest["splits"]["train"]
    drawn = Sample(schema, store, "test")
    for done, feature in enumerate(schema.features, 1):
        watch(Progress("comparing with the test rows", done, len(schema.features), "features"))
        changes = [*_shares(schema, feature, learnt_from, test), *_moved(feature, train, drawn)]
        if changes:
            message = (
                f"drift: {'; '.join(changes)}. Does the column mean the same in both? If so, train on rows nearer in time, "
                "or expect less of the feature."
            )
            yield Finding("warning", f"feature {feature.name}", message)
    for name, stage in by_stage.items():
        first = _Rate.of(training_spaces(schema, store, name), sampled=is_sampled(schema, "train"))
        second = _Rate.of([test["spaces"][name]], sampled=is_sampled(schema, "test", store.manifest))
        if not differ(first.rate * first.rows, first.rows, second.rate * second.rows, second.rows):
            continue
        if not 1 / FACTOR <= (second.rate + 1e-12) / (first.rate + 1e-12) <= FACTOR:
            message = (
                f"drift: {second.rate:.4g} of {second.shown} test rows of {stage.given} reach it, {first.rate:.4g} of "
                f"{first.shown} training rows; expected less than a factor of {FACTOR:g} between the two. Make sure that both "
                "are counted in the same way, and that neither is sampled"
                + (" otherwise than declared." if schema.sampling else ".")
            )
            yield Finding("warning", f"stage {name}", message)


@dataclass(frozen=True)
class _Rate:
    """The rate of a stage among all rows of its conditional, those thrown away before they came here among them.

    Attributes:
        rate: The share that reached it; 0 without rows.
        rows: How many rows without sampling would tell it as surely: as many as have so many positives on average.
        shown: The rows, for messages.
    """

    rate: float
    rows: float
    shown: str

    @classmethod
    def of(cls, spaces: Sequence[Mapping[str, Any]], *, sampled: bool) -> _Rate:
        rows, positives = (sum(space[key] for space in spaces) for key in ("rows", "positives"))
        if not sampled:
            return cls(positives / rows if rows else 0.0, rows, f"{rows:,}")
        of_all, reached = (sum(space["unsampled"][key] for space in spaces) for key in ("rows", "positives"))
        rate = reached / of_all if of_all else 0.0
        return cls(rate, positives / rate if rate else rows, f"{rows:,} (for {of_all:,.0f} before sampling)")


def _shares(schema: FunnelSchema, feature: Any, train: dict[str, Any], test: dict[str, Any]) -> Iterator[str]:
    before, after = train["features"][feature.name], test["features"][feature.name]
    allowed = {"missing": SHARE, "oov": SHARE + _held_share(schema, feature)}
    for key, what in (("missing", "missing"), ("oov", "unknown ids")):
        first, second = before.get(key, 0.0), after.get(key, 0.0)
        # With fewer unknown ids, more is known than was expected.
        change = second - first if key == "oov" else abs(second - first)
        if change > allowed[key] and differ(first * train["rows"], train["rows"], second * test["rows"], test["rows"]):
            yield f"{what}: {second:.0%} in the test rows, {first:.0%} in the training rows"


def _held_share(schema: FunnelSchema, feature: Any) -> float:
    """The share of a dimension's rows that is held out: their ids are unknown wherever they come again."""
    validation, group = schema.data.validation, group_of(schema)
    return validation.fraction if isinstance(validation, Fraction) and group == schema.source_of(feature) else 0.0


def _moved(feature: Any, train: Sample, test: Sample) -> Iterator[str]:
    first, second = _Values.of(feature, train), _Values.of(feature, test)
    if not len(first.values) or not len(second.values):
        return
    found = stability_index(first.binned(first), second.binned(first), first.effective, second.effective)
    if found > INDEX:
        yield f"population stability index {found:.2f} from training to test rows, expected at most {INDEX}"


def stability_index(first: NDArray[Any], second: NDArray[Any], first_rows: float, second_rows: float) -> float:
    """The population stability index of two histograms, less what chance alone adds to it.

    Where nothing drifts, the index times n m / (n + m) follows a chi-squared distribution of bins - 1 degrees of freedom
    (Yurdakul, 2018), so that its mean is not 0.

    Args:
        first: Weight of each bin: [bins].
        second: Likewise.
        first_rows: How many rows the weights are of, n; fewer count where some weigh much.
        second_rows: Likewise, m.
    """
    used = first + second > 0
    one, other = first[used] + 0.5, second[used] + 0.5
    one, other = one / one.sum(), other / other.sum()
    chance = (np.count_nonzero(used) - 1) * (1 / first_rows + 1 / second_rows)
    return float(((one - other) * np.log(one / other)).sum() - chance)


@dataclass(frozen=True)
class _Values:
    """What rows have, and how many facts use each, without what is missing or unknown: these are compared by themselves.

    Attributes:
        values: Ids, or numbers: [n].
        weights: [n].
        effective: How many rows of equal weight would be as uncertain (Kish, 1965).
    """

    values: NDArray[Any]
    weights: NDArray[Any]
    effective: float

    @classmethod
    def of(cls, feature: Any, sample: Sample) -> _Values:
        uses = sample.uses(feature).astype(np.float64)
        if isinstance(feature, Bag):
            values, lengths, _ = sample.bag(feature, MOST_ENTRIES)
            rows = owners(lengths)
        else:
            values = sample.column(feature)
            rows = np.arange(len(values))
        known = ~np.isnan(values) if values.dtype.kind == "f" else values >= FIRST
        rows = rows[known]
        weights = uses[rows]
        by_row = weighed(rows, weights, len(uses))
        squares = float((by_row**2).sum())
        return cls(values[known], weights, float(by_row.sum()) ** 2 / squares if squares else math.inf)

    def binned(self, by: _Values) -> NDArray[np.float64]:
        """The weight of each bin, where `by` says which bins there are."""
        if self.values.dtype.kind == "f":
            edges = by._edges()
            keys = np.searchsorted(edges, self.values, side="right")
            return weighed(keys, self.weights, len(edges) + 1)
        common = by._common()
        place = np.minimum(np.searchsorted(common, self.values), len(common) - 1)
        keys = np.where(common[place] == self.values, place, len(common))
        return weighed(keys, self.weights, len(common) + 1)

    def _edges(self) -> NDArray[Any]:
        order = np.argsort(self.values, kind="stable")
        values, below = self.values[order], np.cumsum(self.weights[order])
        return np.unique(values[np.searchsorted(below, below[-1] * np.arange(1, BINS) / BINS).clip(max=len(values) - 1)])

    def _common(self) -> NDArray[Any]:
        """The most frequent ids, ascending."""
        ids, keys = np.unique(self.values, return_inverse=True)
        masses = weighed(keys, self.weights, len(ids))
        return np.sort(ids[np.argsort(-masses, kind="stable")[:IDS]])
