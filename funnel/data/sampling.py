"""At what rate rows were kept, from their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.sampling import below, kept_at


def is_sampled(schema: FunnelSchema, split: str, manifest: Mapping[str, Any] | None = None) -> bool:
    """Whether the rows of a split were sampled as the schema says: those held out, for whatever, were training rows.

    Args:
        schema: The declaration.
        split: Which rows.
        manifest: Of the store that has them: it says whether they were held out of files that others share.
    """
    apart = manifest is not None and bool(manifest["splits"].get(split, {}).get("apart"))
    return schema.sampling is not None and (split != "test" or schema.sampling.test or apart)


def keep_rates(schema: FunnelSchema, labels: NDArray[Any]) -> NDArray[np.float64]:
    """The chance that a row was kept, by the deepest stage that it reached: float64 [rows], 1 where nothing is declared.

    Of several stages of which none is below another, the greatest rate counts.

    Args:
        schema: The declaration.
        labels: [rows, stages]: 1 where the row reached a stage; an unknown label counts as one that was not reached.
    """
    if schema.sampling is None:
        return np.ones(len(labels))
    of_space, rates = kept_at(schema.sampling, schema.space, schema.stage_names)
    reached = labels == 1
    found = np.zeros(len(labels))
    for stage, place in enumerate(schema.topology):
        if not place.is_join:
            deepest = reached[:, stage] & ~reached[:, list(below(schema.topology, stage))].any(axis=1)
            np.maximum(found, rates[stage], out=found, where=deepest)
    return np.where(found > 0, found, of_space)
