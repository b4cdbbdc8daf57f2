"""Sequences whose order counts: their entries' embeddings in, a vector for each row of their source or each fact out.

Shapes: B facts, N rows of a source, E entries of a sequence of them, D numbers per entry of all that are pooled together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.attention import Attention, pairs_of
from funnel.model.layers import take
from funnel.model.lists import Lists
from funnel.model.recurrent import Gru
from funnel.schema import pooling
from funnel.schema.data import FACTS
from funnel.schema.layout import ONCE, SIZES
from funnel.schema.ordered import Ordered

LEAST, MOST = -16, 31  # of times, the powers of two between which each has an embedding of its own
Asking = Callable[[str], tuple[tf.Tensor, str]]
OCTAVES = [2.0**power for power in range(LEAST, MOST + 1)]


class Told(keras.layers.Layer):
    """Vectors of places in a list, or of octaves of times.

    Args:
        rows: How many vectors.
        dim: D.
        scale: Standard deviation of the first values.
        seed: Of these.
    """

    def __init__(self, rows: int, dim: int, scale: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows
        first = keras.initializers.RandomNormal(stddev=scale, seed=seed)
        self.vectors = self.add_weight(name="vectors", shape=[rows, dim], initializer=first)

    def call(self, which_E: tf.Tensor) -> tf.Tensor:
        """float32 [E, D]. Which are: int32 [E]; the last one stands for all beyond."""
        return take(tf.convert_to_tensor(self.vectors), tf.minimum(which_E, self.rows - 1))


class Pooled(keras.layers.Layer):
    """Sequences that are pooled together.

    Args:
        declared: Which, and how.
        scale: Standard deviation of the first vectors of places and times.
        seed: Of the first weights.
    """

    def __init__(self, declared: Ordered, scale: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declared, dim = declared, sum(declared.dims)
        self.positions = Told(declared.positions, dim, scale, seed * 1009 + 991) if declared.positions else None
        self.times = Told(len(OCTAVES) + 1, dim, scale, seed * 1009 + 992) if declared.times else None
        match declared.pooling:
            case pooling.Attention():
                self.reader: Any = Attention(declared.pooling, seed)
            case pooling.Gru():
                self.reader = Gru(declared.pooling.units or dim, seed)
            case _:
                self.reader = None

    def layers(self) -> Iterator[tuple[str, Any]]:
        """Its layers with weights, by name."""
        for name, layer in (("positions", self.positions), ("times", self.times)):
            if layer is not None:
                yield name, layer
        match self.reader:
            case Attention():
                yield from self.reader.layers()
            case Gru():
                yield "gru", self.reader

    def call(
        self,
        entries: Mapping[str, tf.Tensor],
        batch: Mapping[str, tf.Tensor],
        queries: Mapping[str, tf.Tensor],
        rows_B: tf.Tensor,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """By sequence: its vector of each row of the source, or of each fact where these ask: float32 [N or B, its width].

        Args:
            entries: By sequence: the embedding of each entry.
            batch: Packed.
            queries: By query: what each fact asks with.
            rows_B: The row of each fact.
            training: Whether weights are learnt from it.
        """
        declared = self.declared
        once = f"{declared.key}{ONCE}" in batch
        lists = Lists.of(batch[f"{declared.key}/offsets"])
        entries_ED = self._with_places_and_times(_together([entries[name] for name in declared.names]), lists, batch)
        if isinstance(self.reader, Attention):
            keys_EK, query_BK = self._compared(entries_ED, queries)
            pairs = pairs_of(lists, tf.zeros_like(rows_B) if once else rows_B)
            return self._apart(self.reader(query_BK, keys_EK, entries_ED, pairs, training=training))
        found = (
            self.reader(entries_ED, lists, training=training) if self.reader is not None else self._summed(entries_ED, lists)
        )
        return self._apart(tf.broadcast_to(found[:1], tf.shape(found)) if once else found)

    def _with_places_and_times(self, entries_ED: tf.Tensor, lists: Lists, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        said = []
        if self.positions is not None:
            said.append(self.positions(lists.from_newest))
        if self.times is not None:
            # Not a logarithm, whose last bit decides where a power of two belongs.
            octave_E = tf.raw_ops.Bucketize(input=batch[f"{self.declared.key}/weights"], boundaries=OCTAVES)
            said.append(self.times(octave_E))
        if not said:
            return entries_ED
        # A sum does not tell to which entry a vector was added: there, it says how much of the entry counts.
        return tf.add_n([entries_ED, *said]) if self.reader is not None else entries_ED * (1.0 + tf.add_n(said))

    def _compared(self, entries_ED: tf.Tensor, queries: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """What entries are compared by, float32 [E, K], and what facts ask with, float32 [B, K]."""
        parts = zip(self.declared.queries, tf.split(entries_ED, self.declared.dims, axis=1), strict=True)
        asked = [(queries[query], part) for query, part in parts if query is not None]
        return _together([part for _, part in asked]), _together([query for query, _ in asked])

    def _summed(self, entries_ED: tf.Tensor, lists: Lists) -> tf.Tensor:
        sums_ND = tf.math.unsorted_segment_sum(entries_ED, lists.owners, tf.size(lists.lengths))
        if isinstance(self.declared.pooling, pooling.Sum):
            return sums_ND
        return sums_ND / tf.cast(tf.maximum(lists.lengths, 1), tf.float32)[:, None]

    def _apart(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        gives = self.declared.gives
        return dict(zip(gives, tf.split(vectors, list(gives.values()), axis=1), strict=True))


class Sequences(keras.layers.Layer):
    """All sequences of a schema whose order counts.

    Args:
        declared: Which are pooled together, and how.
        scale: Standard deviation of the first vectors of places and times.
        seed: Of the first weights.
    """

    def __init__(self, declared: tuple[Ordered, ...], scale: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pooled = [Pooled(one, scale, seed * 101 + 17 * place + 7) for place, one in enumerate(declared)]

    @property
    def widths(self) -> list[int]:
        """Of the vectors."""
        return [width for one in self.pooled for width in one.declared.gives.values()]

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers with weights: name, layer, and that what enters the body does not enter these."""
        for one in self.pooled:
            yield from ((f"sequences/{one.declared.names[0]}/{name}", layer, False) for name, layer in one.layers())

    def call(
        self, entries: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor], asking: Asking, training: bool = False
    ) -> dict[str, dict[str, tf.Tensor]]:
        """By source, and there by sequence: its vector of each row, float32 [N, its width].

        Args:
            entries: By sequence: the embedding of each entry.
            batch: Packed.
            asking: Gives a feature's embedding of each row of its source, and that source.
            training: Whether weights are learnt from it.
        """
        found: dict[str, dict[str, tf.Tensor]] = {}
        every_B = tf.range(batch[SIZES][0])

        def rows_of(source: str) -> tf.Tensor:
            return every_B if source == FACTS else batch[f"index/{source}"]

        for one in self.pooled:
            queries = {}
            for query in dict.fromkeys(name for name in one.declared.queries if name is not None):
                rows, source = asking(query)
                queries[query] = rows if source == FACTS else take(rows, rows_of(source))
            vectors = one(entries, batch, queries, rows_of(one.declared.source), training=training)
            found.setdefault(one.declared.owner, {}).update(vectors)
        return found


def _together(columns: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat(columns, axis=1) if len(columns) > 1 else columns[0]
