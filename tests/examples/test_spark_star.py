"""The Spark job: simulated rows, taken apart into a warehouse's tables, come back as the same star and the same store."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from funnel.data.prepare import prepare
from funnel.schema.reader import load_schema
from funnel.simulation import simulate
from tests.examples import warehouse
from tests.examples.scripts import loaded

ROOT = Path(__file__).parents[2]
SCHEMA = load_schema(ROOT / "schemas" / "ecommerce.yaml")
SPLITS = ("train", "test")
pytestmark = [
    pytest.mark.slow,
    # pyspark's sockets are closed when they are collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def java_version() -> int:
    """Of the runtime that Spark would take; 0 for none."""
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session in this machine, of one thread."""
    if importlib.util.find_spec("pyspark") is None or java_version() < 17:
        pytest.skip("NOT RUN: the Spark job. Install the extra `spark` and a Java runtime (17 or newer) to test it")
    from pyspark.sql import SparkSession  # noqa: PLC0415  # it is not always there

    quiet = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    quiet |= {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g", "spark.ui.showConsoleProgress": "false"}
    quiet |= {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark"))}
    # Few rows: compiling what works on them takes longer than the work.
    quiet |= {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    quiet |= {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    builder = SparkSession.builder.master("local[1]")
    for key, value in quiet.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def star(spark: Any) -> ModuleType:
    return loaded(ROOT / "examples" / "spark" / "star.py")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The star as it is drawn; the facts with times."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(SCHEMA, folder, 3000)
    made = {name: pl.read_parquet(folder / f"{name}.parquet") for name in (*SPLITS, "user", "item")}
    return made | {split: warehouse.with_times(made[split], split) for split in SPLITS}


@pytest.fixture(scope="module")
def tables(simulated: dict[str, pl.DataFrame]) -> warehouse.Tables:
    facts = pl.concat([simulated[split] for split in SPLITS])
    return warehouse.tables(facts, simulated["user"], simulated["item"])


def run(star: ModuleType, place: Path, out: Path, files: int = 1, *more: str) -> None:
    features = f"--features-of={warehouse.FEATURES_OF}"
    star.main([f"--warehouse={place}", f"--out={out}", f"--files={files}", features, *warehouse.DATES, *more])


def test_the_same_star_and_the_same_store(
    star: ModuleType, simulated: dict[str, pl.DataFrame], tables: warehouse.Tables, tmp_path: Path
) -> None:
    run(star, warehouse.write(tables, tmp_path / "shop", seed=0), tmp_path / "made")
    facts = pl.concat([simulated[split] for split in SPLITS])
    expected = {split: warehouse.in_order(simulated[split]) for split in SPLITS}
    expected["user"] = warehouse.used(simulated["user"], facts, "user_id")
    expected["user"] = warehouse.sorted_lists(expected["user"], "favourites", "favourite_counts")
    expected["item"] = warehouse.sorted_lists(warehouse.used(simulated["item"], facts, "item_id"), "tags")
    (tmp_path / "drawn").mkdir()
    for name, frame in expected.items():
        frame.write_parquet(tmp_path / "drawn" / f"{name}.parquet")
        found = pl.read_parquet(tmp_path / "made" / f"{name}-00000.parquet")
        assert_frame_equal(found.select(frame.columns).cast(dict(frame.schema)), frame)
    assert not (tmp_path / "made.unfinished").exists()

    stores = [prepare(SCHEMA, tmp_path / name, tmp_path / f"{name}.store") for name in ("drawn", "made")]
    assert stores[0].manifest["splits"] == stores[1].manifest["splits"]
    names = [sorted(path.relative_to(store.path) for path in store.path.rglob("*") if path.is_file()) for store in stores]
    assert names[0] == names[1]
    assert len(names[0]) > 10
    for name in names[0]:
        if name.name != "manifest.json":  # which says where the files are
            assert (stores[0].path / name).read_bytes() == (stores[1].path / name).read_bytes(), name


def test_the_same_rows_in_the_same_files_whatever_the_order_of_the_tables(
    star: ModuleType, simulated: dict[str, pl.DataFrame], tables: warehouse.Tables, tmp_path: Path
) -> None:
    for seed, name in ((1, "a"), (2, "b")):
        run(star, warehouse.write(tables, tmp_path / f"shop {name}", seed, files=seed), tmp_path / name, 3)
    paths = sorted((tmp_path / "a").glob("*.parquet"))
    assert [path.name for path in paths] == [
        f"{name}-0000{n}.parquet" for name in ("item", "test", "train", "user") for n in range(3)
    ]
    for path in paths:
        assert_frame_equal(pl.read_parquet(path), pl.read_parquet(tmp_path / "b" / path.name))
    files = [pl.read_parquet(tmp_path / "a" / f"train-0000{number}.parquet") for number in range(3)]
    for file in files:
        assert_frame_equal(file, warehouse.in_order(file))
    users = [set(file["user_id"]) for file in files]
    assert sum(map(len, users)) == len(set[str]().union(*users))
    drawn = simulated["train"]
    assert_frame_equal(pl.concat(files).select(drawn.columns).cast(dict(drawn.schema)).sort("impression_id"), drawn)


def test_labels_by_hand(star: ModuleType, spark: Any) -> None:
    """Read on the tenth at noon: a click counts for one day, a purchase for seven."""
    noon, day = datetime(2024, 2, 10, 12, tzinfo=UTC), timedelta(days=1)
    shown = {"old": noon - 7 * day, "young": noon - 6.9 * day, "new": noon - 0.5 * day}
    impressions = spark.createDataFrame(
        [(f"{age} {did}", at) for age, at in shown.items() for did in "np"], "impression_id string, shown_at timestamp"
    )
    came = [(f"{age} p", kind, at + day / 3) for age, at in shown.items() for kind in ("click", "buy")]
    late = [("old n", "click", shown["old"] + day), ("young n", "click", noon), ("new n", "click", noon + day)]
    events = spark.createDataFrame(came + late, "impression_id string, kind string, happened_at timestamp")
    labels = [star.Label("clicked", "click", 1), star.Label("bought", "buy", 7)]
    rows = star.labelled(impressions, events, labels, noon).collect()
    assert {row["impression_id"]: (row["clicked"], row["bought"]) for row in rows} == {
        "old n": (0, 0),
        "old p": (1, 1),
        "young n": (0, None),
        "young p": (1, None),
        "new n": (None, None),
        "new p": (None, None),
    }


def test_who_is_new_has_a_row_without_features(star: ModuleType, spark: Any) -> None:
    facts = spark.createDataFrame([("a",), ("b",), ("a",)], "user_id string")
    users = spark.createDataFrame([("a", 30.0), ("c", 40.0)], "user_id string, age double")
    seen = spark.createDataFrame(
        [("a", "x", 1), ("a", "z", 2), ("a", "y", 2), ("a", None, 3)], "user_id string, id string, n int"
    )
    rows = star.dimension(facts, "user_id", users, star.bags(seen, "user_id", "id", "n")).orderBy("user_id").collect()
    assert [tuple(row) for row in rows] == [("a", 30.0, ["y", "z", "x"], [2, 2, 1]), ("b", None, None, None)]


def test_what_is_wrong_is_refused(star: ModuleType, tables: warehouse.Tables, tmp_path: Path) -> None:
    place = warehouse.write(tables, tmp_path / "shop", seed=0)
    (tmp_path / "there").mkdir()
    wrong: list[tuple[Path, str, tuple[str, ...], str]] = [
        (place, "there", (), "is already there"),
        (place, "out", ("--features-of=2024-02-01",), "expected a day before --train-from"),
        (place, "out", ("--features-of=2024-01-01",), "got no rows of 2024-01-01"),
        (place, "out", ("--until=2024-03-08",), "--until <= --read-at"),
        (tmp_path / "nowhere", "out", (), "nowhere"),
    ]
    for folder, out, more, message in wrong:
        with pytest.raises(SystemExit, match=message):
            run(star, folder, tmp_path / out, 1, *more)
    tables["events"].rename({"kind": "what"}).write_parquet(tmp_path / "shop" / "events" / "0.parquet")
    (tmp_path / "shop" / "events" / "1.parquet").unlink()
    with pytest.raises(SystemExit, match=r"(?s)kind.*README"):
        run(star, place, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(SystemExit, match="2"):
        star.main(["--files=0"])
