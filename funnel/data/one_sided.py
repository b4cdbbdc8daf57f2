"""Stages whose known labels are all alike, while others are not known: most often nulls that mean 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from funnel.schema.funnel_schema import FunnelSchema


def one_sided(schema: FunnelSchema, spaces: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What to say of the stages of which nothing can be learnt, since their unknown labels leave only one kind.

    Args:
        schema: The declaration.
        spaces: By stage: the counts that a store's manifest has of a split.
    """
    found = {}
    for stage, place, over in zip(schema.stages, schema.topology, schema.conditional_spaces, strict=True):
        counts = spaces.get(stage.name)
        if place.is_join or not counts or not counts["unknown"] or 0 < counts["positives"] < counts["rows"]:
            continue
        rows, unknown = counts["rows"], f"{counts['unknown']:,} labels are not known"
        young = " Or are all rows too young (matures_after)? Then take older ones, too." if stage.matures_after else ""
        if not rows:
            found[stage.name] = (
                f"no row of {over} has a known label, and {unknown}, expected some 0s and 1s. Correct the column "
                f"{stage.label!r}, or remove the stage.{young}"
            )
            continue
        have, lack = (1, 0) if counts["positives"] else (0, 1)
        found[stage.name] = (
            f"all {rows:,} known labels of its rows ({over}) are {have}, and {unknown}, expected some {lack}s: is a null in "
            f"the column {stage.label!r} a {lack} there? Fill it, or add rows with a {lack}.{young}"
        )
    return found
