"""Pieces -> columns: each wanted column checked, its ids as codes, and rows that cannot be used sorted out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.bags import LARGEST, bag
from funnel.data.checker import Checker
from funnel.data.columns import Columns, take
from funnel.data.faults import EXAMPLES, Faults, Sieve
from funnel.data.feature_list import spread
from funnel.data.label_numbers import label_numbers
from funnel.data.labels import UNKNOWN
from funnel.data.maturity import amounts, is_young, matured
from funnel.data.pieces import Piece
from funnel.data.wanted import (
    absent_role,
    code_role,
    coded_features,
    event_role,
    features_of,
    kind_of,
    label_role,
    plain_columns,
    snapshot_role,
    young_role,
)
from funnel.errors import DataError
from funnel.schema.data import FACTS, FeatureList, SkipBadRows
from funnel.schema.features import Bag, Categorical, Fill, Numeric, Sequence
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.ordered import beside


@dataclass
class Normalised:
    """The good rows of a piece.

    Attributes:
        rows: How many.
        read: Rows of the piece, with those left out.
        places: Which they were among the rows that the piece has: int64 [rows].
        ordinals: The same, with the lines that were left out before it was a piece among them: int64 [rows].
        columns: By feature: int64 codes [rows] (rows of the table where it hashes), or [entries] with offsets and maybe
            weights; float64 [rows] for numbers, NaN where missing. By role: int64 codes of keys; uint8 labels, UNKNOWN where
            there is none, or where it is not final; float32 weights of the rows; bool where a label was read too early, and
            where the row's domain lacks the stage.
        texts: By table or key: `code` and `text` of ids that are not their own codes.
        moments: What validation by time compares, [rows]; None where it does not.
        faults: The rows left out.
    """

    rows: int
    read: int
    places: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    columns: Columns
    texts: dict[str, list[pl.DataFrame]]
    moments: pl.Series | None
    faults: Faults


FUTURE = 1 << 61  # later than all times, and not too late to be subtracted from


def normalise(
    schema: FunnelSchema,
    source: str,
    piece: Piece,
    *,
    labels: bool,
    weights: bool = False,
    seed: int = 0,
    features: bool = True,
) -> Normalised:
    """Check the columns of a piece, and bring them to one form.

    Args:
        schema: The declaration.
        source: `facts`, or a dimension's name.
        piece: Rows as they were read.
        labels: Whether the labels are needed.
        weights: Whether the rows' weights are.
        seed: Of the codes' hash.
        features: Whether the features are.

    Raises:
        DataError: A column of the wrong type; a row that cannot be used, where the schema does not skip these.
    """
    sieve = Sieve(piece.frame.height, skip=isinstance(schema.data.bad_rows, SkipBadRows))
    return _Normaliser(schema, source, piece, seed, sieve).run(labels=labels, weights=weights, features=features)


@dataclass
class _Normaliser(Checker):
    columns: Columns = field(default_factory=dict)
    moments: pl.Series | None = None

    def run(self, *, labels: bool, weights: bool, features: bool) -> Normalised:
        piece, files = self.piece, self.schema.files_of(self.source)
        if features and isinstance(files, FeatureList):
            counts = piece.frame[files.count] if files.count else None
            self.fields = spread(piece.lists, counts, files, self.sieve, piece.at)
        for role, column in plain_columns(self.schema, self.source, labels=labels, weights=weights).items():
            self._plain(role, self.alone(column, kind_of(role)))
        if labels and self.source == FACTS:
            self._mature()
        coded = coded_features(self.schema)
        for feature in features_of(self.schema, self.source) if features else ():
            match feature:
                case Categorical():
                    self._categorical(feature, coded=feature.name in coded)
                case Sequence() if feature.beside is not None:
                    pass  # comes with the one that it is beside
                case Bag():
                    self.columns |= bag(self, feature, beside(self.schema, feature))
                case Numeric():
                    self._numeric(feature)
        return self._good()

    def _good(self) -> Normalised:
        kept, faults = self.sieve.kept, self.sieve.faults
        if self.piece.cuts:
            faults.count("a wrong number of columns", len(self.piece.cuts), list(self.piece.cuts[:EXAMPLES]))
        faults.read += len(self.piece.cuts)
        faults.rows += len(self.piece.cuts)
        places = np.arange(self.piece.frame.height)
        columns, moments = self.columns, self.moments
        if kept is not None:
            places, columns = kept, take(columns, kept)
            moments = moments.gather(kept) if moments is not None else None
        ordinals = places if self.piece.ordinals is None else self.piece.ordinals[places]
        return Normalised(len(places), faults.read, places, ordinals, columns, self.texts, moments, faults)

    def _categorical(self, feature: Categorical, *, coded: bool) -> None:
        ids = self.as_ids(self.alone(feature.column_name, "id"), feature.column_name)
        if isinstance(feature.missing, Fill):
            ids = ids.cast(pl.String).fill_null(str(feature.missing.fill))
        elif feature.missing == "error":
            self.refuse_missing(ids.is_null(), feature)
        self.columns[feature.name] = self.rows_or_codes(feature, ids, None)
        if coded:
            role = code_role(feature.name)
            self.columns[role] = self.codes(ids, role, None, feature.column_name)

    def _numeric(self, feature: Numeric) -> None:
        column = feature.column_name
        series = self._bare(self.alone(column, "value"), "Correct the column, or the feature's kind.")
        values = series.cast(pl.Float64, strict=False)
        bad = (values.is_null() & series.is_not_null()) | (values.is_not_nan() & (values.abs() > LARGEST)).fill_null(
            value=False
        )
        wanted = "expected a finite number. Mend the row, or declare the feature categorical."
        self.refuse(bad, column, "not a number", lambda row: f"got {series[row]!r}, {wanted}")
        values = values.fill_nan(None)
        if isinstance(feature.missing, Fill):
            values = values.fill_null(float(feature.missing.fill))
        elif feature.missing == "error":
            self.refuse_missing(values.is_null(), feature)
        self.columns[feature.name] = values.fill_null(float("nan")).to_numpy()

    def _bare(self, series: pl.Series, repair: str) -> pl.Series:
        """Numbers, or texts of numbers without spaces; null where there is none."""
        if series.dtype.is_nested() or series.dtype.is_temporal():
            message = f"got {series.dtype}, expected numbers. {repair}"
            raise DataError(f"{self.piece.where} column {series.name!r}: {message}")
        return series.str.strip_chars().replace("", None) if series.dtype == pl.String else series

    def _plain(self, role: str, series: pl.Series) -> None:
        match role.split(maxsplit=1)[0]:
            case "fact":
                self.columns[role] = self._weight(series)
            case "key":
                ids = self.as_ids(series, series.name)
                wanted = "got no key, expected one in every row. Mend the row."
                self.refuse(ids.is_null(), series.name, "no key", lambda _: wanted)
                self.columns[role] = self.codes(ids, role, None, series.name)
            case "label":
                self.columns[role] = self._label(series)
            case "domain":
                self._domain(series)
            case "event" | "snapshot":
                self.columns[role] = self._amounts(role, series)
            case _:
                self.moments = self._moments(series)

    def _label(self, series: pl.Series) -> NDArray[np.uint8]:
        """0, 1, or UNKNOWN where there is none."""
        if series.dtype.is_nested():
            raise DataError(
                f"{self.piece.where} column {series.name!r}: got a list as label, expected 0 or 1. Mend the column."
            )
        series = series.replace("", None) if series.dtype == pl.String else series
        numbers = label_numbers(series)
        unknown = series.is_null() | numbers.is_nan().fill_null(value=False)
        good = unknown | ((numbers == 0) | (numbers == 1)).fill_null(value=False)
        bad = int((~good).sum())
        wanted = f"as label, expected 0 or 1 ({bad:,} rows differ). Mend the column."
        self.refuse(~good, series.name, "a label that is not 0 or 1", lambda row: f"got {series[row]!r} {wanted}")
        return numbers.set(unknown, float(UNKNOWN)).set(~good, 0.0).cast(pl.UInt8).to_numpy(writable=True)

    def _domain(self, series: pl.Series) -> None:
        """Which stages each row's domain lacks."""
        feature = self.schema.feature(self.schema.domain_feature)
        ids = self.as_ids(series, series.name).cast(pl.String)
        if isinstance(feature.missing, Fill):
            ids = ids.fill_null(str(feature.missing.fill))
        for name, domains in zip(self.schema.stage_names, self.schema.domains, strict=True):
            if domains is not None:
                there = ids.is_in(list(domains)).fill_null(value=False)
                self.columns[absent_role(name)] = (~there).to_numpy()

    def _weight(self, series: pl.Series) -> NDArray[np.float32]:
        numbers = self._bare(series, "Correct the column.").cast(pl.Float64, strict=False)
        good = (numbers.is_finite() & (numbers >= 0) & (numbers <= LARGEST)).fill_null(value=False)
        wanted = "as the row's weight, expected a finite number of 0 or more. Mend the row."
        reason = "a weight that is no number of 0 or more"
        self.refuse(~good, series.name, reason, lambda row: f"got {series[row]!r} {wanted}")
        return numbers.set(~good, 0.0).to_numpy().astype(np.float32)

    def _mature(self) -> None:
        """Labels that are not final are not known."""
        for stage in self.schema.stages:
            if (maturity := stage.matures_after) is not None:
                event = self.columns.pop(event_role(stage.name))
                young = is_young(event, self.columns.pop(snapshot_role(stage.name), None), maturity)
                label = label_role(stage.name)
                self.columns[young_role(stage.name)] = young
                self.columns[label] = matured(self.columns[label], young, maturity)

    def _amounts(self, role: str, series: pl.Series) -> NDArray[Any]:
        name = role.split(maxsplit=1)[1]
        maturity = next(stage.matures_after for stage in self.schema.stages if stage.name == name)
        assert maturity is not None  # noqa: S101  # it names the column
        series = _times(series)
        found = amounts(series, maturity, f"{self.piece.where} column {series.name!r}")
        what = "a time (ISO 8601)" if maturity.timed else "a number"
        repair = "Mend the row, or the period: a text such as `7d` for times, a number for numbers."
        wanted = f"expected {what}, since matures_after.period is {maturity.period!r}. {repair}"
        bad = found.is_null() & series.is_not_null()
        self.refuse(bad, series.name, "no time", lambda row: f"got {series[row]!r}, {wanted}")
        # Of what age a row is without a time is not known: it is taken for young. Logs often time what follows a click by the
        # click, which rows without one do not have.
        return found.fill_null(FUTURE if role == event_role(name) else -FUTURE).to_numpy()

    def _moments(self, series: pl.Series) -> pl.Series:
        series = _times(series)
        wanted = "got no time, expected one in every row. Mend the row."
        self.refuse(series.is_null(), series.name, "no time", lambda _: wanted)
        return series


def _times(series: pl.Series) -> pl.Series:
    """A column of times, null where there is none."""
    series = series.replace("", None) if series.dtype == pl.String else series
    return series.fill_nan(None) if series.dtype.is_float() else series
