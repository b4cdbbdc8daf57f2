"""Embedding tables: those of one width are one variable, read once a step at the unique rows of the batch.

Shapes: Q unique rows, D numbers per row, E entries of lookups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.layers import take
from funnel.model.optimizers import gather_rows, is_served
from funnel.model.stored import Table
from funnel.schema.layout import ONCE, SIZES, Lookup, Width
from funnel.schema.learnt import FIRST

INIT_ROWS = 1 << 15  # first values are drawn for so many rows at a time: a table is never there twice


@tf.custom_gradient
def weighted_sums(
    rows_QD: tf.Tensor, entries_E2: tf.Tensor, weights_E: tf.Tensor, count: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Sums of weighted rows: a sparse matrix product forward and back, without anything of shape [E, D].

    Args:
        rows_QD: float32 [Q, D].
        entries_E2: int32 or int64 [E, 2]. The sum and the row of each entry.
        weights_E: float32 [E].
        count: int32 []. How many sums.

    Returns:
        float32 [count, D]; zeros where a sum has no entries.
    """
    shape = tf.cast(tf.stack([count, tf.shape(rows_QD)[0]]), tf.int64)

    def product(dense: tf.Tensor, *, adjoint: bool) -> tf.Tensor:
        return tf.raw_ops.SparseTensorDenseMatMul(
            a_indices=entries_E2, a_values=weights_E, a_shape=shape, b=dense, adjoint_a=adjoint, adjoint_b=False
        )

    return product(rows_QD, adjoint=False), lambda upstream: (product(upstream, adjoint=True), None, None, None)


class Embeddings(keras.layers.Layer):
    """Looks up every embedded feature of a packed batch.

    Args:
        widths: Where the tables stand.
        scale: Standard deviation of the first values.
        seed: Of the first values.

    Each step gathers the unique rows of a batch once, so that the gradient is sparse and without repeats, and a step costs the
    same however large the vocabulary.
    """

    def __init__(self, widths: tuple[Width, ...], scale: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._widths = widths
        self._gathered = _Gathered()
        self.tables = {
            str(width.dim): self.add_weight(name=f"embeddings_{width.dim}", shape=[width.rows, width.dim], initializer="zeros")
            for width in widths
        }
        for width in widths:
            for begin in range(0, width.rows, INIT_ROWS):
                rows = tf.range(begin, min(begin + INIT_ROWS, width.rows))
                values = _first_values(width, scale, seed, begin // INIT_ROWS)
                # Not a slice's `assign`, which reads, and so copies, the whole table.
                self.tables[str(width.dim)].scatter_update(tf.IndexedSlices(values, rows))

    @property
    def gathered(self) -> Mapping[Any, tf.Tensor]:
        """By reference of a table: its rows as the last call read them, float32 [Q, D]; for the optimiser of the same step."""
        return self._gathered.rows

    @property
    def last_read(self) -> Mapping[int, tf.Tensor]:
        """By width: the unique rows of the last call, wherever its tables are: float32 [Q, D]."""
        return self._gathered.last

    def call(self, batch: Mapping[str, tf.Tensor], tables: Mapping[str, Table] | None = None) -> dict[str, list[tf.Tensor]]:
        """Embeddings by source: for each width D of its features float32 [N, features * D], N its rows in the batch.

        Args:
            batch: Packed for the tables.
            tables: By width: what is read in the place of its own tables.
        """
        return self.pooled(self.read(batch, tables), batch)

    def read(self, batch: Mapping[str, tf.Tensor], tables: Mapping[str, Table] | None = None) -> dict[int, tf.Tensor]:
        """By width D: the rows that a batch uses, each once: float32 [Q, D]. Arguments are those of `call`."""
        found: dict[int, tf.Tensor] = {}
        for width in self._widths:
            unique_Q = batch[width.unique_key]
            if tables is not None:
                found[width.dim] = tables[str(width.dim)].gather(unique_Q)
                continue
            table = self.tables[str(width.dim)]
            found[width.dim] = rows_QD = gather_rows(table, unique_Q)
            if not is_served(table):
                self._gathered.rows[table.ref()] = rows_QD
        self._gathered.last = found
        return found

    def pooled(self, rows: Mapping[int, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, list[tf.Tensor]]:
        """What `call` gives, of rows that were read."""
        found: dict[str, list[tf.Tensor]] = {}
        for width in self._widths:
            counts = [batch[SIZES][place] * len(lookups) for place, lookups in enumerate(width.lookups.values())]
            rows_QD = rows[width.dim]
            sums = weighted_sums(rows_QD, batch[width.entries_key], batch[width.weights_key], tf.add_n(counts))
            for (source, lookups), part in zip(width.lookups.items(), tf.split(sums, counts), strict=True):
                if lookups:
                    pooled = _repeated(tf.reshape(part, [-1, len(lookups), width.dim]), lookups, batch)
                    found.setdefault(source, []).append(tf.reshape(pooled, [-1, len(lookups) * width.dim]))
        return found

    def in_order(self, rows: Mapping[int, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """By sequence whose order counts: the embedding of each entry, float32 [E, D], of rows that were read."""
        found: dict[str, tf.Tensor] = {}
        for width in self._widths:
            if width.ordered:
                entries_OD = take(rows[width.dim], batch[width.places_key])
                sizes = [tf.cast(batch[f"{lookup.key}/offsets"][-1], tf.int32) for lookup in width.ordered]
                found |= zip((lookup.name for lookup in width.ordered), tf.split(entries_OD, sizes), strict=True)
        return found

    def of(self, name: str, found: Mapping[str, list[tf.Tensor]]) -> tuple[tf.Tensor, str]:
        """Of what `call` gives, one feature's embeddings, float32 [N, D], and its source."""
        for width in self._widths:
            for source, lookups in width.lookups.items():
                names = [lookup.name for lookup in lookups]
                if name in names:
                    begin = names.index(name) * width.dim
                    return self.by_width(source, found)[width.dim][:, begin : begin + width.dim], source
        raise ValueError(f"got {name!r}, expected a feature that is looked up")

    def by_width(self, source: str, found: Mapping[str, list[tf.Tensor]]) -> dict[int, tf.Tensor]:
        """What `call` gives of a source, by width."""
        widths = [width.dim for width in self._widths if width.lookups[source]]
        return dict(zip(widths, found.get(source, []), strict=True))


def _repeated(sums_NLD: tf.Tensor, lookups: Sequence[Lookup], batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The sums of L lookups, those whose list is that of all rows taken from the first row."""
    once_L = [f"{lookup.key}{ONCE}" in batch for lookup in lookups]
    return tf.where(tf.constant(once_L)[:, tf.newaxis], sums_NLD[:1], sums_NLD) if any(once_L) else sums_NLD


class _Gathered:
    """Holds tensors of the last call where Keras, which tracks what layers hold, does not look."""

    def __init__(self) -> None:
        self.rows: dict[Any, tf.Tensor] = {}
        self.last: dict[int, tf.Tensor] = {}


def _first_values(width: Width, scale: float, seed: int, block: int) -> tf.Tensor:
    """The first values of a block of rows: normal, but zeros for missing and unknown ids, which training may never touch."""
    begin = block * INIT_ROWS
    count = min(INIT_ROWS, width.rows - begin)
    values = tf.random.stateless_normal([count, width.dim], [seed * 1009 + width.dim, block], stddev=scale)
    for table in width.compressed:
        # Sums of two rows are then as large as one row of another table.
        first, rows = width.tables[table]
        inside_N = (tf.range(begin, begin + count) >= first) & (tf.range(begin, begin + count) < first + rows)
        values = tf.where(inside_N[:, tf.newaxis], values * 0.5**0.5, values)
    special = [first + row - begin for first, _ in width.tables.values() for row in range(FIRST)]
    inside = [[row] for row in special if 0 <= row < count]
    return tf.tensor_scatter_nd_update(values, inside, tf.zeros([len(inside), width.dim])) if inside else values
