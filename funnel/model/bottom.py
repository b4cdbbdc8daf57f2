"""What towers stand on: embeddings, numbers, and the body's layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.embedding import Embeddings
from funnel.model.layers import Stack
from funnel.model.numbers import scaled
from funnel.model.stored import Table
from funnel.schema.features import Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import Width
from funnel.schema.learnt import Learnt, table_of


class Bottom(keras.layers.Layer):
    """Embeddings, and the body above them; shared by all towers, or a tower's own.

    Args:
        schema: The declaration.
        learnt: Sizes and scales.
        widths: Where the tables stand.
        seed: Of the first values.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, widths: tuple[Width, ...], seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._learnt = schema, learnt
        body = schema.model.body
        self.embeddings = Embeddings(widths, schema.model.embedding_scale, seed)
        self.body = Stack(body.units, body.activation, body.dropout, seed * 101)

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, tables: Mapping[str, Table] | None = None
    ) -> tuple[Sequence[tf.Tensor], Sequence[tf.Tensor | None]]:
        """A packed batch -> what `StarDense` takes: parts, and each fact's row of them. A dimension row is worked on once."""
        columns = self.embeddings(batch, tables=tables)
        for feature in self._declared.features:
            if isinstance(feature, Numeric) and table_of(feature) is None:
                source = self._declared.source_of(feature)
                numbers = scaled(feature, self._learnt.scales[feature.name], batch[f"{source}/{feature.name}"])
                columns.setdefault(source, []).append(numbers)
        sources = [source for source in self._declared.sources if source in columns]
        parts = [columns[source][0] if len(columns[source]) == 1 else tf.concat(columns[source], axis=1) for source in sources]
        index = [None if source == FACTS else batch[f"index/{source}"] for source in sources]
        return self.body(parts, index, training=training)
