"""What each row counts in what is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.sampling import keep_rates
from funnel.schema.funnel_schema import FunnelSchema


def row_weights(schema: FunnelSchema, labels: NDArray[Any], weights: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The weight of each row: that of the declared column, or the rows that it stands for where sampling is undone by weights.

    Args:
        schema: The declaration, in which only one of the two can be.
        labels: [rows, stages]: 1 where the row reached a stage.
        weights: The column: float32 [rows]; None where none was read.

    Returns:
        float32 [rows], or None where every row counts once.
    """
    if weights is not None:
        return weights
    if schema.sampling is not None and schema.sampling.correction == "weights":
        return (1 / keep_rates(schema, labels)).astype(np.float32)
    return None
