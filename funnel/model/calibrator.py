"""What keeps towers that say cumulatives from saying more than their parents': the calibrator of Xi et al., 2021 (AITM)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from funnel.model._keras import tf
from funnel.schema.topology import Topology


def above_parent(
    towers: Mapping[str, tf.Tensor],
    names: Sequence[str],
    topology: Topology,
    stopped: Collection[int] = (),
    absent_BS: tf.Tensor | None = None,
) -> tf.Tensor:
    """The sum of max(P(stage) - P(parent), 0) over the stages given another (equation 9): float32 [B].

    Args:
        towers: By stage that is no join: the logit of its cumulative, float32 [B].
        names: The stages.
        topology: Where each stands. Of a join P is the sum of its branches'.
        stopped: Stages from which no gradient goes to those before them.
        absent_BS: Which stages a row lacks, bool [B, S].
    """
    chances: list[tf.Tensor] = []
    total_B = tf.zeros_like(next(iter(towers.values())))
    for stage, (name, place) in enumerate(zip(names, topology, strict=True)):
        if place.is_join:
            chances.append(tf.add_n([chances[branch] for branch in place.branches]))
            continue
        chances.append(tf.math.sigmoid(towers[name]))
        if place.parent < 0:
            continue
        parent_B = chances[place.parent]
        excess_B = tf.nn.relu(chances[stage] - (tf.stop_gradient(parent_B) if stage in stopped else parent_B))
        total_B += excess_B if absent_BS is None else tf.where(absent_BS[:, stage], 0.0, excess_B)
    return total_B
