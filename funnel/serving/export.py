"""Export: a SavedModel with the vocabularies inside, that needs only TensorFlow to load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.serving.inputs import Field
from funnel.serving.module import Serving


def export(model: FunnelModel, vocabulary: Path, out: Path, fields: Sequence[Field]) -> None:
    """Write a SavedModel.

    Args:
        model: The fitted model.
        vocabulary: The folder with `<table>.txt`; the files become assets.
        out: The folder to write into.
        fields: The inputs.
    """
    module = Serving(model, vocabulary, fields)
    tf.saved_model.save(module, str(out), signatures=module.functions)
