"""Star batches, packed in the graph: the rows to gather, and one sparse matrix that pools them. See `funnel.schema.layout`.

`funnel.data.packing` does the same in NumPy, ahead of the step; this is for batches that come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from funnel.model._keras import tf
from funnel.model.numbers import bucketized
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import CANCELLED, SIZES, Lookup, Width, rows_key
from funnel.schema.learnt import FIRST

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
    """All lookups of one kind and source at once: requests are small, and then it is operations that cost, not numbers."""
    found: list[_Entries] = []
    begin = tf.constant(0)
    for source, lookups in width.lookups.items():
        first_N = begin + tf.range(sizes[source]) * len(lookups)
        kinds = [(pooling, compressed) for pooling in (None, "sum", "mean", "sqrtn") for compressed in (False, True)]
        for kind in kinds:
            placed = [(n, lookup) for n, lookup in enumerate(lookups) if (lookup.pooling, bool(lookup.remainders)) == kind]
            if placed:
                sums_S = tf.reshape(tf.constant([place for place, _ in placed])[:, None] + first_N, [-1])
                own, pooling = [lookup for _, lookup in placed], kind[0]
                entries = _single(own, sums_S, batch) if pooling is None else _pooled(own, pooling, sums_S, batch)
                found += [entries, _seconds(own, entries, batch)] if kind[1] else [entries]
        begin += sizes[source] * len(lookups)
    if not found:
        found.append(_Entries(tf.zeros([0], tf.int32), tf.zeros([0], tf.int32), tf.zeros([0])))
    ids_E, sums_E, weights_E = (tf.concat(parts, axis=0) for parts in zip(*found, strict=True))
    in_order = [batch[lookup.key] + lookup.offset for lookup in width.ordered]
    unique_Q, position = tf.unique(tf.concat([ids_E, *in_order], axis=0) if in_order else ids_E)
    position_E = position[: tf.size(ids_E)]
    read = {
        width.unique_key: unique_Q,
        width.entries_key: tf.stack([sums_E, position_E], axis=1),
        width.weights_key: weights_E,
    }
    return read | ({width.places_key: position[tf.size(ids_E) :]} if in_order else {})


class _Entries(NamedTuple):
    """Entries of the matrix: what row of the variable each reads, int32 [E], for which sum, int32 [E], and how often [E]."""

    ids: tf.Tensor
    sums: tf.Tensor
    weights: tf.Tensor


def _single(lookups: Sequence[Lookup], sums_S: tf.Tensor, batch: Batch) -> _Entries:
    """One id a row: S of L lookups of N rows each."""
    offsets_L = tf.constant([lookup.offset for lookup in lookups])
    ids_LN = tf.stack([_ids(lookup, batch) for lookup in lookups]) + offsets_L[:, None]
    return _Entries(tf.reshape(ids_LN, [-1]), sums_S, tf.ones_like(sums_S, tf.float32))


def _seconds(lookups: Sequence[Lookup], firsts: _Entries, batch: Batch) -> _Entries:
    """The other entry of each id of a compressed table, in the same order; of a special row, the same once more with 0."""
    ids_E = tf.concat([_quotients(lookup, batch[lookup.key]) + lookup.offset for lookup in lookups], axis=0)
    counts_E = tf.concat([tf.cast(batch[lookup.key] >= FIRST, tf.float32) for lookup in lookups], axis=0)
    return firsts._replace(ids=ids_E, weights=firsts.weights * counts_E)


def _quotients(lookup: Lookup, rows: tf.Tensor) -> tf.Tensor:
    return tf.where(rows < FIRST, rows, (rows - FIRST) // lookup.remainders + FIRST + lookup.remainders)


def _pooled(lookups: Sequence[Lookup], pooling: str, sums_S: tf.Tensor, batch: Batch) -> _Entries:
    """Bags that are pooled alike, S of L lookups of N rows each."""
    ids_E = tf.concat([_ids(lookup, batch) + lookup.offset for lookup in lookups], axis=0)
    offsets_LN = tf.stack([batch[f"{lookup.key}/offsets"] for lookup in lookups])
    bag_E = owners(tf.reshape(offsets_LN[:, 1:] - offsets_LN[:, :-1], [-1]), tf.shape(ids_E)[0])
    weight_E = _given(lookups, ids_E, batch)
    if pooling != "sum":
        weight_E *= tf.gather(_scales(pooling, weight_E, bag_E, tf.shape(sums_S)[0]), bag_E)
    return _Entries(ids_E, tf.gather(sums_S, bag_E), weight_E)


def owners(lengths_S: tf.Tensor, entries: tf.Tensor) -> tf.Tensor:
    """The list that each entry is of: as many as have ended before it; int32 [E]. `tf.repeat` would pad to the longest."""
    ended = tf.math.unsorted_segment_sum(tf.ones_like(lengths_S), tf.cumsum(lengths_S), entries + 1)
    return tf.cumsum(ended)[:-1]


def _given(lookups: Sequence[Lookup], ids_E: tf.Tensor, batch: Batch) -> tf.Tensor:
    """The weights of bags' entries, 1 where none are given: float32 [E]."""
    keys = [f"{lookup.key}/weights" for lookup in lookups]
    if not any(key in batch for key in keys):
        return tf.ones_like(ids_E, tf.float32)
    pairs = zip(keys, lookups, strict=True)
    each = [batch[key] if key in batch else tf.ones_like(batch[lookup.key], tf.float32) for key, lookup in pairs]
    return tf.concat(each, axis=0)


def _scales(pooling: str, weight_E: tf.Tensor, bag_E: tf.Tensor, bags: tf.Tensor) -> tf.Tensor:
    """What the sum of each bag is divided by, as a factor; 0 where its weights cancel out: float32 [S]."""
    if pooling == "sqrtn":
        return tf.math.divide_no_nan(1.0, tf.sqrt(tf.math.unsorted_segment_sum(weight_E * weight_E, bag_E, bags)))
    exact_E = tf.cast(weight_E, tf.float64)
    total_S = tf.math.unsorted_segment_sum(exact_E, bag_E, bags)
    cancelled_S = tf.abs(total_S) <= CANCELLED * tf.math.unsorted_segment_sum(tf.abs(exact_E), bag_E, bags)
    return tf.math.divide_no_nan(1.0, tf.cast(tf.where(cancelled_S, tf.zeros_like(total_S), total_S), tf.float32))


def _ids(lookup: Lookup, batch: Batch) -> tf.Tensor:
    """Rows within a table; of a compressed one, within its first part."""
    rows = batch[lookup.key]
    if lookup.remainders is not None:
        return tf.where(rows < FIRST, rows, (rows - FIRST) % lookup.remainders + FIRST)
    return rows if lookup.scale is None else bucketized(lookup.scale, rows)


def source_rows(schema: FunnelSchema, source: str, batch: Batch) -> tf.Tensor:
    """How many rows a source has in a batch: int32 []; 0 where nothing of it is asked for."""
    found = rows_key(schema, source)
    return tf.constant(0) if found is None else tf.shape(batch[found[0]])[0] - found[1]
