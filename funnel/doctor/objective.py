"""Whether the objective makes sense for these stages and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from funnel.doctor.checkup import StageRows
from funnel.doctor.finding import Finding
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.objective import Dcmt, Dr, Ips, Unbias


def objective_findings(schema: FunnelSchema, by_stage: Mapping[str, StageRows], rows: int) -> Iterator[Finding]:
    """What the stages and their counts say of the objective.

    Args:
        schema: The declaration.
        by_stage: The training rows of each stage.
        rows: How many training rows there are.
    """
    objective = schema.objective
    partial = [
        name for name, place in zip(schema.stage_names, schema.topology, strict=True) if place.is_partial and not place.is_join
    ]
    if not partial and objective.kind != "esmm":
        message = (
            f"no stage is given another, so that {objective.kind!r} is the same as 'esmm': no row is left out. Declare that."
        )
        yield Finding("warning", "objective", message)
    if not isinstance(objective, Unbias | Ips | Dr | Dcmt) or objective.clip is None:
        return
    for name in partial:
        share = by_stage[name].rows / rows if rows and name in by_stage else 1.0
        if share < objective.clip:
            message = (
                f"{share:.3%} of the rows are of {by_stage[name].given}, fewer than objective.clip of {objective.clip:g}: most "
                f"propensities are clipped, and {objective.kind!r} weighs nearly all rows alike. Leave `clip` out (a tenth of "
                "that share), or lower it."
            )
            yield Finding("warning", f"stage {name}", message)
