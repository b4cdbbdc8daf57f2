"""What can be said about a schema and its data before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.data.origin import origin_of
from funnel.data.raw_star import read_star
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema


def check(
    schema: str | Path | Mapping[str, Any] | FunnelSchema, data: Any = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Check a schema, and read its training rows.

    Returns:
        What was found: the stages, the data, rows, positives by stage, and labels that contradict the order of the stages.

    Raises:
        FunnelError: The schema or the data are not right.
    """
    declared = load_schema(schema, overrides)
    origin = origin_of(declared, data, Path(schema) if isinstance(schema, str | Path) else None)
    star = read_star(declared, origin, "train")
    reached = [] if star.labels is None else star.labels.sum(axis=0).tolist()
    return {
        "space": declared.space,
        "stages": list(declared.stage_names),
        "features": len(declared.features),
        "data": str(origin),
        "rows": star.facts.rows,
        "positives": dict(zip(declared.stage_names, reached, strict=True)),
        "inconsistent_labels": {"policy": declared.inconsistent_labels, "rows": star.violations},
    }
