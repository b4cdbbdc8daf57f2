"""The model that is trained: a network, a task per stage, and what Keras needs to fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf, tfrs
from funnel.model.absence import absent_stages, without
from funnel.model.likelihood import cross_entropy, cumulative_logits, probabilities, quotients, with_joins
from funnel.model.network import Network, blank_batch
from funnel.model.objectives import Judged, Objective
from funnel.model.optimizers import already_gathered, composite
from funnel.model.packing import packed
from funnel.model.penalty import penalty
from funnel.model.raw import RawEncoder, Terms
from funnel.model.replicas import summed
from funnel.model.sampling import corrected
from funnel.model.stored import Tables
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import TOTAL
from funnel.schema.learnt import Learnt
from funnel.schema.objective import Division
from funnel.schema.training import L2


class CumulativeCrossEntropy(keras.losses.Loss):
    """The cross-entropy of a cumulative label, row by row; never reduced, so that no weight of a row is lost."""

    def __init__(self, name: str) -> None:
        super().__init__(reduction=keras.losses.Reduction.NONE, name=name)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Labels and cumulative logits [B] -> float32 [B]."""
        return cross_entropy(tf.cast(y_true, tf.float32), y_pred)


class Learned(NamedTuple):
    """What a step saw.

    Attributes:
        loss: What was minimised, the mean over the rows of all replicas: float32 [].
        means: What is shown of the step, over the same rows, in the order of `shown`: float32 [means].
        rows: How many these are: int32 [].
        losses: Of each row and stage the cross-entropy of its cumulative label, whatever the objective; 0 where that is not
            known: float32 [B, stages].
        conditional: Conditional logits, among the rows that are learnt from: float32 [B, stages].
    """

    loss: tf.Tensor
    means: tf.Tensor
    rows: tf.Tensor
    losses: tf.Tensor
    conditional: tf.Tensor


class FunnelModel(tfrs.Model):
    """P(stage | parent, x) and P(stage | x) for every row, learnt from all rows (ESMM: Ma et al., 2018, for N stages).

    Args:
        schema: The declaration.
        learnt: Sizes, scales and priors.
        terms: Vocabularies, to take raw joined batches; star batches do without.

    Inputs are star batches (`funnel.dataset`), or a mapping of raw values by feature name. For training, elements are
    `(inputs, labels)` or `(inputs, labels, weights)` with labels float [B, stages] or a mapping by stage, NaN where not known,
    and the rows' weights float [B]; or one mapping that also has the labels by stage.
    Calling the model gives float32 [B] by name: `buy` (cumulative) and `buy_given_click` (conditional); NaN where the row's
    domain lacks the stage.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, terms: Terms | None = None) -> None:
        super().__init__(name=schema.name)
        self.schema, self.learnt = schema, learnt
        self.network = Network(schema, learnt)
        self.encoder = None if terms is None else RawEncoder(schema, terms)
        self.objective = Objective(schema, learnt)
        self.tasks = {stage.name: tfrs.tasks.Ranking(CumulativeCrossEntropy(stage.name)) for stage in schema.stages}
        self.shown = (
            "loss",
            *(f"{name}_loss" for name in self.objective.stages),
            *(f"{name}_effective_rows" for name in self.objective.weighted),
        )
        self._means = {name: keras.metrics.Mean(name) for name in self.shown}

    def star(self, inputs: Mapping[str, Any]) -> Mapping[str, tf.Tensor]:
        """The inputs as a star batch.

        Raises:
            ValueError: Raw values, and no vocabularies to read them with.
        """
        if any("/" in key for key in inputs):
            return inputs
        if self.encoder is None:
            raise ValueError("inputs: got raw values, but the model was built without vocabularies. Give `build` the data.")
        return self.encoder(inputs)

    def logits(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """Conditional logits among all rows, also where the rows to learn from were sampled: float32 [B, stages]."""
        return self.conditional(self.star(inputs))

    def conditional(self, batch: Mapping[str, tf.Tensor], tables: Tables | None = None) -> tf.Tensor:
        """The same, of a star batch; read from other tables than its own, where some are given."""
        towers = corrected(self.schema, self._meant(self.network(batch, tables=tables).towers))
        return with_joins(towers, self.schema.topology)

    def _meant(self, towers: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """Conditional logits of what the objective lets towers say."""
        divides = isinstance(self.schema.objective, Division)
        return quotients(towers, self.schema.topology) if divides else towers

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:  # noqa: ARG002  # Keras gives it
        """Every probability by name, float32 [B]; what it is while training is no other."""
        star = self.star(inputs)
        return self.probabilities(star, self.conditional(star))

    def probabilities(self, batch: Mapping[str, tf.Tensor], conditional_BS: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every probability by name, float32 [B], from conditional logits of a star batch; NaN where a row lacks the stage."""
        absent_BS = absent_stages(self.schema, self.learnt, batch)
        both = probabilities(conditional_BS, self.schema.topology)
        return named(self.schema, *(without(absent_BS, one_BS) for one_BS in both))

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """What is minimised, the mean over the rows of a batch: float32 []."""
        return self._judged(inputs, training=training)[1].loss

    def learn(self, inputs: Any) -> Learned:
        """One step: what it saw before it changed the weights."""
        with tf.GradientTape() as tape:
            share, judged = self._judged(inputs, training=True)
        variables = self.trainable_variables
        # Of this replica's share: the optimiser adds up those of all.
        gradients = tape.gradient(share, variables)
        with already_gathered(self.network.gathered):
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return judged

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """One step; the means of the losses since the epoch began."""
        return self._added(self.learn(inputs))

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The means of the losses."""
        return self._added(self._judged(inputs, training=False)[1])

    def _added(self, seen: Learned) -> dict[str, tf.Tensor]:
        for metric, value in zip(self.metrics, tf.unstack(seen.means), strict=True):
            metric.update_state(value, sample_weight=seen.rows)
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Every probability by name; labels, where there are some, are not looked at."""
        return self(inputs[0] if isinstance(inputs, tuple) else inputs)

    def create_variables(self) -> None:
        """Create all weights, and all that the optimisers keep, without a batch: to be saved, or read into."""
        self.network(blank_batch(self.schema), twins=True)
        for optimizer, variables in self.optimizer.parts():
            create = getattr(optimizer, "_create_all_weights", None) or optimizer.build  # the old and the new kind of Keras
            create(variables())

    @property
    def steps(self) -> int:
        """Steps made, as the optimisers have counted them."""
        # A network may be without tables, but has towers: those of the rest come last.
        return int(self.optimizer.parts()[-1][0].iterations)

    def _judged(self, inputs: Any, *, training: bool) -> tuple[tf.Tensor, Learned]:
        """This replica's share of what is minimised, float32 [], and what there is to see."""
        features, labels_BS, weights_B = self._apart(inputs)
        topology = self.schema.topology
        star, stopped = self.star(features), self.schema.stopped
        absent_BS = absent_stages(self.schema, self.learnt, star)
        labels_BS = without(absent_BS, labels_BS)
        batch = packed(self.schema, self.network.widths, star)
        logits = self.network(batch, training=training, twins=True)
        conditional_BS = with_joins(self._meant(logits.towers), topology, stopped)
        cumulative_BS = cumulative_logits(conditional_BS, topology, stopped)
        by_tower = {tower.name: logit_B for tower, logit_B in zip(self.network.towers, logits.towers, strict=True)}
        judged = Judged(by_tower, logits.twins, conditional_BS, cumulative_BS, absent_BS)
        minimised = self.objective(labels_BS, judged, weights_B)
        rows = features[TOTAL] if TOTAL in features else summed(tf.shape(labels_BS)[0])
        each = [minimised.total, *(minimised.stages[name] for name in self.objective.stages)]
        shares = [tf.math.divide_no_nan(tf.reduce_sum(loss_B), tf.cast(rows, tf.float32)) for loss_B in each]
        if (l2 := self.schema.train.l2) != L2():
            shares[0] += penalty(l2, self.network, batch, tf.shape(labels_BS)[0], rows)
        means = summed(tf.stack(shares))
        # These are of all replicas already.
        effective = [minimised.effective[name] for name in self.objective.weighted]
        seen = tf.concat([means, tf.stack(effective)], axis=0) if effective else means
        losses_BS = self._cross_entropies(labels_BS, cumulative_BS)
        return shares[0], Learned(means[0], seen, rows, losses_BS, conditional_BS)

    def _cross_entropies(self, labels_BS: tf.Tensor, cumulative_BS: tf.Tensor) -> tf.Tensor:
        known_BS = tf.where(tf.math.is_nan(labels_BS), tf.zeros_like(labels_BS), labels_BS)
        losses = [
            task(labels=known_BS[:, stage], predictions=cumulative_BS[:, stage], compute_metrics=False)
            for stage, task in enumerate(self.tasks.values())
        ]
        # An unknown label costs nothing.
        return tf.where(tf.math.is_nan(labels_BS), tf.zeros_like(labels_BS), tf.stack(losses, axis=1))

    @property
    def metrics(self) -> list[Any]:
        """The means of the losses: what Keras resets and shows."""
        return list(self._means.values())

    def _apart(self, inputs: Any) -> tuple[Mapping[str, Any], tf.Tensor, tf.Tensor | None]:
        names, weights = self.schema.stage_names, None
        if isinstance(inputs, tuple):
            features, labels, weights = inputs if len(inputs) == 3 else (*inputs, None)
        else:
            features = {key: value for key, value in inputs.items() if key not in names}
            labels = {name: inputs[name] for name in names if name in inputs}
        if isinstance(labels, Mapping):
            labels = self._stacked(labels)
        return (
            features,
            tf.cast(labels, tf.float32),
            None if weights is None else tf.cast(tf.reshape(weights, [-1]), tf.float32),
        )

    def _stacked(self, given: Mapping[str, Any]) -> tf.Tensor:
        """Labels by stage as float32 [B, stages]; a join's are those of its branches."""
        stages = list(zip(self.schema.stage_names, self.schema.topology, strict=True))
        missing = [name for name, place in stages if name not in given and not place.is_join]
        if missing:
            raise ValueError(f"batch: has no labels {missing} (have: {sorted(given)}). Give `(features, labels)`.")
        labels: list[tf.Tensor] = []
        for name, place in stages:
            if place.is_join:
                branches = tf.stack([labels[branch] for branch in place.branches])
                # 1 where one is, whatever the others; else unknown where one is.
                happened = tf.reduce_any(branches == 1, axis=0)
                labels.append(tf.where(happened, tf.ones_like(labels[0]), tf.reduce_sum(branches, axis=0)))
            else:
                labels.append(tf.cast(tf.reshape(given[name], [-1]), tf.float32))
        return tf.stack(labels, axis=1)


def named(schema: FunnelSchema, conditional_BS: Any, cumulative_BS: Any) -> dict[str, Any]:
    """Columns by name: each stage's cumulative, and beside it the conditional where that is another number."""
    columns = {}
    for position, (stage, conditional) in enumerate(zip(schema.stage_names, schema.conditional_names, strict=True)):
        columns[stage] = cumulative_BS[:, position]
        columns[conditional] = conditional_BS[:, position]
    return columns


def build_model(schema: FunnelSchema, learnt: Learnt, terms: Terms | None = None) -> FunnelModel:
    """A compiled model."""
    model = FunnelModel(schema, learnt, terms)

    def tables() -> list[Any]:
        return model.network.tables

    def rest() -> list[Any]:
        own = {id(variable) for variable in tables()}
        return [variable for variable in model.trainable_variables if id(variable) not in own]

    model.compile(optimizer=composite(schema.train.optimizer, tables, rest))
    return model
