"""Stages that the domain of a row lacks: nothing is learnt of them there, and nothing is predicted.

Shapes: B rows, S stages.
"""

from __future__ import annotations

from collections.abc import Mapping

from funnel.model._keras import tf
from funnel.model.domain import rows_of_domain
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt


def absent_stages(schema: FunnelSchema, learnt: Learnt, batch: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
    """Which stages the domain of each row lacks: bool [B, S]; None where all domains have all.

    Args:
        schema: The declaration.
        learnt: The rows of the domains in their table.
        batch: A star batch, packed or not.
    """
    if not schema.has_absent_stages:
        return None
    row_B = rows_of_domain(schema, batch)
    found = []
    for domains in schema.domains:
        if domains is None:
            found.append(tf.zeros_like(row_B, tf.bool))
        else:
            rows = tf.constant(sorted(learnt.domains[name] for name in domains), row_B.dtype)
            found.append(tf.reduce_all(row_B[:, tf.newaxis] != rows, axis=1))
    return tf.stack(found, axis=1)


def without(absent_BS: tf.Tensor | None, values_BS: tf.Tensor) -> tf.Tensor:
    """The values, NaN where a stage is absent: float32 [B, S]."""
    return values_BS if absent_BS is None else tf.where(absent_BS, float("nan"), values_BS)
