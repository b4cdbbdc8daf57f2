"""Raw stars -> stars: ids become rows of embedding tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.chunk import Chunk
from funnel.data.raw_star import RawStar
from funnel.data.vocabulary import Vocabulary
from funnel.schema.features import Bag, Categorical, Cross, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import CROSS_SEPARATOR, FIRST, MISSING, OOV, buckets_of

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class IdLists:
    """Lists of rows of an embedding table.

    Attributes:
        values: int32 [entries].
        offsets: int64 [rows + 1].
        weights: float32 [entries], or None.
    """

    values: Ids
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32] | None


@dataclass(frozen=True)
class Columns:
    """The features of a source's rows.

    Attributes:
        rows: How many.
        ids: By categorical or cross feature: int32 [rows].
        lists: By bag.
        numbers: By numeric feature, before any transform: float32 [rows], NaN where missing.
    """

    rows: int
    ids: dict[str, Ids]
    lists: dict[str, IdLists]
    numbers: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Star:
    """Encoded facts, the dimension rows that they use, and the way from one to the other.

    Attributes:
        facts: The facts' features.
        dimensions: By dimension: its rows' features.
        index: By dimension: each fact's row, int64 [facts].
        labels: uint8 [facts, stages], or None.
        groups: int64 [facts], equal where `evaluate.group_by` is; None where nothing is declared.
    """

    facts: Columns
    dimensions: dict[str, Columns]
    index: dict[str, NDArray[np.int64]]
    labels: NDArray[np.uint8] | None
    groups: NDArray[np.int64] | None

    @property
    def rows(self) -> int:
        """How many facts."""
        return self.facts.rows


def encode(schema: FunnelSchema, star: RawStar, vocabulary: Vocabulary) -> Star:
    """Look every id up."""
    dimensions = {name: _columns(schema, name, star, vocabulary) for name in star.dimensions}
    return Star(_columns(schema, FACTS, star, vocabulary), dimensions, star.index, star.labels, _groups(schema, star))


def _columns(schema: FunnelSchema, source: str, star: RawStar, vocabulary: Vocabulary) -> Columns:
    chunk: Chunk = star.source(source)
    ids: dict[str, Ids] = {}
    lists: dict[str, IdLists] = {}
    numbers: dict[str, NDArray[np.float32]] = {}
    for feature in schema.features:
        if schema.source_of(feature) != source:
            continue
        match feature:
            case Categorical():
                rows = _rows(schema, feature.table_name, chunk.ids[feature.name], vocabulary)
                ids[feature.name] = np.where(rows == MISSING, OOV, rows).astype(np.int32) if feature.missing == "oov" else rows
            case Cross():
                ids[feature.name] = hashed(_crossed(schema, feature, star, source), feature.buckets)
            case Bag():
                raw = chunk.lists[feature.name]
                rows = _rows(schema, feature.table_name, raw.values, vocabulary)
                lists[feature.name] = IdLists(rows, raw.offsets, raw.weights)
            case Numeric():
                numbers[feature.name] = chunk.numbers[feature.name].astype(np.float32)
    return Columns(chunk.rows, ids, lists, numbers)


def _rows(schema: FunnelSchema, table: str, text: pl.Series, vocabulary: Vocabulary) -> Ids:
    buckets = buckets_of(schema, table)
    return vocabulary.encode(table, text) if buckets is None else hashed(text, buckets)


def hashed(text: pl.Series, buckets: int) -> Ids:
    """Rows by FarmHash64 of the text, as TensorFlow has it in graphs: MISSING for null. Text [n] -> int32 [n]."""
    import tensorflow as tf  # noqa: PLC0415  # takes seconds; only hashing needs it

    distinct = text.drop_nulls().unique()
    if not len(distinct):
        return np.full(len(text), MISSING, np.int32)
    strings = tf.constant(distinct.to_numpy().astype(object), tf.string)
    rows = tf.strings.to_hash_bucket_fast(strings, buckets).numpy() + FIRST
    known = pl.DataFrame({"text": distinct, "row": rows.astype(np.int32)})
    found = text.rename("text").to_frame().join(known, on="text", how="left", maintain_order="left")["row"]
    return found.fill_null(MISSING).to_numpy()


def _crossed(schema: FunnelSchema, cross: Cross, star: RawStar, source: str) -> pl.Series:
    """The texts of a cross, on the rows of its source; a missing part is an empty one."""
    parts = []
    for name in cross.of:
        own = schema.source_of(schema.feature(name))
        text = star.source(own).ids[name].fill_null("")
        parts.append((text if own == source else text.gather(star.index[own])).rename(name))
    frame = pl.DataFrame({str(position): part for position, part in enumerate(parts)})
    return frame.select(pl.concat_str(pl.all(), separator=CROSS_SEPARATOR)).to_series()


def _groups(schema: FunnelSchema, star: RawStar) -> NDArray[np.int64] | None:
    if schema.evaluate.group_by is None:
        return None
    source = schema.source_of(schema.feature(schema.evaluate.group_by))
    text = star.source(source).ids[schema.evaluate.group_by].fill_null("")
    codes = text.rank("dense").cast(pl.Int64).to_numpy()
    return codes if source == FACTS else codes[star.index[source]]
