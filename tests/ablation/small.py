"""A small ablation: rows of the shop, and variants that differ, whatever their objectives do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from funnel.schema.reader import dump_schema, load_schema
from tests import shop

NAMES = ("parent_space-ns", "esmm")


def tree(**train: Any) -> dict[str, Any]:
    """Two epochs with a checkpoint after each step."""
    made = shop.tree()
    made["train"] |= {"epochs": 2, "batch_size": 128, "checkpoint": {"steps": 1}} | train
    return made


def write(folder: Path, **train: Any) -> Path:
    """Rows, and schema.yaml beside them."""
    shop.write(folder)
    (folder / "schema.yaml").write_text(dump_schema(load_schema(tree(**train))), encoding="utf-8")
    return folder


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "ablation.json").read_text())


def logits(out: Path) -> dict[str, np.ndarray]:
    return {str(path.parent.relative_to(out)): np.load(path) for path in sorted(out.glob("fits/*/*/logits.npy"))}
