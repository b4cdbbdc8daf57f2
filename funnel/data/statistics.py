"""What is learnt from training rows before any network is: vocabularies, the scale of numbers, the stages' rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.columns import Columns
from funnel.data.keyed import Keyed, Tally, texts
from funnel.data.known import Known
from funnel.data.labels import rates
from funnel.data.parallel import in_order
from funnel.data.quantiles import Quantiles
from funnel.data.shards import Condensed, uses_of
from funnel.data.stage_counts import StageCounts
from funnel.data.star import Star
from funnel.data.vocabulary import Vocabulary, added, choose_terms, grown
from funnel.data.weights import row_weights
from funnel.errors import DataError, have
from funnel.schema.features import Bag, Categorical, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import (
    DEFAULT_MIN_COUNT,
    FIRST,
    Learnt,
    Scale,
    declared_scale,
    table_of,
    table_rows,
    vocabulary_tables,
)
from funnel.schema.transforms import Bucketize, Log1p, PiecewiseLinear


@dataclass(frozen=True)
class Spread:
    """Count, mean, and sum of squared deviations of some numbers; two add up (Chan et al., 1979)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, numbers: NDArray[np.float64], weights: NDArray[np.int64] | None) -> Spread:
        """Of numbers [n], and how often each counts."""
        count = float(len(numbers) if weights is None else weights.sum())
        if not count:
            return cls()
        mean = float(np.average(numbers, weights=weights))
        return cls(count, mean, float(np.average((numbers - mean) ** 2, weights=weights)) * count)

    def __add__(self, other: Spread) -> Spread:
        if not self.count or not other.count:
            return self if self.count else other
        count, gap = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + gap * gap * self.count * other.count / count
        return Spread(count, self.mean + gap * other.count / count, squares)


@dataclass
class Seen:
    """What one star adds.

    Attributes:
        rows: Facts.
        stages: What is known of each stage, facts counted by their weights; None where there are no labels.
        spreads: By numeric feature whose scale is learnt.
    """

    rows: int
    stages: StageCounts | None
    spreads: dict[str, Spread] = field(default_factory=dict)


class Learner:
    """Learns from stars of training facts, in any order but for `add`.

    A dimension row counts as often as these facts use it: the same as if the tables had been joined.

    Args:
        schema: The declaration.
        folder: For what does not fit in memory.
        base: What another run has learnt, which stays: ids that are new come after its own, and its scales are kept.
    """

    def __init__(self, schema: FunnelSchema, folder: Path, base: Known | None = None) -> None:
        self._schema, self._folder, self._base = schema, folder, base
        self._tallies = {table: Tally(folder / f"counts of {table}") for table in vocabulary_tables(schema)}
        self._quantiles = {
            feature.name: Quantiles(buckets)
            for feature in schema.features
            if isinstance(feature, Numeric) and declared_scale(feature) is None and (buckets := _buckets(feature))
        }
        self._total: Seen | None = None

    def see(self, condensed: Condensed) -> Seen:
        """Count the ids of a star, and measure its numbers. May be called by several threads."""
        for table, codes in condensed.codes.items():
            counts = condensed.counts[table]
            used = counts > 0
            used[:1] &= codes[:1] != np.iinfo(np.int64).min  # no id comes first
            self._tallies[table].count(codes[used], counts[used])
        star = condensed.star
        stages = None
        if star.labels is not None:
            weights = row_weights(self._schema, star.labels, star.weights)
            stages = StageCounts.of(self._schema.topology, star.labels, weights)
        spreads = {
            feature.name: Spread.of(_logarithm(feature, numbers), weights)
            for feature in self._schema.features
            if isinstance(feature, Numeric) and not _buckets(feature) and declared_scale(feature) is None
            for numbers, weights in [self._numbers(feature, star)]
        }
        return Seen(star.rows, stages, spreads)

    def add(self, seen: Seen, star: Star) -> None:
        """Add up, in the order of the stars, so that sums of floats do not depend on the machine."""
        for name, quantiles in self._quantiles.items():
            quantiles.see(*self._numbers(self._schema.feature(name), star))
        if self._total is None:
            self._total = seen
            return
        total = self._total
        spreads = {name: total.spreads[name] + spread for name, spread in seen.spreads.items()}
        stages = None if total.stages is None or seen.stages is None else total.stages + seen.stages
        self._total = Seen(total.rows + seen.rows, stages, spreads)

    def learnt(
        self,
        spellings: Mapping[str, Keyed],
        again: Callable[[], Iterable[Star]],
        keep: Callable[[Vocabulary], None],
    ) -> Learnt:
        """All stars were seen.

        Args:
            spellings: By table: `code` and `text` of ids that are not their own codes.
            again: Gives the stars once more.
            keep: Called with the vocabulary of each table that learns one; on several cores, so that the ids of as many tables
                are in memory. What a base has seen counts, too, where that is known; of its ids, those that are now seen less
                often than a new one must be count as not seen.

        Raises:
            DataError: A numeric feature without any value; an id that holds a line break.
        """
        schema, total = self._schema, self._total
        if total is None:
            raise DataError("data: every training row is held out or left out, expected some. Correct the data.")
        tables = vocabulary_tables(schema)
        domains: dict[str, int] = {}

        def choose(table: str) -> int:
            min_count, max_rows = _limits(schema, table)
            known = spellings.get(table) or texts(self._folder / f"no texts of {table}")
            terms, counts = choose_terms(self._tallies.pop(table), known, table, min_count, max_rows)
            if self._base is not None and table in self._base.vocabulary.terms:
                base, new = self._base.vocabulary, (terms, counts)
                terms = grown(base.terms[table], terms, max_rows)
                domains.update(_domains(schema, table, terms))
                if table not in base.counts:
                    keep(Vocabulary({table: terms}))
                    return len(terms)
                counts = added(terms, (base.terms[table], base.counts[table]), new)
            domains.update(_domains(schema, table, terms))
            keep(Vocabulary({table: terms}, {table: counts}))
            return len(terms)

        counts = dict(zip(tables, in_order(choose, tables), strict=True))
        scales, sizes = {}, {}
        for feature in schema.features:
            if isinstance(feature, Numeric):
                scales[feature.name] = self._scale(feature, total, again)
            if (table_name := table_of(feature)) is not None:
                sizes[table_name] = table_rows(schema, table_name, scales.get(feature.name), counts.get(table_name, 0))
        return Learnt(rows=sizes, scales=scales, domains=domains, **self._stages(total))

    def _stages(self, total: Seen) -> dict[str, Any]:
        """The stages' rates and shares, and the mean weight."""
        stages, nothing = total.stages, np.zeros(len(self._schema.stages))
        passed, given = (nothing, nothing) if stages is None else (stages.passed, stages.given)
        observed = zip(self._schema.stages, rates(passed, given), strict=True)
        found: dict[str, Any] = {"priors": tuple(stage.prior or rate for stage, rate in observed)}
        if stages is None:
            return found
        if not stages.rows:
            raise DataError(
                f"column {self._schema.data.weight!r}: all {total.rows:,} training rows have the weight 0, expected some that "
                "count. Correct data.weight."
            )
        shares = {
            "given": (stages.given, np.full_like(stages.given, stages.rows)),
            "known_inside": (stages.given, stages.inside),
            "known_elsewhere": (stages.answered, stages.elsewhere),
        }
        # Of no rows, all are known.
        found |= {
            name: tuple(np.divide(part, of, out=np.ones_like(part), where=of > 0).tolist())
            for name, (part, of) in shares.items()
        }
        if self._schema.has_absent_stages:
            found["present"] = tuple((1 - stages.absent / stages.rows).tolist())
        return found | {"weight": stages.rows / total.rows}

    def _scale(self, feature: Numeric, total: Seen, again: Callable[[], Iterable[Star]]) -> Scale:
        if (declared := declared_scale(feature)) is not None:
            return declared
        if self._base is not None and feature.name in self._base.learnt.scales:
            return self._base.learnt.scales[feature.name]
        if feature.name in self._quantiles:
            quantiles = self._quantiles[feature.name]
            self._require_some(feature, bool(quantiles.bins.any()))
            numbers = (self._numbers(feature, star) for star in again())
            return Scale(boundaries=quantiles.boundaries(numbers, ends=isinstance(feature.transform, PiecewiseLinear)))
        spread = total.spreads[feature.name]
        self._require_some(feature, spread.count > 0)
        std = float(np.sqrt(spread.squares / spread.count))
        given_mean, given_std = getattr(feature.transform, "mean", None), getattr(feature.transform, "std", None)
        return Scale(
            mean=spread.mean if given_mean is None else given_mean,
            # A constant would be divided by (almost) nothing.
            std=given_std or (std if std > 1e-9 * max(1.0, abs(spread.mean)) else 1.0),
        )

    def _require_some(self, feature: Numeric, some: bool) -> None:
        if not some:
            raise DataError(
                f"column {feature.column_name!r}: no training row has a number for the feature {feature.name!r}, expected "
                "some. Remove the feature, or correct its column."
            )

    def _numbers(self, feature: Numeric, star: Star) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        """The numbers that a star has, and how many facts use each."""
        source = self._schema.source_of(feature)
        columns: Columns = star.sources[source]
        numbers, uses = columns[feature.name], uses_of(star, source)
        there = ~np.isnan(numbers)
        return numbers[there], None if uses is None else uses[there]


def _buckets(feature: Numeric) -> int | None:
    """How many buckets, or bins, the numbers are parted into; None where they are not."""
    match feature.transform:
        case Bucketize():
            return feature.transform.buckets
        case PiecewiseLinear():
            return feature.transform.bins
        case _:
            return None


def _domains(schema: FunnelSchema, table: str, terms: pl.Series) -> dict[str, int]:
    """The rows of the domains that stages name, where this is their table.

    Raises:
        DataError: One has no row.
    """
    feature = next((one for one in schema.features if one.name == schema.domain_feature), None)
    if not schema.has_absent_stages or not isinstance(feature, Categorical) or feature.table_name != table:
        return {}
    named = dict.fromkeys(str(name) for stage in schema.stages for name in stage.domains or ())
    rows = {term: FIRST + place for place, term in enumerate(terms) if term in named}
    for name in named:
        if name not in rows:
            raise DataError(
                f"stages.domains: {name!r} has no row of its own among the ids of the feature {feature.name!r} in the training "
                f"rows {have(name, terms.head(20).to_list())} Correct the name, add rows, or lower `min_count`."
            )
    return {name: rows[name] for name in named}


def _logarithm(feature: Numeric, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(numbers) * np.log1p(np.abs(numbers)) if isinstance(feature.transform, Log1p) else numbers


def _limits(schema: FunnelSchema, table: str) -> tuple[int, int | None]:
    """The least count, and the most rows, of a table."""
    declared = schema.tables.get(table) or next(
        feature for feature in schema.features if isinstance(feature, Categorical | Bag) and feature.table_name == table
    )
    return declared.min_count or DEFAULT_MIN_COUNT, declared.max_rows
