"""Warehouse tables -> the Parquet star that schemas/ecommerce.yaml reads, with Spark.

    spark-submit star.py --warehouse shop --out data/ecommerce --features-of 2024-01-31 \
        --train-from 2024-02-01 --test-from 2024-02-22 --until 2024-02-29 --read-at 2024-03-07

README.md beside this file says what the tables hold, and what is written. The same tables give the same rows in the same files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as fn

TAKEN = ("shown_at", "user_id", "item_id", "device", "position")  # of the impressions, beside their id


@dataclass(frozen=True)
class Label:
    """A column of the facts that says whether an impression had an event.

    Attributes:
        column: What it is called in the facts.
        event: The kind of event.
        days: How long after the impression an event counts for it.
    """

    column: str
    event: str
    days: int

    @property
    def end(self) -> Column:
        """When it no longer does."""
        return fn.col("shown_at") + fn.expr(f"INTERVAL {self.days} DAYS")


@dataclass(frozen=True)
class Dates:
    """Which days, in UTC.

    Attributes:
        train_from: Impressions from here on are training rows.
        test_from: From here on, test rows.
        until: From here on, none.
        read_at: Events from here on are not looked at, so that a later run gives the same labels.
        features_of: Whose snapshot of users and items is taken.

    Raises:
        SystemExit: They come in another order.
    """

    train_from: datetime
    test_from: datetime
    until: datetime
    read_at: datetime
    features_of: date

    def __post_init__(self) -> None:
        """Refuse days that do not follow each other."""
        if not self.train_from < self.test_from < self.until <= self.read_at:
            raise SystemExit("error: dates: expected --train-from < --test-from < --until <= --read-at. Correct them.")
        if not self.features_of < self.train_from.date():
            raise SystemExit(
                f"error: --features-of: got {self.features_of}, expected a day before --train-from: what was counted later "
                "knows what people did after the impressions. Take an earlier snapshot."
            )


@dataclass(frozen=True)
class Table:
    """A table of the star.

    Attributes:
        rows: What it holds.
        order: The columns that order it. Rows that agree in the first lie together, in one file.
    """

    rows: DataFrame
    order: tuple[str, ...]


def shown(impressions: DataFrame, dates: Dates) -> DataFrame:
    """The impressions of all days, each once, also where the log holds one twice: the earliest, then the least of them."""
    of_days = impressions.where((fn.col("shown_at") >= dates.train_from) & (fn.col("shown_at") < dates.until))
    first = of_days.groupBy("impression_id").agg(fn.min(fn.struct(*TAKEN)).alias("first"))
    return first.select("impression_id", "first.*")


def labelled(impressions: DataFrame, events: DataFrame, labels: Sequence[Label], read_at: datetime) -> DataFrame:
    """Impressions with a column for each label: 1, 0, or null where its window was not over when events were read.

    Null also where the event has come already: rates would be too high if only the positives of such impressions were known.
    """
    # Later ones are past the end of every window that was over: not reading them is only faster.
    read = events.where(fn.col("happened_at") < read_at)
    pairs = read.join(impressions.select("impression_id", "shown_at"), "impression_id")
    had = pairs.groupBy("impression_id").agg(*(fn.max(_counts(label)).alias(label.column) for label in labels))
    rows = impressions.join(had, "impression_id", "left")
    return rows.withColumns({label.column: _known(label, read_at) for label in labels})


def _counts(label: Label) -> Column:
    happened = fn.col("happened_at")
    return (fn.col("kind") == label.event) & (happened >= fn.col("shown_at")) & (happened < label.end)


def _known(label: Label, read_at: datetime) -> Column:
    had = fn.coalesce(fn.col(label.column), fn.lit(False)).cast("tinyint")
    return fn.when(label.end <= fn.lit(read_at), had)


def bags(entries: DataFrame, key: str, ids: str, weights: str | None = None) -> DataFrame:
    """A table with one entry a row -> one row a key, with the list of its ids and, as long, that of their weights.

    A list begins with the greatest weight, then with the least id: rows have no order in a warehouse, and a list needs one.
    """
    less = [(-fn.col(weights)).alias("less")] if weights else []
    in_order = fn.array_sort(fn.collect_list(fn.struct(*less, fn.col(ids).alias("id"))))
    lists = entries.where(fn.col(ids).isNotNull()).groupBy(key).agg(in_order.alias("entries"))
    columns = [fn.transform("entries", lambda entry: entry["id"]).alias(ids)]
    if weights:
        columns.append(fn.transform("entries", lambda entry: -entry["less"]).alias(weights))
    return lists.select(key, *columns)


def dimension(facts: DataFrame, key: str, *tables: DataFrame) -> DataFrame:
    """A row for each key of the facts, with what the tables know of it: nulls for a user that was new later."""
    rows = facts.select(key).distinct()
    for table in tables:
        rows = rows.join(table, key, "left")
    return rows


class Warehouse:
    """Where tables come from.

    Args:
        spark: The session.
        place: A database, or a folder with a folder of Parquet files for each table, which has a `/`.
    """

    def __init__(self, spark: SparkSession, place: str) -> None:
        self._spark, self._place = spark, place

    def table(self, name: str) -> DataFrame:
        """All of a table."""
        if "/" in self._place:
            return self._spark.read.parquet(f"{self._place.rstrip('/')}/{name}")
        return self._spark.table(f"{self._place}.{name}")

    def snapshot(self, name: str, day: date) -> DataFrame:
        """What a table with a row for each day, `ds`, said on that day.

        Raises:
            SystemExit: There is nothing of that day.
        """
        rows = self.table(name).where(fn.col("ds") == fn.lit(day)).drop("ds")
        if rows.isEmpty():
            raise SystemExit(f"error: {name}: got no rows of {day}, expected its snapshot. Correct --features-of.")
        return rows


def star(warehouse: Warehouse, labels: Sequence[Label], dates: Dates) -> dict[str, Table]:
    """The tables of the star, by name."""
    impressions = shown(warehouse.table("impressions"), dates)
    facts = labelled(impressions, warehouse.table("events"), labels, dates.read_at)
    facts = facts.withColumn("hour", fn.hour("shown_at")).cache()
    day = dates.features_of
    favourites = bags(warehouse.snapshot("user_categories", day), "user_id", "category", "seen")
    favourites = favourites.withColumnsRenamed({"category": "favourites", "seen": "favourite_counts"})
    tags = bags(warehouse.snapshot("item_tags", day), "item_id", "tag").withColumnRenamed("tag", "tags")
    by_user = ("user_id", "shown_at", "impression_id")
    return {
        "train": Table(facts.where(fn.col("shown_at") < dates.test_from), by_user),
        "test": Table(facts.where(fn.col("shown_at") >= dates.test_from), by_user),
        "user": Table(dimension(facts, "user_id", warehouse.snapshot("users", day), favourites), ("user_id",)),
        "item": Table(dimension(facts, "item_id", warehouse.snapshot("items", day), tags), ("item_id",)),
    }


class Folder:
    """A folder that appears when it is whole, on any filesystem that Spark writes to.

    Args:
        spark: The session.
        out: The folder.

    Raises:
        SystemExit: It is there already.
    """

    def __init__(self, spark: SparkSession, out: str) -> None:
        self._out, self._unfinished = out.rstrip("/"), f"{out.rstrip('/')}.unfinished"
        java: Any = spark._jvm
        self._path = java.org.apache.hadoop.fs.Path
        self._files = self._path(out).getFileSystem(spark._jsc.hadoopConfiguration())
        if self._files.exists(self._path(out)):
            raise SystemExit(f"error: {out}: is already there, expected a new folder. Choose another, or remove it.")
        self._files.delete(self._path(self._unfinished), True)

    def add(self, name: str, table: Table, files: int) -> None:
        """Write NAME-00000.parquet and so on. Spark itself names files differently each time."""
        folder = f"{self._unfinished}/{name}"
        table.rows.repartition(files, table.order[0]).sortWithinPartitions(*table.order).write.parquet(folder)
        for number, part in enumerate(self._parts(folder)):
            self._files.rename(part, self._path(f"{self._unfinished}/{name}-{number:05}.parquet"))
        self._files.delete(self._path(folder), True)

    def _parts(self, folder: str) -> Iterable[Any]:
        found = [status.getPath() for status in self._files.listStatus(self._path(folder))]
        return sorted((path for path in found if path.getName().startswith("part-")), key=lambda path: str(path.getName()))

    def done(self) -> None:
        """It appears.

        Raises:
            SystemExit: It could not be renamed.
        """
        if not self._files.rename(self._path(self._unfinished), self._path(self._out)):
            raise SystemExit(f"error: {self._unfinished}: is whole, but could not be renamed to {self._out}. Rename it.")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    given = _parser().parse_args(arguments)
    dates = Dates(given.train_from, given.test_from, given.until, given.read_at, given.features_of)
    labels = [
        Label("clicked", "click", given.click_days),
        Label("carted", "cart", given.cart_days),
        Label("bought", "buy", given.buy_days),
    ]
    spark = SparkSession.builder.appName("star").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    folder = Folder(spark, given.out)
    try:
        for name, table in star(Warehouse(spark, given.warehouse), labels, dates).items():
            folder.add(name, table, given.files)
    except AnalysisException as error:
        reason = str(error).splitlines()[0]
        raise SystemExit(f"error: {given.warehouse}: {reason} Compare its tables with those of README.md.") from None
    folder.done()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Warehouse tables -> the Parquet star that schemas/ecommerce.yaml reads.")
    parser.add_argument("--warehouse", required=True, help="a database, or a folder of Parquet tables (with a /)")
    parser.add_argument("--out", required=True, help="a new folder for the star")
    for name in ("train-from", "test-from", "until", "read-at"):
        parser.add_argument(f"--{name}", required=True, type=_moment, metavar="DAY")
    parser.add_argument("--features-of", required=True, type=date.fromisoformat, metavar="DAY", help="`ds` of the snapshots")
    for event, days in (("click", 1), ("cart", 7), ("buy", 7)):
        text = f"how long after an impression a {event} counts for it"
        parser.add_argument(f"--{event}-days", type=_count, default=days, metavar="DAYS", help=text)
    parser.add_argument("--files", type=_count, default=64, help="how many files a table has, at most")
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


if __name__ == "__main__":
    main()
