"""What towers stand on: embeddings, numbers, and the body's layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.body import Body
from funnel.model.domain import DomainGate, InDomain, gated, in_domain, split_like
from funnel.model.embedding import Embeddings
from funnel.model.interactions import Fields
from funnel.model.layers import Inputs
from funnel.model.numbers import columns_of, scaled
from funnel.model.stored import Table
from funnel.schema.features import Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import Width
from funnel.schema.learnt import Learnt, table_of


class Below(NamedTuple):
    """What towers stand on.

    Attributes:
        outputs: What `StarDense` takes, the same for all towers, or for each.
        within: What gates of towers are made of; None without a domain.
    """

    outputs: list[Inputs]
    within: InDomain | None


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
        numbers, domain = sum(map(columns_of, plain)), schema.model.domain
        self.body = Body(schema.model, [width.dim for width in widths], numbers, towers, seed)
        embedded = sum(width.dim * len(lookups) for width in widths for lookups in width.lookups.values())
        self.gate = DomainGate(domain.units, numbers + embedded, seed) if domain is not None and domain.inputs else None

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False, tables: Mapping[str, Table] | None = None) -> Below:
        """A packed batch -> what towers stand on. A dimension row is worked on once, up to the gates of a domain."""
        embedded, numbers = self.embeddings(batch, tables=tables), dict[str, list[tf.Tensor]]()
        for feature in self._declared.features:
            if isinstance(feature, Numeric) and table_of(feature) is None:
                source = self._declared.source_of(feature)
                columns = scaled(feature, self._learnt.scales[feature.name], batch[f"{source}/{feature.name}"])
                numbers.setdefault(source, []).append(columns)
        sources = [source for source in self._declared.sources if source in embedded or source in numbers]
        index = [None if source == FACTS else batch[f"index/{source}"] for source in sources]
        fields = [
            Fields(self.embeddings.by_width(source, embedded), _together(numbers.get(source, [])), of_fact)
            for source, of_fact in zip(sources, index, strict=True)
        ]
        parts = [_together([*embedded.get(source, []), *numbers.get(source, [])]) for source in sources]
        inputs: Inputs = (parts, index)
        within = None
        if self._declared.model.domain is not None:
            of_domain = self.embeddings.of(self._declared.domain_feature, embedded)
            within = in_domain(self._declared, batch, inputs, of_domain)
        if self.gate is not None:
            wide = gated(inputs, self.gate(within))
            inputs = wide, [None] * len(wide)
            fields = [_gated_fields(one, part) for one, part in zip(fields, wide, strict=True)]
        return Below(self.body(inputs, fields, training=training), within)


def _gated_fields(fields: Fields, wide: tf.Tensor) -> Fields:
    """The same fields, of each fact, from what a source has side by side once it is gated."""
    pieces = [*fields.embeddings.values(), *([] if fields.numbers is None else [fields.numbers])]
    cut = split_like(wide, pieces)
    embeddings = dict(zip(fields.embeddings, cut, strict=False))
    return Fields(embeddings, None if fields.numbers is None else cut[-1], None)


def _together(columns: list[tf.Tensor]) -> tf.Tensor | None:
    return tf.concat(columns, axis=1) if len(columns) > 1 else columns[0] if columns else None
