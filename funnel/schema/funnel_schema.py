"""The whole declaration, and what must hold between its parts."""

from __future__ import annotations

from functools import cached_property
from keyword import iskeyword
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from funnel.errors import listed
from funnel.schema._base import Declared, Name, problem, require_known, require_unique
from funnel.schema.data import Data, FeatureList, Fraction, Source
from funnel.schema.domain import domains_of, require_everywhere
from funnel.schema.features import (
    AnyFeature,
    Bag,
    Categorical,
    Cross,
    Embedded,
    Fill,
    Input,
    Numeric,
    Sequence,
    Table,
)
from funnel.schema.model import Model
from funnel.schema.objective import Esmm, Objective, loss_space, require_taught, with_losses
from funnel.schema.sampling import Sampling, require_sampling
from funnel.schema.scores import Expression, require_scores
from funnel.schema.sequences import require_given_together, require_sequences
from funnel.schema.serving import Serving, given_once
from funnel.schema.stages import InconsistentLabels, Stage
from funnel.schema.topology import Place, Topology, topology_of, with_towers
from funnel.schema.training import Evaluate, Train
from funnel.schema.transfer import require_transfer, stopped_stages

FACTS = "facts"  # the source of features that name none
RESERVED = (FACTS, "index")  # first parts of the keys of star batches


class FunnelSchema(Declared):
    """A funnel: the steps people take, the columns that describe each impression, and how to learn from them."""

    name: Name
    """What the funnel is called; run folders start with it."""
    space: Name = "impression"
    """What one row is, and what all probabilities are about."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """The behaviours, earlier ones first."""
    inconsistent_labels: InconsistentLabels = "error"
    """Rows with a later stage but not the earlier one: `error` refuses them, `drop` leaves them out, `and` takes the later
    label away, `promote` adds the earlier one. Each is counted in the report."""
    sampling: Sampling | None = None
    """Which rows were thrown away before they came here: `{impression: 0.025, click: 1, buy: 1}`. Probabilities, and their
    scores, then are those of all rows."""
    data: Data
    """Where the rows are."""
    tables: dict[Name, Table] = Field(default={})
    """Embedding tables that several features share."""
    features: Annotated[tuple[AnyFeature, ...], Field(min_length=1)]
    """The columns that describe each row."""
    model: Model = Model()
    """The network."""
    objective: Objective = Esmm(kind="esmm")
    """What is minimised."""
    train: Train = Train()
    """The fit."""
    evaluate: Evaluate = Evaluate()
    """The report."""
    scores: dict[Name, str] = Field(default={})
    """What a service ranks by, computed from probabilities and numeric features (raw, in their unit): `{gmv: "buy * price"}`.
    Numbers, + - * / **, parentheses, log, exp, sqrt, min and max may stand in it. A score is NaN where a number that it needs
    is missing and has no default."""
    serving: Serving = Serving()
    """The exported model."""

    @field_validator("tables", mode="before")
    @classmethod
    def _empty_table(cls, tables: Any) -> Any:
        # `shop:` with nothing after it means the defaults.
        return {name: table or {} for name, table in tables.items()} if isinstance(tables, dict) else tables

    @model_validator(mode="after")
    def _parts_fit(self) -> FunnelSchema:
        topology_of(self.space, self.stages)
        require_unique(("data", "dimensions"), [d.name for d in self.data.dimensions], "the dimension")
        require_unique(("features",), [feature.name for feature in self.features], "the feature name")
        for position, dimension in enumerate(self.data.dimensions):
            if dimension.name in RESERVED:
                message = (
                    f"{dimension.name!r} has a meaning of its own in batches, expected another name. Rename the dimension."
                )
                raise problem(("data", "dimensions", position, "name"), message)
        for position, feature in enumerate(self.features):
            _check_feature(self, ("features", position), feature)
        require_sequences(self.features, self.tables, self.model.embedding_dim)
        _check_predictions(self)
        _check_unused_tables(self)
        _check_inputs(self)
        for name in self.model.towers:
            able = [self.stage_names[stage] for stage in with_towers(self.topology)]
            require_known(("model", "towers", name), name, able, "a stage with a tower")
        _check_training(self)
        _check_domain(self)
        # Read once more where they are needed; here, to refuse what is not right.
        _ = self.expressions, self.given_once
        require_given_together(self.features, self.given_once)
        return self

    @cached_property
    def topology(self) -> Topology:
        """Where each stage stands in the tree."""
        return topology_of(self.space, self.stages)

    @cached_property
    def stopped(self) -> frozenset[int]:
        """The stages of which what is learnt does not reach the towers before theirs."""
        return stopped_stages(self.model.transfer, self.stage_names)

    @cached_property
    def domains(self) -> tuple[frozenset[str] | None, ...]:
        """By stage: the domains that have it; None for all."""
        return domains_of(self.stages, self.topology)

    @property
    def has_absent_stages(self) -> bool:
        """Whether there are rows that lack a stage."""
        return any(own is not None for own in self.domains)

    @property
    def domain_feature(self) -> str:
        """The feature that says which domain a row is of; empty where none does."""
        return "" if self.model.domain is None else self.model.domain.feature

    @property
    def slices(self) -> tuple[str, ...]:
        """The features by whose values rows are judged part by part: those of `evaluate.slices`, and the domain."""
        own = () if self.model.domain is None else (self.domain_feature,)
        return tuple(dict.fromkeys((*own, *self.evaluate.slices)))

    @cached_property
    def conditional_names(self) -> tuple[str, ...]:
        """What each conditional is called: `buy_given_click`, `other_given_click_not_direct`; given the space, as the stage."""
        return tuple(_conditional_name(self.stages, place, stage) for stage, place in enumerate(self.topology))

    @cached_property
    def conditional_spaces(self) -> tuple[str, ...]:
        """What rows each conditional is about: `click`, `click without direct`."""
        names = self.stage_names
        return tuple(
            " without ".join([self.space if place.parent < 0 else names[place.parent], *(names[o] for o in place.excluded)])
            for place in self.topology
        )

    @cached_property
    def loss_spaces(self) -> dict[str, str]:
        """By stage that has a loss: the rows that it is about, for people."""
        weights = self.objective.weights if isinstance(self.objective.weights, dict) else {}
        names = [n for n in with_losses(self.objective, self.stage_names, self.topology) if weights.get(n) != 0]
        each = zip(self.stage_names, self.topology, self.conditional_spaces, strict=True)
        return {name: loss_space(self.objective, place, given) for name, place, given in each if name in names}

    @cached_property
    def probability_names(self) -> tuple[str, ...]:
        """What predictions are called: each stage, for its cumulative, and its conditional where that is another number."""
        both = zip(self.stage_names, self.conditional_names, strict=True)
        return tuple(dict.fromkeys(name for pair in both for name in pair))

    @cached_property
    def expressions(self) -> dict[str, Expression]:
        """The scores, read."""
        return require_scores(self.scores, self.probability_names, [f.name for f in self.features if isinstance(f, Numeric)])

    @cached_property
    def given_once(self) -> tuple[str, ...]:
        """The features that a request gives once for all its candidates, in their order; none: it cannot rank."""
        sources = {feature.name: self.source_of(feature) for feature in self.inputs}
        return given_once(self.serving.once, sources, self.sources[1:], _once_by_default(self))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The features that are read: all but crosses."""
        return tuple(feature for feature in self.features if not isinstance(feature, Cross))

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names, which are also the cumulatives'."""
        return tuple(stage.name for stage in self.stages)

    @property
    def sources(self) -> tuple[str, ...]:
        """The fact table, then the dimensions."""
        return (FACTS, *(dimension.name for dimension in self.data.dimensions))

    def files_of(self, source: str) -> Source:
        """Where the rows of a source are."""
        return self.data.facts if source == FACTS else self.dimension(source)

    def dimension(self, name: str) -> Any:
        """A dimension by its name."""
        return next(dimension for dimension in self.data.dimensions if dimension.name == name)

    def feature(self, name: str) -> Any:
        """A feature by its name."""
        return next(feature for feature in self.features if feature.name == name)

    def source_of(self, feature: Categorical | Bag | Numeric | Cross) -> str:
        """The source whose rows a feature describes; a cross of several sources describes facts."""
        if not isinstance(feature, Cross):
            return feature.source or FACTS
        sources = {self.source_of(self.feature(name)) for name in feature.of}
        return sources.pop() if len(sources) == 1 else FACTS


def _conditional_name(stages: tuple[Stage, ...], place: Place, stage: int) -> str:
    given = [] if place.parent < 0 else [stages[place.parent].name]
    given += [f"not_{stages[other].name}" for other in place.excluded]
    return "_".join([stages[stage].name, *(["given", *given] if given else [])])


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


def _once_by_default(schema: FunnelSchema) -> tuple[str, ...]:
    """The dimension and features that are the user's, as far as the schema tells."""
    group = schema.evaluate.group_by
    dimensions = schema.data.dimensions
    if group is None:
        return tuple(dimension.name for dimension in dimensions[:1])
    feature = schema.feature(group)
    if (source := schema.source_of(feature)) != FACTS:
        return (source,)
    keyed = [dimension.name for dimension in dimensions if dimension.key_in_facts == feature.column_name]
    return (*keyed[:1], group)


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
    if (group := schema.evaluate.group_by) is not None:
        plain = [feature.name for feature in schema.features if isinstance(feature, Categorical)]
        require_known(("evaluate", "group_by"), group, plain, "a categorical feature")
    able = [feature.name for feature in schema.features if isinstance(feature, Categorical | Numeric)]
    for place, name in enumerate(schema.evaluate.slices):
        require_known(("evaluate", "slices", place), name, able, "a categorical or numeric feature")
