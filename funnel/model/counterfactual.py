"""The risk of a conditional over all rows, whatever became of them, from those whose label is seen.

A conditional's label is seen on the parent's rows O alone, and these are not like the others. With the propensity
o^ = P(O | x), which the stages above have learnt, each of them stands for 1 / o^ rows:

    IPS    1/|D| sum_O e / o^                                                   (Wang et al., 2022: ESCM2-IPS)
    DR     1/|D| sum_D [e^ + o (e - e^) / o^] + 1/|D| sum_O (e - e^)^2 / o^      (the same: ESCM2-DR)
    DCMT   1/|D| [sum_O e / o^ + sum_N e* / (1 - o^)] + c/|D| sum_D |1 - p - p*|  (Zhu et al., 2023: DCMT)

with e = CE(y, z) the error of a row, e^ an imputed one, and e* = CE(1 - y, z*) that of the counterfactual tower, whose
probability is p*. Self-normalised, 1 / |D| becomes one over the sum of the weights themselves (Swaminathan & Joachims, 2015).

Each function gives the loss of every row, float32 [B], whose mean over the batch is the risk.
"""

from __future__ import annotations

from dataclasses import dataclass

from funnel.model._keras import tf
from funnel.model.likelihood import cross_entropy
from funnel.model.replicas import mean


@dataclass(frozen=True)
class Parts:
    """A batch, as one stage's counterfactual risk sees it. Each float32 [B].

    Attributes:
        label: 1 where the row reached the stage.
        logit: Of the conditional, z.
        row: What each row counts.
        inside: The same over its clipped propensity on O; 0 elsewhere.
        outside: The same over the clipped propensity of N on N; 0 elsewhere.
        twin: What the second tower says; None without one.
        self_normalize: Whether weights are divided by their mean over the batch, on all replicas.
    """

    label: tf.Tensor
    logit: tf.Tensor
    row: tf.Tensor
    inside: tf.Tensor
    outside: tf.Tensor
    twin: tf.Tensor | None
    self_normalize: bool

    def scaled(self, weights_B: tf.Tensor) -> tf.Tensor:
        """Weights whose mean is 1, where these are declared to be normalised."""
        return normalised(weights_B) if self.self_normalize else weights_B


def normalised(weights_B: tf.Tensor) -> tf.Tensor:
    """Weights over their mean, that of all replicas; zeros where all are."""
    return tf.math.divide_no_nan(weights_B, mean(weights_B))


def ips(parts: Parts) -> tf.Tensor:
    """Inverse propensity scores: each row of O counts for all that are like it."""
    return parts.scaled(parts.inside) * cross_entropy(parts.label, parts.logit)


def dr(parts: Parts, imputation_weight: float) -> tf.Tensor:
    """Doubly robust: right where either the propensities or the imputed errors are.

    An error is imputed as that of a label that the second tower guesses, e^ = CE(q, z), so that it follows the prediction
    (Wang et al., 2019, DR-JL): a bare number would teach z nothing.
    """
    error_B = cross_entropy(parts.label, parts.logit)
    imputed_B = cross_entropy(tf.stop_gradient(tf.math.sigmoid(parts.twin)), parts.logit)
    weight_B = parts.scaled(parts.inside)
    # The tower's own loss: e - e^ = (q - y) z, of which z stands still.
    missed_B = (tf.math.sigmoid(parts.twin) - parts.label) * tf.stop_gradient(parts.logit)
    return parts.row * imputed_B + weight_B * (error_B - imputed_B + imputation_weight * missed_B**2)


def dcmt(parts: Parts, constraint: float) -> tf.Tensor:
    """Direct entire-space causal learning: the second tower learns the mirrored label of the rows outside."""
    factual_B = parts.scaled(parts.inside) * cross_entropy(parts.label, parts.logit)
    # Outside, y is 0, and its mirror 1.
    mirrored_B = parts.scaled(parts.outside) * cross_entropy(1.0 - parts.label, parts.twin)
    apart_B = tf.abs(1.0 - tf.math.sigmoid(parts.logit) - tf.math.sigmoid(parts.twin))
    return factual_B + mirrored_B + constraint * parts.row * apart_B
