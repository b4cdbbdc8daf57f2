"""Domains of simulated facts, under the names that stages have for them, and the stages that each lacks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.schema.funnel_schema import FunnelSchema
from funnel.simulation.column import Column

OTHER = "other"


def domain_ids(schema: FunnelSchema) -> tuple[str, ...]:
    """The domains that stages name, and another one where none of these lacks a stage; none where no stage names any."""
    if not schema.has_absent_stages:
        return ()
    named = tuple(dict.fromkeys(str(name) for stage in schema.stages for name in stage.domains or ()))
    lacking = any(domains is not None and set(named) - domains for domains in schema.domains)
    return named if lacking or OTHER in named else (*named, OTHER)


def absent_stages(schema: FunnelSchema, facts: Mapping[str, Column]) -> dict[str, NDArray[np.bool_]]:
    """By stage that some facts lack: which do, [facts]."""
    if not schema.has_absent_stages:
        return {}
    ids: pl.Series = facts[schema.feature(schema.domain_feature).column_name].series
    return {
        name: (~ids.is_in(list(domains)).fill_null(value=False)).to_numpy()
        for name, domains in zip(schema.stage_names, schema.domains, strict=True)
        if domains is not None
    }
