"""A small shop: rows and a schema with every kind of feature, for tests that need a whole fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from funnel.schema.reader import dump_schema, load_schema

ROWS, USERS, ITEMS = 900, 60, 25


def frames(seed: int = 0, rows: int = ROWS) -> dict[str, pl.DataFrame]:
    """Facts and users, with missing values and ids seen once."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, rows), rng.integers(0, ITEMS, rows)
    click = rng.random(rows) < np.where((user + item) % 3 == 0, 0.7, 0.2)
    buy = click & (rng.random(rows) < np.where(item % 2 == 0, 0.6, 0.2))
    facts = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item": [None if r < 0.05 else int(i) for r, i in zip(rng.random(rows), item, strict=True)],
            "price": [None if r < 0.1 else float(p) for r, p in zip(rng.random(rows), rng.lognormal(size=rows), strict=True)],
            "hour": rng.integers(0, 24, rows),
            "seen": [[int(x) for x in rng.integers(0, ITEMS, rng.integers(0, 4))] for _ in range(rows)],
            "click": click.astype(int),
            "buy": buy.astype(int),
        }
    )
    counts = rng.integers(0, 5, USERS)
    users = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in range(USERS)],
            "city": [["rome", "oslo", "", None][u % 4] for u in range(USERS)],
            "age": [None if u % 9 == 0 else float(20 + u % 40) for u in range(USERS)],
            "liked": [[f"i{x}" for x in rng.integers(0, ITEMS, n)] for n in counts],
            "liked_much": [rng.random(n).tolist() for n in counts],
        },
        schema_overrides={"liked": pl.List(pl.String), "liked_much": pl.List(pl.Float64)},
    )
    return {"facts": facts, "user": users}


def tree() -> dict[str, Any]:
    """The declaration, as a mapping."""
    return {
        "name": "shop",
        "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
        "data": {
            "facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"},
            "dimensions": [{"name": "user", "key": "user_id", "format": "parquet", "files": "users.parquet"}],
        },
        "tables": {"items": {"dim": 6, "min_count": 1}},
        "features": [
            {"name": "user_id", "kind": "categorical", "source": "user"},
            {"name": "city", "kind": "categorical", "source": "user", "missing": "oov"},
            {"name": "age", "kind": "numeric", "source": "user"},
            {"name": "liked", "kind": "bag", "source": "user", "weighted": True, "weights": "liked_much", "pooling": "sqrtn"},
            {"name": "item", "kind": "categorical", "table": "items"},
            {"name": "seen", "kind": "bag", "table": "items", "pooling": "mean"},
            {"name": "also_seen", "kind": "bag", "column": "seen", "buckets": 11, "pooling": "sum"},
            {"name": "price", "kind": "numeric", "transform": "log1p", "missing": {"fill": 1.5}},
            {"name": "price_band", "kind": "numeric", "column": "price", "transform": {"kind": "bucketize", "buckets": 5}},
            {"name": "hour", "kind": "categorical", "buckets": 13},
            {"name": "city_item", "kind": "cross", "of": ["city", "item"], "buckets": 50},
        ],
        "model": {"embedding_dim": 4, "tower": {"units": [8]}},
        "train": {"batch_size": 128, "epochs": 2},
    }


def write(folder: Path, declared: dict[str, Any] | None = None, drawn: Callable[..., dict[str, pl.DataFrame]] = frames) -> Path:
    """The files, and schema.yaml beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = drawn()
    made["facts"].write_parquet(folder / "train.parquet")
    drawn(1, 300)["facts"].write_parquet(folder / "test.parquet")
    made["user"].write_parquet(folder / "users.parquet")
    (folder / "schema.yaml").write_text(dump_schema(load_schema(declared or tree())), encoding="utf-8")
    return folder
