"""Random small stars with all that a store depends on, in files: two dimensions, lists, nulls, rows that cannot be used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl

from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

ENDINGS = {"parquet": "parquet", "csv": "csv", "csv.gz": "csv.gz"}
VALIDATIONS: dict[str, Any] = {
    "none": None,
    "rows": {"kind": "fraction", "fraction": 0.3, "by": "row"},
    "users": {"kind": "fraction", "fraction": 0.3},
    "shops": {"kind": "fraction", "fraction": 0.3, "by": "shop"},
    "time": {"kind": "time", "column": "at", "fraction": 0.3},
    "file": {"kind": "file", "files": "held*"},
}


def schema(form: str, *, validation: str, skip: bool, sampled: bool, shard_rows: int, hashed: bool = True) -> FunnelSchema:
    """The declaration; where nothing is hashed, TensorFlow is not loaded."""
    kind = "parquet" if form == "parquet" else "csv"
    brands = {"buckets": 7} if hashed else {"min_count": 1}
    crossed = [{"name": "city_item", "kind": "cross", "of": ["city", "item"], "buckets": 13}] if hashed else []
    lists = {} if kind == "parquet" else {"separator": "|"}
    counted = {"sampling": {"rates": {"impression": 0.3, "click": 0.7}, "correction": "weights"}} if sampled else {}
    tree = {
        "name": "parts",
        "stages": [
            {"name": "click", "label": "click"},
            {"name": "buy", "label": "buy", "matures_after": {"event": "at", "period": 20, "snapshot_at": 45}},
        ],
        "inconsistent_labels": "drop",
        "data": {
            "facts": {"format": kind, "train": "facts*", "test": "test*"},
            "dimensions": [
                {"name": "user", "key": "user_id", "format": kind, "files": "users*"},
                {"name": "shop", "key": "id", "fact_key": "shop_id", "format": kind, "files": "shops*"},
            ],
            "validation": VALIDATIONS[validation],
            "shard_rows": shard_rows,
            "bad_rows": {"kind": "skip", "max_share": 0.9} if skip else "error",
            **({} if sampled else {"weight": "weight"}),
        },
        **counted,
        "tables": {"thing": {"min_count": 2, "max_rows": 5}},
        "features": [
            {"name": "item", "kind": "categorical", "table": "thing"},
            {"name": "price", "kind": "numeric", "transform": "log1p"},
            {"name": "depth", "kind": "numeric", "transform": {"kind": "bucketize", "buckets": 4}},
            {"name": "city", "kind": "categorical", "source": "user", "min_count": 1},
            {"name": "age", "kind": "numeric", "source": "user"},
            {"name": "past", "kind": "bag", "source": "user", "table": "thing", "weighted": True, "weights": "past_w", **lists},
            {"name": "brand", "kind": "categorical", "source": "shop", **brands, "missing": "oov"},
            *crossed,
        ],
        "evaluate": {"group_by": "city"},
    }
    return load_schema(tree)


def write(folder: Path, seed: int, form: str, *, facts: int, files: int, bad: bool) -> None:
    """Write the rows down: training facts in some files, others and each dimension in two."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    users = [f"{number}{dice.getrandbits(40):x}" for number in range(dice.randint(2, 9))]
    shops = list(range(dice.randint(1, 4)))

    def maybe(value: Any, share: float = 0.2) -> Any:
        return None if dice.random() < share else value

    def past() -> list[tuple[str, float]]:
        return [(f"i{dice.randint(0, 5)}", dice.choice((0.5, 1.0, 2.25))) for _ in range(dice.choice((0, 1, 3)))]

    def fact(number: int) -> dict[str, Any]:
        click = int(dice.random() < 0.6)
        return {
            "user_id": dice.choice(users), "shop_id": str(dice.choice(shops)), "at": float(number),
            "weight": dice.choice((0.0, 0.7, 3.0)), "click": str(click),
            "buy": maybe(str(int(dice.random() < (0.5 if click else 0.1)))),
            "item": maybe(dice.choice((f"i{dice.randint(0, 5)}", str(dice.randint(0, 9))))),
            "price": str(round(dice.uniform(0.1, 9), 3)), "depth": maybe(dice.randint(-4, 40) / 3),
        }  # fmt: skip

    def user(key: str) -> dict[str, Any]:
        lists = past()
        return {
            "user_id": key, "city": maybe(dice.choice(("rome", "oslo", "é", "7"))), "age": str(dice.randint(9, 90)),
            "past": [one for one, _ in lists], "past_w": [weight for _, weight in lists],
        }  # fmt: skip

    train = [fact(number) for number in range(facts)]
    known = [user(key) for key in users]
    sold = [{"id": str(number), "brand": maybe(f"b{number}")} for number in shops]
    if bad:
        for row in dice.sample(train, facts // 6):
            column, value = dice.choice((("user_id", "nobody"), ("click", "2"), ("price", "dear"), ("shop_id", None)))
            row[column] = value
        known += [user(users[0]), {**user("spoilt"), "age": "old"}]
        dice.choice(train)["user_id"] = "spoilt"
        dice.shuffle(known)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, "facts", train, form, files)
    _write(folder, "held", [fact(number) for number in range(5)], form, 1)
    _write(folder, "test", [fact(number) for number in range(7)], form, 2)
    _write(folder, "users", known, form, 2)
    _write(folder, "shops", sold, form, 1)


LISTED = {"past": pl.List(pl.String), "past_w": pl.List(pl.Float64)}
NUMBERS = ("at", "weight", "depth")


def _write(folder: Path, name: str, rows: list[dict[str, Any]], form: str, files: int) -> None:
    kinds = {column: LISTED.get(column, pl.Float64 if column in NUMBERS else pl.String) for column in rows[0]}
    frame = pl.DataFrame(rows, schema=kinds, orient="row")
    cut = -(-frame.height // files)
    for number in range(files):
        some, path = frame[number * cut : (number + 1) * cut], folder / f"{name}{number}.{ENDINGS[form]}"
        if not some.height:
            continue
        if form == "parquet":
            some.write_parquet(path, row_group_size=3)
            continue
        flat = some.with_columns(
            pl.col(column).cast(pl.List(pl.String)).list.join("|") for column in some.columns if column in LISTED
        )
        flat.write_csv(path, compression="gzip" if form.endswith("gz") else "uncompressed")
