"""Raw values inside the graph: a joined batch of texts and numbers becomes a star batch of one dimension row per fact.

What training did to ids with frames is done here to tensors, with the same vocabularies: this is the encoder of exported
models, and of a user's own `tf.data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funnel.model._keras import tf
from funnel.model.packing import source_rows
from funnel.schema.features import Bag, Categorical, Cross, Fill, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import CROSS_SEPARATOR, FIRST, MISSING, OOV, buckets_of, vocabulary_tables

Terms = Mapping[str, Sequence[str] | str]  # by table: the ids in order, or the path of a file with one a line


class RawEncoder(tf.Module):
    """Turns raw joined batches into star batches.

    Args:
        schema: The declaration.
        terms: By table with a vocabulary: its ids, or a file of them.

    A raw batch has, by feature name: text or whole numbers [B] for ids ("" is missing); for bags a RaggedTensor, a
    SparseTensor, or dense text padded with "" [B, longest], and beside it `<name>_weights`; float [B] for numbers (NaN is
    missing).
    """

    def __init__(self, schema: FunnelSchema, terms: Terms) -> None:
        super().__init__()
        self._declared = schema
        self._tables = {table: _lookup(terms[table]) for table in vocabulary_tables(schema)}

    @tf.autograph.experimental.do_not_convert  # plain Python that unrolls over features
    def __call__(self, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """A star batch.

        Raises:
            ValueError: A feature is missing from the batch.
        """
        missing = [name for name in raw_names(self._declared) if name not in batch]
        if missing:
            raise ValueError(f"batch: has no {missing} (have: {sorted(batch)}). Give every feature by its name.")
        encoded: dict[str, tf.Tensor] = {}
        texts = {
            feature.name: _text(feature, batch[feature.name])
            for feature in self._declared.features
            if isinstance(feature, Categorical)
        }
        for feature in self._declared.features:
            key = f"{self._declared.source_of(feature)}/{feature.name}"
            match feature:
                case Categorical():
                    rows = self._rows(feature.table_name, texts[feature.name])
                    encoded[key] = tf.where(rows == MISSING, OOV, rows) if feature.missing == "oov" else rows
                case Cross():
                    crossed = tf.strings.join([texts[name] for name in feature.of], separator=CROSS_SEPARATOR)
                    encoded[key] = _hashed(crossed, feature.buckets)
                case Bag():
                    encoded |= self._bag(feature, key, batch)
                case Numeric():
                    encoded[key] = _number(feature, batch[feature.name])
        # Joined: every source has as many rows.
        rows_B = tf.range(source_rows(self._declared, self._declared.source_of(self._declared.features[0]), encoded))
        return encoded | {f"index/{source}": rows_B for source in self._declared.sources if source != FACTS}

    def _rows(self, table: str, text: tf.Tensor) -> tf.Tensor:
        buckets = buckets_of(self._declared, table)
        rows = _hashed(text, buckets) if buckets else tf.cast(self._tables[table].lookup(text), tf.int32) + FIRST
        return tf.where(text == "", MISSING, rows)

    def _bag(self, feature: Bag, key: str, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        ids = _ragged(batch[feature.name])
        text = _as_string(ids.flat_values)
        kept = text != ""
        lengths = tf.math.unsorted_segment_sum(tf.cast(kept, tf.int32), ids.value_rowids(), ids.nrows())
        encoded = {
            key: self._rows(feature.table_name, tf.boolean_mask(text, kept)),
            f"{key}/offsets": tf.concat([[0], tf.cumsum(lengths)], axis=0),
        }
        if feature.weighted:
            weights = batch[f"{feature.name}_weights"]
            if isinstance(batch[feature.name], tf.Tensor) and isinstance(weights, tf.Tensor):
                flat = tf.reshape(weights, [-1])
            else:
                flat = _ragged(weights).flat_values
            encoded[f"{key}/weights"] = tf.boolean_mask(tf.cast(flat, tf.float32), kept)
        return encoded


def raw_names(schema: FunnelSchema) -> list[str]:
    """What a raw batch must hold."""
    names: list[str] = []
    for feature in schema.features:
        if not isinstance(feature, Cross):
            names.append(feature.name)
        if isinstance(feature, Bag) and feature.weighted:
            names.append(f"{feature.name}_weights")
    return names


def _lookup(terms: Sequence[str] | str) -> tf.lookup.StaticHashTable:
    if isinstance(terms, str):
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        initializer = tf.lookup.TextFileInitializer(terms, tf.string, whole, tf.int64, line)
    else:
        keys = tf.constant(list(terms), tf.string, shape=[len(terms)])
        initializer = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(terms), dtype=tf.int64))
    return tf.lookup.StaticHashTable(initializer, default_value=OOV - FIRST)


def _hashed(text: tf.Tensor, buckets: int) -> tf.Tensor:
    return tf.cast(tf.strings.to_hash_bucket_fast(text, buckets), tf.int32) + FIRST


def _as_string(values: tf.Tensor) -> tf.Tensor:
    return values if values.dtype == tf.string else tf.strings.as_string(values)


def _text(feature: Categorical, values: Any) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    if values.dtype.is_floating:
        raise ValueError(f"batch[{feature.name!r}]: got {values.dtype.name}, expected text or whole numbers. Cast it.")
    text = _as_string(tf.reshape(values, [-1]))
    return tf.where(text == "", str(feature.missing.fill), text) if isinstance(feature.missing, Fill) else text


def _number(feature: Numeric, values: Any) -> tf.Tensor:
    numbers = tf.reshape(tf.cast(values, tf.float32), [-1])
    fill = feature.missing
    return tf.where(tf.math.is_nan(numbers), tf.constant(float(fill.fill)), numbers) if isinstance(fill, Fill) else numbers


def _ragged(values: Any) -> tf.RaggedTensor:
    if isinstance(values, tf.RaggedTensor):
        return values
    if isinstance(values, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(values)
    return tf.RaggedTensor.from_tensor(tf.convert_to_tensor(values))
