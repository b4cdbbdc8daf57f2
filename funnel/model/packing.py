"""Star batches, packed in the graph: the rows to gather, and one sparse matrix that pools them. See `funnel.schema.layout`.

`funnel.data.packing` does the same in NumPy, ahead of the step; this is for batches that come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from funnel.model._keras import tf
from funnel.model.numbers import bucketized
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import CANCELLED, SIZES, Lookup, Width, rows_key

Batch = Mapping[str, tf.Tensor]


def packed(schema: FunnelSchema, widths: tuple[Width, ...], batch: Batch) -> Batch:
    """The batch with its lookups packed; one that is packed already comes back as it is."""
    if SIZES in batch:
        return batch
    sizes = {source: source_rows(schema, source, batch) for source in schema.sources}
    found = dict(batch) | {SIZES: tf.stack(list(sizes.values()))}
    for width in widths:
        found |= _pack(width, sizes, batch)
    return found


def _pack(width: Width, sizes: Mapping[str, tf.Tensor], batch: Batch) -> dict[str, tf.Tensor]:
    ids, owners, weights = [], [], []
    begin = tf.constant(0)
    for source, lookups in width.lookups.items():
        count = sizes[source]
        for place, lookup in enumerate(lookups):
            found = _ids(lookup, batch)
            row, weight = _uses(lookup, found, count, batch)
            ids.append(found + lookup.offset)
            owners.append(begin + row * len(lookups) + place)
            weights.append(weight)
        begin += count * len(lookups)
    unique_Q, position_E = tf.unique(tf.concat(ids, axis=0))
    return {
        width.unique_key: unique_Q,
        width.entries_key: tf.stack([tf.concat(owners, axis=0), position_E], axis=1),
        width.weights_key: tf.concat(weights, axis=0),
    }


def _ids(lookup: Lookup, batch: Batch) -> tf.Tensor:
    return batch[lookup.key] if lookup.scale is None else bucketized(lookup.scale, batch[lookup.key])


def _uses(lookup: Lookup, ids_E: tf.Tensor, count: tf.Tensor, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """The row that each id belongs to, and its weight there: int32 [E], float32 [E]."""
    if lookup.pooling is None:
        return tf.range(count), tf.ones([count])
    offsets = batch[f"{lookup.key}/offsets"]
    row_E = tf.repeat(tf.range(count), offsets[1:] - offsets[:-1])
    weight_E = batch[f"{lookup.key}/weights"] if f"{lookup.key}/weights" in batch else tf.ones(tf.shape(ids_E))
    if lookup.pooling == "sum":
        return row_E, weight_E
    if lookup.pooling == "sqrtn":
        scale_N = tf.math.divide_no_nan(1.0, tf.sqrt(tf.math.unsorted_segment_sum(weight_E * weight_E, row_E, count)))
    else:
        exact_E = tf.cast(weight_E, tf.float64)
        total_N = tf.math.unsorted_segment_sum(exact_E, row_E, count)
        cancelled_N = tf.abs(total_N) <= CANCELLED * tf.math.unsorted_segment_sum(tf.abs(exact_E), row_E, count)
        # 0 where the weights cancel out.
        scale_N = tf.math.divide_no_nan(1.0, tf.cast(tf.where(cancelled_N, tf.zeros_like(total_N), total_N), tf.float32))
    return row_E, weight_E * tf.gather(scale_N, row_E)


def source_rows(schema: FunnelSchema, source: str, batch: Batch) -> tf.Tensor:
    """How many rows a source has in a batch: int32 []; 0 where nothing of it is asked for."""
    found = rows_key(schema, source)
    return tf.constant(0) if found is None else tf.shape(batch[found[0]])[0] - found[1]
