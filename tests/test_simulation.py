from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from funnel.data.columns import Columns, take
from funnel.data.labels import ABSENT, UNKNOWN
from funnel.data.origin import Origin
from funnel.data.reading import LABELS, POSITION, Reading
from funnel.data.spill import BUCKETS
from funnel.data.split_reader import read
from funnel.errors import DataError
from funnel.evaluation.metrics import auc
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.simulation import simulate

SCHEMA_FOLDER = Path(__file__).parents[1] / "schemas"
SHIPPED = sorted(SCHEMA_FOLDER.glob("*.yaml"))


def declare(name: str, stages: list[Any], facts: dict[str, Any], features: list[Any], **rest: Any) -> FunnelSchema:
    data = {"facts": facts, "dimensions": rest.pop("dimensions", []), "validation": rest.pop("validation", "fraction")}
    return load_schema({"name": name, "stages": stages, "data": data, "features": features, **rest})


def chain(count: int) -> list[dict[str, Any]]:
    return [{"name": f"s{place}", "label": f"y{place}", "prior": 0.6} for place in range(count)]


PARQUET = {"format": "parquet", "train": "train.parquet", "test": "test.parquet"}
CATEGORY = {"name": "c", "kind": "categorical"}
LIST = {"format": "feature_list", "list": "features", "separator": ";", "entry_separator": "|", "field_separator": "#"}
LIST |= {"value_separator": ":"}

ODD = [
    declare("one_stage", chain(1), PARQUET, [CATEGORY], validation=None),
    declare("numbers_only", chain(2), PARQUET, [{"name": "x", "kind": "numeric", "transform": "none", "missing": "error"}]),
    declare(
        "seven", chain(7), {"format": "csv", "train": ["a/day-?.csv", "a/more-*.csv.gz"], "test": "b/*.csv.zst"}, [CATEGORY]
    ),
    declare(
        "tree",
        [
            *chain(2),
            {"name": "share", "label": "shared", "given": "s0"},
            {"name": "hide", "label": "hidden", "given": "impression"},
        ],
        {
            "format": "csv",
            "separator": "\t",
            "columns": ["c", "unused", "y1", "y0", "shared", "hidden", "u"],
            "train": "x[!0-8].tsv",
            "test": "t.tsv",
        },
        [
            CATEGORY,
            {"name": "g", "source": "user", "kind": "categorical", "table": "t"},
            {"name": "b", "source": "user", "kind": "bag", "table": "t", "separator": ","},
        ],
        tables={"t": {"buckets": 50}},
        dimensions=[
            {"name": "user", "format": "csv", "key": "id", "fact_key": "u", "train": "u-train.csv", "test": "u-test.csv"}
        ],
    ),
    declare(
        "feature_lists",
        chain(4),
        {
            **LIST,
            "columns": ["id", "y0", "y1", "y2", "y3", "md5", "n", "features"],
            "count": "n",
            "train": "skeleton_*.csv.gz",
            "test": "test.csv",
        },
        [
            {"name": "position", "column": "301", "kind": "categorical", "missing": "error"},
            {"name": "score", "column": "302", "kind": "numeric"},
            {"name": "rank", "column": "301", "kind": "numeric", "missing": "error"},
            {"name": "seen", "column": "853", "source": "common", "kind": "bag", "weighted": True, "missing": "error"},
            {"name": "user", "column": "101", "source": "common", "kind": "categorical", "max_rows": 500},
            {"name": "cross", "kind": "cross", "of": ["position", "user"], "buckets": 100},
        ],
        dimensions=[
            {**LIST, "name": "common", "columns": ["md5", "n", "features"], "count": "n", "key": "md5", "files": "common.csv"}
        ],
    ),
    declare(
        "labels_in_the_list",
        chain(2),
        {**LIST, "columns": ["features", "more"], "files": "all.txt"},
        [{"name": "f", "kind": "bag", "weighted": True}, {"name": "x", "kind": "numeric", "transform": "log1p"}],
    ),
    declare(
        "one_file_two_dimensions",
        chain(2),
        {**PARQUET, "train": "20??/*/*.parquet"},
        [
            {"name": "sent_by", "source": "sender", "column": "id", "kind": "categorical"},
            {"name": "to", "source": "receiver", "column": "id", "kind": "numeric"},
            {"name": "when", "column": "time", "kind": "numeric"},
            {"name": "b", "kind": "bag", "weighted": True, "weights": "w", "missing": "error"},
            {"name": "b2", "kind": "bag", "weighted": True, "weights": "w", "missing": "error"},
            {"name": "edges", "column": "x", "kind": "numeric", "transform": {"kind": "bucketize", "boundaries": [3]}},
        ],
        dimensions=[
            {"name": "sender", "format": "parquet", "key": "id", "fact_key": "a", "files": "people.parquet"},
            {"name": "receiver", "format": "parquet", "key": "id", "fact_key": "b_", "files": "people.parquet"},
        ],
        validation={"kind": "time", "column": "time"},
    ),
    declare(
        "own_validation_files",
        chain(2),
        PARQUET,
        [CATEGORY, {"name": "n", "source": "d", "kind": "categorical"}],
        dimensions=[{"name": "d", "format": "parquet", "key": "k", "train": "d1.parquet", "test": "d2.parquet"}],
        validation={"kind": "file", "files": "valid.parquet"},
    ),
]
SCHEMAS = [*(load_schema(path) for path in SHIPPED), *ODD]


def by_name(schema: FunnelSchema) -> str:
    return schema.name


def splits(schema: FunnelSchema) -> list[Any]:
    return ["train", "test", *(["validation"] if getattr(schema.data.validation, "kind", None) == "file" else [])]


def reading_of(schema: FunnelSchema, root: Path, split: Any) -> Reading:
    return read(schema, Origin(root=root), split, root.parent / "work", labels=True)


def facts_of(reading: Reading) -> Columns:
    """All facts, in the order of the files."""
    (facts,) = reading.facts.read(0, BUCKETS, reading.facts.rows)
    return take(facts, np.argsort(facts[POSITION]))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("schema", SCHEMAS, ids=by_name)
def test_what_is_written_is_what_the_schema_reads(schema: FunnelSchema, tmp_path: Path) -> None:
    result = simulate(schema, tmp_path / "out", 3000, 700)
    assert set(result.impressions) == set(splits(schema))
    seen, apart = np.zeros(len(schema.stages), int), 0
    for split in splits(schema):
        reading = reading_of(schema, tmp_path / "out", split)
        facts = facts_of(reading)
        assert reading.rows == reading.facts.rows + reading.apart == result.impressions[split]
        assert (reading.apart > 0) == (schema.data.test is not None)
        assert not any(reading.violations.values())
        assert not any(faults.rows for faults in reading.faults.values())
        positives = (facts[LABELS] == 1).sum(axis=0)
        seen, apart = seen + positives, apart + reading.apart
        if schema.data.test is None:
            assert dict(zip(schema.stage_names, positives.tolist(), strict=True)) == result.positives[split]
        by_share = getattr(schema.data.validation, "kind", None) in ("fraction", "time")
        assert reading.held_out(facts).any() == (by_share and split == "train")
    if schema.data.test is not None:  # both stand in the same files: a row is in one of the two
        assert apart == result.impressions["train"]
        assert dict(zip(schema.stage_names, seen.tolist(), strict=True)) == result.positives["train"]


@pytest.mark.parametrize("schema", SCHEMAS, ids=by_name)
def test_labels_are_drawn_from_the_truth(schema: FunnelSchema, tmp_path: Path) -> None:
    simulate(schema, tmp_path / "out", 20_000, 5000)
    for split in ("train", "test"):
        facts = facts_of(reading_of(schema, tmp_path / "out", split))
        labels = facts[LABELS]
        truth = pl.read_parquet(tmp_path / "out" / "truth" / f"{split}.parquet")[facts[POSITION]]
        assert set(truth.columns) == {*schema.stage_names, *schema.conditional_names}
        assert set(truth.dtypes) == {pl.Float64}
        for place, stage in enumerate(schema.stage_names):
            if (labels[:, place] == UNKNOWN).any():  # of rows whose labels are known, more did not go so far
                assert any(other.matures_after is not None for other in schema.stages)
                continue
            there = labels[:, place] != ABSENT
            expected, own = truth[stage].to_numpy()[there], labels[there, place]
            assert there.all() == (schema.domains[place] is None)
            error = np.sqrt(np.sum(expected * (1 - expected)))
            assert abs(own.sum() - expected.sum()) < 4 * error
            # Also where the truth is high and where it is low, which it would not be for rows in another order.
            high = expected > np.median(expected)
            assert abs(own[high].sum() - expected[high].sum()) < 4 * error


@pytest.mark.parametrize("schema", SCHEMAS, ids=by_name)
def test_truth_is_a_product_along_the_tree(schema: FunnelSchema, tmp_path: Path) -> None:
    simulate(schema, tmp_path / "out", 2000)
    truth = pl.read_parquet(tmp_path / "out" / "truth" / "train.parquet")
    names = schema.stage_names
    for stage, place, conditional in zip(schema.stages, schema.topology, schema.conditional_names, strict=True):
        above = truth[names[place.parent]].to_numpy() if place.parent >= 0 else np.ones(truth.height)
        for other in place.excluded:
            above = above * (1 - truth[schema.conditional_names[other]].to_numpy())
        np.testing.assert_allclose(truth[stage.name].to_numpy(), above * truth[conditional].to_numpy(), rtol=1e-12)
        assert (truth[conditional].is_between(0, 1, closed="none")).all()
        if place.is_join:
            branches = truth.select(sum(pl.col(names[branch]) for branch in place.branches)).to_series()
            np.testing.assert_allclose(truth[stage.name], branches, rtol=1e-12)
            continue
        rate = np.average(truth[conditional].to_numpy(), weights=above)
        assert rate == pytest.approx(stage.prior or 0.2, rel=0.1)


@pytest.mark.parametrize("name", ["ecommerce", "credit_card"])
def test_truth_orders_people_neither_perfectly_nor_by_chance(name: str, tmp_path: Path) -> None:
    schema = load_schema(SCHEMA_FOLDER / f"{name}.yaml")
    simulate(schema, tmp_path / "out", 100_000)
    labels = facts_of(reading_of(schema, tmp_path / "out", "train"))[LABELS]
    truth = pl.read_parquet(tmp_path / "out" / "truth" / "train.parquet")
    for place, stage in enumerate(schema.stage_names):
        assert 0.65 < auc(labels[:, place], truth[stage].to_numpy()) < 0.85


@pytest.mark.parametrize("schema", SCHEMAS, ids=by_name)
def test_same_seed_same_bytes(schema: FunnelSchema, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(schema, tmp_path / name, 500, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def as_text(path: Path) -> bytes:
    """What a file holds, whatever version of Parquet it is written in."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    frame = pl.read_parquet(path).with_columns(pl.selectors.float().round(9))
    return frame.with_columns(pl.selectors.list().cast(pl.List(pl.String)).list.join("|")).write_csv().encode()


@pytest.mark.parametrize(
    ("schema", "digest"),
    [
        (ODD[3], "6af4897fd97881b1f1662df48a8c48dac1575e3ad5d4056db05214fb336021a6"),
        (load_schema(SCHEMA_FOLDER / "esm2.yaml"), "4a187a63abf15872f181456889fc9b57ac872e39b0192badcfd3960ceadf0226"),
    ],
    ids=["tree", "esm2"],
)
def test_rows_stay_those_of_earlier_versions(schema: FunnelSchema, digest: str, tmp_path: Path) -> None:
    simulate(schema, tmp_path, 300)
    found = hashlib.sha256()
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        found.update(str(path.relative_to(tmp_path)).encode() + as_text(path))
    assert found.hexdigest() == digest


def test_a_tiny_one_can_be_read(tmp_path: Path) -> None:
    for schema in ODD:
        simulate(schema, tmp_path / schema.name, 5, 5)
        assert reading_of(schema, tmp_path / schema.name, "test").facts.rows == 5


def test_a_former_simulation_is_replaced(tmp_path: Path) -> None:
    simulate(ODD[2], tmp_path / "out", 50)
    simulate(ODD[0], tmp_path / "out", 50)
    assert set(digests(tmp_path / "out")) == {"train.parquet", "test.parquet", "truth/train.parquet", "truth/test.parquet"}
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_folder_of_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"out: got a folder with other files \('thesis.txt'\), expected a former simulation\."):
        simulate(ODD[0], out, 50)
    assert (out / "thesis.txt").read_text() == "years of work"
    with pytest.raises(DataError, match="expected a folder or nothing"):
        simulate(ODD[0], out / "thesis.txt", 50)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    simulate(ODD[0], tmp_path, 50)
    assert (tmp_path / "truth" / "train.parquet").is_file()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"train": "*.parquet", "test": "test.parquet"}, "two patterns match 'test.parquet'"),
        ({"train": "../train.parquet", "test": "test.parquet"}, "expected one inside the folder"),
        ({"train": "truth/train.parquet"}, "not in `truth`"),
        ({"test": "test.parquet"}, "declares no train files"),
    ],
)
def test_patterns_that_cannot_be_served_are_refused(facts: dict[str, str], message: str, tmp_path: Path) -> None:
    schema = declare("odd", chain(1), {"format": "parquet", **facts}, [CATEGORY], validation=None)
    with pytest.raises(DataError, match=message):
        simulate(schema, tmp_path / "out", 50)
    assert not list(tmp_path.iterdir())


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 1 or more"):
        simulate(ODD[0], tmp_path / "out", 0)
