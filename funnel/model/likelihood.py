"""The likelihood of a funnel, from conditional logits to the cross-entropy of cumulative labels; no sigmoid is multiplied.

Shapes: B rows, S stages. Sample space of everything here: all rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.model._keras import tf
from funnel.schema.topology import Path, Place, Topology

LEAST = 1e-6  # a quotient of probabilities is at most so much below 1
CONSTANT = 1e-3  # conditional logits that differ by less are the same: a tenth of a per cent in odds


def with_joins(tower_logits: Sequence[tf.Tensor], topology: Topology, stopped: Collection[int] = ()) -> tf.Tensor:
    """The conditional logit of every stage, from those of the stages that have towers.

    A join happens where one of its branches does, which exclude each other (ESM2: Wen et al., 2020, equation 11). With s the
    signs of the stages on a path, its logit is `logsumexp over the paths inside - logsumexp over the paths outside` of
    `-sum softplus(-s z)`, which is exact however small either is.

    Args:
        tower_logits: For each stage that is no join, in their order: float32 [B].
        topology: Where each stage stands.
        stopped: Stages from which no gradient goes to those before them.

    Returns:
        float32 [B, S].
    """
    given = iter(tower_logits)
    found: list[tf.Tensor] = []
    for place in topology:
        if not place.is_join:
            found.append(next(given))
            continue
        inside, outside = (
            tf.reduce_logsumexp(tf.stack([_log_probability(found, path, stopped) for path in paths]), axis=0)
            for paths in (place.inside, place.outside)
        )
        found.append(inside - outside)
    return tf.stack(found, axis=1)


def _log_probability(logits: Sequence[tf.Tensor], path: Path, stopped: Collection[int]) -> tf.Tensor:
    each = [tf.math.softplus(-logits[stage] if happens else logits[stage]) for stage, happens in path]
    last = max((place for place, (stage, _) in enumerate(path) if stage in stopped), default=0)
    return -tf.add_n([tf.stop_gradient(one) if place < last else one for place, one in enumerate(each)])


def cumulative_logits(conditional_BS: tf.Tensor, topology: Topology, stopped: Collection[int] = ()) -> tf.Tensor:
    """The logit of reaching each stage, P(stage | x), from the logits of the steps to it, P(stage | parent, x).

    The odds against reaching stage k compose: `1 + f_k = (1 + f_parent) (1 + exp(-z_k))`. Hence
    `-L_k = logsumexp(-L_parent, -z_k + softplus(-L_parent))`, exact in float32 for any logits, with exact gradients, where the
    product of sigmoids (Ma et al., 2018, equation 1) loses both below 1e-7. That a stage did not happen, for one that is
    `unless` it, is a step of the logit -z.

    Args:
        conditional_BS: float32 [B, S]. z_k, the logit of stage k given its parent, and that none it excludes happened.
        topology: Where each stage stands.
        stopped: Stages from which no gradient goes to those before them.

    Returns:
        float32 [B, S]: L_k.
    """
    against: list[tf.Tensor] = []  # -L_k
    for stage, place in enumerate(topology):
        above_B = _against_space(place, against, conditional_BS)
        if stage in stopped and above_B is not None:
            above_B = tf.stop_gradient(above_B)
        against.append(_one_step(above_B, -conditional_BS[:, stage]))
    return -tf.stack(against, axis=1)


def space_logits(conditional_BS: tf.Tensor, cumulative_BS: tf.Tensor, topology: Topology) -> list[tf.Tensor | None]:
    """By stage: the logit of being among the rows that its conditional is about, its propensity; None where these are all.

    Args:
        conditional_BS: float32 [B, S]. z_k.
        cumulative_BS: float32 [B, S]. L_k.
        topology: Where each stage stands.
    """
    against = tf.unstack(-cumulative_BS, axis=1)
    found: list[tf.Tensor | None] = []
    for place in topology:
        above_B = _against_space(place, against, conditional_BS)
        found.append(None if above_B is None else -above_B)
    return found


def quotients(cumulative: Sequence[tf.Tensor], topology: Topology) -> list[tf.Tensor]:
    """The conditional logits of towers that say each stage's cumulative: the quotient of two (DIVISION in Ma et al., 2018).

    Nothing makes a stage's tower say less than its parent's: where it does not, the quotient is taken for nearly 1.

    Args:
        cumulative: For each stage that is no join, in their order: the logit of P(stage | x), float32 [B].
        topology: Where each stage stands.

    Returns:
        Likewise, the logits of P(stage | parent, x).
    """
    given = iter(cumulative)
    reached: list[tf.Tensor] = []  # log P(stage | x)
    found: list[tf.Tensor] = []
    for place in topology:
        if place.is_join:
            reached.append(tf.reduce_logsumexp(tf.stack([reached[branch] for branch in place.branches]), axis=0))
            continue
        logit_B = next(given)
        reached.append(-tf.math.softplus(-logit_B))
        if not place.is_partial:
            found.append(logit_B)
            continue
        of_B = reached[place.parent] if place.parent >= 0 else tf.zeros_like(logit_B)
        for other in place.excluded:
            of_B += tf.math.log1p(-tf.exp(_below_0(reached[other] - of_B)))
        ratio_B = _below_0(reached[-1] - of_B)
        found.append(ratio_B - tf.math.log(-tf.math.expm1(ratio_B)))
    return found


def _below_0(log_B: tf.Tensor) -> tf.Tensor:
    return tf.minimum(log_B, -LEAST)


def _against_space(place: Place, against: Sequence[tf.Tensor], conditional_BS: tf.Tensor) -> tf.Tensor | None:
    """Minus the logit of being among a conditional's rows, from those of the stages above; None where it is certain."""
    above_B = against[place.parent] if place.parent >= 0 else None
    for other in place.excluded:
        above_B = _one_step(above_B, conditional_BS[:, other])
    return above_B


def _one_step(above_B: tf.Tensor | None, against_B: tf.Tensor) -> tf.Tensor:
    """Minus the cumulative logit after a step, from that before it (None: certain), and minus the step's own logit."""
    if above_B is None:
        return against_B
    # Not max + log1p(exp(-|d|)) by hand: its gradient is wrong where both are equal.
    return tf.reduce_logsumexp(tf.stack([above_B, against_B + tf.math.softplus(above_B)]), axis=0)


def cross_entropy(labels_BS: tf.Tensor, cumulative_BS: tf.Tensor) -> tf.Tensor:
    """Minus the log likelihood of cumulative labels, row by row: float32 [B, S] (Ma et al., 2018, equation 4).

    Args:
        labels_BS: float32 [B, S], or of one stage [B]. 1 where the row reached the stage.
        cumulative_BS: Likewise: L_k.
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels_BS, logits=cumulative_BS)


def probabilities(conditional_BS: tf.Tensor, topology: Topology) -> tuple[tf.Tensor, tf.Tensor]:
    """P(stage | parent, x) and P(stage | x), each float32 [B, S].

    No stage is likelier than its parent, nor stages that exclude each other together.
    """
    conditional = tf.math.sigmoid(conditional_BS)
    cumulative: list[tf.Tensor] = []
    reached = tf.unstack(tf.math.sigmoid(cumulative_logits(conditional_BS, topology)), axis=1)
    for stage, (p_B, place) in enumerate(zip(reached, topology, strict=True)):
        # Rounding may lift a stage above its parent, or beside those that it excludes, by the last bit.
        if place.parent < 0 and not place.excluded:
            cumulative.append(conditional[:, stage])
            continue
        above_B = cumulative[place.parent] if place.parent >= 0 else tf.ones_like(p_B)
        left_B = _left(above_B, [cumulative[other] for other in place.excluded]) if place.excluded else above_B
        cumulative.append(tf.minimum(p_B, tf.minimum(left_B, above_B)))
    return conditional, tf.stack(cumulative, axis=1)


def _left(above_B: tf.Tensor, taken: Sequence[tf.Tensor]) -> tf.Tensor:
    """The greatest number that added to the others does not come out above the whole, in float32.

    Where the others are nearly all of it, what is left is as small as their rounding, and a little more still rounds down: a
    small probability is rather kept than taken for nothing.
    """
    sum_B = taken[0]
    for other_B in taken[1:]:
        sum_B += other_B
    left_B = above_B - sum_B  # exact where the others are half of it, or more
    zero_B = tf.zeros_like(left_B)
    rounded_B = tf.where(sum_B >= above_B / 2, left_B, tf.math.nextafter(left_B, zero_B))
    return tf.maximum(tf.where(sum_B >= 0.75 * above_B, left_B + above_B * 2.0**-26, rounded_B), zero_B)


def constant_stages(names: Sequence[str], conditional_BS: NDArray[Any]) -> tuple[str, ...]:
    """The stages whose conditional predictions are the same for all of these rows: they have collapsed.

    Args:
        names: The stages.
        conditional_BS: [B, S]. Conditional logits; of fewer than two rows nothing can be said.
    """
    if len(conditional_BS) < 2:
        return ()
    return tuple(name for name, spread in zip(names, np.ptp(conditional_BS, axis=0), strict=True) if spread < CONSTANT)
