"""The shop with sequences: what users viewed, and its shops and ages; and what was seen before, on the facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tests import shop

ATTENTION = {"kind": "attention", "query": "item", "units": [6], "normalize": True}
SEQUENCES: list[dict[str, Any]] = [
    {"name": "viewed", "kind": "sequence", "source": "user", "table": "items", "pooling": ATTENTION}
    | {"times": "viewed_ago", "positions": 4, "last": 3},
    {"name": "viewed_in", "kind": "sequence", "source": "user", "min_count": 1, "beside": "viewed"},
    {"name": "read", "kind": "sequence", "column": "seen", "table": "items", "pooling": {"kind": "gru", "units": 5}},
    {"name": "trail", "kind": "sequence", "column": "seen", "buckets": 7},
]


def frames(seed: int = 0, rows: int = shop.ROWS) -> dict[str, pl.DataFrame]:
    """Views: none, or up to seven, of items of which some are not known, in shops of which some are not."""
    made, rng = shop.frames(seed, rows), np.random.default_rng(99)
    counts = rng.integers(0, 8, shop.USERS)
    views = pl.DataFrame(
        {
            "viewed": [[None if rng.random() < 0.1 else int(x) for x in rng.integers(0, shop.ITEMS, n)] for n in counts],
            "viewed_in": [[[None, "a", "b", "c"][x] for x in rng.integers(0, 4, n)] for n in counts],
            "viewed_ago": [sorted(rng.exponential(50, n).round(2).tolist(), reverse=True) for n in counts],
        },
        schema={"viewed": pl.List(pl.Int64), "viewed_in": pl.List(pl.String), "viewed_ago": pl.List(pl.Float64)},
    )
    return made | {"user": pl.concat([made["user"], views], how="horizontal")}


def tree() -> dict[str, Any]:
    made = shop.tree()
    others = [feature for feature in made["features"] if feature["name"] in ("user_id", "liked", "item", "price")]
    return made | {"features": [*others, *SEQUENCES]}
