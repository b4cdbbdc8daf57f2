"""Warm start: a new model takes over what a fitted one knows, row by row and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.vocabulary import Vocabulary
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.model.number_embedding import NumberEmbedding
from funnel.schema.features import Cross, Numeric, PiecewiseLinear
from funnel.schema.learnt import FIRST, MISSING, OOV, dim_of, table_of, vocabulary_tables

BLOCK = 1 << 18  # rows that are copied at a time
FRESH = -1

Places = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class WarmStart:
    """What was taken over.

    Attributes:
        rows: By table: how many rows it has for ids or buckets, and how many of them were known.
        kept: Layers that were taken over, at least for the inputs that both have.
        fresh: Layers that start anew: another width, or a stage that is new.
    """

    rows: dict[str, tuple[int, int]]
    kept: tuple[str, ...]
    fresh: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        tables = {table: {"rows": rows, "known": known} for table, (rows, known) in self.rows.items()}
        return {"tables": tables, "kept": list(self.kept), "fresh": list(self.fresh)}


def take_over(
    new: FunnelModel, vocabulary: Vocabulary, old: FunnelModel, known: Vocabulary, *, accumulators: bool
) -> WarmStart:
    """Give a model the weights of another one, where both mean the same.

    A table is found by the first of its features that the other model has, too, and its rows by their ids; buckets are the same
    where their number, or their boundaries, are. Rows for missing and unknown ids are taken over with their table. The sums of
    squared gradients (Adagrad) come with the rows: a known row goes on with the small steps that it has earned.

    Args:
        new: Compiled, its variables created; changed in place.
        vocabulary: Its ids.
        old: The fitted one.
        known: Its ids.
        accumulators: Whether its optimisers' state is there, too.
    """
    rows = {}
    for width in new.network.widths:
        for table, (begin, count) in width.tables.items():
            source = _source(new, old, table)
            found = (
                np.full(count, FRESH, np.int64)
                if source is None
                else _rows(new, vocabulary, old, known, table=table, source=source)
            )
            rows[table] = (count - FIRST, int((found[FIRST:] != FRESH).sum()))
            if source is not None:
                place = next(w.tables[source][0] for w in old.network.widths if source in w.tables)
                for target, origin in _variables(new, old, width.dim, accumulators=accumulators):
                    _copy(target, begin, origin, place, found)
    kept, fresh = _layers(new, old)
    return WarmStart(rows, kept, fresh)


def _source(new: FunnelModel, old: FunnelModel, table: str) -> str | None:
    """The other model's table with the same features, of the same width."""
    names = {feature.name: table_of(feature) for feature in old.schema.features}
    for feature in new.schema.features:
        if table_of(feature) == table and (source := names.get(feature.name)) is not None:
            return source if dim_of(new.schema, table) == dim_of(old.schema, source) else None
    return None


def _rows(
    new: FunnelModel, vocabulary: Vocabulary, old: FunnelModel, known: Vocabulary, *, table: str, source: str
) -> NDArray[np.int64]:
    """By row of a table: the other table's row, or FRESH."""
    learns = table in vocabulary_tables(new.schema), source in vocabulary_tables(old.schema)
    count = new.learnt.rows[table]
    if all(learns):
        found = known.encode(source, vocabulary.terms[table]).astype(np.int64)
        found[found == OOV] = FRESH
        return np.concatenate([[MISSING, OOV], found])
    same = not any(learns) and old.learnt.rows[source] == count and _meaning(new, table) == _meaning(old, source)
    return np.arange(count) if same else np.concatenate([[MISSING, OOV], np.full(count - FIRST, FRESH)])


def _meaning(model: FunnelModel, table: str) -> Any:
    """What the buckets of a table are, beside their number: boundaries, or the features that are crossed."""
    feature = next(feature for feature in model.schema.features if table_of(feature) == table)
    match feature:
        case Numeric():
            return model.learnt.scales[feature.name].boundaries
        case Cross():
            return feature.of
        case _:
            return None


def _variables(new: FunnelModel, old: FunnelModel, dim: int, *, accumulators: bool) -> Iterator[tuple[Any, Any]]:
    """The tables of a width, and their accumulators where both models have them of one kind."""
    mine, theirs = (model.optimizer.parts()[0][0] for model in (new, old))
    bottoms = dict(zip(old.network.bottom_names(), old.network.bottoms, strict=True))
    for bottom, source in zip(new.network.bottoms, _bottoms(new, old).values(), strict=True):
        target, origin = (one.embeddings.tables[str(dim)] for one in (bottom, bottoms[source]))
        yield target, origin
        if accumulators and type(mine) is type(theirs) and "accumulator" in mine.get_slot_names():
            yield mine.get_slot(target, "accumulator"), theirs.get_slot(origin, "accumulator")


def _bottoms(new: FunnelModel, old: FunnelModel) -> dict[str, str]:
    """By bottom of the new model: the old one's that it starts from.

    One for all starts from the first stage's, which has learnt from the most rows; so does that of a stage that is new.
    """
    there = old.network.bottom_names()
    return {name: name if name in there else there[0] for name in new.network.bottom_names()}


def _copy(target: Any, begin: int, origin: Any, place: int, found: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(found != FRESH)
    for first in range(0, len(rows), BLOCK):
        some = rows[first : first + BLOCK]
        target.scatter_update(tf.IndexedSlices(tf.gather(origin, found[some] + place), some + begin))


def _layers(new: FunnelModel, old: FunnelModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    there = {path: (layer, first) for path, layer, first in old.network.layers()}
    bottoms = _bottoms(new, old)
    known = {name: place for name, place in old.network.inputs.items() if _bins(new, name) == _bins(old, name)}
    kept, fresh = [], []
    for path, layer, first in new.network.layers():
        bottom, _, inner = path.rpartition("/")
        other, also_first = there.get(f"{bottoms[bottom]}/{inner}" if bottom in bottoms else path, (None, first))
        mine = layer.trainable_variables
        theirs = other.trainable_variables if other is not None else []
        # All but how many numbers enter a first layer must be the same.
        same = [variable.shape[1:] if first else variable.shape for variable in mine] == [
            variable.shape[1:] if first else variable.shape for variable in theirs
        ]
        if not (mine and same and first == also_first and _meanings(layer) == _meanings(other)):
            fresh.append(path)
            continue
        for target, source in zip(mine, theirs, strict=True):
            if first and len(target.shape) == 2:
                target.assign(_inputs_of(target.numpy(), source.numpy(), new.network.inputs, known))
            else:
                target.assign(source)
        kept.append(path)
    return tuple(kept), tuple(fresh)


def _meanings(layer: Any) -> Any:
    """What the weights of a number's embedding are about; None of other layers."""
    return layer.meaning if isinstance(layer, NumberEmbedding) else None


def _bins(model: FunnelModel, name: str) -> Any:
    """Where the bins of a number begin and end that enter as they are; None of other features."""
    feature = next((feature for feature in model.schema.features if feature.name == name), None)
    if isinstance(feature, Numeric) and isinstance(feature.transform, PiecewiseLinear) and feature.transform.dim is None:
        return model.learnt.scales[name].boundaries
    return None


def _inputs_of(kernel: NDArray[Any], other: NDArray[Any], inputs: Places, others: Places) -> NDArray[Any]:
    """A first layer's kernel [inputs, units], with another's rows for those inputs that both have."""
    for name, (begin, size) in inputs.items():
        place, there = others.get(name, (0, 0))
        if there == size:
            kernel[begin : begin + size] = other[place : place + size]
    return kernel
