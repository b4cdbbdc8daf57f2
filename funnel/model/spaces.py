"""Over which rows of a batch each stage's losses are: what is known of their labels, in and out of the parent's rows."""

from __future__ import annotations

from dataclasses import dataclass

from funnel.model._keras import tf
from funnel.schema.topology import Place, Topology


@dataclass(frozen=True)
class StageRows:
    """A batch, as one stage sees it. Each float32 [B]; masks are 0 or 1.

    Attributes:
        label: 1 where the row reached the stage; 0 where it did not, or where that is not known.
        known: Where the label is known. A row that is outside has not reached the stage.
        inside: Where the row is known to be among those that the conditional is about, and its label is known.
        outside: Where it is known not to be.
    """

    label: tf.Tensor
    known: tf.Tensor
    inside: tf.Tensor
    outside: tf.Tensor


def stage_rows(labels_BS: tf.Tensor, topology: Topology, absent_BS: tf.Tensor | None = None) -> list[StageRows]:
    """By stage: its rows.

    Args:
        labels_BS: float32 [B, S]: 1 or 0, NaN where it is not known.
        topology: Where each stage stands.
        absent_BS: bool [B, S]: which stages a row lacks, of which it then is neither inside nor outside; None for none.
    """
    found: list[StageRows] = []
    for stage, place in enumerate(topology):
        label_B = labels_BS[:, stage]
        known_B = 1.0 - tf.cast(tf.math.is_nan(label_B), tf.float32)
        label_B = tf.math.multiply_no_nan(label_B, known_B)
        if place.is_partial:
            open_B, outside_B = _space(found, place)
            # What cannot happen has not, whether a log says so or not.
            label_B, known_B = label_B * (1.0 - outside_B), tf.maximum(known_B, outside_B)
            found.append(StageRows(label_B, known_B, open_B * known_B, outside_B))
        else:
            found.append(StageRows(label_B, known_B, known_B, tf.zeros_like(known_B)))
        if absent_BS is not None:
            own, there_B = found[-1], 1.0 - tf.cast(absent_BS[:, stage], tf.float32)
            found[-1] = StageRows(own.label * there_B, own.known * there_B, own.inside * there_B, own.outside * there_B)
    return found


def _space(above: list[StageRows], place: Place) -> tuple[tf.Tensor, tf.Tensor]:
    """Where a row is known to be in a conditional's space, and where known not to be: float32 [B] each."""
    inside, outside = [], []
    if place.parent >= 0:
        parent = above[place.parent]
        inside.append(parent.label)
        outside.append(parent.known - parent.label)
    for other in (above[stage] for stage in place.excluded):
        inside.append(other.known - other.label)
        outside.append(other.label)
    inside_B, outside_B = inside[0], outside[0]
    for more_B, less_B in zip(inside[1:], outside[1:], strict=True):
        inside_B, outside_B = inside_B * more_B, tf.maximum(outside_B, less_B)
    return inside_B, outside_B
