"""What towers stand on: embeddings, numbers, and the body's layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.body import Body
from funnel.model.embedding import Embeddings
from funnel.model.interactions import Fields
from funnel.model.layers import Inputs
from funnel.model.number_embedding import NumberEmbedding
from funnel.model.numbers import columns_of, scaled
from funnel.model.stored import Table
from funnel.schema.features import Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import Width
from funnel.schema.learnt import Learnt, number_dim, table_of


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
        self.dims = tuple(dict.fromkeys([*(width.dim for width in widths), *(one.size for one in numbers if one.embedded)]))
        self.body = Body(schema.model, self.dims, sum(one.size for one in numbers if not one.embedded), towers, seed)

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers with weights above the tables: name, layer, and whether the inputs enter."""
        yield from ((f"numeric_{name}", layer, False) for name, layer in self.numbers.items())
        yield from self.body.layers()

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, tables: Mapping[str, Table] | None = None
    ) -> list[Inputs]:
        """A packed batch -> what `StarDense` takes, for all towers or for each. A dimension row is worked on once."""
        embedded = self.embeddings(batch, tables=tables)
        dense: dict[str, list[tf.Tensor]] = {}
        numbers: dict[str, list[tf.Tensor]] = {}
        for one in numbers_of(self._declared, self._learnt):
            name = one.feature.name
            given = batch[f"{one.source}/{name}"]
            if one.embedded:
                dense.setdefault(one.source, []).append(self.numbers[name](given))
            else:
                numbers.setdefault(one.source, []).append(scaled(one.feature, self._learnt.scales[name], given))
        sources = [source for source in self._declared.sources if source in embedded or source in dense or source in numbers]
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
        return self.body((parts, index), fields, training=training)

    def _by_width(self, tables: Mapping[int, tf.Tensor], numbers: list[tf.Tensor]) -> dict[int, tf.Tensor]:
        """Embeddings of one width side by side, those of tables first."""
        found = {}
        for dim in self.dims:
            each = [*([tables[dim]] if dim in tables else []), *(rows for rows in numbers if rows.shape[1] == dim)]
            if (together := _together(each)) is not None:
                found[dim] = together
        return found


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


def _together(columns: list[tf.Tensor]) -> tf.Tensor | None:
    return tf.concat(columns, axis=1) if len(columns) > 1 else columns[0] if columns else None
