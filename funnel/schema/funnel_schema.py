"""The whole declaration, and what must hold between its parts."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from funnel.schema._base import Declared, Name
from funnel.schema.consistency import require_fit
from funnel.schema.data import FACTS, Data, Source
from funnel.schema.domain import domains_of
from funnel.schema.features import (
    AnyFeature,
    Bag,
    Categorical,
    Cross,
    Input,
    Numeric,
    Table,
)
from funnel.schema.model import Model
from funnel.schema.objective import Esmm, Objective, loss_space, with_losses
from funnel.schema.sampling import Sampling
from funnel.schema.scores import Expression, require_scores
from funnel.schema.sequences import require_given_together
from funnel.schema.serving import Serving, given_once
from funnel.schema.stages import InconsistentLabels, Stage
from funnel.schema.topology import Place, Topology, topology_of
from funnel.schema.training import Evaluate, Train
from funnel.schema.transfer import stopped_stages
from funnel.showing import html_of


class FunnelSchema(Declared):
    """A funnel: the steps people take, the columns that describe each impression, and how to learn from them."""

    name: Name = Field(examples=["shop"])
    """What the funnel is called; run folders start with it."""
    space: Name = "impression"
    """What one row is, and what all probabilities are about."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = Field(
        examples=[[{"name": "click", "label": "clicked"}, {"name": "buy", "label": "bought"}]]
    )
    """The behaviours, earlier ones first."""
    inconsistent_labels: InconsistentLabels = "error"
    """Rows with a later stage but not the earlier one: `error` refuses them, `drop` leaves them out, `and` takes the later
    label away, `promote` adds the earlier one. Each is counted in the report."""
    sampling: Sampling | None = Field(default=None, examples=[{"impression": 0.025, "click": 1, "buy": 1}])
    """Which rows were thrown away before they came here: `{impression: 0.025, click: 1, buy: 1}`. Probabilities, and their
    scores, then are those of all rows."""
    data: Data = Field(
        examples=[{"root": "data/shop", "facts": {"format": "parquet", "train": "train*.parquet", "test": "test*.parquet"}}]
    )
    """Where the rows are."""
    tables: dict[Name, Table] = Field(default={}, examples=[{"shops": {"dim": 18}}])
    """Embedding tables that several features share."""
    features: Annotated[tuple[AnyFeature, ...], Field(min_length=1)] = Field(
        examples=[[{"name": "item_id", "kind": "categorical"}, {"name": "price", "kind": "numeric", "transform": "log1p"}]]
    )
    """The columns that describe each row."""
    model: Model = Field(default=Model(), examples=[{"embedding_dim": 24, "body": "dcn", "tower": {"units": [200, 80]}}])
    """The network."""
    objective: Objective = Field(default=Esmm(kind="esmm"), examples=["ips"])
    """What is minimised."""
    train: Train = Field(default=Train(), examples=[{"epochs": 3, "batch_size": 4096}])
    """The fit."""
    evaluate: Evaluate = Field(default=Evaluate(), examples=[{"group_by": "user_id", "slices": ["scenario"]}])
    """The report."""
    scores: dict[Name, str] = Field(default={}, examples=[{"gmv": "buy * price"}])
    """What a service ranks by, computed from probabilities and numeric features (raw, in their unit): `{gmv: "buy * price"}`.
    Numbers, + - * / **, parentheses, log, exp, sqrt, min and max may stand in it. A score is NaN where a number that it needs
    is missing and has no default."""
    serving: Serving = Field(default=Serving(), examples=[{"once": ["user", "hour"]}])
    """The exported model."""

    @field_validator("tables", mode="before")
    @classmethod
    def _empty_table(cls, tables: Any) -> Any:
        # `shop:` with nothing after it means the defaults.
        return {name: table or {} for name, table in tables.items()} if isinstance(tables, dict) else tables

    @model_validator(mode="after")
    def _parts_fit(self) -> FunnelSchema:
        require_fit(self)
        # Read once more where they are needed; here, to refuse what is not right.
        _ = self.expressions, self.given_once
        require_given_together(self.features, self.given_once)
        return self

    def __repr__(self) -> str:
        steps = " -> ".join((self.space, *self.stage_names))
        return f"<FunnelSchema {self.name}: {steps}, {len(self.features)} features, objective {self.objective.kind}>"

    def _repr_html_(self) -> str:
        return html_of(self)

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
