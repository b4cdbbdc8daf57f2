"""The rows of the comparison with other packages, their schema, and the network that all learn, of each size.

The rows are simulated Ali-CCP text with real list lengths and more clicks and purchases than there really are, so that few rows
are enough to learn from. Every field is one that all packages can take: lists without weights, pooled by their mean.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from aliccp import simulate
from baselines import COMMON, LISTS
from numpy.typing import NDArray
from peers_task import Field, Task
from ruamel.yaml import YAML
from train_shapes import IDS, NOTEBOOK, SCHEMA

SHARED = 10.0  # impressions for each user row
RATES = {"click_rate": 0.2, "buy_rate": 0.25}
TEST_SHARE = 0.3  # of the training rows
FIELDS = (*NOTEBOOK, "user_category", "user_shop", "user_brand")
SPECIAL = 2  # rows of a table that are no id's: missing, and unknown
DIM, UNITS, BATCH = 18, (200, 80), 1024
EPOCHS = 4  # at most; each way has its best number of them
LEARNING_RATE = 1e-3  # of Adam
SCALE = 0.01  # of the embeddings' first values


def raw(work: Path, rows: int) -> Path:
    """The text, and its truth."""
    return simulate(work, rows, SHARED, round(TEST_SHARE * rows), rates=RATES)


def tree(data: Path, rows: dict[str, int] | None = None, train: dict[str, Any] | None = None) -> dict[str, Any]:
    """The schema.

    Args:
        data: The folder of the rows.
        rows: Of each table, where ids are hashed; None learns every id.
        train: What is otherwise under `train`.
    """
    found: dict[str, Any] = YAML(typ="safe").load(SCHEMA)
    found["name"] = "peers"
    kept = [feature for feature in found["features"] if feature["name"] in FIELDS]
    found["features"] = [
        {key: feature[key] for key in ("name", "source", "column") if key in feature}
        | {"kind": "bag" if feature["column"] in LISTS else "categorical"}
        | ({"min_count": 1} if rows is None else {"buckets": rows[feature["name"]] - SPECIAL})
        for feature in kept
    ]
    found["data"] |= {"root": str(data), "validation": None}
    found["model"] = {"embedding_dim": DIM, "embedding_scale": SCALE, "tower": {"units": list(UNITS), "activation": "relu"}}
    found["train"] = {"batch_size": BATCH, "epochs": EPOCHS, "early_stopping": None, "checkpoint": None} | (train or {})
    found.pop("evaluate")
    return found


def write_schema(path: Path, data: Path, rows: dict[str, int] | None = None, train: dict[str, Any] | None = None) -> Path:
    """Keep the schema for other processes; it takes what `tree` does."""
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(tree(data, rows, train), file)
    return path


def columns() -> dict[str, str]:
    """The column of each field, as the raw text calls it."""
    features = YAML(typ="safe").load(SCHEMA)["features"]
    return {feature["name"]: feature["column"] for feature in features if feature["name"] in FIELDS}


def known_ids(arrays: Path) -> dict[str, int]:
    """How many ids each field has in the training rows."""
    with (arrays / "indices.pkl").open("rb") as file:
        indices = pickle.load(file)  # noqa: S301 - made by `baselines.py`
    return {name: len(indices[column]) for name, column in columns().items()}


def table_rows(known: dict[str, int], total: int | None) -> dict[str, int]:
    """Rows of each table: one for each id of the training rows, the special ones, and more where the real data have more ids.

    Args:
        known: Ids of the training rows, by field.
        total: Rows of all tables together; None for no more than there must be.

    Raises:
        ValueError: There are more ids than this.
    """
    least = {name: number + SPECIAL for name, number in known.items()}
    if total is None:
        return least
    spare = total - sum(least.values())
    if spare < 0:
        raise ValueError(f"got {sum(least.values()):,} ids, expected at most {total:,}. Simulate fewer rows.")
    real = {name: IDS.get(name, 0) for name in known}
    return {name: rows + int(spare * real[name] / sum(real.values())) for name, rows in least.items()}


def task(arrays: Path, schema: Path, store: Path, rows: dict[str, int], *, warm_up: float, seconds: float) -> Task:
    """What the peers are given: arrays, or a schema and a store, and table sizes."""
    fields = tuple(
        Field(
            name,
            column,
            rows[name],
            width=np.load(arrays / "train" / f"{column}.npy", mmap_mode="r").shape[1] if column in LISTS else 0,
            source="common" if column in COMMON else "skeleton",
        )
        for name, column in columns().items()
    )
    return Task(
        arrays=str(arrays),
        schema=str(schema),
        store=str(store),
        fields=fields,
        dim=DIM,
        units=UNITS,
        scale=SCALE,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        epochs=EPOCHS,
        warm_up=warm_up,
        seconds=seconds,
    )


def used_rows(data: Path, split: str) -> NDArray[np.bool_]:
    """Which rows of the raw file all use: not those with a purchase and no click."""
    with (data / f"sample_skeleton_{split}.csv").open(encoding="ascii") as file:
        return np.array([line.split(",", 3)[1:3] != ["0", "1"] for line in file])
