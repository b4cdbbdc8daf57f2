"""Export: a SavedModel with the vocabularies inside, that needs only TensorFlow to load, and what its requests are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import funnel
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.serving.inputs import Field
from funnel.serving.module import Serving
from funnel.serving.page import as_dict, as_markdown
from funnel.serving.signatures import signatures_of

EXTRA = "assets.extra"  # where SavedModels keep what is no part of the graph
SIGNATURE_JSON, SIGNATURE_PAGE = "signature.json", "signature.md"


def export(model: FunnelModel, vocabulary: Path, out: Path, fields: Sequence[Field]) -> None:
    """Write a SavedModel, and `assets.extra/signature.json` and `.md` in it.

    Args:
        model: The fitted model.
        vocabulary: The folder with `<table>.txt`; the files become assets.
        out: The folder to write into.
        fields: The inputs.
    """
    module = Serving(model, vocabulary, fields)
    tf.saved_model.save(module, str(out), signatures=module.functions)
    signatures = signatures_of(model.schema, fields)
    (out / EXTRA).mkdir()
    described = as_dict(model.schema.name, signatures, funnel.__version__)
    (out / EXTRA / SIGNATURE_JSON).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / EXTRA / SIGNATURE_PAGE).write_text(as_markdown(model.schema.name, signatures), encoding="utf-8")
