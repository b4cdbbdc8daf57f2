"""Features that know too much: what is told only afterwards, or is the label itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import is_known
from funnel.data.progress import Progress, Watch
from funnel.doctor.finding import Finding
from funnel.doctor.sample import Sample
from funnel.doctor.tallies import Entries, Tally, tallies
from funnel.schema.features import Bag

LEAK = 0.95
LEAST_EQUAL = 5  # of each kind: fewer rows may be equal by chance


def leak_findings(sample: Sample, watch: Watch) -> Iterator[Finding]:
    """For each feature, whether it alone tells a stage; and whether two stages are one."""
    features = sample.schema.features
    for done, feature in enumerate(features, 1):
        yield from _of_feature(sample, feature)
        watch(Progress("looking for leaks", done, len(features), "features"))
    yield from _identical(sample)


def _of_feature(sample: Sample, feature: Any) -> Iterator[Finding]:
    schema, about = sample.schema, f"feature {feature.name}"
    found = list(tallies(sample, feature))
    equal = next((stage for stage, pair in enumerate(sample.cumulative) if any(_equals(one, *pair) for one in found)), None)
    if equal is not None:
        stage = schema.stages[equal]
        column = f" (column {stage.label})" if stage.label is not None else ""
        message = (
            f"leak: it is one thing wherever {stage.name} happened{column}, and another wherever not, in all "
            f"{_known(sample, equal)} rows looked at; expected what is known before the {schema.space}. It was written "
            f"afterwards, or is the label itself: remove it."
        )
        yield Finding("error", about, message)
        return
    scored: list[Tally | Entries] = [*found, *([Entries(sample, feature)] if isinstance(feature, Bag) else [])]
    told = [text for stage in range(len(schema.stages)) for text in _told(sample, scored, stage)]
    if told:
        message = (
            f"leak: alone it tells {' and '.join(told)}; expected an AUC below {LEAK} of what is known before the "
            f"{schema.space}. Was it written, or counted, afterwards? Take its value from before, or remove it."
        )
        yield Finding("error", about, message)


def _told(sample: Sample, scored: list[Tally | Entries], stage: int) -> Iterator[str]:
    """Which probabilities of a stage a feature tells: the conditional, and the cumulative where that is another one."""
    conditional, cumulative = sample.schema.conditional_names[stage], sample.schema.stage_names[stage]
    for name, pair in {conditional: sample.conditional[stage], cumulative: sample.cumulative[stage]}.items():
        aucs = [one.auc(*pair) for one in scored]
        if not np.isnan(aucs).all() and (best := float(np.nanmax(aucs))) > LEAK:
            yield f"{name} (AUC {best:.3f}, by {scored[int(np.nanargmax(aucs))].what})"


def _known(sample: Sample, stage: int) -> str:
    """Of how many rows a stage's label is known, for messages."""
    rows = sum(int(is_known(star.labels[:, stage]).sum()) for star in sample.stars if star.labels is not None)
    return f"{rows:,}" if rows == sample.rows else f"{rows:,} known"


def _equals(tally: Tally, reached_column: int, known_column: int) -> bool:
    """Whether there are two values, of which one has the stage always and the other never, as far as that is known."""
    whole = tally.whole
    whole = whole[whole[:, known_column] > 0]
    if len(whole) != 2:
        return False
    facts, reached = whole[:, known_column], whole[:, reached_column]
    return bool(np.sort(reached)[0] == 0 and facts.min() >= LEAST_EQUAL and facts[reached > 0].sum() == reached.sum() > 0)


def _identical(sample: Sample) -> Iterator[Finding]:
    names = sample.schema.stage_names
    labels: list[NDArray[np.uint8]] = [star.labels for star in sample.stars if star.labels is not None]
    for second in range(len(names)):
        for first in range(second):
            known = [is_known(one[:, [first, second]]).all(axis=1) for one in labels]
            rows = sum(int(some.sum()) for some in known)
            reached = sum(int((one[some, first] == 1).sum()) for one, some in zip(labels, known, strict=True))
            if reached and all((one[some, first] == one[some, second]).all() for one, some in zip(labels, known, strict=True)):
                shown = f"{rows:,}" if rows == sample.rows else f"{rows:,} known"
                message = (
                    f"its label equals that of {names[first]} in all {shown} rows looked at, so that there is nothing "
                    "to learn between the two. Correct the label's column, or remove one of the stages."
                )
                yield Finding("warning", f"stage {names[second]}", message)
