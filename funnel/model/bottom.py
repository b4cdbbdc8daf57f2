"""What towers stand on: embeddings, numbers, and the body's layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.body import Body
from funnel.model.embedding import Embeddings
from funnel.model.interactions import Fields
from funnel.model.layers import Inputs
from funnel.model.numbers import columns_of, scaled
from funnel.model.sequences import Sequences
from funnel.model.stored import Table
from funnel.schema.features import Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import Width
from funnel.schema.learnt import Learnt, table_of
from funnel.schema.ordered import ordered


class Bottom(keras.layers.Layer):
    """Embeddings, and the body above them; shared by all towers, or a tower's own.

    Args:
        schema: The declaration.
        learnt: Sizes and scales.
        widths: Where the tables stand.
        towers: How many stand on it.
        seed: Of the first values.
    """

    def __init__(
        self, schema: FunnelSchema, learnt: Learnt, widths: tuple[Width, ...], towers: int, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._declared, self._learnt = schema, learnt
        self.embeddings = Embeddings(widths, schema.model.embedding_scale, seed)
        plain = (feature for feature in schema.features if isinstance(feature, Numeric) and table_of(feature) is None)
        self.sequences = Sequences(ordered(schema), schema.model.embedding_scale, seed)
        looked_up = [width.dim for width in widths if any(width.lookups.values())]
        dims = list(dict.fromkeys([*looked_up, *self.sequences.widths]))
        self.body = Body(schema.model, dims, sum(map(columns_of, plain)), towers, seed)

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers above the embeddings: name, layer, and whether what enters the body enters it."""
        yield from self.sequences.layers()
        yield from self.body.layers()

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, tables: Mapping[str, Table] | None = None
    ) -> list[Inputs]:
        """A packed batch -> what `StarDense` takes, for all towers or for each. A dimension row is worked on once."""
        rows = self.embeddings.read(batch, tables)
        embedded, numbers = self.embeddings.pooled(rows, batch), dict[str, list[tf.Tensor]]()
        in_order = self._in_order(rows, embedded, batch, training=training)
        for feature in self._declared.features:
            if isinstance(feature, Numeric) and table_of(feature) is None:
                source = self._declared.source_of(feature)
                columns = scaled(feature, self._learnt.scales[feature.name], batch[f"{source}/{feature.name}"])
                numbers.setdefault(source, []).append(columns)
        sources = [source for source in self._declared.sources if source in {*embedded, *in_order, *numbers}]
        index = [None if source == FACTS else batch[f"index/{source}"] for source in sources]
        fields = [
            Fields(
                _by_width(self.embeddings.by_width(source, embedded), in_order.get(source, {}).values()),
                _together(numbers.get(source, [])),
                of_fact,
            )
            for source, of_fact in zip(sources, index, strict=True)
        ]
        parts = [
            _together([*embedded.get(source, []), *in_order.get(source, {}).values(), *numbers.get(source, [])])
            for source in sources
        ]
        return self.body((parts, index), fields, training=training)

    def _in_order(
        self,
        rows: Mapping[int, tf.Tensor],
        embedded: Mapping[str, list[tf.Tensor]],
        batch: Mapping[str, tf.Tensor],
        *,
        training: bool,
    ) -> dict[str, dict[str, tf.Tensor]]:
        """By source: the vectors of sequences whose order counts."""
        if not self.sequences.pooled:
            return {}
        entries = self.embeddings.in_order(rows, batch)
        return self.sequences(entries, batch, lambda name: self.embeddings.of(name, embedded), training=training)


def _by_width(embedded: Mapping[int, tf.Tensor], vectors: Iterable[tf.Tensor]) -> dict[int, tf.Tensor]:
    """Embeddings by width, vectors that are as wide among them."""
    each = {width: [rows] for width, rows in embedded.items()}
    for vector in vectors:
        each.setdefault(int(vector.shape[1]), []).append(vector)
    return {width: tf.concat(rows, axis=1) if len(rows) > 1 else rows[0] for width, rows in each.items()}


def _together(columns: list[tf.Tensor]) -> tf.Tensor | None:
    return tf.concat(columns, axis=1) if len(columns) > 1 else columns[0] if columns else None
