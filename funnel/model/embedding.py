"""Embedding tables: those of one width are one variable, read once a step at the unique rows of the batch.

Shapes: Q unique rows, D numbers per row, N rows of a source, E entries of bags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from funnel.model._keras import keras, tf
from funnel.schema.features import Bag
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import FIRST, Learnt, dim_of, table_of

Batch = Mapping[str, tf.Tensor]


@tf.custom_gradient
def take(rows_QD: tf.Tensor, ids_N: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """`tf.gather` with a dense gradient over the unique rows, which are few."""
    count = tf.shape(rows_QD)[0]
    return tf.gather(rows_QD, ids_N), lambda upstream: (tf.math.unsorted_segment_sum(upstream, ids_N, count), None)


@tf.custom_gradient
def weighted_bag(
    rows_QD: tf.Tensor, index_E2: tf.Tensor, weights_E: tf.Tensor, bags: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Sums of weighted rows: a sparse matrix product forward and back, without anything of shape [E, D].

    Args:
        rows_QD: float32 [Q, D].
        index_E2: int64 [E, 2]. The bag and the row of each entry; bags ascending.
        weights_E: float32 [E].
        bags: int32 []. How many bags.

    Returns:
        float32 [bags, D]; zeros for empty bags.
    """
    shape = tf.cast(tf.stack([bags, tf.shape(rows_QD)[0]]), tf.int64)

    def product(dense: tf.Tensor, *, adjoint: bool) -> tf.Tensor:
        return tf.raw_ops.SparseTensorDenseMatMul(
            a_indices=index_E2, a_values=weights_E, a_shape=shape, b=dense, adjoint_a=adjoint, adjoint_b=False
        )

    return product(rows_QD, adjoint=False), lambda upstream: (product(upstream, adjoint=True), None, None, None)


@dataclass(frozen=True)
class Lookup:
    """How a feature reads its table: the batch's key, where the table begins in its variable, and how bags are pooled."""

    name: str
    key: str
    offset: int
    pooling: str | None


class Embeddings(keras.layers.Layer):
    """Looks up every embedded feature of a batch.

    Args:
        schema: The declaration.
        learnt: Says how many rows each table has.

    Tables of one width share a variable. Each step gathers its unique rows once, so that the gradient is sparse and without
    repeats, and a step costs the same however large the vocabulary.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Locals first: Keras tracks what is assigned, and refuses to save a mapping that grew afterwards.
        lookups: dict[int, list[Lookup]] = {}
        places: dict[int, dict[str, tuple[int, int]]] = {}  # by width: each table's first row, and how many it has
        for feature in schema.features:
            table = table_of(feature)
            if table is None:
                continue
            dim = dim_of(schema, table)
            placed = places.setdefault(dim, {})
            placed.setdefault(table, (sum(rows for _, rows in placed.values()), learnt.rows[table]))
            pooling = feature.pooling if isinstance(feature, Bag) else None
            lookup = Lookup(feature.name, f"{schema.source_of(feature)}/{feature.name}", placed[table][0], pooling)
            lookups.setdefault(dim, []).append(lookup)
        self._lookups = tuple((str(dim), tuple(found)) for dim, found in lookups.items())
        self.tables = {
            str(dim): self.add_weight(
                name=f"embeddings_{dim}",
                shape=[sum(rows for _, rows in placed.values()), dim],
                initializer=_Rows(tuple(placed.values()), schema.model.embedding_scale, schema.train.seed),
            )
            for dim, placed in places.items()
        }

    def call(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Embeddings by feature: float32 [N, D], N the rows of the feature's source in the batch."""
        found: dict[str, tf.Tensor] = {}
        for dim, lookups in self._lookups:
            found |= _look_up(
                self.tables[dim], [one for one in lookups if not one.pooling], [one for one in lookups if one.pooling], batch
            )
        return found


def _look_up(table: tf.Variable, singles: list[Lookup], bags: list[Lookup], batch: Batch) -> dict[str, tf.Tensor]:
    ids = [batch[lookup.key] + lookup.offset for lookup in [*singles, *bags]]
    unique_Q, position = tf.unique(tf.concat(ids, axis=0))
    rows_QD = tf.gather(table, unique_Q)
    positions = tf.split(position, [tf.shape(part)[0] for part in ids])
    found: dict[str, tf.Tensor] = {}
    if singles:
        taken = take(rows_QD, tf.concat(positions[: len(singles)], axis=0))
        parts = tf.split(taken, [tf.shape(part)[0] for part in ids[: len(singles)]])
        found |= {lookup.name: part for lookup, part in zip(singles, parts, strict=True)}
    if bags:
        found |= _pool(rows_QD, bags, positions[len(singles) :], batch)
    return found


def _pool(rows_QD: tf.Tensor, bags: list[Lookup], positions: list[tf.Tensor], batch: Batch) -> dict[str, tf.Tensor]:
    """All bags in one sparse product."""
    counts, owners, weights, scales = [], [], [], []
    begin = tf.constant(0, tf.int32)
    for lookup, position in zip(bags, positions, strict=True):
        offsets = batch[f"{lookup.key}/offsets"]
        lengths = offsets[1:] - offsets[:-1]
        count = tf.shape(lengths)[0]
        owner = tf.repeat(tf.range(count), lengths)
        weight = batch.get(f"{lookup.key}/weights")
        weight = tf.ones(tf.shape(position), tf.float32) if weight is None else weight
        scales.append(_scale(lookup.pooling, weight, owner, count))
        counts.append(count)
        owners.append(owner + begin)
        weights.append(weight)
        begin += count
    index = tf.cast(tf.stack([tf.concat(owners, axis=0), tf.concat(positions, axis=0)], axis=1), tf.int64)
    pooled = weighted_bag(rows_QD, index, tf.concat(weights, axis=0), begin)
    parts = tf.split(pooled, counts)
    return {
        lookup.name: part if scale is None else part * scale[:, None]
        for lookup, part, scale in zip(bags, parts, scales, strict=True)
    }


def _scale(pooling: str | None, weight: tf.Tensor, owner: tf.Tensor, count: tf.Tensor) -> tf.Tensor | None:
    """What each bag's weighted sum is multiplied with; 0 where the weights cancel out."""
    if pooling == "mean":
        return tf.math.divide_no_nan(1.0, tf.math.unsorted_segment_sum(weight, owner, count))
    if pooling == "sqrtn":
        return tf.math.divide_no_nan(1.0, tf.sqrt(tf.math.unsorted_segment_sum(weight * weight, owner, count)))
    return None


class _Rows(keras.initializers.Initializer):
    """Normal numbers, but zeros in the rows for missing and unknown ids, which training may never touch."""

    def __init__(self, tables: tuple[tuple[int, int], ...], scale: float, seed: int) -> None:
        self.tables, self.scale, self.seed = tables, scale, seed

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
        """The first values."""
        values = tf.random.stateless_normal(shape, [self.seed, shape[1]], stddev=self.scale, dtype=dtype or tf.float32)
        special = [begin + row for begin, _ in self.tables for row in range(FIRST)]
        return tf.tensor_scatter_nd_update(values, [[row] for row in special], tf.zeros([len(special), shape[1]], values.dtype))
