"""Shards -> star batches: the facts of a step, only the dimension rows that they use, and the way from one to the other.

A batch is a flat dict. `S/F` holds feature F of source S: int32 [rows] for ids, float32 [rows] for numbers, and for bags
int32 [entries] with `S/F/offsets` int32 [rows + 1] and maybe `S/F/weights` float32 [entries]. `index/D` is each fact's row of
dimension D among those in the batch: int32 [facts].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.columns import Columns, concat, take
from funnel.data.labels import is_known
from funnel.data.order import Epoch
from funnel.data.star import INDEX, Star
from funnel.data.store import Shards
from funnel.data.weights import row_weights
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.training import ByGroup, ByRow, ByWindow

Batch = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]
Element = Batch | tuple[Batch, Floats] | tuple[Batch, Floats, Floats]
Parts = Sequence[tuple[Star, NDArray[np.int64]]]
Sources = dict[str, Columns]
Index = dict[str, NDArray[Any]]  # by dimension


def star_batch(parts: Parts) -> Batch:
    """The features of some facts of some stars.

    A dimension row stands once for each star that the facts come from: a store keeps the facts of one row of the first
    dimension together, so for that one this is once a batch.
    """
    sources, index = joined([parts_of(star, rows) for star, rows in parts])
    batch = {f"{source}/{name}": array for source, columns in sources.items() for name, array in columns.items()}
    return batch | {f"{INDEX}/{source}": of_fact for source, of_fact in index.items()}


def joined(parts: Sequence[tuple[Sources, Index]]) -> tuple[Sources, Index]:
    """Facts one after the other, each star's dimension rows behind those of the stars before it."""
    sources: Sources = {}
    index: Index = {}
    for source in parts[0][0]:
        sources[source] = concat([columns[source] for columns, _ in parts])
        if source != FACTS:
            sizes = [int(own[source].max(initial=-1)) + 1 for _, own in parts]
            begins = np.cumsum([0, *sizes[:-1]])
            index[source] = np.concatenate(
                [own[source] + np.int32(begin) for (_, own), begin in zip(parts, begins, strict=True)], dtype=np.int32
            )
    return sources, index


def parts_of(star: Star, rows: NDArray[np.int64]) -> tuple[Sources, Index]:
    """Some facts of a star, the dimension rows that they use, and each one's row among these."""
    columns = {FACTS: take(star.sources[FACTS], rows)}
    index = {}
    for name, of_fact in star.index.items():
        used, index[name] = np.unique(of_fact[rows], return_inverse=True)
        columns[name] = take(star.sources[name], used)
    return columns, index


def element(parts: Parts, schema: FunnelSchema | None = None) -> Element:
    """A batch, with its labels float32 [facts, stages] where the stars have some, and its weights where the rows have any.

    Args:
        parts: The facts.
        schema: The declaration, which may say that rows are weighed by their labels.
    """
    batch = star_batch(parts)
    return batch if any(star.labels is None for star, _ in parts) else (batch, *labels_and_weights(parts, schema))


def labels_and_weights(parts: Parts, schema: FunnelSchema | None) -> tuple[Floats] | tuple[Floats, Floats]:
    """The labels of some facts, as `labels_of`; and their weights, float32 [facts], where the rows have any."""
    labels = labels_of(parts)
    columns = [star.weights[rows] for star, rows in parts if star.weights is not None]
    column = np.concatenate(columns) if len(columns) == len(parts) else None
    weights = column if schema is None else row_weights(schema, labels, column)
    return (labels,) if weights is None else (labels, weights)


def labels_of(parts: Parts) -> Floats:
    """The labels of some facts of some stars that have labels: float32 [facts, stages], NaN where unknown."""
    labels = np.concatenate([star.labels[rows] for star, rows in parts if star.labels is not None])
    return np.where(is_known(labels), labels.astype(np.float32), np.float32(np.nan))


def batches(epoch: Epoch, first_step: int = 0, schema: FunnelSchema | None = None) -> Iterator[Element]:
    """The batches of an epoch, from any step on; see `element`."""
    for number in range(first_step, epoch.steps):
        yield element([(epoch.shards[shard], rows) for shard, rows in epoch.step(number)], schema)


def in_order(star: Star, batch_size: int) -> Iterator[Batch]:
    """All facts of a star, as they stand; the last batch may be smaller."""
    for begin in range(0, star.rows, batch_size):
        yield star_batch([(star, np.arange(begin, min(begin + batch_size, star.rows)))])


def dataset(
    schema: FunnelSchema,
    shards: Shards,
    *,
    batch_size: int,
    shuffle: ByGroup | ByWindow | ByRow | None,
    first_epoch: int = 0,
    first_step: int = 0,
    worker: int = 0,
    workers: int = 1,
) -> Any:
    """A `tf.data.Dataset` of star batches; each pass over it is the next epoch, with an order of its own where shuffled.

    Elements are `batch`, or `(batch, labels)` with labels float32 [facts, stages] where the rows have labels, or `(batch,
    labels, weights)` with weights float32 [facts] where they are weighed.

    Args:
        schema: The declaration.
        shards: The rows.
        batch_size: Facts of a step; the last one may have fewer.
        shuffle: How facts are mixed; None takes them as they stand.
        first_epoch: Of the first pass, from 0.
        first_step: Of the first pass, from 0; later passes begin at the beginning.
        worker: Which of the workers this is, from 0.
        workers: How many share out the rows: each takes shards of its own, but for those at its ends.
    """
    import tensorflow as tf  # noqa: PLC0415  # takes seconds; reading and checking data do without

    def specification(array: NDArray[Any]) -> Any:
        return tf.TensorSpec([None, *array.shape[1:]], array.dtype)

    if not shards.rows:
        raise ValueError("got no rows, expected some to make batches of")
    example = element([(shards[0], np.arange(1))], schema)
    passes = 0

    def generate() -> Iterator[Any]:
        nonlocal passes
        epoch = Epoch(shards, batch_size, shuffle, schema.train.seed, first_epoch + passes, lane=worker, lanes=workers)
        begin = first_step if passes == 0 else 0
        passes += 1
        yield from batches(epoch, begin, schema)

    data = tf.data.Dataset.from_generator(generate, output_signature=tf.nest.map_structure(specification, example))
    options = tf.data.Options()
    # Tuning buys nothing for one generator, and can stall for seconds at the end of an epoch.
    options.autotune.enabled = False
    return data.with_options(options).prefetch(2)
