"""Star batches, packed ahead of the step: rows to gather, and one sparse matrix that pools them. See `funnel.schema.layout`.

`funnel.model.packing` does the same in the graph, for batches that come from elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import Batch
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import CANCELLED, SIZES, Lookup, Width, layout, rows_key
from funnel.schema.learnt import FIRST, MISSING, Learnt


class Packer:
    """Packs batches.

    Args:
        schema: The declaration.
        learnt: How many rows each table has.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt) -> None:
        self._sized = [rows_key(schema, source) for source in schema.sources]
        self._widths = layout(schema, learnt)
        self._packed = {lookup.key for width in self._widths for found in width.lookups.values() for lookup in found}

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its ids packed; numbers and indices stay as they are."""
        sizes = [0 if found is None else len(batch[found[0]]) - found[1] for found in self._sized]
        packed = {key: array for key, array in batch.items() if not self._is_lookup(key)}
        packed[SIZES] = np.array(sizes, np.int32)
        for width in self._widths:
            packed |= _pack(width, sizes, batch)
        return packed

    def _is_lookup(self, key: str) -> bool:
        return key in self._packed or key.rpartition("/")[0] in self._packed


def _pack(width: Width, sizes: list[int], batch: Batch) -> Batch:
    parts = [lookup for lookups in width.lookups.values() for lookup in lookups]
    ends = np.cumsum([len(batch[lookup.key]) for lookup in parts])
    ids = np.empty(ends[-1], np.int32)
    sums = np.empty(ends[-1], np.int32)
    weights = np.empty(ends[-1], np.float32)
    first, begin = 0, 0
    for count, lookups in zip(sizes, width.lookups.values(), strict=True):
        for place, lookup in enumerate(lookups):
            end = begin + len(batch[lookup.key])
            np.add(_ids(lookup, batch), np.int32(lookup.offset), out=ids[begin:end])
            own = np.arange(first + place, first + place + count * len(lookups), len(lookups), dtype=np.int32)
            if lookup.pooling is None:
                sums[begin:end] = own
                weights[begin:end] = 1
            else:
                lengths = np.diff(batch[f"{lookup.key}/offsets"])
                sums[begin:end] = np.repeat(own, lengths)
                _weigh(lookup, lengths, batch.get(f"{lookup.key}/weights"), weights[begin:end])
            begin = end
        first += count * len(lookups)
    # Entries of one row of the variable stand together: the products read and write these rows, by far the most of what they
    # touch, from the first to the last, which takes a third of the time.
    unique, order, places = _by_row(ids)
    entries = np.stack([sums.take(order), places], axis=1)
    return {width.unique_key: unique, width.entries_key: entries, width.weights_key: weights.take(order)}


def _ids(lookup: Lookup, batch: Batch) -> NDArray[Any]:
    values = batch[lookup.key]
    if lookup.scale is None:
        return values
    buckets = np.searchsorted(np.array(lookup.scale.boundaries, np.float32), values, side="right") + FIRST
    return np.where(np.isnan(values), MISSING, buckets).astype(np.int32)


def _weigh(lookup: Lookup, lengths: NDArray[Any], given: NDArray[Any] | None, out: NDArray[np.float32]) -> None:
    """What each entry is multiplied with; 0 where the weights of a bag cancel out."""
    if lookup.pooling == "sum":
        out[:] = 1 if given is None else given
        return
    squared = lookup.pooling == "sqrtn"
    total: NDArray[Any] = lengths
    if given is not None:
        row = np.repeat(np.arange(len(lengths)), lengths)
        total = np.bincount(row, given * given if squared else given, len(lengths))
        if not squared and given.min(initial=0) < 0:
            total[np.abs(total) <= CANCELLED * np.bincount(row, np.abs(given), len(lengths))] = 0
    total = np.sqrt(total.astype(np.float32)) if squared else total.astype(np.float32)
    scale = np.divide(np.float32(1), total, out=np.zeros_like(total), where=total != 0)
    np.copyto(out, np.repeat(scale, lengths))
    if given is not None:
        out *= given


def _by_row(ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Each id once, ascending; the order that sorts all of them; and, in that order, where each is among the unique ones."""
    # NumPy sorts plain integers several times faster than it finds the order of others.
    keys = ids.astype(np.int64) << 32 | np.arange(len(ids))
    keys.sort()
    order, keys = keys & 0xFFFFFFFF, keys >> 32
    begins = np.empty(len(keys), bool)
    begins[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=begins[1:])
    return keys[begins].astype(np.int32), order, np.cumsum(begins, dtype=np.int32) - 1
