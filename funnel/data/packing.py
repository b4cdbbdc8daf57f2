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

# What an entry is for: side by side, so that one look for it finds both.
USE = np.dtype([("sum", np.int32), ("weight", np.float32)])


class Packer:
    """Packs batches.

    Args:
        schema: The declaration.
        learnt: How many rows each table has.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt) -> None:
        self.schema = schema
        self._sized = [rows_key(schema, source) for source in schema.sources]
        self._widths = layout(schema, learnt)
        self._packed = {lookup.key for width in self._widths for found in width.lookups.values() for lookup in found}
        # What adapts to a domain asks whether it is known, as well as for its embedding.
        if (domain := schema.model.domain) is not None:
            self._packed.discard(f"{schema.source_of(schema.feature(domain.feature))}/{domain.feature}")
        self._ordered = {lookup.key for width in self._widths for lookup in width.ordered}

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its ids packed; numbers, indices, and the offsets and times of sequences stay as they are."""
        sizes = [0 if found is None else len(batch[found[0]]) - found[1] for found in self._sized]
        packed = {key: array for key, array in batch.items() if not self._is_lookup(key)}
        packed[SIZES] = np.array(sizes, np.int32)
        for width in self._widths:
            packed |= _pack(width, sizes, batch)
        return packed

    def _is_lookup(self, key: str) -> bool:
        return key in self._packed or key in self._ordered or key.rpartition("/")[0] in self._packed


def _pack(width: Width, sizes: list[int], batch: Batch) -> Batch:
    parts = [lookup for lookups in width.lookups.values() for lookup in lookups]
    pooled = sum(len(batch[lookup.key]) * (1 if lookup.remainders is None else 2) for lookup in parts)
    ids = np.empty(pooled + sum(len(batch[lookup.key]) for lookup in width.ordered), np.int32)
    uses = np.empty(pooled, USE)
    sums, weights = uses["sum"], uses["weight"]
    first, begin = 0, 0
    for count, lookups in zip(sizes, width.lookups.values(), strict=True):
        for place, lookup in enumerate(lookups):
            end = begin + len(batch[lookup.key])
            rows = _ids(lookup, batch)
            if lookup.remainders is not None:
                rows, second, counts = _halves(rows, lookup.remainders)
            np.add(rows, np.int32(lookup.offset), out=ids[begin:end])
            own = np.arange(first + place, first + place + count * len(lookups), len(lookups), dtype=np.int32)
            if lookup.pooling is None:
                sums[begin:end] = own
                weights[begin:end] = 1
            else:
                lengths = np.diff(batch[f"{lookup.key}/offsets"])
                sums[begin:end] = np.repeat(own, lengths)
                _weigh(lookup, lengths, batch.get(f"{lookup.key}/weights"), weights[begin:end])
            if lookup.remainders is not None:
                begin, end = end, end + len(second)
                np.add(second, np.int32(lookup.offset), out=ids[begin:end])
                sums[begin:end] = sums[begin - len(second) : begin]
                np.multiply(weights[begin - len(second) : begin], counts, out=weights[begin:end])
            begin = end
        first += count * len(lookups)
    for lookup in width.ordered:
        end = begin + len(batch[lookup.key])
        np.add(batch[lookup.key], np.int32(lookup.offset), out=ids[begin:end])
        begin = end
    # Entries of one row of the variable stand together: the products read and write these rows, by far the most of what they
    # touch, from the first to the last, which takes a third of the time.
    unique, order, places = _by_row(ids)
    packed = {width.unique_key: unique}
    if width.ordered:
        in_order = np.empty(len(ids), np.int32)
        in_order[order] = places
        packed[width.places_key] = in_order[pooled:]
        order, places = order[order < pooled], places[order < pooled]
    uses = uses.take(order)
    entries, weights = np.stack([uses["sum"], places], axis=1), np.ascontiguousarray(uses["weight"])
    return packed | {width.entries_key: entries, width.weights_key: weights}


def _ids(lookup: Lookup, batch: Batch) -> NDArray[Any]:
    values = batch[lookup.key]
    if lookup.scale is None:
        return values
    buckets = np.searchsorted(np.array(lookup.scale.boundaries, np.float32), values, side="right") + FIRST
    return np.where(np.isnan(values), MISSING, buckets).astype(np.int32)


def _halves(rows: NDArray[Any], remainders: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The two rows that each row of a compressed table is the sum of, and how often the second counts: not of special rows."""
    quotient, rest = np.divmod(rows - np.int32(FIRST), np.int32(remainders))
    special = rows < FIRST
    first, second = (
        np.where(special, rows, rest + np.int32(FIRST)),
        np.where(special, rows, quotient + np.int32(FIRST + remainders)),
    )
    return first, second, 1 - special.astype(np.float32)


def _weigh(lookup: Lookup, lengths: NDArray[Any], given: NDArray[Any] | None, out: NDArray[np.float32]) -> None:
    """What each entry is multiplied with; 0 where the weights of a bag cancel out."""
    if lookup.pooling == "sum":
        out[:] = 1 if given is None else given
        return
    squared = lookup.pooling == "sqrtn"
    total: NDArray[Any] = lengths
    if given is not None:
        total = _sums(given * given if squared else given, lengths)
        if not squared and given.min(initial=0) < 0:
            total[np.abs(total) <= CANCELLED * _sums(np.abs(given), lengths)] = 0
    total = np.sqrt(total.astype(np.float32)) if squared else total.astype(np.float32)
    scale = np.divide(np.float32(1), total, out=np.zeros_like(total), where=total != 0)
    np.copyto(out, np.repeat(scale, lengths))
    if given is not None:
        out *= given


def _sums(weights: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.float64]:
    """Of the weights of each bag; `np.bincount` takes six times as long."""
    some, sums = lengths > 0, np.zeros(len(lengths))
    if some.any():
        # One that is empty would get the first weight of the next.
        sums[some] = np.add.reduceat(weights, (np.cumsum(lengths) - lengths)[some], dtype=np.float64)
    return sums


def _by_row(ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Each id once, ascending; the order that sorts all of them; and, in that order, where each is among the unique ones."""
    # NumPy sorts plain integers several times faster than it finds the order of others: the id is the upper half of one, and
    # the lower half tells where it stood.
    halves = np.empty([len(ids), 2], "<i4")
    halves[:, 0], halves[:, 1] = np.arange(len(ids), dtype=np.int32), ids
    halves.view("<i8").sort(axis=0)
    order, ids = np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])
    begins = np.empty(len(ids), bool)
    begins[:1] = True
    np.not_equal(ids[1:], ids[:-1], out=begins[1:])
    # Not `ids[begins]`, which takes eight times as long.
    return ids.take(np.flatnonzero(begins)), order, np.cumsum(begins, dtype=np.int32) - 1
