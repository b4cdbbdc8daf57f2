"""What the training rows add to a declaration: how many rows tables have, the scale of numbers, and the stages' rates."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from funnel.schema._base import Declared
from funnel.schema.features import Bag, Categorical, Cross, Numeric, Rows
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.topology import Topology
from funnel.schema.transforms import Bucketize, Periodic, PiecewiseLinear

MISSING, OOV, FIRST = 0, 1, 2  # rows of every table: no id, an id without a row of its own, and the first id (or bucket)
DEFAULT_MIN_COUNT = 2
DEFAULT_PRIOR = 0.05
CROSS_SEPARATOR = "\x1f"  # between the ids of a cross, where their text is hashed


class Scale(Declared):
    """What is known about a numeric feature."""

    mean: float = 0.0
    """Of the training rows, after the logarithm where one is taken."""
    std: float = 1.0
    """Of the training rows, after the logarithm where one is taken; 1 where all are equal."""
    boundaries: tuple[float, ...] = ()
    """Between the buckets, where the feature is bucketized; where bins begin and end, where it is piecewise linear."""


class Learnt(Declared):
    """Completes a schema, so that a network can be built from both."""

    rows: dict[str, int]
    """Rows of each embedding table, with those for missing and unknown ids; by ids, also where it is stored as fewer."""
    scales: dict[str, Scale]
    """By numeric feature."""
    priors: tuple[float, ...]
    """The training rows' rate of each stage, given its parent."""
    known_inside: tuple[float, ...] = ()
    """By stage: of the training rows that its conditional is about, the share whose label is known. Default: all."""
    known_elsewhere: tuple[float, ...] = ()
    """By stage: of the training rows of which it is not known whether its conditional is about them, the share whose label is
    known. Default: all."""
    given: tuple[float, ...] = ()
    """By stage: the share of the training rows that its conditional is about, and whose label is known. Default: as `priors`
    have it."""
    weight: float = 1.0
    """The mean weight of a training row. All shares and rates count rows by their weights."""
    present: tuple[float, ...] = ()
    """By stage: the share of the training rows whose domain has it. Default: all."""
    domains: dict[str, int] = Field(default={})
    """The rows, in the table of `model.domain`, of the domains that stages name."""


def cumulative_rates(priors: Sequence[float], topology: Topology) -> tuple[float, ...]:
    """The rate of each stage's cumulative label.

    Args:
        priors: Conditional rates.
        topology: Where each stage stands.
    """
    return _rates(priors, topology)[1]


def given_rates(priors: Sequence[float], topology: Topology) -> tuple[float, ...]:
    """The share of the rows that each conditional is about.

    Args:
        priors: Conditional rates.
        topology: Where each stage stands.
    """
    return _rates(priors, topology)[0]


def _rates(priors: Sequence[float], topology: Topology) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """By stage: the share of the rows that may reach it next, and of those that do."""
    given: list[float] = []
    reached: list[float] = []
    for prior, place in zip(priors, topology, strict=True):
        above = 1.0 if place.parent < 0 else reached[place.parent]
        for other in place.excluded:
            above *= 1 - priors[other]
        given.append(above)
        reached.append(sum(reached[branch] for branch in place.branches) if place.is_join else prior * above)
    return tuple(given), tuple(reached)


def table_of(feature: Categorical | Bag | Numeric | Cross) -> str | None:
    """The embedding table that a feature looks up; None for a number that is taken as one."""
    if isinstance(feature, Categorical | Bag):
        return feature.table_name
    if isinstance(feature, Numeric) and not isinstance(feature.transform, Bucketize):
        return None
    return feature.name


def dim_of(schema: FunnelSchema, table: str) -> int:
    """Numbers per row of a table."""
    if table in schema.tables:
        dim = schema.tables[table].dim
    else:
        feature = schema.feature(table)
        described = feature.transform if isinstance(feature, Numeric) else feature
        dim = described.dim if isinstance(described, Bucketize | Cross | Categorical | Bag) else None
    return dim or schema.model.embedding_dim


def number_dim(schema: FunnelSchema, feature: Numeric) -> int | None:
    """Numbers in the embedding that a number's own weights make of it; None where there are no such weights."""
    match feature.transform:
        case PiecewiseLinear():
            return feature.transform.dim
        case Periodic():
            return feature.transform.dim or schema.model.embedding_dim
        case _:
            return None


def buckets_of(schema: FunnelSchema, table: str) -> int | None:
    """How many buckets ids are hashed into; None where a vocabulary is learnt."""
    if table in schema.tables:
        return schema.tables[table].buckets
    feature = schema.feature(table)
    return None if isinstance(feature, Numeric) else feature.buckets


def remainders_of(schema: FunnelSchema, table: str) -> int | None:
    """Rows of the first part of a compressed table; None of one that has a row for each id."""
    described = schema.tables.get(table) or schema.feature(table)
    return described.compress.remainders if isinstance(described, Rows) and described.compress is not None else None


def stored_rows(schema: FunnelSchema, table: str, rows: int) -> int:
    """Rows of the variable that a table takes.

    Args:
        schema: The declaration.
        table: The table.
        rows: How many it has by its ids: one for each, and the two special ones.
    """
    remainders = remainders_of(schema, table)
    return rows if remainders is None else FIRST + remainders + -(-(rows - FIRST) // remainders)


def hashes(schema: FunnelSchema) -> bool:
    """Whether any ids are hashed, which only TensorFlow can do as its graphs do."""
    tables = [f.table_name for f in schema.features if isinstance(f, Categorical | Bag)]
    return any(isinstance(feature, Cross) for feature in schema.features) or any(buckets_of(schema, table) for table in tables)


def vocabulary_tables(schema: FunnelSchema) -> tuple[str, ...]:
    """The tables whose ids are learnt from training rows."""
    tables = dict.fromkeys(f.table_name for f in schema.features if isinstance(f, Categorical | Bag))
    return tuple(table for table in tables if buckets_of(schema, table) is None)


def declared_only(schema: FunnelSchema) -> tuple[Learnt | None, tuple[str, ...]]:
    """What can be known without data, and the paths of what cannot.

    Returns:
        Learnt, or None where something must be learnt; and the features and tables for which it must.
    """
    rows: dict[str, int] = {}
    scales: dict[str, Scale] = {}
    unknown = [f"table {table!r} (no `buckets`)" for table in vocabulary_tables(schema)]
    for feature in schema.features:
        if isinstance(feature, Numeric):
            scale = declared_scale(feature)
            if scale is None:
                unknown.append(f"feature {feature.name!r} (`{feature.transform.kind}` without declared values)")
                continue
            scales[feature.name] = scale
        if (table := table_of(feature)) is not None:
            rows[table] = table_rows(schema, table, scales.get(feature.name))
    if unknown:
        return None, tuple(unknown)
    return Learnt(rows=rows, scales=scales, priors=tuple(stage.prior or DEFAULT_PRIOR for stage in schema.stages)), ()


def table_rows(schema: FunnelSchema, table: str, scale: Scale | None = None, terms: int = 0) -> int:
    """Rows of a table: the two special ones, and one per bucket or term."""
    if scale is not None:
        # Without boundaries, as where all are equal, there still is one bucket.
        return FIRST + len(scale.boundaries) + 1
    return FIRST + (buckets_of(schema, table) or terms)


def declared_scale(feature: Numeric) -> Scale | None:
    """The scale of a number where the schema declares all of it, else None."""
    match feature.transform.kind:
        case "none":
            return Scale()
        case "bucketize" | "piecewise_linear":
            bounds = feature.transform.boundaries
            return None if bounds is None else Scale(boundaries=bounds)
        case _:
            mean, std = feature.transform.mean, feature.transform.std
            return None if mean is None or std is None else Scale(mean=mean, std=std)
