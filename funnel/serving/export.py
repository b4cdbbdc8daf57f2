"""Export: a SavedModel with the vocabularies inside, that needs only TensorFlow to load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel, named
from funnel.model.likelihood import probabilities
from funnel.model.raw import RawEncoder
from funnel.schema.features import Bag, Cross, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import vocabulary_tables


def export(model: FunnelModel, vocabulary: Path, out: Path) -> None:
    """Write a SavedModel whose signature `serving_default` takes raw values by feature name.

    Ids are text [B] ("" is missing), numbers float32 [B] (NaN is missing), bags text [B, longest] padded with "", their weights
    float32 [B, longest] under `<name>_weights`. It gives every probability by name, float32 [B].

    Args:
        model: The fitted model.
        vocabulary: The folder with `<table>.txt`; the files become assets.
        out: The folder to write.
    """
    tf.saved_model.save(module := _Serving(model, vocabulary), str(out), signatures=module.serve)


class _Serving(tf.Module):
    """Holds what the graph needs: variables and tables, and no Keras object, which would need Keras to load."""

    def __init__(self, model: FunnelModel, vocabulary: Path) -> None:
        super().__init__()
        schema = model.schema
        self.encoder = RawEncoder(schema, {table: str(vocabulary / f"{table}.txt") for table in vocabulary_tables(schema)})
        self.weights = list(model.network.variables)
        encoder = self.encoder

        # `self` would be tracked with the function; the signature wants only the inputs.
        def serve(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            conditional = model.conditional(encoder(inputs))
            return {
                name: tf.identity(column, name=name)
                for name, column in named(schema, *probabilities(conditional, schema.topology)).items()
            }

        self.serve = tf.function(serve, input_signature=[signature(schema)], autograph=False)


def signature(schema: FunnelSchema) -> dict[str, Any]:
    """The raw inputs, each named."""
    inputs: dict[str, Any] = {}
    for feature in schema.features:
        name = feature.name
        match feature:
            case Cross():
                continue
            case Numeric():
                inputs[name] = tf.TensorSpec([None], tf.float32, name=name)
            case Bag():
                inputs[name] = tf.TensorSpec([None, None], tf.string, name=name)
                if feature.weighted:
                    inputs[f"{name}_weights"] = tf.TensorSpec([None, None], tf.float32, name=f"{name}_weights")
            case _:
                inputs[name] = tf.TensorSpec([None], tf.string, name=name)
    return inputs
