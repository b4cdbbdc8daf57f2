"""What a written SavedModel says of itself, read without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from funnel.errors import RunError
from funnel.locations.location import Location
from funnel.serving.versions import SAVED_MODEL, newest_version

EXTRA, COST_JSON = "assets.extra", "export.json"  # where SavedModels keep what is no part of the graph; of the tables
OF_TENSORFLOW = "__saved_model_init_op"  # a signature that it adds
TYPES = {1: "float32", 7: "string"}  # of tensorflow.DataType


@dataclass(frozen=True)
class Saved:
    """A signature, as it was written.

    Attributes:
        inputs: By name: the type.
        outputs: By name: the type.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]


def model_folder(path: Location) -> Location:
    """The folder with the SavedModel: the path itself, or the greatest version in it.

    Raises:
        RunError: There is none.
    """
    found = path if (path / SAVED_MODEL).is_file() else newest_version(path)
    if found is None or not (found / SAVED_MODEL).is_file():
        what = "is no folder" if not path.is_dir() else f"has no {SAVED_MODEL}, and no version with one"
        raise RunError(f"{path}: {what}, expected what `funnel export` wrote. Correct the path, or export again.")
    return found


def saved_signatures(folder: Path) -> dict[str, Saved]:
    """The signatures of a SavedModel, by name.

    Raises:
        RunError: The file is not whole.
    """
    path = folder / SAVED_MODEL
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
        graph = model.meta_graphs[0]
    except (OSError, DecodeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path}: cannot be read as a SavedModel: {reason}. It is not whole: export again.") from None
    return {
        name: Saved(_types(one.inputs), _types(one.outputs))
        for name, one in sorted(graph.signature_def.items())
        if name != OF_TENSORFLOW
    }


def smaller_tables(folder: Path) -> str | None:
    """How an export's tables are smaller than learnt, in words; None where they are not, or nothing in it says so."""
    try:
        found = json.loads((folder / EXTRA / COST_JSON).read_text(encoding="utf-8"))
        kind, least = found["tables"], found["min_count"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if least is None:
        return None if kind == "float32" else str(kind)
    return f"{kind}, without ids seen less often than {least} times"


def _types(tensors: Any) -> dict[str, str]:
    return {name: TYPES.get(tensor.dtype, f"type {tensor.dtype}") for name, tensor in sorted(tensors.items())}
