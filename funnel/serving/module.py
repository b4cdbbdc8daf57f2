"""The graph of an exported model: raw values in, probabilities and scores out; a row each, ranked, or parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.model.raw import RawEncoder
from funnel.model.stored import Tables
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import vocabulary_tables
from funnel.schema.scores import Functions
from funnel.serving.checks import Values, checked
from funnel.serving.inputs import Field

TENSORS = Functions(
    lambda number: tf.constant(number, tf.float32),
    {"log": tf.math.log, "exp": tf.math.exp, "sqrt": tf.math.sqrt},
    {"min": tf.minimum, "max": tf.maximum},
)
EXAMPLES = "examples"  # the signature that parses, and its input
RANK = "rank"  # the signature that has the user's inputs once


class Serving(tf.Module):
    """Holds what the graph needs: variables and tables, and no Keras object, which would need Keras to load.

    Args:
        model: The fitted model.
        vocabulary: The folder with `<table>.txt`; the files become assets.
        fields: The inputs.
        tables: What is stored in the place of the model's tables; None stores these.

    Attributes:
        functions: By signature.
    """

    def __init__(self, model: FunnelModel, vocabulary: Path, fields: Sequence[Field], tables: Tables | None = None) -> None:
        super().__init__()
        schema = model.schema
        self._tables = RawEncoder(schema, {table: str(vocabulary / f"{table}.txt") for table in vocabulary_tables(schema)})
        replaced = set() if tables is None else {table.ref() for table in model.network.tables}
        self._weights = [variable for variable in model.network.variables if variable.ref() not in replaced]
        self._stored = [] if tables is None else [dict(own) for own in tables.by_bottom]
        # Closures, as `self` would be tracked with the functions: a signature wants only the inputs.
        encoder, fields = self._tables, tuple(fields)

        def answer(values: Values, *, ranked: bool) -> dict[str, tf.Tensor]:
            given = _with_defaults(fields, checked(fields, values, ranked=ranked))
            star = encoder(given, schema.given_once if ranked else ())
            found = model.probabilities(star, model.conditional(star, tables))
            found |= _scores(schema, star, found)
            return {name: tf.identity(column, name=name) for name, column in found.items()}

        def predict(inputs: Values) -> dict[str, tf.Tensor]:
            return answer(inputs, ranked=False)

        def rank(inputs: Values) -> dict[str, tf.Tensor]:
            return answer(inputs, ranked=True)

        def parse(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(tf.io.parse_example(examples, parsed_as(fields)), ranked=False)

        self.predict = tf.function(predict, input_signature=[specs(fields)], autograph=False)
        self.examples = tf.function(parse, input_signature=[tf.TensorSpec([None], tf.string, EXAMPLES)], autograph=False)
        self.functions = {"serving_default": self.predict, "predict": self.predict, EXAMPLES: self.examples}
        if schema.given_once:
            self.rank = tf.function(rank, input_signature=[specs(fields)], autograph=False)
            self.functions[RANK] = self.rank


def specs(fields: Sequence[Field]) -> dict[str, Any]:
    """The tensors of a request, each named.

    Those that are given once, too, may have any number of rows here: were one declared, TensorFlow would take the check for
    needless, and not every server looks at it.
    """
    return {
        field.name: tf.TensorSpec([None, None] if field.listed else [None], field.dtype, name=field.name) for field in fields
    }


def parsed_as(fields: Sequence[Field]) -> dict[str, Any]:
    """How a `tf.Example` is read: by name, ids as bytes; what is not there is missing."""
    found: dict[str, Any] = {}
    for field in fields:
        if field.listed:
            found[field.name] = tf.io.RaggedFeature(field.dtype)
        else:
            found[field.name] = tf.io.FixedLenFeature([], field.dtype, None if field.required else field.nothing)
    return found


def _with_defaults(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, `serving_default` in the place of missing ones."""
    found = dict(values)
    for field in fields:
        if field.default is not None:
            value = found[field.name]
            missing_B = value == "" if field.role == "id" else tf.math.is_nan(value)
            found[field.name] = tf.where(missing_B, tf.constant(field.default, field.dtype), value)
    return found


def _scores(schema: FunnelSchema, star: Mapping[str, tf.Tensor], probability: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The declared scores of each fact: float32 [B]; NaN where a number they need is missing."""
    values = dict(probability)
    found: dict[str, tf.Tensor] = {}
    for score, expression in schema.expressions.items():
        lacking_B = tf.zeros_like(probability[schema.stage_names[0]], tf.bool)
        for name in expression.names:
            if name not in probability:
                source = schema.source_of(schema.feature(name))
                numbers = star[f"{source}/{name}"]
                values[name] = numbers if source == FACTS else tf.gather(numbers, star[f"index/{source}"])
            if name not in probability or schema.has_absent_stages:
                lacking_B |= tf.math.is_nan(values[name])
        score_B = expression(values, TENSORS)
        found[score] = tf.where(lacking_B, float("nan"), score_B)
    return found
