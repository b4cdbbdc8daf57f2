"""Test rows that no files hold apart: which these are, that nothing is learnt from them, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.codes import uniform
from funnel.data.holdout import APART, is_test
from funnel.data.origin import Origin, read_part, splits_of
from funnel.data.prepare import prepare
from funnel.data.reading import POSITION
from funnel.data.split_reader import read
from funnel.errors import DataError, SchemaError
from funnel.schema.data import ShareTested
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

ROWS, USERS = 4000, 300


def tree(test: Any = "fraction", **data: Any) -> dict[str, Any]:
    return {
        "name": "one_file",
        "stages": [{"name": "click", "label": "click", "prior": 0.5}, {"name": "buy", "label": "buy", "prior": 0.5}],
        "data": {
            "facts": {"format": "parquet", "files": "facts.parquet"},
            "dimensions": [{"name": "user", "key": "u", "format": "parquet", "files": "users.parquet"}],
            "test": test,
            **data,
        },
        "features": [
            {"name": "n", "kind": "categorical", "min_count": 1},
            {"name": "g", "kind": "categorical", "source": "user"},
        ],
        "model": {"embedding_dim": 2, "tower": {"units": [4]}},
        "train": {"epochs": 1, "batch_size": 512},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Facts whose feature `n` is their own number, in the order of the file."""
    made, rng = tmp_path_factory.mktemp("one_file"), np.random.default_rng(0)
    click = rng.integers(0, 2, ROWS)
    frame = {"u": rng.integers(0, USERS, ROWS), "n": np.arange(ROWS), "click": click, "buy": click * rng.integers(0, 2, ROWS)}
    pl.DataFrame(frame).write_parquet(made / "facts.parquet")
    pl.DataFrame({"u": np.arange(USERS), "g": np.arange(USERS) % 7}).write_parquet(made / "users.parquet")
    return made


def positions(schema: FunnelSchema, folder: Path, split: Any, work: Path) -> np.ndarray:
    reading = read(schema, Origin(root=folder), split, work / split, labels=True)
    assert reading.rows == ROWS
    assert reading.apart + reading.facts.rows == ROWS
    found = np.concatenate(list(reading.facts.column(POSITION)))
    return np.sort(found)


@pytest.mark.parametrize("by", ["row", "user", None])
def test_each_row_is_of_one_split(by: str | None, folder: Path, tmp_path: Path) -> None:
    schema = load_schema(tree({"fraction": 0.3, "by": by, "seed": 5}))
    train, test = (positions(schema, folder, split, tmp_path) for split in ("train", "test"))
    assert np.sort(np.concatenate([train, test])).tolist() == list(range(ROWS))
    users = pl.read_parquet(folder / "facts.parquet")["u"].to_numpy()
    numbers = np.arange(ROWS) if by == "row" else users
    assert test.tolist() == np.flatnonzero(uniform(numbers, 2**32 + 5) < 0.3).tolist()
    # Whole users, unless it goes by rows.
    assert (set(users[train]) & set(users[test]) == set()) == (by != "row")
    assert len(test) / ROWS == pytest.approx(0.3, abs=0.03 if by == "row" else 0.1)


def test_who_is_tested_says_nothing_of_who_is_validated_on() -> None:
    numbers = np.arange(200_000)
    tested = is_test(ShareTested(kind="fraction", fraction=0.3), numbers)
    validated = uniform(numbers, 0) < 0.1
    assert tested.mean() == pytest.approx(0.3, abs=0.005)
    assert validated[~tested].mean() == pytest.approx(0.1, abs=0.005)
    assert APART > 2**31  # than all seeds of validation


def test_another_seed_is_another_test(folder: Path, tmp_path: Path) -> None:
    one, other = (
        set(positions(load_schema(tree({"by": "row", "seed": seed})), folder, "test", tmp_path / str(seed)).tolist())
        for seed in (0, 1)
    )
    # Of rows that both tests have there are as many as by chance.
    assert len(one & other) / ROWS == pytest.approx(0.2 * 0.2, abs=0.02)


@pytest.mark.parametrize("validation", [{"kind": "fraction", "by": "row"}, {"kind": "time", "column": "n"}, None])
def test_validation_is_held_out_of_what_is_left(validation: Any, folder: Path) -> None:
    store = prepare(load_schema(tree({"by": "row"}, validation=validation)), folder)
    found = {split: np.concatenate([star.position for star in store.shards(split)]) for split in store.manifest["splits"]}
    every = np.sort(np.concatenate(list(found.values())))
    assert every.tolist() == list(range(ROWS))
    tested = np.flatnonzero(uniform(np.arange(ROWS), 2**32) < 0.2)
    assert np.sort(found["test"]).tolist() == tested.tolist()
    if validation is not None:
        assert len(found["validation"]) == pytest.approx((ROWS - len(tested)) * 0.1, rel=0.3)
    # No id of a test row is known: `n` is another one in each row.
    seen = store.vocabulary.terms["n"]
    assert len(seen) == len(found["train"])
    assert {int(text) for text in seen} == set(found["train"].tolist())


def test_one_of_training_and_one_of_files_is_the_same(folder: Path, tmp_path: Path) -> None:
    named = tree()
    named["data"]["facts"] = {"format": "parquet", "train": "facts.parquet"}
    one, other = (positions(load_schema(each), folder, "test", tmp_path) for each in (tree(), named))
    assert one.tolist() == other.tolist()


@pytest.fixture(scope="module")
def run(folder: Path) -> Any:
    return funnel.fit(tree({"by": "row"}), folder)


def test_predictions_stand_where_the_rows_do(run: Any, folder: Path) -> None:
    """A row for each one of the file, so that they can be put beside it."""
    tested = uniform(np.arange(ROWS), 2**32) < 0.2
    for split, own in (("test", tested), ("train", ~tested)):
        found = run.predict(folder, split)["buy"]
        assert (~np.isnan(found)).tolist() == own.tolist()
    assert run.metrics["test"]["cumulative"]["click"]["rows"] == tested.sum()
    every = run.predict(folder)["buy"]
    assert not np.isnan(every).any()
    np.testing.assert_array_equal(every[tested], run.predict(folder, "test")["buy"][tested])
    np.testing.assert_array_equal(every[~tested], run.predict(folder, "train")["buy"][~tested])


def test_without_test_rows_the_training_files_are_predicted(folder: Path) -> None:
    found = funnel.fit(tree(None), folder)
    np.testing.assert_array_equal(found.predict(folder)["buy"], found.predict(folder, "train")["buy"])
    assert len(found.predict(folder)["buy"]) == ROWS
    for judge in (found.evaluate, found.importance):
        with pytest.raises(DataError, match="which are the training rows"):
            judge(folder)
        judge(folder, "train")


def test_frames_are_taken_whole(run: Any, folder: Path) -> None:
    frames = {name: pl.read_parquet(folder / f"{file}.parquet") for name, file in (("facts", "facts"), ("user", "users"))}
    found, filed = run.predict(frames)["buy"], run.predict(folder)["buy"]
    assert not np.isnan(found).any()
    np.testing.assert_array_equal(found, filed)
    assert list(splits_of(run.schema, Origin(frames=frames))) == ["train"]


@pytest.mark.long
def test_an_export_is_verified_on_all_test_rows(run: Any, folder: Path, tmp_path: Path) -> None:
    found = funnel.verify(run.export(tmp_path / "export"), run, folder, rows=10_000)
    assert found.passed
    assert found.left_out == {}
    assert found.rows == (uniform(np.arange(ROWS), 2**32) < 0.2).sum()


def test_the_truth_of_simulated_rows_is_that_of_the_same_rows(tmp_path: Path) -> None:
    schema = load_schema(tree({"by": "user", "fraction": 0.4}))
    made = funnel.simulate(schema, tmp_path / "rows", 4000)
    assert made.lines()[0].startswith("train and test: 4,000 rows; ")
    assert len(made.lines()) == 1
    run = funnel.fit(schema, tmp_path / "rows")
    judged = run.evaluate(tmp_path / "rows", truth=tmp_path / "rows" / "truth" / "test.parquet").as_dict()
    assert 400 < judged["rows"] < 3000
    # What happened in the test rows is what the truth says of them, and not of others.
    truth = pl.read_parquet(tmp_path / "rows" / "truth" / "test.parquet")
    own = truth.filter(~np.isnan(run.predict(tmp_path / "rows", "test")["buy"]))
    click = judged["cumulative"]["click"]
    spread = np.sqrt((own["click"] * (1 - own["click"])).sum())
    assert abs(click["positives"] - own["click"].sum()) < 4 * spread
    assert judged["truth"]["click"]["rows"] == click["rows"] == own.height


def test_parts_know_the_keys_of_groups_but_not_the_places_of_rows(folder: Path, tmp_path: Path) -> None:
    whole = prepare(tree(), folder, tmp_path / "whole")
    for number in (1, 2):
        prepare(tree(), folder, tmp_path / "parts", shard=f"{number}/2")
    merged = prepare(tree(), folder, tmp_path / "merged", merge=[tmp_path / "parts"])
    sums = [
        [shard["sha256"] for split in one.manifest["splits"].values() for shard in split["shards"]] for one in (whole, merged)
    ]
    assert sums[0] == sums[1]
    with pytest.raises(DataError, match=r"--shard: got `data.test` by rows, .* Declare `data.test.by`, or prepare on one"):
        prepare(tree({"by": "row"}), folder, tmp_path / "rows", shard="1/2")


def test_a_share_of_which_no_row_is_left_is_refused(folder: Path, tmp_path: Path) -> None:
    schema = load_schema(tree({"by": "row", "fraction": 1e-9}))
    with pytest.raises(DataError, match=r"data.test: none of 4,000 rows are test rows, expected some on each side\. Change"):
        read(schema, Origin(root=folder), "test", tmp_path, labels=True)


def test_files_of_test_rows_beside_a_share_are_refused() -> None:
    wrong = tree()
    wrong["data"]["facts"] = {"format": "parquet", "train": "a.parquet", "test": "b.parquet"}
    with pytest.raises(SchemaError, match=r"data.test: got a share of the rows beside files of test rows \('b.parquet'\)"):
        load_schema(wrong)


def test_what_it_goes_by_is_a_dimension_or_rows() -> None:
    with pytest.raises(SchemaError, match=re.escape("data.test.by")) as caught:
        load_schema(tree({"by": "usr"}))
    assert "Did you mean 'user'" in str(caught.value)


def test_stores_made_before_there_was_such_a_thing_are_as_good_as_ever() -> None:
    declared = tree()
    del declared["data"]["test"]
    assert "test" not in read_part(load_schema(declared))["data"]
    assert read_part(load_schema(tree()))["data"]["test"]["fraction"] == 0.2
