"""The network: a star batch in, the conditional logit of every stage out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.embedding import Embeddings
from funnel.model.layers import ConditionalTower, Stack
from funnel.model.likelihood import with_joins
from funnel.model.numbers import columns_of, scaled
from funnel.model.packing import packed
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import layout
from funnel.schema.learnt import MISSING, Learnt, table_of


class Network(keras.layers.Layer):
    """Shared embeddings and body, and a tower per stage that is no join.

    Args:
        schema: The declaration.
        learnt: Sizes, scales and priors.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._learnt = schema, learnt
        self.widths = layout(schema, learnt)
        self.embeddings = Embeddings(self.widths, schema.model.embedding_scale, schema.train.seed)
        body, tower, seed = schema.model.body, schema.model.tower, schema.train.seed
        self.body = Stack(body.units, body.activation, body.dropout, seed * 101)
        self.towers = [
            ConditionalTower(tower.units, tower.activation, tower.dropout, prior, seed * 101 + position + 1, name=stage.name)
            for position, (stage, prior) in enumerate(zip(schema.stages, learnt.priors, strict=True))
            if stage.any_of is None
        ]

    @property
    def inputs(self) -> dict[str, tuple[int, int]]:
        """By feature: its first row in the kernel of a first layer, and how many it has; in the order of `call`."""
        sizes: dict[str, int] = {}
        for source in self._declared.sources:
            for width in self.widths:
                sizes |= {lookup.name: width.dim for lookup in width.lookups[source]}
            for feature in self._declared.features:
                if isinstance(feature, Numeric) and table_of(feature) is None and self._declared.source_of(feature) == source:
                    sizes[feature.name] = columns_of(feature)
        begins = accumulate(sizes.values(), initial=0)
        return {name: (begin, size) for (name, size), begin in zip(sizes.items(), begins, strict=False)}

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers above the embeddings: name, layer, and whether it is a first one, which the inputs enter."""
        first = not self.body.dense
        yield from ((f"body/{name}", layer, place == 0) for place, (name, layer) in enumerate(self.body.layers()))
        for tower in self.towers:
            for place, (name, layer) in enumerate([*tower.stack.layers(), ("logit", tower.logit)]):
                yield f"{tower.name}/{name}", layer, first and place == 0

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Conditional logits, in the order of the stages: float32 [facts, stages]. The work on a dimension row is done once."""
        batch = packed(self._declared, self.widths, batch)
        columns = self.embeddings(batch)
        for feature in self._declared.features:
            if isinstance(feature, Numeric) and table_of(feature) is None:
                source = self._declared.source_of(feature)
                numbers = scaled(feature, self._learnt.scales[feature.name], batch[f"{source}/{feature.name}"])
                columns.setdefault(source, []).append(numbers)
        sources = [source for source in self._declared.sources if source in columns]
        parts = [columns[source][0] if len(columns[source]) == 1 else tf.concat(columns[source], axis=1) for source in sources]
        index = [None if source == FACTS else batch[f"index/{source}"] for source in sources]
        hidden, index = self.body(parts, index, training=training)
        return with_joins([tower(hidden, index, training=training) for tower in self.towers], self._declared.topology)


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
