"""Export: a SavedModel with the vocabularies inside, that needs only TensorFlow to load, and what its requests are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import funnel
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.serving import cost
from funnel.serving.compact import Compact
from funnel.serving.inputs import Field
from funnel.serving.module import Serving
from funnel.serving.page import as_dict, as_markdown
from funnel.serving.saved import COST_JSON, EXTRA
from funnel.serving.signatures import signatures_of
from funnel.serving.warmup import FILE, write_warmup

SIGNATURE_JSON, SIGNATURE_PAGE = "signature.json", "signature.md"
COST_PAGE = "export.md"


def export(model: FunnelModel, compact: Compact, out: Path, fields: Sequence[Field], effect: Mapping[str, Any] | str) -> None:
    """Write a SavedModel, and in its `assets.extra` the pages of its signatures and tables, and requests to warm up with.

    Args:
        model: The fitted model.
        compact: Its tables and vocabularies, as they are stored; these become assets.
        out: The folder to write into.
        fields: The inputs.
        effect: What smaller tables do to its figures, as `funnel.evaluation.effect` has it; or why that is not known.
    """
    with TemporaryDirectory(prefix="funnel-") as vocabulary:
        compact.vocabulary.save(Path(vocabulary))
        module = Serving(model, Path(vocabulary), fields, compact.tables)
        tf.saved_model.save(module, str(out), signatures=module.functions)
    signatures = signatures_of(model.schema, fields)
    (out / EXTRA).mkdir()
    described = as_dict(model.schema.name, signatures, funnel.__version__)
    (out / EXTRA / SIGNATURE_JSON).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / EXTRA / SIGNATURE_PAGE).write_text(as_markdown(model.schema.name, signatures), encoding="utf-8")
    found = cost.described(compact, out, effect)
    (out / EXTRA / COST_JSON).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / EXTRA / COST_PAGE).write_text(cost.as_markdown(model.schema.name, found), encoding="utf-8")
    write_warmup(out / EXTRA / FILE, model.schema.name, fields, list(module.functions))
