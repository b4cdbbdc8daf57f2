"""The likelihood of a funnel, from conditional logits to the cross-entropy of cumulative labels; no sigmoid is multiplied.

Shapes: B rows, S stages. Sample space of everything here: all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.model._keras import tf

CONSTANT = 1e-3  # conditional logits that differ by less are the same: a tenth of a per cent in odds


def cumulative_logits(conditional_BS: tf.Tensor, parents: Sequence[int]) -> tf.Tensor:
    """The logit of reaching each stage, P(stage | x), from the logits of the steps to it, P(stage | parent, x).

    The odds against reaching stage k compose: `1 + f_k = (1 + f_parent) (1 + exp(-z_k))`. Hence
    `-L_k = logsumexp(-L_parent, -z_k + softplus(-L_parent))`, exact in float32 for any logits, with exact gradients, where the
    product of sigmoids (Ma et al., 2018, equation 1) loses both below 1e-7.

    Args:
        conditional_BS: float32 [B, S]. z_k, the logit of stage k given its parent.
        parents: Where each stage's parent stands among the stages, before it; -1 for the space, whose probability is 1.

    Returns:
        float32 [B, S]: L_k.
    """
    against: list[tf.Tensor] = []  # -L_k
    for stage, parent in enumerate(parents):
        z_B = conditional_BS[:, stage]
        if parent < 0:
            against.append(-z_B)
        else:
            above_B = against[parent]
            # Not max + log1p(exp(-|d|)) by hand: its gradient is wrong where both are equal.
            against.append(tf.reduce_logsumexp(tf.stack([above_B, -z_B + tf.math.softplus(above_B)]), axis=0))
    return -tf.stack(against, axis=1)


def cross_entropy(labels_BS: tf.Tensor, cumulative_BS: tf.Tensor) -> tf.Tensor:
    """Minus the log likelihood of cumulative labels, row by row: float32 [B, S] (Ma et al., 2018, equation 4).

    Args:
        labels_BS: float32 [B, S]. 1 where the row reached the stage.
        cumulative_BS: float32 [B, S]. L_k.
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels_BS, logits=cumulative_BS)


def probabilities(conditional_BS: tf.Tensor, parents: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """P(stage | parent, x) and P(stage | x), each float32 [B, S]; no stage is likelier than its parent."""
    conditional = tf.math.sigmoid(conditional_BS)
    cumulative: list[tf.Tensor] = []
    for stage, (p_B, parent) in enumerate(
        zip(tf.unstack(tf.math.sigmoid(cumulative_logits(conditional_BS, parents)), axis=1), parents, strict=True)
    ):
        # Rounding may lift a stage above its parent by the last bit.
        cumulative.append(conditional[:, stage] if parent < 0 else tf.minimum(p_B, cumulative[parent]))
    return conditional, tf.stack(cumulative, axis=1)


def constant_stages(names: Sequence[str], conditional_BS: NDArray[Any]) -> tuple[str, ...]:
    """The stages whose conditional predictions are the same for all of these rows: they have collapsed.

    Args:
        names: The stages.
        conditional_BS: [B, S]. Conditional logits; of fewer than two rows nothing can be said.
    """
    if len(conditional_BS) < 2:
        return ()
    return tuple(name for name, spread in zip(names, np.ptp(conditional_BS, axis=0), strict=True) if spread < CONSTANT)
