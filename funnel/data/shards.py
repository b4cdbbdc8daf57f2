"""Facts as they were read -> stars: grouped, with their dimension rows, and their ids condensed to what is looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import Codes, distinct, spelt
from funnel.data.columns import OFFSETS, Columns, names_of, take
from funnel.data.hashing import hashed
from funnel.data.reading import LABELS, POSITION, Reading, row_role
from funnel.data.star import Star, smallest
from funnel.data.wanted import WEIGHT, code_role
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Categorical, Cross, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import CROSS_SEPARATOR, MISSING, OOV, vocabulary_tables

DIMENSION_ROW = 20  # a dimension row, with its lists, is about as much work as so many facts


@dataclass(frozen=True)
class Range:
    """Some buckets of facts, about as many as a shard should have.

    Attributes:
        first: The first bucket.
        last: The one after the last.
        most: Facts of a shard, at most.
    """

    first: int
    last: int
    most: int


def ranges(schema: FunnelSchema, reading: Reading) -> list[Range]:
    """How a split is cut into shards: it depends on the rows alone, not on the files' format or the machine."""
    work = reading.facts.sizes.copy()
    if reading.dimensions:
        first = next(iter(reading.dimensions.values()))
        work += DIMENSION_ROW * first.sizes_of_buckets() * (work > 0)
    wanted, facts = schema.data.shard_rows, reading.facts.sizes
    total = np.cumsum(work)
    shards = max(1, -(-int(total[-1]) // wanted))
    cuts = np.searchsorted(total, total[-1] * np.arange(1, shards) / shards, side="left") + 1
    # A bucket that fills a shard by itself is alone in its range, and cut where it fills several.
    full = np.flatnonzero(facts > wanted)
    bounds = np.unique(np.concatenate([[0, len(work)], cuts, full, full + 1])).tolist()
    return [Range(a, b, wanted if b == a + 1 else int(facts[a:b].sum())) for a, b in pairwise(bounds) if facts[a:b].any()]


def build(schema: FunnelSchema, reading: Reading, facts: Columns, parts: Mapping[str, pl.DataFrame]) -> Star:
    """The star of some facts, with codes as ids.

    Args:
        schema: The declaration.
        reading: Where the dimension rows are.
        facts: In the order in which they were read.
        parts: By feature that crosses need: `code` and `text`.
    """
    names = list(reading.dimensions)
    # In the order in which they were read, but the facts of one row together, where the row is first used.
    order = np.argsort(facts[POSITION], kind="stable")
    if names:
        order = order[_grouped(facts[row_role(names[0])][order])]
    facts = take(facts, order)
    index: dict[str, NDArray[np.int32]] = {}
    sources: dict[str, Columns] = {FACTS: {}}
    for name in names:
        used, index[name] = _by_first_use(facts[row_role(name)])
        sources[name] = reading.dimensions[name].take(used)
    sources[FACTS] = {
        key: array for key, array in facts.items() if key not in (LABELS, WEIGHT, POSITION, *(row_role(d) for d in names))
    }
    star = Star(sources, index, facts[POSITION], facts.get(LABELS), weights=facts.get(WEIGHT))
    for feature in schema.features:
        if isinstance(feature, Cross):
            source = schema.source_of(feature)
            sources[source][feature.name] = _cross(schema, feature, star, source, parts)
    groups, grouped_by = None, FACTS
    if (group := schema.evaluate.group_by) is not None:
        grouped_by = schema.source_of(schema.feature(group))
        groups = sources[grouped_by][code_role(group)]
    for columns in sources.values():
        for name in [name for name in columns if " " in name]:
            del columns[name]
    return replace(star, groups=groups, grouped_by=grouped_by)


def _grouped(rows: NDArray[np.integer]) -> NDArray[np.intp]:
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(np.argsort(first))[inverse], kind="stable")


def _by_first_use(rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The different rows in the order of their first use, and each one's place among them."""
    used, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return used[order].astype(np.int64), rank[inverse]


def _cross(schema: FunnelSchema, cross: Cross, star: Star, source: str, texts: Mapping[str, pl.DataFrame]) -> NDArray[np.int32]:
    """Rows of a cross's table on the rows of its source; a missing part is an empty text."""
    codes = {}
    for position, name in enumerate(cross.of):
        own = schema.source_of(schema.feature(name))
        column = star.sources[own][code_role(name)]
        codes[str(position)] = column if own == source else column[star.index[own]]
    frame = pl.DataFrame(codes)
    distinct = frame.unique(maintain_order=True)
    columns = [
        spelt(distinct[str(position)].to_numpy(), texts[name]).fill_null("").alias(str(position))
        for position, name in enumerate(cross.of)
    ]
    text = pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=CROSS_SEPARATOR)).to_series()
    known = distinct.with_columns(row=pl.Series(hashed(text, cross.buckets)))
    return frame.join(known, on=frame.columns, how="left", maintain_order="left")["row"].to_numpy(writable=True)


@dataclass(frozen=True)
class Condensed:
    """A star whose ids are places in a list of the different ones.

    Attributes:
        star: With int32 places as ids of the tables that learn a vocabulary.
        codes: By such table: the different ids, int64.
        counts: By such table: how often each is used by the facts, as if the tables had been joined: int64.
    """

    star: Star
    codes: dict[str, Codes]
    counts: dict[str, NDArray[np.int64]]


def uses_of(star: Star, source: str) -> NDArray[np.int64] | None:
    """How many facts use each row of a source; None for the facts, which count once each."""
    if source == FACTS:
        return None
    return np.bincount(star.index[source], minlength=rows_of(star, source))


def rows_of(star: Star, source: str) -> int:
    """How many rows of a source there are."""
    if source == FACTS:
        return star.rows
    return int(star.index[source].max(initial=-1)) + 1


def condense(schema: FunnelSchema, star: Star, *, count: bool) -> Condensed:
    """Find the different ids of each table, and how often each is used."""
    sources = {source: dict(columns) for source, columns in star.sources.items()}
    uses = {source: uses_of(star, source) for source in star.sources} if count else {}
    found: dict[str, Codes] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    for table in vocabulary_tables(schema):
        features = [f for f in schema.features if isinstance(f, Categorical | Bag) and f.table_name == table]
        columns = [star.sources[schema.source_of(feature)][feature.name] for feature in features]
        found[table], places = distinct(np.concatenate(columns) if len(columns) > 1 else columns[0])
        ends = np.cumsum([len(column) for column in columns])
        for feature, place in zip(features, np.split(places, ends[:-1]), strict=True):
            sources[schema.source_of(feature)][feature.name] = place
        if count:
            weights = [_weights(schema, feature, star, uses) for feature in features]
            counts[table] = _counted(places, weights, [len(column) for column in columns], len(found[table]))
    return Condensed(replace(star, sources=sources), found, counts)


def _weights(
    schema: FunnelSchema, feature: Categorical | Bag, star: Star, uses: Mapping[str, NDArray[np.int64] | None]
) -> NDArray[np.int64] | None:
    source = schema.source_of(feature)
    own = uses[source]
    if own is None or not isinstance(feature, Bag):
        return own
    return np.repeat(own, np.diff(star.sources[source][feature.name + OFFSETS]))


def _counted(
    places: NDArray[np.int32], weights: list[NDArray[np.int64] | None], lengths: list[int], ids: int
) -> NDArray[np.int64]:
    if all(one is None for one in weights):
        return np.bincount(places, minlength=ids)
    whole = np.concatenate([np.ones(n, np.int64) if one is None else one for one, n in zip(weights, lengths, strict=True)])
    # Floats count exactly as far as 2^53.
    return np.bincount(places, weights=whole, minlength=ids).astype(np.int64)


def encode(schema: FunnelSchema, condensed: Condensed, rows: Mapping[str, NDArray[np.int32]], last_position: int) -> Star:
    """The star whose ids are rows of embedding tables.

    Args:
        schema: The declaration.
        condensed: With places in lists of ids.
        rows: By table: the row of each id of the list, MISSING or OOV among them.
        last_position: The greatest of all facts, so that all shards have positions of one type.
    """
    sources: dict[str, Columns] = {}
    for source, columns in condensed.star.sources.items():
        sources[source] = {}
        for name in names_of(columns):
            feature = schema.feature(name)
            array = columns[name]
            if isinstance(feature, Categorical | Bag) and feature.table_name in rows:
                array = rows[feature.table_name][array]
            elif isinstance(feature, Numeric):
                array = array.astype(np.float32)
            else:
                array = array.astype(np.int32, copy=False)
            if isinstance(feature, Categorical) and feature.missing == "oov":
                array = np.where(array == MISSING, np.int32(OOV), array)
            sources[source][name] = array
        for name, array in columns.items():
            sources[source].setdefault(name, array)
    star = condensed.star
    return replace(star, sources=sources, position=smallest(star.position, last_position))
