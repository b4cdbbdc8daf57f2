"""The inputs of an exported model: one description, that signatures, requests and pages are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Categorical, Fill, Input, Numeric
from funnel.schema.features import Sequence as Listed
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, buckets_of
from funnel.schema.transforms import Bucketize, Log1p, PiecewiseLinear

Role = Literal["id", "number", "ids", "weights"]
DTYPES: dict[Role, str] = {"id": "string", "number": "float32", "ids": "string", "weights": "float32"}
SHOWN = 2  # rows of an example


@dataclass(frozen=True)
class Field:
    """One input.

    Attributes:
        name: What it is called in a request.
        feature: Of which feature.
        role: An id, a number, a list of ids, or their weights.
        once: Whether a request that ranks gives it once, for all candidates.
        required: Whether a request is refused that lacks a value: the schema says `missing: error`, and no `serving_default`.
        default: What a missing value stands for, of an id or a number; None where it stays missing.
        meaning: For people.
        missing: How a request says that there is none, and what then is taken; for people.
        examples: Values of `SHOWN` rows; of lists lists.
        beside: Of a list of ids: another one, whose ids these say more of, one by one.
    """

    name: str
    feature: str
    role: Role
    once: bool
    required: bool
    default: str | float | None
    meaning: str
    missing: str
    examples: tuple[Any, ...]
    beside: str | None = None

    @property
    def dtype(self) -> str:
        """Its type, as TensorFlow calls it."""
        return DTYPES[self.role]

    @property
    def listed(self) -> bool:
        """Whether each row has a list."""
        return self.role in ("ids", "weights")

    @property
    def nothing(self) -> str | float:
        """How a request says that a value is missing, and what lists are padded with."""
        return "" if self.dtype == "string" else 0.0 if self.listed else math.nan


def fields_of(schema: FunnelSchema, learnt: Learnt, terms: Mapping[str, Sequence[str]]) -> tuple[Field, ...]:
    """The inputs of a model, in the order of its features.

    Args:
        schema: The declaration.
        learnt: Scales, for examples of numbers.
        terms: By table with a vocabulary: some of its ids, for examples.
    """
    found: list[Field] = []
    for feature in schema.inputs:
        match feature:
            case Categorical():
                found.append(_id(schema, feature, terms))
            case Numeric():
                found.append(_number(schema, feature, learnt))
            case Bag():
                found += _bag(schema, feature, terms)
    return tuple(found)


def _id(schema: FunnelSchema, feature: Categorical, terms: Mapping[str, Sequence[str]]) -> Field:
    default = None if feature.serving_default is None else str(feature.serving_default)
    rows = {"own": "the row for missing ids", "oov": "the row for unknown ids", "error": "an error"}
    rule = f"the id {str(feature.missing.fill)!r}" if isinstance(feature.missing, Fill) else rows[feature.missing]
    return Field(
        name=feature.name,
        feature=feature.name,
        role="id",
        once=feature.name in schema.given_once,
        required=feature.missing == "error" and default is None,
        default=default,
        meaning=f"{_of(schema, feature)}: an id, as text",
        missing=f'"": {rule if default is None else f"the id {default!r} (serving_default)"}',
        examples=tuple(_ids(schema, feature, terms)),
    )


def _number(schema: FunnelSchema, feature: Numeric, learnt: Learnt) -> Field:
    default = feature.serving_default
    rule = "an error" if feature.missing == "error" else "the mean of the training rows, and a sign that it is missing"
    if feature.missing == "mean" and isinstance(feature.transform, Bucketize | PiecewiseLinear):
        rule = "a row of its own" if isinstance(feature.transform, Bucketize) else "no bin, and a sign that it is missing"
    if isinstance(feature.missing, Fill):
        rule = f"{float(feature.missing.fill):g}"
    return Field(
        name=feature.name,
        feature=feature.name,
        role="number",
        once=feature.name in schema.given_once,
        required=feature.missing == "error" and default is None,
        default=default,
        meaning=f"{_of(schema, feature)}: a number, in its own unit",
        missing=f"NaN: {rule if default is None else f'{default:g} (serving_default)'}",
        examples=tuple(_numbers(feature, learnt)),
    )


def _bag(schema: FunnelSchema, feature: Bag, terms: Mapping[str, Sequence[str]]) -> list[Field]:
    first, second = _ids(schema, feature, terms)
    ids = Field(
        name=feature.name,
        feature=feature.name,
        role="ids",
        once=feature.name in schema.given_once,
        required=False,
        default=None,
        meaning=f"{_of(schema, feature)}: ids, as text{_in_order(feature)}",
        missing='rows are padded with ""; an empty list stands for none',
        examples=([first, second], [second, ""]),
        beside=feature.beside if isinstance(feature, Listed) else None,
    )
    if not feature.numbered:
        return [ids]
    weights = Field(
        name=feature.numbers_input,
        feature=feature.name,
        role="weights",
        once=ids.once,
        required=False,
        default=None,
        meaning=f"the {_numbers_of(feature)} of the ids of `{feature.name}`, of the same shape",
        missing='that of an id "" is not looked at',
        examples=([1.0, 2.0], [0.5, 0.0]),
    )
    return [ids, weights]


def _numbers_of(feature: Bag) -> str:
    return "times" if isinstance(feature, Listed) else "weights"


def _in_order(feature: Bag) -> str:
    if not isinstance(feature, Listed):
        return ""
    return (
        ", the oldest first" if feature.beside is None else f', one for each of `{feature.beside}`, and "" where there is none'
    )


def _of(schema: FunnelSchema, feature: Input) -> str:
    source = schema.source_of(feature)
    column = f", column {feature.column_name}" if feature.column_name != feature.name else ""
    return f"of the {schema.space if source == FACTS else source}{column}"


def _ids(schema: FunnelSchema, feature: Categorical | Bag, terms: Mapping[str, Sequence[str]]) -> list[str]:
    """Two ids that there are, or that may be."""
    found = [] if buckets_of(schema, feature.table_name) else list(terms[feature.table_name][:SHOWN])
    return [*found, "1", "2"][:SHOWN]


def _numbers(feature: Numeric, learnt: Learnt) -> list[float]:
    """Two numbers such as there may be."""
    scale = learnt.scales[feature.name]
    if isinstance(feature.transform, Bucketize | PiecewiseLinear):
        bounds = scale.boundaries or (0.0,)
        return [_short(bounds[0]), _short(bounds[len(bounds) // 2])]
    both = [scale.mean, scale.mean + scale.std / 2]
    if isinstance(feature.transform, Log1p):
        both = [math.copysign(math.expm1(min(abs(number), 80.0)), number) for number in both]
    return [_short(number) for number in both]


def _short(number: float) -> float:
    return float(f"{number:.3g}")
