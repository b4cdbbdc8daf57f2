"""Warm start: a new model takes over what a fitted one knows, row by row and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.vocabulary import Vocabulary
from funnel.model._keras import tf
from funnel.model.bottom import numbers_of
from funnel.model.custom import CustomPart
from funnel.model.experts import Gate
from funnel.model.funnel_model import FunnelModel
from funnel.model.interactions import DotProducts, FactorizationMachine
from funnel.model.number_embedding import NumberEmbedding
from funnel.schema.features import Cross, Numeric
from funnel.schema.learnt import FIRST, MISSING, OOV, dim_of, remainders_of, stored_rows, table_of, vocabulary_tables
from funnel.schema.transforms import PiecewiseLinear

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
    squared gradients (Adagrad) come with the rows: a known row goes on with the small steps that it has earned. A compressed
    table is taken over where its ids have kept their places, as `Run.base_for` has them.

    Args:
        new: Compiled, its variables created; changed in place.
        vocabulary: Its ids.
        old: The fitted one.
        known: Its ids.
        accumulators: Whether its optimisers' state is there, too.
    """
    rows = {}
    for width in new.network.widths:
        for table, (begin, _) in width.tables.items():
            count = new.learnt.rows[table]
            source = _source(new, old, table)
            found = (
                np.full(count, FRESH, np.int64)
                if source is None
                else _rows(new, vocabulary, old, known, table=table, source=source)
            )
            if source is not None and {remainders_of(new.schema, table), remainders_of(old.schema, source)} != {None}:
                found = _same_sums(new, old, found, table=table, source=source)
            rows[table] = (len(found) - FIRST, int((found[FIRST:] != FRESH).sum()))
            if source is not None:
                found = _stored(new, found, table)
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


def _same_sums(new: FunnelModel, old: FunnelModel, found: NDArray[np.int64], *, table: str, source: str) -> NDArray[np.int64]:
    """By id, where one of the tables is compressed: the other's row, where both add up the same two; else FRESH.

    That is with as many remainders, and each known id in its old place, as where new ones come behind them.
    """
    known = int((found[FIRST:] != FRESH).sum())
    stay = np.array_equal(found[FIRST : FIRST + known], np.arange(FIRST, FIRST + known))
    if stay and remainders_of(new.schema, table) == remainders_of(old.schema, source):
        return found
    return np.concatenate([found[:FIRST], np.full(len(found) - FIRST, FRESH)])


def _stored(model: FunnelModel, found: NDArray[np.int64], table: str) -> NDArray[np.int64]:
    """By row of a table as it is stored: the other table's row, or FRESH."""
    remainders = remainders_of(model.schema, table)
    if remainders is None:
        return found
    known = int((found[FIRST:] != FRESH).sum())
    places = np.arange(stored_rows(model.schema, table, len(found)))
    # Behind the known ids' quotients nothing was learnt.
    end = FIRST + (remainders - (-known // remainders) if known else 0)
    return np.where(places < end, places, FRESH)


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
    inputs = new.network.inputs, known
    kept, fresh = [], []
    for path, layer, first in new.network.layers():
        below = next((f"{bottoms[name]}{path.removeprefix(name)}" for name in bottoms if path.startswith(f"{name}/")), path)
        other, also_first = there.get(below, (None, first))
        mine, theirs = _numbers(layer), _numbers(other)
        free = [_free(layer, variable, first) for variable in mine]
        # All but how many numbers enter must be the same.
        same = [_shape(*one) for one in zip(mine, free, strict=True)] == [
            _shape(variable, _free(other, variable, first)) for variable in theirs
        ]
        alike = first == also_first and _meanings(layer) == _meanings(other)
        if not (mine and same and alike and _means_the_same(path, layer, new, old, first=first)):
            fresh.append(path)
            continue
        for target, source, axes in zip(mine, theirs, free, strict=True):
            target.assign(_of_both(target.numpy(), source.numpy(), axes, inputs) if axes else source)
        kept.append(path)
    return tuple(kept), tuple(fresh)


def _numbers(layer: Any) -> list[Any]:
    """All that a layer has learnt, the means and variances that it has seen among it; not how often it was used."""
    return [] if layer is None else [variable for variable in layer.variables if variable.dtype.is_floating]


def _free(layer: Any, variable: Any, first: bool) -> tuple[int, ...]:
    """The axes of a layer's variable that are the inputs, one by one."""
    if not first or isinstance(layer, CustomPart):
        return ()
    axes = getattr(layer, "of_inputs", (0,))
    match len(variable.shape):
        case 2:
            return axes
        case 1:
            return (0,) if 1 in axes else ()  # a bias of units that are the inputs
    return ()


def _shape(variable: Any, free: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(None if axis in free else size for axis, size in enumerate(variable.shape))


def _means_the_same(path: str, layer: Any, new: FunnelModel, old: FunnelModel, *, first: bool) -> bool:
    """Whether a layer that knows features or stages by their order meets the same ones."""
    if isinstance(layer, FactorizationMachine | DotProducts):
        return _plain(new) == _plain(old)
    if isinstance(layer, CustomPart) and first:
        # Which of its numbers belong to which input is its own business.
        return list(new.network.inputs.items()) == list(old.network.inputs.items())
    if isinstance(layer, Gate) or "/own_" in path:
        return [tower.name for tower in new.network.towers] == [tower.name for tower in old.network.towers]
    return True


def _plain(model: FunnelModel) -> list[tuple[str, int]]:
    """The features that enter as numbers, in their order, and how many numbers each is."""
    numeric = {one.feature.name for one in numbers_of(model.schema, model.learnt) if not one.embedded}
    return [(name, size) for name, (_, size) in model.network.inputs.items() if name in numeric]


def _of_both(mine: NDArray[Any], theirs: NDArray[Any], axes: tuple[int, ...], inputs: tuple[Places, Places]) -> NDArray[Any]:
    """A variable with another's values for those inputs that both have."""
    ends = mine.shape[axes[0]], theirs.shape[axes[0]]  # products that a body adds do not enter gates, which stand before it
    places = [
        (begin + np.arange(size), inputs[1][name][0] + np.arange(size))
        for name, (begin, size) in inputs[0].items()
        if inputs[1].get(name, (0, 0))[1] == size and begin < ends[0] and inputs[1][name][0] < ends[1]
    ]
    here, there = (np.concatenate([np.zeros(0, int), *(pair[side] for pair in places)]) for side in (0, 1))
    at, of = (
        np.ix_(*(found if axis in axes else np.arange(size) for axis, size in enumerate(mine.shape))) for found in (here, there)
    )
    mine[at] = theirs[of]
    return mine


def _meanings(layer: Any) -> Any:
    """What the weights of a number's embedding are about; None of other layers."""
    return layer.meaning if isinstance(layer, NumberEmbedding) else None


def _bins(model: FunnelModel, name: str) -> Any:
    """Where the bins of a number begin and end that enter as they are; None of other features."""
    feature = next((feature for feature in model.schema.features if feature.name == name), None)
    if isinstance(feature, Numeric) and isinstance(feature.transform, PiecewiseLinear) and feature.transform.dim is None:
        return model.learnt.scales[name].boundaries
    return None
