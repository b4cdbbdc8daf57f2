"""What must hold between the parts of a declaration."""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING

from funnel.errors import listed
from funnel.schema._base import problem, require_known, require_unique
from funnel.schema.data import FACTS, FeatureList, Fraction, Source
from funnel.schema.domain import require_everywhere
from funnel.schema.features import Bag, Categorical, Cross, Embedded, Fill, Numeric, Sequence
from funnel.schema.objective import require_taught
from funnel.schema.sampling import require_sampling
from funnel.schema.sequences import require_sequences
from funnel.schema.topology import topology_of, with_towers
from funnel.schema.transfer import require_transfer

if TYPE_CHECKING:
    from funnel.schema.funnel_schema import FunnelSchema

RESERVED = (FACTS, "index")  # first parts of the keys of star batches


def require_fit(schema: FunnelSchema) -> None:
    """Make sure that the parts of a declaration fit each other.

    Raises:
        PydanticCustomError: They do not; with the place.
    """
    topology_of(schema.space, schema.stages)
    require_unique(("data", "dimensions"), [d.name for d in schema.data.dimensions], "the dimension")
    require_unique(("features",), [feature.name for feature in schema.features], "the feature name")
    for position, dimension in enumerate(schema.data.dimensions):
        if dimension.name in RESERVED:
            message = f"{dimension.name!r} has a meaning of its own in batches, expected another name. Rename the dimension."
            raise problem(("data", "dimensions", position, "name"), message)
    for position, feature in enumerate(schema.features):
        _check_feature(schema, ("features", position), feature)
    require_sequences(schema.features, schema.tables, schema.model.embedding_dim)
    _check_predictions(schema)
    _check_unused_tables(schema)
    _check_inputs(schema)
    for name in schema.model.towers:
        able = [schema.stage_names[stage] for stage in with_towers(schema.topology)]
        require_known(("model", "towers", name), name, able, "a stage with a tower")
    _check_training(schema)
    _check_domain(schema)


def _check_feature(schema: FunnelSchema, path: tuple[str | int, ...], feature: Categorical | Bag | Numeric | Cross) -> None:
    if isinstance(feature, Cross):
        plain = [other.name for other in schema.features if isinstance(other, Categorical)]
        for position, name in enumerate(feature.of):
            require_known((*path, "of", position), name, plain, "a categorical feature")
        _check_own_table(schema, path, feature.name)
        return
    if feature.source is not None:
        require_known((*path, "source"), feature.source, schema.sources, "a source")
    if isinstance(feature, Embedded) and feature.table is not None:
        require_known((*path, "table"), feature.table, schema.tables, "one of the tables")
    _check_no_label(schema, path, feature)
    if isinstance(feature, Embedded) and feature.table is None and feature.name in schema.tables:
        message = f"{feature.name!r} is also a table, expected `table: {feature.name}` or another name. Say which."
        raise problem((*path, "name"), message)
    if isinstance(feature, Numeric):
        _check_own_table(schema, path, feature.name)
    files = schema.files_of(feature.source or FACTS)
    if isinstance(files, FeatureList) and feature.column_name == files.list:
        raise problem((*path, "column"), f"{files.list!r} is the list itself, expected one of its fields. Name the field.")
    if isinstance(feature, Bag):
        _check_bag(schema.files_of(feature.source or FACTS), path, feature)
    if isinstance(feature, Numeric) and isinstance(feature.missing, Fill) and isinstance(feature.missing.fill, str):
        raise problem((*path, "missing", "fill"), f"got {feature.missing.fill!r}, expected a number. Write one.")


def _check_own_table(schema: FunnelSchema, path: tuple[str | int, ...], name: str) -> None:
    if name in schema.tables:
        raise problem((*path, "name"), f"{name!r} is also a table, expected another name. Rename the feature, or the table.")


def _check_no_label(schema: FunnelSchema, path: tuple[str | int, ...], feature: Categorical | Bag | Numeric) -> None:
    labels = {stage.label: stage.name for stage in schema.stages if stage.label is not None}
    if (feature.source or FACTS) == FACTS and feature.column_name in labels:
        message = (
            f"{feature.column_name!r} is the label of stage {labels[feature.column_name]!r}, expected a column known before "
            "the impression. A model that sees its label learns nothing: remove the feature."
        )
        raise problem((*path, "column" if feature.column else "name"), message)


def _check_bag(files: Source, path: tuple[str | int, ...], bag: Bag) -> None:
    listed_in_row = isinstance(files, FeatureList)
    if isinstance(files, FeatureList) and bag.weighted and bag.column_name in files.columns:
        message = f"{bag.column_name!r} is a column beside the list, which has no weights. Name a field, or remove `weighted`."
        raise problem((*path, "column" if bag.column else "name"), message)
    if isinstance(bag, Sequence):
        _check_times(files, path, bag)
    if listed_in_row and bag.weights is not None:
        raise problem((*path, "weights"), "got a column for a feature list, whose entries carry their weights. Remove it.")
    if bag.weighted and not listed_in_row and bag.weights is None:
        raise problem((*path, "weights"), "got no column for a weighted bag, expected the one with the weights. Name it.")
    if files.format == "csv" and bag.separator is None:
        message = "got none for a bag in CSV, where a list is one text. Say what stands between two ids: `separator: '|'`."
        raise problem((*path, "separator"), message)


def _check_times(files: Source, path: tuple[str | int, ...], sequence: Sequence) -> None:
    if isinstance(files, FeatureList) and sequence.times is not None:
        if sequence.column_name in files.columns:
            message = (
                f"{sequence.column_name!r} is a column beside the list, which has no times. Name a field, or remove `times`."
            )
            raise problem((*path, "times"), message)
        if sequence.times != sequence.column_name:
            message = (
                f"got {sequence.times!r}, expected the field itself: in a feature list, entries carry their times. Write "
                f"`times: {sequence.column_name!r}`."
            )
            raise problem((*path, "times"), message)


def _check_predictions(schema: FunnelSchema) -> None:
    for position, name in enumerate(schema.stage_names):
        if name in schema.conditional_names[:position] + schema.conditional_names[position + 1 :]:
            message = f"{name!r} is what a conditional is called in predictions, expected another name. Rename the stage."
            raise problem(("stages", position, "name"), message)


def _check_unused_tables(schema: FunnelSchema) -> None:
    used = {feature.table for feature in schema.features if isinstance(feature, Embedded)}
    for name in schema.tables:
        if name not in used:
            message = (
                f"no feature looks it up (used: {listed(sorted(t for t in used if t))}). Remove it, or name it in a feature."
            )
            raise problem(("tables", name), message)


def _check_inputs(schema: FunnelSchema) -> None:
    names = {feature.name for feature in schema.features}
    for position, feature in enumerate(schema.features):
        if not isinstance(feature, Cross) and (feature.name == "self" or iskeyword(feature.name)):
            # TensorFlow makes arguments of Python functions of them.
            message = (
                f"{feature.name!r} cannot be an input of a SavedModel, expected another name. Rename it, and say its `column`."
            )
            raise problem(("features", position, "name"), message)
        if isinstance(feature, Bag) and feature.numbered and feature.numbers_input in names:
            what = "times" if isinstance(feature, Sequence) else "weights"
            message = f"its {what} are the input {feature.numbers_input}, which is a feature's name too. Rename one."
            raise problem(("features", position, "name"), message)


def _check_domain(schema: FunnelSchema) -> None:
    domain = schema.model.domain
    named = [position for position, stage in enumerate(schema.stages) if stage.domains is not None]
    if domain is None:
        if named:
            message = "got domains, and no feature that says which a row is of. Name it: `model: {domain: FEATURE}`."
            raise problem(("stages", named[0], "domains"), message)
        return
    plain = [feature.name for feature in schema.features if isinstance(feature, Categorical)]
    require_known(("model", "domain", "feature"), domain.feature, plain, "a categorical feature")
    if not named:
        return
    path, feature = ("stages", named[0], "domains"), schema.feature(domain.feature)
    if schema.source_of(feature) != FACTS:
        message = f"{feature.name!r} is of the dimension {feature.source!r}, expected a column of the facts. Add it to them."
        raise problem(path, message)
    described = schema.tables[feature.table] if feature.table else feature
    if described.buckets:
        message = f"the ids of {feature.name!r} are hashed, so that two may be one, expected a vocabulary. Remove `buckets`."
        raise problem(path, message)
    if schema.sampling is not None:
        message = (
            "got domains beside `sampling`: how many rows were thrown away depends on how far each could go, which differs by "
            "domain. Remove one of the two."
        )
        raise problem(path, message)
    require_everywhere(schema.stages, schema.topology)


def _check_test(schema: FunnelSchema) -> None:
    test, facts = schema.data.test, schema.data.facts
    if test is None:
        return
    if facts.test is not None:
        message = f"got a share of the rows beside files of test rows ({facts.test!r}), expected one of the two. Remove one."
        raise problem(("data", "test"), message)
    if test.by not in (None, "row"):
        require_known(
            ("data", "test", "by"), test.by or "", ["row", *(d.name for d in schema.data.dimensions)], "a dimension or `row`"
        )


def _check_training(schema: FunnelSchema) -> None:
    stopping = schema.train.early_stopping
    for position, name in enumerate((stopping.stages if stopping else None) or ()):
        require_known(("train", "early_stopping", "stages", position), name, schema.stage_names, "a stage")
    require_transfer(schema.model.transfer, schema.objective, schema.stage_names, schema.topology)
    require_taught(schema.objective, schema.stage_names, schema.topology, schema.stopped)
    if schema.sampling is not None:
        require_sampling(schema.sampling, schema.space, schema.stage_names, schema.topology)
        if schema.data.weight is not None:
            message = (
                f"got a column of weights, {schema.data.weight!r}, beside `sampling`: weights that undo the sampling would do "
                "it twice. Remove one of the two."
            )
            raise problem(("data", "weight"), message)
    validation = schema.data.validation
    if isinstance(validation, Fraction) and validation.by not in (None, "row"):
        groups = ["row", *(d.name for d in schema.data.dimensions)]
        require_known(("data", "validation", "by"), validation.by or "", groups, "a dimension or `row`")
    _check_test(schema)
    if (group := schema.evaluate.group_by) is not None:
        plain = [feature.name for feature in schema.features if isinstance(feature, Categorical)]
        require_known(("evaluate", "group_by"), group, plain, "a categorical feature")
    able = [feature.name for feature in schema.features if isinstance(feature, Categorical | Numeric)]
    for place, name in enumerate(schema.evaluate.slices):
        require_known(("evaluate", "slices", place), name, able, "a categorical or numeric feature")
