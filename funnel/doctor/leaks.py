"""Features that know too much: what is told only afterwards, or is the label itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.progress import Progress, Watch
from funnel.doctor.finding import Finding
from funnel.doctor.sample import Sample
from funnel.doctor.tallies import Entries, Tally, tallies
from funnel.schema.features import Bag
from funnel.schema.funnel_schema import FunnelSchema

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
    equal = next((stage for stage in range(len(schema.stages)) if any(_equals(one, stage) for one in found)), None)
    if equal is not None:
        stage = schema.stages[equal]
        column = f" (column {stage.label})" if stage.label is not None else ""
        message = (
            f"it equals the label of {stage.name}{column}, or its opposite, in all {sample.rows:,} rows looked at; "
            f" expected what is known before the {schema.space}. A model that sees its label learns nothing: remove it."
        )
        yield Finding("error", about, message)
        return
    scored: list[Tally | Entries] = [*found, *([Entries(sample, feature)] if isinstance(feature, Bag) else [])]
    told = [text for stage in range(len(schema.stages)) for text in _told(schema, scored, stage)]
    if told:
        message = (
            f"leak: alone it tells {' and '.join(told)}; expected an AUC below {LEAK} of what is known before the "
            f"{schema.space}. Was it written, or counted, afterwards? Take its value from before, or remove it."
        )
        yield Finding("error", about, message)


def _told(schema: FunnelSchema, scored: list[Tally | Entries], stage: int) -> Iterator[str]:
    """Which probabilities of a stage a feature tells: the conditional, and the cumulative where that is another one."""
    place = schema.topology[stage]
    conditional, cumulative = schema.conditional_names[stage], schema.stage_names[stage]
    for name, given, without in (
        (conditional, place.parent + 1, [other + 1 for other in place.excluded]),
        *([] if conditional == cumulative else [(cumulative, 0, [])]),
    ):
        aucs = [one.auc(stage + 1, given, without) for one in scored]
        if not np.isnan(aucs).all() and (best := float(np.nanmax(aucs))) > LEAK:
            yield f"{name} (AUC {best:.3f}, by {scored[int(np.nanargmax(aucs))].what})"


def _equals(tally: Tally, stage: int) -> bool:
    """Whether there are two values, of which one has the stage always and the other never."""
    whole = tally.whole
    if len(whole) != 2:
        return False
    facts, reached = whole[:, 0], whole[:, stage + 1]
    return bool(np.sort(reached)[0] == 0 and facts.min() >= LEAST_EQUAL and facts[reached > 0].sum() == reached.sum() > 0)


def _identical(sample: Sample) -> Iterator[Finding]:
    names = sample.schema.stage_names
    labels: list[NDArray[np.uint8]] = [star.labels for star in sample.stars if star.labels is not None]
    for second in range(len(names)):
        for first in range(second):
            rows = sum(int(one[:, first].sum()) for one in labels)
            if rows and all((one[:, first] == one[:, second]).all() for one in labels):
                message = (
                    f"its label equals that of {names[first]} in all {sample.rows:,} rows looked at, so that there is nothing "
                    "to learn between the two. Correct the label's column, or remove one of the stages."
                )
                yield Finding("warning", f"stage {names[second]}", message)
