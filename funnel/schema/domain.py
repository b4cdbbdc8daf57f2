"""Domains: places of one service, such as a feed and a search page, that share their users and differ in how these behave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from funnel.schema._base import Declared, Name, Positive, problem
from funnel.schema.stages import Stage
from funnel.schema.topology import Topology


class Domain(Declared):
    """Adapts the network to the domain of each row: Chang et al., 2023 (PEPNet).

    A gate is `2 sigmoid(W' relu(W [d, x] + b) + b')` of the domain's embedding d and of all inputs x, to which no gradient goes
    through it. Rows of a domain without a row of its own, and rows without one, have gates of exactly 1.
    """

    feature: Name = Field(examples=["scenario"])
    """The categorical feature that says which domain a row is of."""
    units: Positive = 32
    """Width of the hidden layer of each gate."""
    inputs: bool = True
    """Whether all that enters the body is gated (EPNet). What a body makes of a dimension's rows then differs by domain, and is
    made for each fact."""
    towers: bool = True
    """Whether what each layer of a tower gives is gated (PPNet)."""


class _Named:
    """Lets `scenario` stand for `{feature: scenario}`, in the models and in the JSON Schema that editors read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def spelt_out(value: Any) -> Any:
            return {"feature": value} if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(spelt_out, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


NamedDomain = Annotated[Domain, _Named()]


def domains_of(stages: Sequence[Stage], topology: Topology) -> tuple[frozenset[str] | None, ...]:
    """By stage: the domains that have it; None for all.

    A domain lacks a stage, too, where it lacks one that must have happened before it, or that must not; and a join, where it
    lacks one of its branches.
    """
    found: list[frozenset[str] | None] = []
    for stage, place in zip(stages, topology, strict=True):
        above = [found[k] for k in (place.parent, *place.excluded, *place.branches) if k >= 0]
        own = None if stage.domains is None else frozenset(map(str, stage.domains))
        several = [one for one in (own, *above) if one is not None]
        found.append(frozenset.intersection(*several) if several else None)
    return tuple(found)


def require_everywhere(stages: Sequence[Stage], topology: Topology) -> None:
    """Refuse stages that no domain has.

    Raises:
        PydanticCustomError: With the stage.
    """
    for position, domains in enumerate(domains_of(stages, topology)):
        if domains is not None and not domains:
            message = f"no domain has {stages[position].name!r}: none of its own has what it depends on. Name one that has."
            raise problem(("stages", position, "domains"), message)
