"""Raw values inside the graph: a joined batch of texts and numbers becomes a star batch.

What training did to ids with frames is done here to tensors, with the same vocabularies: this is the encoder of exported
models, and of a user's own `tf.data`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Sequence as List
from pathlib import Path
from typing import Any

from funnel.model._keras import tf
from funnel.model.lists import Lists
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Categorical, Cross, Fill, Input, Numeric, Sequence
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import ONCE
from funnel.schema.learnt import CROSS_SEPARATOR, FIRST, MISSING, OOV, buckets_of, vocabulary_tables
from funnel.schema.ordered import leader_of

Terms = Mapping[str, List[str] | str]  # by table: the ids in order, or the path of a file with one a line


class RawEncoder(tf.Module):
    """Turns raw joined batches into star batches.

    Args:
        schema: The declaration.
        terms: By table with a vocabulary: its ids, or a file of them.

    A raw batch has, by feature name: text or whole numbers [B] for ids ("" is missing); for bags and sequences a RaggedTensor,
    a SparseTensor, or dense text padded with "" [B, longest], and beside it `<name>_weights` or `<name>_times`; float [B] for
    numbers (NaN is missing).
    """

    def __init__(self, schema: FunnelSchema, terms: Terms) -> None:
        super().__init__()
        self._declared = schema
        self._tables = {table: _lookup(terms[table]) for table in vocabulary_tables(schema)}

    @tf.autograph.experimental.do_not_convert  # plain Python that unrolls over features
    def __call__(self, batch: Mapping[str, Any], once: Collection[str] = ()) -> dict[str, tf.Tensor]:
        """A star batch.

        Args:
            batch: As above.
            once: Features that have one row, which is that of all facts; not all features. A dimension that has no others is
                one row; of the rest the row is repeated, but for lists, which the network repeats once they are pooled.

        Raises:
            ValueError: A feature is missing from the batch.
        """
        missing = [name for name in raw_names(self._declared) if name not in batch]
        if missing:
            raise ValueError(f"batch: has no {missing} (have: {sorted(batch)}). Give every feature by its name.")
        rows = _Rows(self._declared, once)
        texts = {
            feature.name: _text(feature, batch[feature.name])
            for feature in self._declared.features
            if isinstance(feature, Categorical)
        }
        ids = self._ids(texts, once)
        encoded: dict[str, tf.Tensor] = {}
        # Those that tell how many facts there are come first.
        for feature in sorted(self._declared.inputs, key=lambda feature: feature.name in once):
            key = f"{self._declared.source_of(feature)}/{feature.name}"
            match feature:
                case Categorical():
                    found = {key: ids[feature.name]}
                case Bag():
                    found = self._bag(feature, key, batch)
                case Numeric():
                    found = {key: _number(feature, batch[feature.name])}
            if feature.name not in once and rows.facts is None:
                rows.facts = tf.shape(found.get(f"{key}/offsets", found[key]))[0] - int(isinstance(feature, Bag))
            encoded |= rows.repeated(feature, key, found)
        for cross in self._declared.features:
            if isinstance(cross, Cross):
                parts = [rows.of_cross(cross, name, texts[name]) for name in cross.of]
                crossed = tf.strings.join(parts, separator=CROSS_SEPARATOR)
                encoded[f"{self._declared.source_of(cross)}/{cross.name}"] = _hashed(crossed, cross.buckets)
        return encoded | rows.index()

    def _ids(self, texts: Mapping[str, tf.Tensor], once: Collection[str]) -> dict[str, tf.Tensor]:
        """Rows of the ids of categorical features: int32 [B]. Those of as many rows together, which are then few operations."""
        together: dict[tuple[str, bool], list[Categorical]] = {}
        for feature in self._declared.features:
            if isinstance(feature, Categorical):
                together.setdefault((self._declared.source_of(feature), feature.name in once), []).append(feature)
        found: dict[str, tf.Tensor] = {}
        for features in together.values():
            missing_F = tf.constant([OOV if feature.missing == "oov" else MISSING for feature in features])
            rows_FB = tf.stack([self._rows(feature.table_name, texts[feature.name]) for feature in features])
            text_FB = tf.stack([texts[feature.name] for feature in features])
            ids_FB = tf.where(text_FB == "", missing_F[:, None], tf.cast(rows_FB, tf.int32) + FIRST)
            found |= {feature.name: rows for feature, rows in zip(features, tf.unstack(ids_FB, len(features)), strict=True)}
        return found

    def _rows(self, table: str, text: tf.Tensor) -> tf.Tensor:
        """Rows of ids that are there, counted from the first that has one of its own: int64, of the shape of the text."""
        buckets = buckets_of(self._declared, table)
        return tf.strings.to_hash_bucket_fast(text, buckets) if buckets else self._tables[table].lookup(text)

    def _bag(self, feature: Bag, key: str, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        leader = leader_of(self._declared, feature)
        text, kept, lengths = _entries(batch[leader.name])
        last = leader.last if isinstance(leader, Sequence) else None
        # Found once for ids and weights: a mask each would be looked through each time.
        place = tf.where(kept)[:, 0]
        if last is not None:
            place, lengths = _newest(place, lengths, last)
        if leader is not feature:
            with tf.control_dependencies(_as_long(feature, batch[feature.name], leader, batch[leader.name])):
                text = tf.identity(_entries(batch[feature.name])[0])
        text = tf.gather(text, place)
        rows = tf.cast(self._rows(feature.table_name, text), tf.int32) + FIRST
        encoded = {
            # Of one that leads, no entry is without an id.
            key: rows if leader is feature else tf.where(text == "", MISSING, rows),
            f"{key}/offsets": tf.concat([[0], tf.cumsum(lengths)], axis=0),
        }
        if feature.numbered:
            numbers = batch[feature.numbers_input]
            flat = _ragged(numbers).flat_values if _is_listed(numbers) else tf.reshape(numbers, [-1])
            encoded[f"{key}/weights"] = tf.gather(tf.cast(flat, tf.float32), place)
        return encoded


class _Rows:
    """How many rows each source has: as many as there are facts, or one.

    Attributes:
        facts: How many facts: int32 []; None as long as that is not known.
    """

    def __init__(self, schema: FunnelSchema, once: Collection[str]) -> None:
        self._declared, self._once = schema, once
        self.facts: Any = None
        given = {source: [f.name in once for f in schema.inputs if schema.source_of(f) == source] for source in schema.sources}
        self._single = {source for source, each in given.items() if source != FACTS and each and all(each)}

    def repeated(self, feature: Input, key: str, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A feature, encoded, with as many rows as its source has."""
        if feature.name not in self._once or self._declared.source_of(feature) in self._single:
            return found
        if not isinstance(feature, Bag):
            return {key: tf.repeat(found[key], self.facts)}
        # A list is pooled for the first row alone, and its sum then repeated; without rows, its entries are nobody's.
        count = found[f"{key}/offsets"][1] * tf.minimum(self.facts, 1)
        entries = {name: array[:count] for name, array in found.items() if not name.endswith("/offsets")}
        offsets = tf.concat([[0], tf.fill([self.facts], count)], axis=0)
        return entries | {f"{key}/offsets": offsets, f"{key}{ONCE}": tf.constant(True)}

    def of_cross(self, cross: Cross, part: str, text: tf.Tensor) -> tf.Tensor:
        """A part of a cross, with as many rows as the cross has."""
        single = self._declared.source_of(cross) in self._single
        return text if single or part not in self._once else tf.repeat(text, self.facts)

    def index(self) -> dict[str, tf.Tensor]:
        """Each fact's row of each dimension."""
        every_B = tf.range(self.facts)
        first_B = tf.zeros_like(every_B)
        dimensions = [source for source in self._declared.sources if source != FACTS]
        return {f"index/{source}": first_B if source in self._single else every_B for source in dimensions}


def raw_names(schema: FunnelSchema) -> list[str]:
    """What a raw batch must hold."""
    names: list[str] = []
    for feature in schema.features:
        if not isinstance(feature, Cross):
            names.append(feature.name)
        if isinstance(feature, Bag) and feature.numbered:
            names.append(feature.numbers_input)
    return names


def _lookup(terms: List[str] | str) -> tf.lookup.StaticHashTable:
    if not (Path(terms).stat().st_size if isinstance(terms, str) else len(terms)):
        # All ids are rare. TensorFlow has no empty tables: this one says of a line break, too, that it is unknown.
        initializer = tf.lookup.KeyValueTensorInitializer(["\n"], tf.constant([OOV - FIRST], tf.int64))
    elif isinstance(terms, str):
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
    text = _as_string(_flat(values))
    return tf.where(text == "", str(feature.missing.fill), text) if isinstance(feature.missing, Fill) else text


def _number(feature: Numeric, values: Any) -> tf.Tensor:
    numbers = _flat(tf.cast(values, tf.float32))
    fill = feature.missing
    return tf.where(tf.math.is_nan(numbers), tf.constant(float(fill.fill)), numbers) if isinstance(fill, Fill) else numbers


def _flat(values: tf.Tensor) -> tf.Tensor:
    return values if values.shape.rank == 1 else tf.reshape(values, [-1])


def _is_listed(values: Any) -> bool:
    return isinstance(values, tf.RaggedTensor | tf.SparseTensor)


def _ragged(values: Any) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_sparse(values) if isinstance(values, tf.SparseTensor) else values


def _newest(place_E: tf.Tensor, lengths_B: tf.Tensor, last: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The last entries of each list: where they stand, and how many there are."""
    lists = Lists.of(tf.concat([[0], tf.cumsum(lengths_B)], axis=0))
    return place_E[lists.from_newest < last], tf.minimum(lengths_B, last)


def _as_long(feature: Bag, values: Any, leader: Bag, others: Any) -> list[Any]:
    """An operation that fails where lists which stand beside each other are not as long."""
    if _is_listed(values) != _is_listed(others):
        raise ValueError(
            f"batch[{feature.name!r}]: expected lists as {leader.name!r} has them: dense, or ragged, both. Convert one."
        )
    one, other = ((_ragged(each).row_splits if _is_listed(each) else tf.shape(each)) for each in (values, others))
    reason = (
        f"batch[{feature.name!r}]: got lists that are not as long as those of {leader.name!r}, expected an entry beside each."
    )
    return [tf.debugging.assert_equal(one, other, reason)]


def _entries(values: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """All entries of lists: text [E]; which of them are ids: bool [E]; and how many of each row: int32 [B]."""
    if not _is_listed(values):
        dense = tf.convert_to_tensor(values)
        text = _as_string(tf.reshape(dense, [-1]))
        kept = text != ""
        return text, kept, tf.reduce_sum(tf.reshape(tf.cast(kept, tf.int32), tf.shape(dense)), axis=1)
    ragged = _ragged(values)
    text = _as_string(ragged.flat_values)
    kept = text != ""
    lengths = tf.math.unsorted_segment_sum(tf.cast(kept, tf.int32), ragged.value_rowids(), ragged.nrows())
    return text, kept, lengths
