"""Pieces -> columns: each wanted column checked, its ids as codes, and rows that cannot be used sorted out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from funnel.data.codes import LARGEST_CODE, Codes, codes_of
from funnel.data.columns import OFFSETS, WEIGHTS, Columns, take
from funnel.data.faults import EXAMPLES, Faults, Sieve
from funnel.data.feature_list import Entries, Kind, spread
from funnel.data.hashing import hashed
from funnel.data.readers import Piece
from funnel.errors import DataError
from funnel.schema.data import FeatureList, SkipBadRows, Time
from funnel.schema.features import Bag, Categorical, Cross, Fill, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import buckets_of

TIME = "time"
LARGEST = float(np.finfo(np.float32).max)


def key_role(dimension: str) -> str:
    """The column that holds a dimension's key, and the name of what is known about its texts."""
    return f"key {dimension}"


def label_role(stage: str) -> str:
    """The column that holds a stage's label."""
    return f"label {stage}"


def code_role(feature: str) -> str:
    """The column that holds the codes of a feature that crosses or groups need, whatever its table does."""
    return f"code {feature}"


@dataclass
class Normalised:
    """The good rows of a piece.

    Attributes:
        rows: How many.
        read: Rows of the piece, with those left out.
        places: Where they stood in the piece: int64 [rows].
        columns: By feature: int64 codes [rows] (rows of the table where it hashes), or [entries] with offsets and maybe
            weights; float64 [rows] for numbers, NaN where missing. By role: int64 codes of keys, uint8 labels.
        texts: By table or key: `code` and `text` of ids that are not their own codes.
        moments: What validation by time compares, [rows]; None where it does not.
        faults: The rows left out.
    """

    rows: int
    read: int
    places: NDArray[np.int64]
    columns: Columns
    texts: dict[str, list[pl.DataFrame]]
    moments: pl.Series | None
    faults: Faults


def plain_columns(schema: FunnelSchema, source: str, *, labels: bool) -> dict[str, str]:
    """The columns of a source that are no features, by role."""
    if source != FACTS:
        return {key_role(source): schema.dimension(source).key}
    roles = {key_role(dimension.name): dimension.key_in_facts for dimension in schema.data.dimensions}
    if labels:
        roles |= {label_role(stage.name): stage.label for stage in schema.stages}
        if isinstance(schema.data.validation, Time):
            roles[TIME] = schema.data.validation.column
    return roles


def wanted_columns(schema: FunnelSchema, source: str, *, labels: bool) -> list[tuple[str, Kind]]:
    """The columns of a source that are read, and how."""
    wanted: list[tuple[str, Kind]] = [(column, "id") for column in plain_columns(schema, source, labels=labels).values()]
    for feature in features_of(schema, source):
        match feature:
            case Categorical():
                wanted.append((feature.column_name, "id"))
            case Numeric():
                wanted.append((feature.column_name, "value"))
            case Bag():
                wanted.append((feature.column_name, "bag"))
                if feature.weights is not None:
                    wanted.append((feature.weights, "weights"))
    return wanted


def features_of(schema: FunnelSchema, source: str) -> Iterable[Categorical | Bag | Numeric]:
    """The features that read a column of a source."""
    return (f for f in schema.features if not isinstance(f, Cross) and schema.source_of(f) == source)


def coded_features(schema: FunnelSchema) -> frozenset[str]:
    """The features whose codes crosses, or the groups of the evaluation, need."""
    parts = {name for feature in schema.features if isinstance(feature, Cross) for name in feature.of}
    return frozenset(parts | ({schema.evaluate.group_by} if schema.evaluate.group_by else set()))


def normalise(schema: FunnelSchema, source: str, piece: Piece, *, labels: bool, seed: int = 0) -> Normalised:
    """Check the columns of a piece, and bring them to one form.

    Args:
        schema: The declaration.
        source: `facts`, or a dimension's name.
        piece: Rows as they were read.
        labels: Whether the labels are needed.
        seed: Of the codes' hash.

    Raises:
        DataError: A column of the wrong type; a row that cannot be used, where the schema does not skip these.
    """
    return _Normaliser(schema, source, piece, labels=labels, seed=seed).run()


@dataclass
class _Normaliser:
    schema: FunnelSchema
    source: str
    piece: Piece
    labels: bool
    seed: int
    sieve: Sieve = field(init=False)
    fields: dict[str, Entries] = field(init=False, default_factory=dict)
    columns: Columns = field(init=False, default_factory=dict)
    texts: dict[str, list[pl.DataFrame]] = field(init=False, default_factory=dict)
    moments: pl.Series | None = field(init=False, default=None)

    def run(self) -> Normalised:
        piece, files = self.piece, self.schema.files_of(self.source)
        self.sieve = Sieve(piece.frame.height, skip=isinstance(self.schema.data.bad_rows, SkipBadRows))
        if isinstance(files, FeatureList):
            counts = piece.frame[files.count] if files.count else None
            self.fields = spread(piece.lists, counts, files, self.sieve, piece.at)
        for role, column in plain_columns(self.schema, self.source, labels=self.labels).items():
            self._plain(role, self._alone(column, "id"))
        coded = coded_features(self.schema)
        for feature in features_of(self.schema, self.source):
            match feature:
                case Categorical():
                    self._categorical(feature, coded=feature.name in coded)
                case Bag():
                    self._bag(feature)
                case Numeric():
                    self._numeric(feature)
        return self._good()

    def _good(self) -> Normalised:
        kept, faults = self.sieve.kept, self.sieve.faults
        if self.piece.cuts:
            faults.count("a wrong number of columns", len(self.piece.cuts), list(self.piece.cuts[:EXAMPLES]))
        faults.read += len(self.piece.cuts)
        faults.rows += len(self.piece.cuts)
        rows = self.piece.frame.height
        if kept is None:
            return Normalised(rows, rows, np.arange(rows), self.columns, self.texts, self.moments, faults)
        moments = self.moments.gather(kept) if self.moments is not None else None
        return Normalised(len(kept), rows, kept, take(self.columns, kept), self.texts, moments, faults)

    # What the piece has, whatever its format.

    def _listed_field(self, column: str) -> bool:
        files = self.schema.files_of(self.source)
        return isinstance(files, FeatureList) and column not in files.columns

    def _alone(self, column: str, kind: Kind) -> pl.Series:
        """One value a row: text or numbers, null where there is none."""
        if not self._listed_field(column):
            series = self.piece.frame[column]
            return series.cast(pl.String) if series.dtype in (pl.Categorical, pl.Enum) else series
        found = self.fields.get(column)
        height = self.piece.frame.height
        if found is None:
            return pl.Series(column, [None] * height, pl.String if kind == "id" else pl.Float64)
        repeated = np.zeros(height, bool)
        repeated[found.rows[1:][found.rows[1:] == found.rows[:-1]]] = True
        wanted = "got more than one entry, expected at most one. Declare the feature as a bag."
        self.sieve.refuse(
            repeated, "two entries where one is expected", lambda row: f"{self.piece.at(row)} field {column!r}: {wanted}"
        )
        if kind != "id":
            numbers = np.full(height, np.nan)
            numbers[found.rows] = found.values
            return pl.Series(column, numbers)
        lacking = np.ones(height, bool)
        lacking[found.rows] = False
        place = np.zeros(height, np.int64)
        place[found.rows] = np.arange(len(found.rows))
        if found.ids.dtype == pl.Int64:
            ids = found.ids.to_numpy()[place]
            return pl.Series(column, pl.from_arrow(pa.array(ids, mask=lacking)))
        return found.ids.gather(pl.Series(pl.from_arrow(pa.array(place, mask=lacking)))).rename(column)

    def _codes(self, ids: pl.Series, name: str, rows: NDArray[Any] | None, column: str) -> Codes:
        """Codes of ids, their texts kept under a name. `rows` says whose the ids are, where they are entries of lists."""
        self._require_int64(ids, rows, column)
        ids = ids.cast(pl.Int64, strict=False) if ids.dtype.is_integer() else ids.cast(pl.String)
        codes, texts = codes_of(ids, self.seed)
        if texts.height:
            self.texts.setdefault(name, []).append(texts)
        return codes

    def _require_int64(self, ids: pl.Series, rows: NDArray[Any] | None, column: str) -> None:
        """Refuse whole numbers beyond int64, which no two formats would hold alike.

        A text of digits among texts of letters is no number: a hash written in hexadecimal may have no letter.
        """
        if ids.dtype.is_integer():
            beyond = (ids.cast(pl.Int64, strict=False).is_null() & ids.is_not_null()) if ids.dtype not in _NARROW else None
        else:
            long = (ids.str.len_bytes() >= len(str(LARGEST_CODE))).fill_null(value=False)
            beyond = None
            if long.any() and not ids.str.contains("[^0-9-]").any():
                beyond = long & ids.cast(pl.Int64, strict=False).is_null()
        if beyond is None or not beyond.any():
            return
        places = np.flatnonzero(beyond.fill_null(value=False))
        bad = np.zeros(self.piece.frame.height, bool)
        bad[places if rows is None else rows[places]] = True

        def message(row: int) -> str:
            place = row if rows is None else int(places[np.flatnonzero(rows[places] == row)[0]])
            return (
                f"{self._place(row, column)}: got the id {ids[place]}, expected at most {LARGEST_CODE}, the largest whole "
                "number of 64 bits. Write larger ones in hexadecimal, or with a letter in front."
            )

        self.sieve.refuse(bad, "an id beyond int64", message)

    def _place(self, row: int, column: str) -> str:
        return f"{self.piece.at(row)} {'field' if self._listed_field(column) else 'column'} {column!r}"

    def _refuse(self, bad: Any, column: str, reason: str, message: Callable[[int], str]) -> None:
        self.sieve.refuse(bad, reason, lambda row: f"{self._place(row, column)}: {message(row)}")

    # Features.

    def _categorical(self, feature: Categorical, *, coded: bool) -> None:
        ids = self._as_ids(self._alone(feature.column_name, "id"), feature.column_name)
        if isinstance(feature.missing, Fill):
            ids = ids.cast(pl.String).fill_null(str(feature.missing.fill))
        elif feature.missing == "error":
            self._refuse_missing(ids.is_null(), feature)
        self.columns[feature.name] = self._rows_or_codes(feature, ids, None)
        if coded:
            role = code_role(feature.name)
            self.columns[role] = self._codes(ids, role, None, feature.column_name)

    def _rows_or_codes(self, feature: Categorical | Bag, ids: pl.Series, rows: NDArray[Any] | None) -> NDArray[Any]:
        buckets = buckets_of(self.schema, feature.table_name)
        if buckets is None:
            return self._codes(ids, feature.table_name, rows, feature.column_name)
        self._require_int64(ids, rows, feature.column_name)
        return hashed(ids, buckets)

    def _as_ids(self, series: pl.Series, column: str) -> pl.Series:
        """Text or whole numbers, null where missing.

        Raises:
            DataError: A type that cannot hold ids exactly.
        """
        kind = series.dtype
        where = f"{self.piece.where} column {column!r}"
        if kind.is_float() and not series.is_null().all():
            raise DataError(
                f"{where}: got ids as {kind}, expected text or whole numbers: a float cannot hold "
                "every id. Cast the column (pandas: .astype('Int64'))."
            )
        if kind.is_nested():
            raise DataError(f"{where}: got lists ({kind}), expected one id a row. Declare the feature as a bag.")
        if kind == pl.Boolean:
            return series.cast(pl.Int64)
        if kind.is_integer():
            return series
        try:
            text = series.cast(pl.String)
        except PolarsError:
            raise DataError(f"{where}: got {kind}, expected text or whole numbers. Cast it.") from None
        empty = text.str.len_bytes() == 0
        return text.set(empty.fill_null(value=False), None) if empty.any() else text

    def _refuse_missing(self, missing: pl.Series, feature: Any) -> None:
        self._refuse(
            missing,
            feature.column_name,
            "a missing value",
            lambda _: (
                f"got no value for the feature {feature.name!r}, which declares `missing: error` ({int(missing.sum()):,} rows "
                "have none). Mend the data, or declare what missing means."
            ),
        )

    def _numeric(self, feature: Numeric) -> None:
        column = feature.column_name
        series = self._alone(column, "value")
        if series.dtype == pl.String:
            series = series.str.strip_chars().replace("", None)
        if series.dtype.is_nested() or series.dtype.is_temporal():
            message = f"got {series.dtype}, expected numbers. Correct the column, or the feature's kind."
            raise DataError(f"{self.piece.where} column {column!r}: {message}")
        values = series.cast(pl.Float64, strict=False)
        bad = (values.is_null() & series.is_not_null()) | (values.is_not_nan() & (values.abs() > LARGEST)).fill_null(
            value=False
        )
        wanted = "expected a finite number. Mend the row, or declare the feature categorical."
        self._refuse(bad, column, "not a number", lambda row: f"got {series[row]!r}, {wanted}")
        values = values.fill_nan(None)
        if isinstance(feature.missing, Fill):
            values = values.fill_null(float(feature.missing.fill))
        elif feature.missing == "error":
            self._refuse_missing(values.is_null(), feature)
        self.columns[feature.name] = values.fill_null(float("nan")).to_numpy()

    def _bag(self, feature: Bag) -> None:
        if self._listed_field(feature.column_name):
            ids, weights, lengths = self._bag_of_field(feature)
        else:
            ids, weights, lengths = self._bag_of_column(feature)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        ids = self._as_ids(ids, feature.column_name)
        if ids.null_count():
            # A null (or empty) id is no entry: an empty text splits into one.
            kept = ids.is_not_null().to_numpy()
            before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
            ids, offsets = ids.drop_nulls(), before[offsets]
            weights = weights[kept] if weights is not None else None
        rows = np.repeat(np.arange(len(lengths)), np.diff(offsets))
        self.columns |= {feature.name: self._rows_or_codes(feature, ids, rows), feature.name + OFFSETS: offsets}
        if weights is not None:
            self.columns[feature.name + WEIGHTS] = weights

    def _bag_of_field(self, feature: Bag) -> tuple[pl.Series, NDArray[np.float32] | None, NDArray[np.int64]]:
        found = self.fields.get(feature.column_name)
        height = self.piece.frame.height
        lengths = np.bincount(found.rows, minlength=height) if found is not None else np.zeros(height, np.int64)
        if feature.missing == "error":
            self._refuse_missing(pl.Series(lengths == 0), feature)
        ids = found.ids if found is not None else pl.Series([], dtype=pl.Int64)
        values = found.values if found is not None else np.zeros(0)
        return ids, self._as_weights(values, feature, lengths) if feature.weighted else None, lengths

    def _bag_of_column(self, feature: Bag) -> tuple[pl.Series, NDArray[np.float32] | None, NDArray[np.int64]]:
        series = self.piece.frame[feature.column_name]
        if feature.missing == "error":
            self._refuse_missing(series.is_null(), feature)
        series = self._split(series, feature)
        lengths = series.list.len().fill_null(0)
        if not feature.weighted:
            return _flat(series, lengths), None, lengths.to_numpy().astype(np.int64)
        column = feature.weights or feature.column_name
        weights = self._split(self.piece.frame[column], feature)
        others = weights.list.len().fill_null(0)
        differ = (lengths != others).to_numpy()
        self._refuse(
            differ,
            column,
            "weights and ids of different number",
            lambda row: f"got {others[row]} weights for {lengths[row]} ids, expected as many. Mend the row.",
        )
        if differ.any():
            # These rows are left out; until then their lists are empty, so that the others stay parallel.
            series, weights = (one.set(pl.Series(differ), None) for one in (series, weights))
            lengths = lengths.set(pl.Series(differ), 0)
        sizes = lengths.to_numpy().astype(np.int64)
        return _flat(series, lengths), self._as_weights(_flat(weights, lengths), feature, sizes), sizes

    def _as_weights(self, flat: Any, feature: Bag, lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        numbers = (
            flat if isinstance(flat, np.ndarray) else flat.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        )
        # NaN is no number either.
        bad = ~(np.abs(numbers) <= LARGEST)
        if bad.any():
            places = np.flatnonzero(bad)
            rows = np.repeat(np.arange(len(lengths)), lengths)[places]
            of_row = np.zeros(len(lengths), bool)
            of_row[rows] = True

            def message(row: int) -> str:
                found = flat[int(places[np.searchsorted(rows, row)])]
                return f"got the weight {found!r}, expected a finite number. Mend the row."

            self._refuse(of_row, feature.weights or feature.column_name, "a weight that is no number", message)
            numbers = np.where(bad, 0.0, numbers)
        return numbers.astype(np.float32)

    def _split(self, series: pl.Series, feature: Bag) -> pl.Series:
        """One text a row into lists."""
        if series.dtype.base_type() in (pl.List, pl.Array):
            return series.arr.to_list() if series.dtype.base_type() == pl.Array else series
        if series.dtype == pl.String and feature.separator is not None:
            return series.replace("", None).str.split(feature.separator)
        if series.is_null().all():
            return pl.Series(series.name, [None] * len(series), dtype=pl.List(pl.String))
        raise DataError(
            f"{self.piece.where} column {series.name!r}: got one {series.dtype} a row for the bag {feature.name!r}, "
            "expected lists, or text and a `separator`. Declare the feature categorical, or say what separates the ids."
        )

    # What is no feature.

    def _plain(self, role: str, series: pl.Series) -> None:
        match role.split(maxsplit=1)[0]:
            case "key":
                ids = self._as_ids(series, series.name)
                wanted = "got no key, expected one in every row. Mend the row."
                self._refuse(ids.is_null(), series.name, "no key", lambda _: wanted)
                self.columns[role] = self._codes(ids, role, None, series.name)
            case "label":
                self.columns[role] = self._label(series)
            case _:
                self.moments = self._moments(series)

    def _label(self, series: pl.Series) -> NDArray[np.uint8]:
        if series.dtype.is_nested():
            raise DataError(
                f"{self.piece.where} column {series.name!r}: got a list as label, expected 0 or 1. Mend the column."
            )
        numbers = series.cast(pl.Float64, strict=False)
        good = ((numbers == 0) | (numbers == 1)).fill_null(value=False)
        bad = int((~good).sum())
        wanted = f"as label, expected 0 or 1 ({bad:,} rows differ). Mend the column."
        self._refuse(~good, series.name, "a label that is not 0 or 1", lambda row: f"got {series[row]!r} {wanted}")
        return numbers.set(~good, 0.0).cast(pl.UInt8).to_numpy(writable=True)

    def _moments(self, series: pl.Series) -> pl.Series:
        series = series.replace("", None) if series.dtype == pl.String else series
        series = series.fill_nan(None) if series.dtype.is_float() else series
        wanted = "got no time, expected one in every row. Mend the row."
        self._refuse(series.is_null(), series.name, "no time", lambda _: wanted)
        return series


_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)  # whole numbers that fit int64


def _flat(lists: pl.Series, lengths: pl.Series) -> pl.Series:
    """All entries, one after the other."""
    return lists.filter(lengths > 0).explode() if lengths.sum() else pl.Series([], dtype=pl.String)
