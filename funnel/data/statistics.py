"""What is learnt from training rows before any network is: vocabularies, the scale of numbers, the stages' rates."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import priors
from funnel.data.raw_star import RawStar
from funnel.data.vocabulary import Vocabulary, choose_terms, count_ids
from funnel.errors import DataError
from funnel.schema.features import Bag, Bucketize, Categorical, Cross, Log1p, Numeric, Table
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import DEFAULT_MIN_COUNT, Learnt, Scale, declared_scale, table_of, table_rows, vocabulary_tables

Counts = NDArray[np.int64]


def learn(schema: FunnelSchema, star: RawStar, rows: NDArray[np.int64]) -> tuple[Learnt, Vocabulary]:
    """Learn from some facts, the training rows.

    A dimension row counts as often as these facts use it: the same as if the tables had been joined.

    Args:
        schema: The declaration.
        star: Facts with labels.
        rows: Positions of the training facts.

    Raises:
        DataError: A numeric feature without any value.
    """
    if star.labels is None:
        raise ValueError("the star was read without labels")
    counts = {FACTS: np.bincount(rows, minlength=star.facts.rows)}
    for name, index in star.index.items():
        counts[name] = np.bincount(index[rows], minlength=star.dimensions[name].rows)
    vocabulary = Vocabulary({table: _terms(schema, star, table, counts) for table in vocabulary_tables(schema)})
    scales, sizes = {}, {}
    for feature in schema.features:
        if isinstance(feature, Numeric):
            source = schema.source_of(feature)
            scales[feature.name] = _scale(feature, star.source(source).numbers[feature.name], counts[source])
        if (table := table_of(feature)) is not None:
            terms = len(vocabulary.terms.get(table, ()))
            sizes[table] = table_rows(schema, table, scales.get(feature.name), terms)
    rates = zip(schema.stages, priors(star.labels[rows], schema.parents), strict=True)
    return Learnt(rows=sizes, scales=scales, priors=tuple(stage.prior or rate for stage, rate in rates)), vocabulary


def _terms(schema: FunnelSchema, star: RawStar, table: str, counts: dict[str, Counts]) -> pl.Series:
    parts: list[tuple[pl.Series, Counts]] = []
    declared: Table | Categorical | Bag | None = schema.tables.get(table)
    for feature in schema.features:
        if isinstance(feature, Cross | Numeric) or feature.table_name != table:
            continue
        declared = declared or feature
        source = schema.source_of(feature)
        if isinstance(feature, Categorical):
            parts.append((star.source(source).ids[feature.name], counts[source]))
        elif isinstance(feature, Bag):
            lists = star.source(source).lists[feature.name]
            parts.append((lists.values, np.repeat(counts[source], np.diff(lists.offsets))))
    min_count = declared.min_count if declared is not None else None
    max_rows = declared.max_rows if declared is not None else None
    return choose_terms(count_ids(parts), table, min_count or DEFAULT_MIN_COUNT, max_rows)


def _scale(feature: Numeric, numbers: NDArray[np.float64], counts: Counts) -> Scale:
    if (declared := declared_scale(feature)) is not None:
        return declared
    seen = ~np.isnan(numbers) & (counts > 0)
    if not seen.any():
        raise DataError(
            f"column {feature.column_name!r}: no training row has a number for the feature {feature.name!r}, expected some. "
            "Remove the feature, or correct its column."
        )
    values, weights = numbers[seen], counts[seen]
    if isinstance(feature.transform, Bucketize):
        return Scale(boundaries=quantile_boundaries(values, weights, feature.transform.buckets))
    if isinstance(feature.transform, Log1p):
        values = np.sign(values) * np.log1p(np.abs(values))
    mean = float(np.average(values, weights=weights))
    std = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    given_mean, given_std = getattr(feature.transform, "mean", None), getattr(feature.transform, "std", None)
    return Scale(
        mean=mean if given_mean is None else given_mean,
        # A constant would be divided by (almost) nothing.
        std=given_std or (std if std > 1e-9 * max(1.0, abs(mean)) else 1.0),
    )


def quantile_boundaries(values: NDArray[np.float64], weights: Counts, buckets: int) -> tuple[float, ...]:
    """Boundaries between buckets of equal weight, as far as ties allow: at most `buckets - 1`, ascending, none useless.

    Args:
        values: float64 [n].
        weights: How often each counts: int64 [n], positive.
        buckets: How many are wanted.
    """
    # The network compares in float32, where neighbours may become one.
    distinct, place = np.unique(values.astype(np.float32), return_inverse=True)
    below = np.cumsum(np.bincount(place, weights=weights))
    wanted = below[-1] * np.arange(1, buckets) / buckets
    # A boundary is the least value of the bucket above it: the first value with at least so much weight below.
    # Where the greatest value alone fills the upper buckets, it is cut from those below it.
    first = np.minimum(np.searchsorted(below, wanted, side="left") + 1, len(distinct) - 1)
    return tuple(float(value) for value in distinct[np.unique(first[first > 0])])
