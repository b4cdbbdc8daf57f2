"""The model that is trained: a network, a task per stage, and what Keras needs to fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf, tfrs
from funnel.model.likelihood import cross_entropy, cumulative_logits, probabilities
from funnel.model.network import Network, blank_batch
from funnel.model.optimizers import already_gathered, composite
from funnel.model.raw import RawEncoder, Terms
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt


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
        loss: What was minimised: float32 [].
        losses: Of each row and stage, not weighted: float32 [B, stages].
        conditional: Conditional logits: float32 [B, stages].
    """

    loss: tf.Tensor
    losses: tf.Tensor
    conditional: tf.Tensor


class FunnelModel(tfrs.Model):
    """P(stage | parent, x) and P(stage | x) for every row, learnt from all rows (ESMM: Ma et al., 2018, for N stages).

    Args:
        schema: The declaration.
        learnt: Sizes, scales and priors.
        terms: Vocabularies, to take raw joined batches; star batches do without.

    Inputs are star batches (`funnel.dataset`), or a mapping of raw values by feature name. For training, elements are
    `(inputs, labels)` with labels float [B, stages] or a mapping by stage; or one mapping that also has the labels by stage.
    Calling the model gives float32 [B] by name: `buy` (cumulative) and `buy_given_click` (conditional).
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, terms: Terms | None = None) -> None:
        super().__init__(name=schema.name)
        self.schema, self.learnt = schema, learnt
        self.network = Network(schema, learnt)
        self.encoder = None if terms is None else RawEncoder(schema, terms)
        self.tasks = {stage.name: tfrs.tasks.Ranking(CumulativeCrossEntropy(stage.name)) for stage in schema.stages}
        self._means = {name: keras.metrics.Mean(name) for name in ("loss", *(f"{s.name}_loss" for s in schema.stages))}

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

    def logits(self, inputs: Mapping[str, Any], *, training: bool = False) -> tf.Tensor:
        """Conditional logits: float32 [B, stages]."""
        return self.network(self.star(inputs), training=training)

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """Every probability by name, float32 [B]."""
        return named(self.schema, *probabilities(self.logits(inputs, training=training), self.schema.topology))

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """The mean over all rows of the weighted cross-entropies of the cumulative labels: float32 []."""
        return self._judged(inputs, training=training).loss

    def learn(self, inputs: Any) -> Learned:
        """One step: what it saw before it changed the weights."""
        with tf.GradientTape() as tape:
            judged = self._judged(inputs, training=True)
        variables = self.trainable_variables
        gradients = tape.gradient(judged.loss, variables)
        with already_gathered(self.network.embeddings.gathered):
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return judged

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """One step; the means of the losses since the epoch began."""
        self.learn(inputs)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The means of the losses."""
        self.compute_loss(inputs)
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Every probability by name; labels, where there are some, are not looked at."""
        return self(inputs[0] if isinstance(inputs, tuple) else inputs)

    def create_variables(self) -> None:
        """Create all weights, and all that the optimisers keep, without a batch: to be saved, or read into."""
        self.network(blank_batch(self.schema))
        for optimizer, variables in self.optimizer.parts():
            create = getattr(optimizer, "_create_all_weights", None) or optimizer.build  # the old and the new kind of Keras
            create(variables())

    @property
    def steps(self) -> int:
        """Steps made, as the optimisers have counted them."""
        # A network may be without tables, but has towers: those of the rest come last.
        return int(self.optimizer.parts()[-1][0].iterations)

    def _judged(self, inputs: Any, *, training: bool) -> Learned:
        features, labels_BS = self._apart(inputs)
        conditional_BS = self.logits(features, training=training)
        cumulative_BS = cumulative_logits(conditional_BS, self.schema.topology)
        losses, total = [], tf.zeros([tf.shape(cumulative_BS)[0]])
        for position, (name, task) in enumerate(self.tasks.items()):
            loss_B = task(labels=labels_BS[:, position], predictions=cumulative_BS[:, position], compute_metrics=False)
            self._means[f"{name}_loss"].update_state(loss_B)
            total += self.schema.objective.weights.get(name, 1.0) * loss_B
            losses.append(loss_B)
        self._means["loss"].update_state(total)
        return Learned(tf.nn.compute_average_loss(total), tf.stack(losses, axis=1), conditional_BS)

    @property
    def metrics(self) -> list[Any]:
        """The means of the losses: what Keras resets and shows."""
        return list(self._means.values())

    def _apart(self, inputs: Any) -> tuple[Mapping[str, Any], tf.Tensor]:
        names = self.schema.stage_names
        if isinstance(inputs, tuple):
            features, labels = inputs
        else:
            features = {key: value for key, value in inputs.items() if key not in names}
            labels = {name: inputs[name] for name in names if name in inputs}
        if isinstance(labels, Mapping):
            labels = self._stacked(labels)
        return features, tf.cast(labels, tf.float32)

    def _stacked(self, given: Mapping[str, Any]) -> tf.Tensor:
        """Labels by stage as float32 [B, stages]; a join's are those of its branches."""
        stages = list(zip(self.schema.stage_names, self.schema.topology, strict=True))
        missing = [name for name, place in stages if name not in given and not place.is_join]
        if missing:
            raise ValueError(f"batch: has no labels {missing} (have: {sorted(given)}). Give `(features, labels)`.")
        labels: list[tf.Tensor] = []
        for name, place in stages:
            if place.is_join:
                labels.append(tf.reduce_max([labels[branch] for branch in place.branches], axis=0))
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
        return list(model.network.embeddings.trainable_variables)

    def rest() -> list[Any]:
        own = {id(variable) for variable in tables()}
        return [variable for variable in model.trainable_variables if id(variable) not in own]

    model.compile(optimizer=composite(schema.train.optimizer, tables, rest))
    return model
