"""Stars -> star batches: the facts of a step, only the dimension rows that they use, and the way from one to the other.

A batch is a flat dict. `S/F` holds feature F of source S: int32 [rows] for ids, float32 [rows] for numbers, and for bags
int32 [entries] with `S/F/offsets` int32 [rows + 1] and maybe `S/F/weights` float32 [entries]. `index/D` is each fact's row of
dimension D among those in the batch: int32 [facts].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.chunk import entries_of
from funnel.data.encode import Columns, Star
from funnel.schema.funnel_schema import FACTS, FunnelSchema

Batch = dict[str, NDArray[Any]]
Rows = NDArray[np.int64]


def star_batch(star: Star, rows: Rows) -> Batch:
    """The features of some facts."""
    batch = _of_source(FACTS, star.facts, rows)
    for name, columns in star.dimensions.items():
        used, index = np.unique(star.index[name][rows], return_inverse=True)
        batch |= _of_source(name, columns, used)
        batch[f"index/{name}"] = index.astype(np.int32)
    return batch


def _of_source(source: str, columns: Columns, rows: Rows) -> Batch:
    batch: Batch = {f"{source}/{name}": ids[rows] for name, ids in columns.ids.items()}
    batch |= {f"{source}/{name}": numbers[rows] for name, numbers in columns.numbers.items()}
    for name, lists in columns.lists.items():
        entries, offsets = entries_of(lists.offsets, rows)
        batch[f"{source}/{name}"] = lists.values[entries]
        batch[f"{source}/{name}/offsets"] = offsets.astype(np.int32)
        if lists.weights is not None:
            batch[f"{source}/{name}/weights"] = lists.weights[entries]
    return batch


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """The order of an epoch: a pure function of seed and epoch."""
    return rows[np.random.default_rng([seed, epoch]).permutation(len(rows))]


def batches(star: Star, rows: Rows, batch_size: int) -> Iterator[Batch | tuple[Batch, NDArray[np.float32]]]:
    """Facts in the order of `rows`; the last batch may be smaller. With labels float32 [facts, stages] where there are some."""
    for begin in range(0, len(rows), batch_size):
        chosen = rows[begin : begin + batch_size]
        batch = star_batch(star, chosen)
        yield batch if star.labels is None else (batch, star.labels[chosen].astype(np.float32))


def dataset(schema: FunnelSchema, star: Star, rows: Rows, *, batch_size: int, shuffle: bool) -> Any:
    """A `tf.data.Dataset` of star batches; each pass over it is an epoch, with an order of its own where shuffled.

    Elements are `batch`, or `(batch, labels)` with labels float32 [facts, stages] where the star has labels.
    """
    import tensorflow as tf  # noqa: PLC0415  # takes seconds; reading and checking data do without

    def specification(array: NDArray[Any]) -> Any:
        return tf.TensorSpec([None, *array.shape[1:]], array.dtype)

    example = next(batches(star, rows[:1], 1))
    epoch = 0

    def generate() -> Iterator[Any]:
        nonlocal epoch
        order = shuffled(rows, schema.train.seed, epoch) if shuffle else rows
        epoch += 1
        yield from batches(star, order, batch_size)

    data = tf.data.Dataset.from_generator(generate, output_signature=tf.nest.map_structure(specification, example))
    options = tf.data.Options()
    # Tuning buys nothing for one generator, and can stall for seconds at the end of an epoch.
    options.autotune.enabled = False
    return data.with_options(options).prefetch(2)
