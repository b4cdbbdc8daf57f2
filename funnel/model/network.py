"""The network: a star batch in, the conditional logit of every stage out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.embedding import Embeddings
from funnel.model.layers import ConditionalTower, Stack
from funnel.model.numbers import bucketized, is_bucketized, scaled
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import MISSING, Learnt


class Network(keras.layers.Layer):
    """Shared embeddings and body, and a tower per stage.

    Args:
        schema: The declaration.
        learnt: Sizes, scales and priors.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._learnt = schema, learnt
        self.embeddings = Embeddings(schema, learnt)
        body, tower, seed = schema.model.body, schema.model.tower, schema.train.seed
        self.body = Stack(body.units, body.activation, body.dropout, seed * 101)
        self.towers = [
            ConditionalTower(tower.units, tower.activation, tower.dropout, prior, seed * 101 + position + 1, name=stage.name)
            for position, (stage, prior) in enumerate(zip(schema.stages, learnt.priors, strict=True))
        ]

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Conditional logits, in the order of the stages: float32 [facts, stages]. The work on a dimension row is done once."""
        batch = dict(batch)
        for feature in self._declared.features:
            if is_bucketized(feature):
                key = f"{self._declared.source_of(feature)}/{feature.name}"
                batch[key] = bucketized(self._learnt.scales[feature.name], batch[key])
        embedded = self.embeddings(batch)
        parts = []
        for source in self._declared.sources:
            rows = self._source(source, batch, embedded)
            if rows is not None:
                parts.append(rows if source == FACTS else tf.gather(rows, batch[f"index/{source}"]))
        hidden = self.body(tf.concat(parts, axis=1), training=training)
        return tf.stack([tower(hidden, training=training) for tower in self.towers], axis=1)

    def _source(self, source: str, batch: Mapping[str, tf.Tensor], embedded: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """The inputs that a source gives: float32 [rows, numbers]."""
        columns = []
        for feature in self._declared.features:
            if self._declared.source_of(feature) != source:
                continue
            if isinstance(feature, Numeric) and not is_bucketized(feature):
                columns.append(scaled(feature, self._learnt.scales[feature.name], batch[f"{source}/{feature.name}"]))
            else:
                columns.append(embedded[feature.name])
        return tf.concat(columns, axis=1) if columns else None


def blank_batch(schema: FunnelSchema) -> dict[str, tf.Tensor]:
    """A star batch of one row with nothing in it: enough to create all variables."""
    batch: dict[str, tf.Tensor] = {f"index/{source}": tf.constant([0]) for source in schema.sources if source != FACTS}
    for feature in schema.features:
        key = f"{schema.source_of(feature)}/{feature.name}"
        match feature:
            case Numeric():
                batch[key] = tf.constant([float("nan")])
            case Bag():
                batch |= {key: tf.zeros([0], tf.int32), f"{key}/offsets": tf.constant([0, 0])}
            case _:
                batch[key] = tf.constant([MISSING])
    return batch
