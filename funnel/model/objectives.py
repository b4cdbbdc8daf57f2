"""What is minimised: for each stage a loss of each row, over the rows that its objective is about.

Each is scaled so that its mean over a batch is, in expectation, the mean over its own rows: the sum over a part of the rows is
divided by that part's share of all training rows, and never by its count in a batch, which may be 0.

Notation: B rows, S stages; y the cumulative label, which on the parent's rows O_k is the conditional one, too; z_k and L_k the
conditional and the cumulative logit; CE(y, z) = softplus(z) - y z. Sample spaces: all rows D, the parent's rows O_k, and the
rest N_k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from funnel.model import counterfactual
from funnel.model._keras import keras, tf
from funnel.model.calibrator import above_parent
from funnel.model.likelihood import cross_entropy, space_logits
from funnel.model.replicas import summed
from funnel.model.spaces import StageRows, stage_rows
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, given_rates
from funnel.schema.objective import Aman, Dcmt, Division, Dr, Esmm, Ips, Oversampling, ParentSpace, Unbias, with_losses


class Minimised(NamedTuple):
    """What an objective makes of a batch.

    Attributes:
        total: Of each row, all stages: float32 [B]; its mean is minimised.
        stages: By stage that has one: the loss of each row, not weighted by the stage: float32 [B].
        effective: By stage whose rows are weighted by propensities: the effective sample size, (sum w)^2 / sum w^2, of the
            batch (Kish, 1965), on all replicas: float32 [].
    """

    total: tf.Tensor
    stages: dict[str, tf.Tensor]
    effective: dict[str, tf.Tensor]


@dataclass(frozen=True)
class Judged:
    """A batch's predictions, as objectives see them.

    Attributes:
        towers: By stage that is no join: what its tower says, float32 [B].
        twins: By stage with a second tower: what that says, float32 [B].
        conditional: Conditional logits: float32 [B, S].
        cumulative: Cumulative logits: float32 [B, S].
        absent: Which stages a row lacks: bool [B, S]; None for none.
    """

    towers: Mapping[str, tf.Tensor]
    twins: Mapping[str, tf.Tensor]
    conditional: tf.Tensor
    cumulative: tf.Tensor
    absent: tf.Tensor | None = None


class Objective(keras.layers.Layer):
    """The declared objective, with what of it is learnt.

    Args:
        schema: The declaration.
        learnt: The shares of the training rows that losses are divided by.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._topology = schema.objective, schema.topology
        self._names, self._stopped = schema.stage_names, schema.stopped
        # Where cumulatives are products, no stage is above its parent.
        self._calibrator = getattr(schema.model.transfer, "calibrator", 0.0)
        self._known_inside = learnt.known_inside or (1.0,) * len(self._names)
        self._known_elsewhere = learnt.known_elsewhere or (1.0,) * len(self._names)
        self._given = learnt.given or given_rates(learnt.priors, schema.topology)
        self._present = learnt.present or (1.0,) * len(self._names)
        self._priors, self._weight = learnt.priors, learnt.weight
        weights = schema.objective.weights
        self._factors = None if isinstance(weights, str) else {name: weights.get(name, 1.0) for name in self._names}
        if self._factors is None:
            self.log_variances = self.add_weight(name="log_variances", shape=[len(self.stages)], initializer="zeros")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have a loss: a join's is that of its cumulative."""
        return with_losses(self._declared, self._names, self._topology)

    @property
    def weighted(self) -> tuple[str, ...]:
        """The stages whose rows are weighted by propensities."""
        places = zip(self._names, self._topology, strict=True)
        return tuple(n for n, place in places if self._declared.propensities and place.is_partial and not place.is_join)

    def call(self, labels_BS: tf.Tensor, judged: Judged, weights_B: tf.Tensor | None = None) -> Minimised:
        """The losses of a batch.

        Args:
            labels_BS: float32 [B, S]: cumulative labels, NaN where not known.
            judged: The predictions.
            weights_B: float32 [B]: what each row counts; None is 1 each.
        """
        ones_B = tf.ones([tf.shape(labels_BS)[0]])
        weight_B = ones_B if weights_B is None else weights_B / self._weight
        rows = stage_rows(labels_BS, self._topology, judged.absent)
        stands, opening = self._stand_ins(rows), [None] * len(rows)
        if self._declared.propensities:
            opening = space_logits(judged.conditional, judged.cumulative, self._topology)
        losses: dict[str, tf.Tensor] = {}
        effective: dict[str, tf.Tensor] = {}
        total_B = tf.zeros_like(ones_B)
        for stage, name in enumerate(self._names):
            if name not in self.stages:
                continue
            # Rows that lack the stage count nothing, also where no label is needed.
            row_B = weight_B if judged.absent is None else tf.where(judged.absent[:, stage], 0.0, weight_B)
            weighing = _Weighing(name, row_B, stands[stage], opening[stage], effective)
            loss_B = self._loss(stage, rows[stage], judged, weighing)
            losses[name] = loss_B
            total_B += self._weighed(name, loss_B)
        if self._calibrator:
            above_B = above_parent(judged.towers, self._names, self._topology, self._stopped, judged.absent)
            total_B += self._calibrator * weight_B * above_B
        return Minimised(total_B, losses, effective)

    def _weighed(self, name: str, loss_B: tf.Tensor) -> tf.Tensor:
        if self._factors is not None:
            return self._factors[name] * loss_B
        # With s = log sigma^2: loss / sigma^2 + log sigma (Kendall et al., 2018, for classification).
        s = self.log_variances[self.stages.index(name)]
        return tf.exp(-s) * loss_B + s / 2

    def _loss(self, stage: int, rows: StageRows, judged: Judged, weighing: _Weighing) -> tf.Tensor:
        """The loss of one stage, row by row: float32 [B]."""
        declared, place = self._declared, self._topology[stage]
        entire_B = weighing.row * weighing.stands
        if isinstance(declared, Division):
            return entire_B * cross_entropy(rows.label, judged.towers[self._names[stage]])
        entire_B *= cross_entropy(rows.label, judged.cumulative[:, stage])
        if isinstance(declared, Esmm) or not place.is_partial:
            return entire_B
        logit_B = judged.conditional[:, stage]
        if not isinstance(declared, Ips | Dr | Dcmt):
            return self._row_weights(declared, stage, rows, weighing) * cross_entropy(rows.label, logit_B)
        entire_B *= declared.entire_space_weight
        if place.is_join:
            return entire_B
        parts = counterfactual.Parts(
            label=rows.label,
            logit=logit_B,
            row=weighing.row,
            inside=weighing.noted(weighing.row * rows.inside / tf.maximum(weighing.propensity(), self._clip(declared, stage))),
            outside=weighing.row * rows.outside / tf.maximum(weighing.propensity(of_others=True), self._clip(declared, stage)),
            twin=judged.twins.get(self._names[stage]),
            self_normalize=declared.self_normalize,
        )
        return declared.counterfactual_weight * _risk(declared, parts) + entire_B

    def _stand_ins(self, rows: Sequence[StageRows]) -> list[tf.Tensor]:
        """By stage, how many rows each stands for in a sum over all of them, 0 where its label is not known: float32 [B] each.

        As `funnel.data.stand_ins` has it, by the shares of all training rows: a row with the parent stands for its part of
        those whose label is lost, since those without the parent have lost none.
        """
        found: list[tf.Tensor] = []
        for stage, (own, place) in enumerate(zip(rows, self._topology, strict=True)):
            inside_B = own.inside / max(self._known_inside[stage], TINY)
            if place.shares_label:
                before_B = found[place.before] if place.before >= 0 else tf.ones_like(inside_B)
                found.append(before_B * (own.outside + inside_B))
            else:
                elsewhere_B = own.known - own.inside - own.outside
                found.append(own.outside + inside_B + elsewhere_B / max(self._known_elsewhere[stage], TINY))
        return found

    def _clip(self, declared: Unbias | Ips | Dr | Dcmt, stage: int) -> float:
        return declared.clip if declared.clip is not None else max(CLIP * self._given[stage] / self._present[stage], TINY)

    def _row_weights(
        self, declared: ParentSpace | Aman | Oversampling | Unbias, stage: int, rows: StageRows, weighing: _Weighing
    ) -> tf.Tensor:
        """What each row counts in the loss of a conditional: float32 [B]."""
        inside_B, given = weighing.row * rows.inside, max(self._given[stage], TINY)
        match declared:
            case ParentSpace():
                return inside_B / given
            case Aman(rate=rate):
                # All of N_k at a weight, which is in expectation the sample of them: the same gradient, with less noise.
                others = self._present[stage] - given / max(self._known_inside[stage], TINY)
                return (inside_B + rate * weighing.row * rows.outside) / (given + rate * others)
            case Oversampling(factor=factor):
                return inside_B * (1 + (factor - 1) * rows.label) / (given * (1 + (factor - 1) * self._priors[stage]))
            case Unbias():
                # The chance to be accepted in place of the draw, for the same reason.
                chance_B = tf.minimum(1.0, self._clip(declared, stage) / weighing.propensity())
                return counterfactual.normalised(weighing.noted(inside_B * chance_B))


CLIP = 0.1  # of the mean propensity, which no row is divided by less than: none counts more than ten times the mean
TINY = 1e-12  # a share of rows is at least so large: of none there is no loss either


def _risk(declared: Ips | Dr | Dcmt, parts: counterfactual.Parts) -> tf.Tensor:
    match declared:
        case Ips():
            return counterfactual.ips(parts)
        case Dr():
            return counterfactual.dr(parts, declared.imputation_weight)
        case Dcmt():
            return counterfactual.dcmt(parts, declared.constraint)


@dataclass(frozen=True)
class _Weighing:
    """How a stage's rows are weighted.

    Attributes:
        stage: Its name.
        row: What each row counts: float32 [B].
        stands: For how many each stands in a sum over all: float32 [B].
        logit: Of P(O_k | x), float32 [B]. No gradient goes through it: it would be learnt to be large.
        effective: Where the effective sample sizes are noted.
    """

    stage: str
    row: tf.Tensor
    stands: tf.Tensor
    logit: tf.Tensor | None
    effective: dict[str, tf.Tensor]

    def propensity(self, *, of_others: bool = False) -> tf.Tensor:
        """P(O_k | x), or P(N_k | x)."""
        logit_B = tf.stop_gradient(self.logit)
        return tf.math.sigmoid(-logit_B if of_others else logit_B)

    def noted(self, weights_B: tf.Tensor) -> tf.Tensor:
        """The weights, of which the effective sample size is noted."""
        total, squares = tf.unstack(summed(tf.stack([tf.reduce_sum(weights_B), tf.reduce_sum(weights_B**2)])))
        self.effective[self.stage] = tf.math.divide_no_nan(total**2, squares)
        return weights_B
