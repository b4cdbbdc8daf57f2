"""Comparisons of made-up runs: of the same rows, each run predicts more noisily than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from funnel.evaluation.bootstrap import clusters_of
from funnel.evaluation.comparison import Comparison, compare_probabilities, compare_slices, compare_truth
from funnel.evaluation.outcomes import Outcomes, names_of
from funnel.evaluation.slices import Cut
from funnel.reporting.record import read_record
from funnel.reporting.write import write_comparison
from funnel.schema.funnel_schema import FunnelSchema
from tests.reporting import made


def comparison(schema: FunnelSchema, names: Sequence[str], rows: int = 1500, rate: float | None = None) -> dict[str, Any]:
    """As `Comparison.as_dict` has it, with slices by `tab` and a truth."""
    labels, predicted, true, columns = made.draw(schema, rows, rate=rate)
    joins = [stage for stage, place in enumerate(schema.topology) if place.is_join]
    random = np.random.default_rng(1)
    outcomes = []
    for run in range(len(names)):
        safe = np.clip(predicted, 1e-6, 1 - 1e-6)
        logits = np.log(safe) - np.log1p(-safe) + random.normal(0, 0.3 * run, safe.shape)
        outcomes.append(_outcomes(schema, labels, 1 / (1 + np.exp(-logits))))
    shared = {*schema.stage_names, *schema.conditional_names}
    shared -= {schema.conditional_names[stage] for stage in joins}
    values, parts = np.unique(columns["tab"], return_inverse=True)
    cut = Cut("tab", tuple(map(str, values)), parts.astype(np.int32))
    return Comparison(
        runs=tuple(names),
        data="data",
        split="test",
        space=schema.space,
        rows=rows,
        left_out=3,
        alone=("cart",),
        probabilities=compare_probabilities(outcomes, shared),
        slices={"tab": compare_slices(outcomes, shared, cut)},
        truth=compare_truth(outcomes, shared, true),
        group_by=None,
        drawn=rows,
        weighted=False,
    ).as_dict()


def _outcomes(schema: FunnelSchema, labels: Any, conditional: Any) -> Outcomes:
    reached = np.clip(made.cumulate(schema, conditional), 1e-9, 1 - 1e-9)
    chances = dict(zip(schema.conditional_names, conditional.T.astype(np.float32), strict=True))
    chances |= dict(zip(schema.stage_names, reached.T.astype(np.float32), strict=True))
    logits = np.concatenate([np.log(one) - np.log1p(-one) for one in (conditional, reached)], axis=1)
    width = len(schema.stages)
    return Outcomes(
        names_of(schema), labels.astype(np.uint8), logits, lambda block, stage: block[:, width + stage], chances,
        clusters=clusters_of(len(labels)),
    )  # fmt: skip


def page(folder: Path, schema: FunnelSchema, names: Sequence[str], rate: float | None = None, **more: Any) -> Path:
    """The page of made-up runs."""
    records = [read_record(made.run(folder / str(number), schema, 400, rate=rate, by=())) for number in range(len(names))]
    return write_comparison(comparison(schema, names, rate=rate), records, folder / "comparison.html", **more)
