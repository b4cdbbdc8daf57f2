"""Which columns of a source are read, and what they are called inside.

A name with a space is a role: no feature can have it.
"""

from __future__ import annotations

from collections.abc import Iterable

from funnel.data.feature_list import Kind
from funnel.schema.data import FACTS, Time
from funnel.schema.features import Bag, Categorical, Cross, Numeric
from funnel.schema.funnel_schema import FunnelSchema

TIME = "time"
DOMAIN = "domain"  # the column that says which stages a row lacks
WEIGHT = "fact weight"


def key_role(dimension: str) -> str:
    """The column that holds a dimension's key, and the name of what is known about its texts."""
    return f"key {dimension}"


def label_role(stage: str) -> str:
    """The column that holds a stage's label."""
    return f"label {stage}"


def code_role(feature: str) -> str:
    """The column that holds the codes of a feature that crosses or groups need, whatever its table does."""
    return f"code {feature}"


def event_role(stage: str) -> str:
    """The column that says when the period began after which a stage's label is final."""
    return f"event {stage}"


def snapshot_role(stage: str) -> str:
    """The column that says when a stage's label was read."""
    return f"snapshot {stage}"


def young_role(stage: str) -> str:
    """The column that says whether a stage's label was read too early to be final."""
    return f"young {stage}"


def absent_role(stage: str) -> str:
    """The column that says whether a row's domain lacks a stage."""
    return f"absent {stage}"


def plain_columns(schema: FunnelSchema, source: str, *, labels: bool, weights: bool = False) -> dict[str, str]:
    """The columns of a source that are no features, by role.

    Args:
        schema: The declaration.
        source: `facts`, or a dimension's name.
        labels: Whether the labels are needed.
        weights: Whether the rows' weights are.
    """
    if source != FACTS:
        return {key_role(source): schema.dimension(source).key}
    roles = {key_role(dimension.name): dimension.key_in_facts for dimension in schema.data.dimensions}
    if labels:
        roles |= {label_role(stage.name): stage.label for stage in schema.stages if stage.label is not None}
        for stage in schema.stages:
            if stage.matures_after is not None:
                roles[event_role(stage.name)] = stage.matures_after.event
                if stage.matures_after.snapshot is not None:
                    roles[snapshot_role(stage.name)] = stage.matures_after.snapshot
        if schema.has_absent_stages:
            roles[DOMAIN] = schema.feature(schema.domain_feature).column_name
        if isinstance(schema.data.validation, Time):
            roles[TIME] = schema.data.validation.column
    if weights and schema.data.weight is not None:
        roles[WEIGHT] = schema.data.weight
    return roles


def kind_of(role: str) -> Kind:
    """How the column of a role is read."""
    return "value" if role == WEIGHT else "id"


def wanted_columns(
    schema: FunnelSchema, source: str, *, labels: bool, weights: bool = False, features: bool = True
) -> list[tuple[str, Kind]]:
    """The columns of a source that are read, and how."""
    plain = plain_columns(schema, source, labels=labels, weights=weights)
    wanted = [(column, kind_of(role)) for role, column in plain.items()]
    for feature in features_of(schema, source) if features else ():
        match feature:
            case Categorical():
                wanted.append((feature.column_name, "id"))
            case Numeric():
                wanted.append((feature.column_name, "value"))
            case Bag():
                wanted.append((feature.column_name, "bag"))
                if feature.numbers not in (None, feature.column_name):
                    wanted.append((str(feature.numbers), "weights"))
    return wanted


def features_of(schema: FunnelSchema, source: str) -> Iterable[Categorical | Bag | Numeric]:
    """The features that read a column of a source."""
    return (f for f in schema.features if not isinstance(f, Cross) and schema.source_of(f) == source)


def coded_features(schema: FunnelSchema) -> frozenset[str]:
    """The features whose codes crosses, or the groups of the evaluation, need."""
    parts = {name for feature in schema.features if isinstance(feature, Cross) for name in feature.of}
    return frozenset(parts | ({schema.evaluate.group_by} if schema.evaluate.group_by else set()))
