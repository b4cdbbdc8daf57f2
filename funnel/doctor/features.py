"""Features that say little: unknown, missing, or always the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from funnel.data.store import Store
from funnel.doctor.finding import Finding
from funnel.doctor.sample import Sample
from funnel.doctor.tallies import MOST_ENTRIES
from funnel.schema.features import Bag, Categorical, Cross
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import DEFAULT_MIN_COUNT, vocabulary_tables

MOST_OOV = 0.5


def feature_findings(schema: FunnelSchema, store: Store, sample: Sample) -> Iterator[Finding]:
    """What each feature's values are worth, in the training rows."""
    found = store.manifest["splits"]["train"]["features"]
    missing = {name for name, summary in found.items() if summary["missing"] == 1}
    empty = {table for table in vocabulary_tables(schema) if not len(store.vocabulary.terms[table])}
    for table in sorted(empty):
        users = [f.name for f in schema.features if isinstance(f, Categorical | Bag) and f.table_name == table]
        if not missing.issuperset(users):
            yield Finding("warning", f"table {table}", _empty_vocabulary(schema, table, users))
    for feature in schema.features:
        about = f"feature {feature.name}"
        if feature.name in missing:
            column = _column(feature)
            message = (
                f"every training row lacks it, expected some values. Correct the column ({column}), or remove the feature."
            )
            yield Finding("warning", about, message)
        elif getattr(feature, "table_name", None) not in empty:
            yield from _unknown(schema, feature, about, found[feature.name].get("oov", 0.0))
            if _constant(sample, feature):
                message = (
                    f"it is the same in all {sample.rows:,} training rows looked at, so that nothing can be learnt from it. "
                    f"Remove it, or correct the column ({_column(feature)})."
                )
                yield Finding("warning", about, message)


def _unknown(schema: FunnelSchema, feature: Any, about: str, share: float) -> Iterator[Finding]:
    if share <= MOST_OOV:
        return
    among = ", missing ones among them," if getattr(feature, "missing", None) == "oov" else ""
    message = (
        f"{share:.0%} of its ids{among} in the training rows share the row for unknown ones (table {feature.table_name}, "
        f"{_limits(schema, feature.table_name)}), expected at most {MOST_OOV:.0%}. Lower min_count, raise max_rows, hash them "
        "(`buckets`), or take something coarser."
    )
    yield Finding("warning", about, message)


def _empty_vocabulary(schema: FunnelSchema, table: str, users: list[str]) -> str:
    return (
        f"no id of {', '.join(users)} gets a row of its own ({_limits(schema, table)}), expected some: every id is unknown. "
        "Lower min_count, or hash the ids (`buckets`)."
    )


def _limits(schema: FunnelSchema, table: str) -> str:
    declared: Any = schema.tables.get(table) or next(
        feature for feature in schema.features if isinstance(feature, Categorical | Bag) and feature.table_name == table
    )
    most = f", max_rows: {declared.max_rows:,}" if declared.max_rows else ""
    return f"min_count: {declared.min_count or DEFAULT_MIN_COUNT}{most}"


def _column(feature: Any) -> str:
    return f"of {', '.join(feature.of)}" if isinstance(feature, Cross) else feature.column_name


def _constant(sample: Sample, feature: Any) -> bool:
    if not isinstance(feature, Bag):
        return _one(sample.column(feature))
    ids, lengths, weights = sample.bag(feature, MOST_ENTRIES)
    return _one(lengths) and _one(ids) and (weights is None or _one(weights))


def _one(values: Any) -> bool:
    """Whether all are equal, and there are some; a missing number is a value, too."""
    return len(values) > 0 and bool(((values == values[0]) | (np.isnan(values) & np.isnan(values[0]))).all())
