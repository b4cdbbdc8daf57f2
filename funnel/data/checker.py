"""What every column of a piece has in common: where its values are, how ids become codes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from funnel.data.codes import LARGEST_CODE, Codes, codes_of
from funnel.data.faults import Sieve
from funnel.data.feature_list import Entries, Kind
from funnel.data.hashing import hashed
from funnel.data.pieces import Piece
from funnel.errors import DataError
from funnel.schema.data import FeatureList
from funnel.schema.features import Bag, Categorical
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import buckets_of

_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)  # whole numbers that fit int64


@dataclass
class Checker:
    """A piece that is being checked.

    Attributes:
        schema: The declaration.
        source: `facts`, or a dimension's name.
        piece: Rows as they were read.
        seed: Of the codes' hash.
        sieve: Takes the rows that cannot be used.
        fields: Of a feature list: its entries by field.
        texts: By table or key: `code` and `text` of ids that are not their own codes.
    """

    schema: FunnelSchema
    source: str
    piece: Piece
    seed: int
    sieve: Sieve
    fields: dict[str, Entries] = field(default_factory=dict)
    texts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def listed_field(self, column: str) -> bool:
        """Whether a column is a field of a feature list."""
        files = self.schema.files_of(self.source)
        return isinstance(files, FeatureList) and column not in files.columns

    def alone(self, column: str, kind: Kind) -> pl.Series:
        """One value a row: text or numbers, null where there is none."""
        if not self.listed_field(column):
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

    def codes(self, ids: pl.Series, name: str, offsets: NDArray[Any] | None, column: str) -> Codes:
        """Codes of ids, their texts kept under a name. `offsets` says whose the ids are, where they are entries of lists."""
        self.require_int64(ids, offsets, column)
        ids = ids.cast(pl.Int64, strict=False) if ids.dtype.is_integer() else ids.cast(pl.String)
        codes, texts = codes_of(ids, self.seed)
        if texts.height:
            self.texts.setdefault(name, []).append(texts)
        return codes

    def require_int64(self, ids: pl.Series, offsets: NDArray[Any] | None, column: str) -> None:
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
        rows = places if offsets is None else np.searchsorted(offsets, places, side="right") - 1
        bad[rows] = True

        def message(row: int) -> str:
            place = int(places[np.searchsorted(rows, row)])
            return (
                f"{self.place(row, column)}: got the id {ids[place]}, expected at most {LARGEST_CODE}, the largest whole "
                "number of 64 bits. Write larger ones in hexadecimal, or with a letter in front."
            )

        self.sieve.refuse(bad, "an id beyond int64", message)

    def place(self, row: int, column: str) -> str:
        """Where a value of a row stands, for messages."""
        return f"{self.piece.at(row)} {'field' if self.listed_field(column) else 'column'} {column!r}"

    def refuse(self, bad: Any, column: str, reason: str, message: Callable[[int], str]) -> None:
        """Rows that cannot be used, because of a column."""
        self.sieve.refuse(bad, reason, lambda row: f"{self.place(row, column)}: {message(row)}")

    def rows_or_codes(self, feature: Categorical | Bag, ids: pl.Series, offsets: NDArray[Any] | None) -> NDArray[Any]:
        """Rows of a table that hashes, else codes."""
        buckets = buckets_of(self.schema, feature.table_name)
        if buckets is None:
            return self.codes(ids, feature.table_name, offsets, feature.column_name)
        self.require_int64(ids, offsets, feature.column_name)
        return hashed(ids, buckets)

    def as_ids(self, series: pl.Series, column: str) -> pl.Series:
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

    def refuse_missing(self, missing: pl.Series, feature: Any) -> None:
        """Rows without a value that is declared to be an error."""
        self.refuse(
            missing,
            feature.column_name,
            "a missing value",
            lambda _: (
                f"got no value for the feature {feature.name!r}, which declares `missing: error` ({int(missing.sum()):,} rows "
                "have none). Mend the data, or declare what missing means."
            ),
        )
