"""Attention over the entries of sequences: each fact asks its own, whatever their number, without padding.

Shapes: B facts, E entries of rows of the sequence's source, P pairs of a fact and an entry of its row, K numbers that are
compared, D numbers per entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.layers import Stack, StarDense, take
from funnel.model.lists import Lists, made_up
from funnel.model.packing import owners
from funnel.schema.pooling import Attention as Declared


class Pairs(NamedTuple):
    """A fact and an entry each, fact by fact.

    Attributes:
        facts: int32 [P], ascending.
        entries: int32 [P].
    """

    facts: tf.Tensor
    entries: tf.Tensor


def pairs_of(lists: Lists, rows_B: tf.Tensor) -> Pairs:
    """All entries of each fact's row: rows int32 [B]."""
    lengths_B = tf.gather(lists.lengths, rows_B)
    count = tf.reduce_sum(lengths_B)
    facts_P = owners(lengths_B, count)
    # From where pairs of a fact begin to where its entries do.
    shift_B = tf.gather(lists.begins, rows_B) - tf.cumsum(lengths_B, exclusive=True)
    return Pairs(facts_P, tf.range(count) + tf.gather(shift_B, facts_P))


class Attention(keras.layers.Layer):
    """The sum of a sequence's entries, each times what a network makes of it and of the fact's query: Zhou et al., 2018 (DIN).

    The network is that of the paper's activation unit: layers over the query, the entry, and their product number by number,
    with Dice, and a linear one. The difference of the two, which others add, is a linear function of them, so that the first
    layer can make it itself. What it makes of the query is computed once for each fact, and what it makes of the entry once for
    each entry, however many facts ask it.

    Args:
        declared: Its layers.
        seed: Of the first weights.
    """

    def __init__(self, declared: Declared, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._normalize = declared.normalize
        self.stack = Stack(declared.units, declared.activation, 0.0, seed)
        self.weight = StarDense(1, keras.initializers.GlorotUniform(seed=seed * 1009 + 997))

    def layers(self) -> Iterator[tuple[str, Any]]:
        """Its layers with weights, by name."""
        yield from self.stack.layers()
        yield "weight", self.weight

    def call(
        self, query_BK: tf.Tensor, keys_EK: tf.Tensor, entries_ED: tf.Tensor, pairs: Pairs, training: bool = False
    ) -> tf.Tensor:
        """The sums, float32 [B, D]; zeros where a fact has no entries.

        Args:
            query_BK: What each fact asks with.
            keys_EK: What each entry is compared by.
            entries_ED: What is added up.
            pairs: Which facts ask which entries.
            training: Whether weights are learnt from it.
        """
        facts, count = tf.shape(query_BK)[0], tf.size(pairs.facts)
        wide = Pairs(*(made_up(one, training=training) for one in pairs))
        product_PK = take(query_BK, wide.facts) * take(keys_EK, wide.entries)
        enter = [query_BK, made_up(keys_EK, training=training), product_PK], [wide.facts, wide.entries, None]
        weight_P = self.weight(*self.stack(*enter, training=training))[:count, 0]
        if self._normalize:
            weight_P = softmax(weight_P, pairs.facts, facts, training=training)
        return weighed(entries_ED, weight_P, pairs.facts, pairs.entries, facts)


def softmax(scores_P: tf.Tensor, facts_P: tf.Tensor, facts: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Of the scores of each fact's pairs: float32 [P]."""
    highest_B = tf.stop_gradient(tf.math.unsorted_segment_max(scores_P, facts_P, facts))
    odds_P = tf.exp(made_up(scores_P - tf.gather(highest_B, facts_P), training=training))[: tf.size(facts_P)]
    return odds_P / take(tf.math.unsorted_segment_sum(odds_P, facts_P, facts), facts_P)


@tf.custom_gradient
def weighed(
    entries_ED: tf.Tensor, weight_P: tf.Tensor, facts_P: tf.Tensor, entries_P: tf.Tensor, facts: tf.Tensor
) -> tf.Tensor:
    """By fact: the sum of its entries, each times its weight: float32 [B, D]; a sparse matrix product forward and back."""
    place_P2 = tf.stack([facts_P, entries_P], axis=1)
    shape = tf.cast(tf.stack([facts, tf.shape(entries_ED)[0]]), tf.int64)

    def product(dense: tf.Tensor, *, adjoint: bool) -> tf.Tensor:
        return tf.raw_ops.SparseTensorDenseMatMul(
            a_indices=place_P2, a_values=weight_P, a_shape=shape, b=dense, adjoint_a=adjoint, adjoint_b=False
        )

    def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
        of_weight_P = tf.reduce_sum(tf.gather(upstream, facts_P) * tf.gather(entries_ED, entries_P), axis=1)
        return product(upstream, adjoint=True), of_weight_P, None, None, None

    return product(entries_ED, adjoint=False), gradient
