"""The signatures of an exported model, described: what each takes and gives, and an example of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from funnel.model._keras import tf
from funnel.schema.funnel_schema import FunnelSchema
from funnel.serving.inputs import SHOWN, Field
from funnel.serving.module import EXAMPLES, RANK


@dataclass(frozen=True)
class Described:
    """An input or output of a signature.

    Attributes:
        name: What it is called.
        dtype: `string` or `float32`.
        shape: By axis: a number, or a word that stands for one.
        meaning: For people.
        missing: How a request says that there is none, and what then is taken; empty where that is no question.
        example: An input's value, as nested lists; of serialised examples bytes.
    """

    name: str
    dtype: str
    shape: tuple[str, ...]
    meaning: str
    missing: str = ""
    example: Any = None


@dataclass(frozen=True)
class Signature:
    """One signature.

    Attributes:
        name: What it is called.
        meaning: For people.
        inputs: What it takes.
        outputs: What it gives.
        parsed: Of one that parses: what is read from each example.
    """

    name: str
    meaning: str
    inputs: tuple[Described, ...]
    outputs: tuple[Described, ...]
    parsed: tuple[Described, ...] = ()


def signatures_of(schema: FunnelSchema, fields: Sequence[Field]) -> tuple[Signature, ...]:
    """All of them, but `serving_default`, which is `predict`; no `rank` where nothing is given once."""
    rows = _outputs(schema, "rows")
    found = [
        Signature(
            "predict",
            f"A row for each {schema.space}. It is also what is served by default, as `serving_default`.",
            tuple(_described(field, "rows") for field in fields),
            rows,
        )
    ]
    if schema.given_once:
        found.append(
            Signature(
                RANK,
                "Inputs of the user and the moment once, and those of each candidate. What is given once is worked on once.",
                tuple(_described(field, "1" if field.once else "candidates") for field in fields),
                _outputs(schema, "candidates"),
            )
        )
    one = Described(
        EXAMPLES,
        "string",
        ("rows",),
        "a serialised tf.Example for each row",
        example=[example_of(fields, n) for n in range(SHOWN)],
    )
    found.append(
        Signature(
            EXAMPLES,
            "Serialised `tf.Example`s, read by name: ids as bytes_list, numbers and weights as float_list. What has no entry "
            "is missing; lists need no padding.",
            (one,),
            rows,
            tuple(_parsed(field) for field in fields),
        )
    )
    return tuple(found)


def example_of(fields: Sequence[Field], row: int) -> bytes:
    """A row of the examples as a serialised `tf.Example`."""
    found = {}
    for field in fields:
        value = field.examples[row]
        values = value if field.listed else [value]
        if field.listed:
            # Padding has no place here.
            ids = next(other for other in fields if other.name == field.feature).examples[row]
            values = [one for one, id_ in zip(values, ids, strict=True) if id_ != ""]
        if field.dtype == "string":
            found[field.name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in values]))
        else:
            found[field.name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString(deterministic=True)


def _described(field: Field, rows: str) -> Described:
    shape = (rows, f"longest {field.feature}") if field.listed else (rows,)
    example = list(field.examples[: 1 if rows == "1" else SHOWN])
    return Described(field.name, field.dtype, shape, field.meaning, field.missing, example)


def _parsed(field: Field) -> Described:
    missing = (
        "no entry: an empty list" if field.listed else field.missing.replace('"":', "no entry:").replace("NaN:", "no entry:")
    )
    return Described(field.name, field.dtype, ("any",) if field.listed else ("1",), field.meaning, missing)


def _outputs(schema: FunnelSchema, rows: str) -> tuple[Described, ...]:
    found: list[Described] = []
    each = zip(schema.stage_names, schema.conditional_names, schema.conditional_spaces, strict=True)
    for stage, conditional, space in each:
        lacking = _lacking(schema, stage)
        found.append(Described(stage, "float32", (rows,), f"P({stage}), of all rows: the cumulative{lacking}"))
        if conditional != stage:
            found.append(Described(conditional, "float32", (rows,), f"P({stage} | {space}): the conditional{lacking}"))
    for score, text in schema.scores.items():
        numbers = [name for name in schema.expressions[score].names if _stays_missing(schema, name)]
        lacking = f"; NaN where {' or '.join(numbers)} is missing" if numbers else ""
        if any(name in schema.probability_names and _lacking(schema, name) for name in schema.expressions[score].names):
            lacking += "; NaN where a probability that it needs is"
        found.append(Described(score, "float32", (rows,), f"the score {' '.join(text.split())}{lacking}"))
    return tuple(found)


def _lacking(schema: FunnelSchema, probability: str) -> str:
    """Where a probability is NaN, for people; empty where it never is."""
    both = (schema.stage_names, schema.conditional_names)
    stage = next(names.index(probability) for names in both if probability in names)
    domains = schema.domains[stage]
    if domains is None:
        return ""
    return f"; NaN where {schema.domain_feature} is not {' or '.join(sorted(domains))}, which alone have the stage"


def _stays_missing(schema: FunnelSchema, name: str) -> bool:
    """Whether a name of a score is a number that a request may lack, with nothing in its place."""
    if name in schema.probability_names:
        return False
    feature = schema.feature(name)
    return feature.serving_default is None and feature.missing == "mean"
