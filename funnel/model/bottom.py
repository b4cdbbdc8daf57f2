"""What towers stand on: embeddings, numbers, and the body's layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.body import Body
from funnel.model.domain import DomainGate, InDomain, gated, in_domain, split_like
from funnel.model.embedding import Embeddings
from funnel.model.interactions import Fields
from funnel.model.layers import Inputs
from funnel.model.number_embedding import NumberEmbedding
from funnel.model.numbers import columns_of, scaled
from funnel.model.sequences import Sequences
from funnel.model.stored import Table
from funnel.schema.data import FACTS
from funnel.schema.features import Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import Width
from funnel.schema.learnt import Learnt, number_dim, table_of
from funnel.schema.ordered import ordered


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
        numbers = numbers_of(schema, learnt)
        self.numbers = {
            one.feature.name: NumberEmbedding(one.feature, learnt.scales[one.feature.name], one.size, seed * 103 + place)
            for place, one in enumerate(numbers)
            if one.embedded
        }
        self.sequences = Sequences(ordered(schema), schema.model.embedding_scale, seed)
        looked_up = [width.dim for width in widths if any(width.lookups.values())]
        made = [*(one.size for one in numbers if one.embedded), *self.sequences.widths]
        self.dims = tuple(dict.fromkeys([*looked_up, *made]))
        plain, domain = sum(one.size for one in numbers if not one.embedded), schema.model.domain
        self.body = Body(schema.model, self.dims, plain, towers, seed)
        self.gate = None
        if domain is not None and domain.inputs:
            tables = sum(width.dim * len(lookups) for width in widths for lookups in width.lookups.values())
            entering = tables + sum(one.size for one in numbers) + sum(self.sequences.widths)
            self.gate = DomainGate(domain.units, entering, seed, inputs=True)

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers with weights above the tables: name, layer, and whether an axis of its kernel is the inputs."""
        yield from ((f"numeric_{name}", layer, False) for name, layer in self.numbers.items())
        yield from self.sequences.layers()
        if self.gate is not None:
            yield from ((f"gate_{name}", layer, first) for name, layer, first in self.gate.layers())
        yield from self.body.layers()

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False, tables: Mapping[str, Table] | None = None) -> Below:
        """A packed batch -> what towers stand on. A dimension row is worked on once, up to the gates of a domain."""
        rows = self.embeddings.read(batch, tables)
        embedded = self.embeddings.pooled(rows, batch)
        in_order = self._in_order(rows, embedded, batch, training=training)
        dense: dict[str, list[tf.Tensor]] = {}
        numbers: dict[str, list[tf.Tensor]] = {}
        for one in numbers_of(self._declared, self._learnt):
            name = one.feature.name
            given = batch[f"{one.source}/{name}"]
            if one.embedded:
                dense.setdefault(one.source, []).append(self.numbers[name](given))
            else:
                numbers.setdefault(one.source, []).append(scaled(one.feature, self._learnt.scales[name], given))
        for source, vectors in in_order.items():
            dense.setdefault(source, []).extend(vectors.values())
        sources = [source for source in self._declared.sources if source in {*embedded, *dense, *numbers}]
        index = [None if source == FACTS else batch[f"index/{source}"] for source in sources]
        fields = [
            Fields(
                self._by_width(self.embeddings.by_width(source, embedded), dense.get(source, [])),
                _together(numbers.get(source, [])),
                of_fact,
            )
            for source, of_fact in zip(sources, index, strict=True)
        ]
        parts = [_together([*one.embeddings.values(), *([] if one.numbers is None else [one.numbers])]) for one in fields]
        inputs: Inputs = (parts, index)
        within = None
        if self._declared.model.domain is not None:
            of_domain, _ = self.embeddings.of(self._declared.domain_feature, embedded)
            within = in_domain(self._declared, batch, inputs, of_domain)
        if self.gate is not None:
            wide = gated(inputs, self.gate(within))
            inputs = wide, [None] * len(wide)
            fields = [_gated_fields(one, part) for one, part in zip(fields, wide, strict=True)]
        return Below(self.body(inputs, fields, training=training), within)

    def _by_width(self, tables: Mapping[int, tf.Tensor], others: list[tf.Tensor]) -> dict[int, tf.Tensor]:
        """Embeddings of one width side by side: those of tables, of numbers, and of sequences whose order counts."""
        found = {}
        for dim in self.dims:
            each = [*([tables[dim]] if dim in tables else []), *(rows for rows in others if rows.shape[1] == dim)]
            if (together := _together(each)) is not None:
                found[dim] = together
        return found

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


class Number(NamedTuple):
    """A number that is looked up in no table.

    Attributes:
        source: Where it is from.
        feature: Its declaration.
        size: How many numbers enter in its place.
        embedded: Whether these are an embedding, which weights of its own make.
    """

    source: str
    feature: Numeric
    size: int
    embedded: bool


def numbers_of(schema: FunnelSchema, learnt: Learnt) -> list[Number]:
    """All of them: an embedding enters after the tables' of its width, the others after all embeddings."""
    found = []
    for feature in schema.features:
        if isinstance(feature, Numeric) and table_of(feature) is None:
            dim = number_dim(schema, feature)
            size = dim or columns_of(feature, learnt.scales[feature.name])
            found.append(Number(schema.source_of(feature), feature, size, dim is not None))
    return found


def _gated_fields(fields: Fields, wide: tf.Tensor) -> Fields:
    """The same fields, of each fact, from what a source has side by side once it is gated."""
    pieces = [*fields.embeddings.values(), *([] if fields.numbers is None else [fields.numbers])]
    cut = split_like(wide, pieces)
    embeddings = dict(zip(fields.embeddings, cut, strict=False))
    return Fields(embeddings, None if fields.numbers is None else cut[-1], None)


def _together(columns: list[tf.Tensor]) -> tf.Tensor | None:
    return tf.concat(columns, axis=1) if len(columns) > 1 else columns[0] if columns else None
