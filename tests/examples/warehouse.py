"""What a warehouse would hold of simulated rows, with all that a log has beside them; and what the star should hold."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

TRAIN_FROM, TEST_FROM, UNTIL, READ_AT = (datetime(2024, *day, tzinfo=UTC) for day in ((2, 1), (2, 22), (2, 29), (3, 7)))
FEATURES_OF = date(2024, 1, 31)
DATES = ["--train-from=2024-02-01", "--test-from=2024-02-22", "--until=2024-02-29", "--read-at=2024-03-07"]
Tables = dict[str, pl.DataFrame]


def with_times(facts: pl.DataFrame, split: str) -> pl.DataFrame:
    """Simulated facts, each with an id and a time in the days of its split, at the hour that it says."""
    begin, end = (TRAIN_FROM, TEST_FROM) if split == "train" else (TEST_FROM, UNTIL)
    row = pl.int_range(pl.len())
    hours = pl.duration(days=row % (end - begin).days, hours=pl.col("hour").cast(pl.Int64), seconds=row * 7 % 3600)
    return facts.with_columns(
        impression_id=split + row.cast(pl.String).str.zfill(7), shown_at=pl.lit(begin, pl.Datetime("us", "UTC")) + hours
    )


def in_order(facts: pl.DataFrame) -> pl.DataFrame:
    """As a single file of the star holds them."""
    return facts.sort("user_id", "shown_at", "impression_id")


def used(dimension: pl.DataFrame, facts: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows that facts use, by their keys."""
    return dimension.join(facts, on=key, how="semi").sort(key)


def sorted_lists(table: pl.DataFrame, ids: str, weights: str | None = None) -> pl.DataFrame:
    """Lists from the greatest weight, then the least id, on; those without entries are null."""
    columns = [ids, *([weights] if weights else [])]
    rows: list[list[tuple[str, float]]] = [
        sorted(
            zip(row[0] or [], (row[1] or []) if weights else [0.0] * len(row[0] or []), strict=True),
            key=lambda entry: (-entry[1], entry[0]),
        )
        for row in table.select(columns).iter_rows()
    ]
    new = {ids: [[name for name, _ in row] or None for row in rows]}
    new |= {weights: [[weight for _, weight in row] or None for row in rows]} if weights else {}
    return table.with_columns(pl.Series(name, values, table.schema[name]) for name, values in new.items())


def impressions(facts: pl.DataFrame) -> pl.DataFrame:
    """The log, with rows that are there twice, later as something else, and of other days."""
    taken = facts.select("impression_id", "shown_at", "user_id", "item_id", "device", "position", page=pl.lit("home"))
    again = taken.gather_every(5)
    later = again.with_columns(pl.col("shown_at") + timedelta(minutes=1), device=pl.lit("another"))
    before, after = (
        taken.head(20).with_columns(pl.col("impression_id") + word, shown_at=pl.lit(at, pl.Datetime("us", "UTC")))
        for word, at in (("before", TRAIN_FROM - timedelta(seconds=1)), ("after", UNTIL))
    )
    return pl.concat([taken, again, later, before, after])


def events(facts: pl.DataFrame) -> pl.DataFrame:
    """What people did, some of it twice, too late, too early, or without an impression."""

    def some(rows: pl.DataFrame, kind: str, after: timedelta) -> pl.DataFrame:
        return rows.select("impression_id", kind=pl.lit(kind), happened_at=pl.col("shown_at") + after)

    did = {name: facts.filter(pl.col(name) == 1) for name in ("clicked", "carted", "bought")}
    did_not = {name: facts.filter(pl.col(name) == 0) for name in did}
    found = [
        some(facts, "view", timedelta(0)),
        some(did["clicked"], "click", timedelta(0)),
        some(did["clicked"], "click", timedelta(minutes=5)),
        some(did["carted"], "cart", timedelta(hours=2)),
        some(did["bought"], "buy", timedelta(days=7) - timedelta(microseconds=1)),
        some(did_not["clicked"].head(50), "click", timedelta(days=1)),
        some(did_not["clicked"].tail(50), "click", timedelta(seconds=-1)),
        some(did_not["bought"].head(50), "buy", timedelta(days=7)),
    ]
    strangers = [found[1].with_columns(impression_id=pl.lit(name, pl.String)) for name in ("unknown", None)]
    return pl.concat([*found, *strangers])


def entries(table: pl.DataFrame, key: str, **lists: str) -> pl.DataFrame:
    """A row for each entry of lists, called otherwise."""
    exploded = table.select(key, *lists).explode(*lists)
    return exploded.drop_nulls(next(iter(lists))).rename(lists)


def snapshots(table: pl.DataFrame) -> pl.DataFrame:
    """The day that is wanted, and one with nothing but nulls."""
    empty = table.with_columns(pl.lit(None, kind).alias(name) for name, kind in list(table.schema.items())[1:])
    return pl.concat([table.with_columns(ds=FEATURES_OF), empty.with_columns(ds=FEATURES_OF + timedelta(days=1))])


def tables(facts: pl.DataFrame, user: pl.DataFrame, item: pl.DataFrame) -> Tables:
    """All of the warehouse."""
    return {
        "impressions": impressions(facts),
        "events": events(facts),
        "users": snapshots(user.drop("favourites", "favourite_counts")),
        "items": snapshots(item.drop("tags")),
        "user_categories": snapshots(entries(user, "user_id", favourites="category", favourite_counts="seen")),
        "item_tags": snapshots(entries(item, "item_id", tags="tag")),
    }


def write(tables: Tables, folder: Path, seed: int, files: int = 2) -> Path:
    """A folder of files for each table, the rows in any order."""
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        shuffled = table.sample(fraction=1, shuffle=True, seed=seed)
        for file in range(files):
            shuffled.gather_every(files, file).write_parquet(folder / name / f"{file}.parquet")
    return folder
