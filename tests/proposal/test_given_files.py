from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import polars as pl
import pytest
from small_logs import log, refusal, written

import funnel
from funnel.proposal.files import files_in
from funnel.proposal.splits import splits_of, words

TEXT = "city,visit,signup\n" + "".join(f"c{n % 5},{int(n % 3 == 0)},{int(n % 6 == 0)}\n" for n in range(300))


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_what_stands_between_columns_is_found_out(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(
        f'\ufeff"a, b"{separator}c;d|e\tf\n'.replace("c;d|e\tf", "plain") + f"1{separator}2\n" * 3, encoding="utf-8"
    )
    (found,) = files_in([path])
    assert (found.format, found.separator, found.columns) == ("csv", separator, ("a, b", "plain"))


def test_packed_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "b.csv.bz2").write_bytes(bz2.compress(TEXT.encode()))
    assert [file.columns for file in files_in([tmp_path])] == [("city", "visit", "signup")] * 2


def test_folders_are_looked_through_without_what_others_leave_behind(tmp_path: Path) -> None:
    for name in ("train/part-0.parquet", "test/part-0.parquet", "_temporary/x.parquet", ".hidden/x.csv", "truth/t.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / name)
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "_SUCCESS").write_text("")
    found = files_in([tmp_path])
    assert sorted(str(file.path.relative_to(tmp_path)) for file in found) == ["test/part-0.parquet", "train/part-0.parquet"]
    splits = splits_of([file.path for file in found])
    assert [path.parent.name for path in (*splits.train, *splits.test)] == ["train", "test"]


@pytest.mark.parametrize(
    ("names", "train", "validation", "test"),
    [
        (["log-train.csv", "log-test.csv"], ["log-train.csv"], [], ["log-test.csv"]),
        (["a_valid.csv", "a_train.csv", "a_test.csv"], ["a_train.csv"], ["a_valid.csv"], ["a_test.csv"]),
        (["val.parquet", "test.parquet"], ["val.parquet"], [], ["test.parquet"]),
        (["test.csv"], ["test.csv"], [], []),
        (["part-0.csv", "part-1.csv"], ["part-0.csv", "part-1.csv"], [], []),
        (["2024-01-30.csv", "2024-02-01.csv", "2024-01-31.csv"], ["2024-01-30.csv", "2024-01-31.csv"], [], ["2024-02-01.csv"]),
        (["contest.csv", "latest.csv"], ["contest.csv", "latest.csv"], [], []),
    ],
)
def test_splits_are_told_by_names(names: list[str], train: list[str], validation: list[str], test: list[str]) -> None:
    found = splits_of([Path("data", name) for name in names])
    assert [path.name for path in found.train] == train
    assert [path.name for path in found.validation] == validation
    assert [path.name for path in found.test] == test


def test_names_fall_into_words() -> None:
    assert words("isClicked_at 2nd-Time") == ["is", "clicked", "at", "2nd", "time"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", "got an empty file, expected a header and rows"),
        ("log.csv", b"\n\n", "got an empty file, expected a header and rows"),
        ("log.csv", b"city,visit\n", "got no rows, expected some"),
        ("log.csv", b"city,visit,city\nx,1,y\n", "got the columns 'city' more than once, expected each once"),
        ("log.csv", b"city,visit\nK\xf6ln,1\n", "is not UTF-8 text"),
        ("log.csv", b"c1,0,1\nc2,1,0\n", "got '0', '1' in the first line, expected the names of columns"),
        ("log.csv", b"a,visit\nx,1\ny\n", "column"),
        ("log.csv", b"1\x012\x033.0\n", "got lists of entries"),
        ("log.parquet", b"no parquet at all", "cannot be read as parquet"),
        ("log.csv.gz", b"no gzip at all", "cannot be read as csv"),
        ("log.xlsx", b"PK", "got the ending '.xlsx', expected csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_message(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    said = refusal(path)
    assert message in said
    assert said.startswith(str(path))
    assert "\n" not in said


def test_what_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    written(log(50), tmp_path / "visits.csv")
    assert f"Did you mean '{tmp_path / 'visits.csv'}'?" in refusal(tmp_path / "visit.csv")
    (tmp_path / "empty").mkdir()
    assert "got no file with rows" in refusal(tmp_path / "empty")


def test_one_table_in_two_formats_is_refused(tmp_path: Path) -> None:
    written(log(50), tmp_path / "a.csv")
    written(log(50), tmp_path / "b.parquet")
    assert "got the same columns in several formats" in refusal(tmp_path)


def test_files_of_several_folders_have_one_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("train", 0), ("test", 1)):
        (tmp_path / name).mkdir()
        written(log(2000, seed), tmp_path / name / "rows [1].csv")
    monkeypatch.chdir(tmp_path)
    found = funnel.init(["train/rows [1].csv", "test/rows [1].csv"], ["visit", "signup"])
    assert found.schema.data.root == "."
    assert found.schema.data.facts.train == "train/rows [[]1].csv"
    assert found.checkup.ok


def test_validation_rows_of_their_own_are_held_out(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "valid", "test")):
        written(log(2000, seed), tmp_path / f"log-{name}.csv")
    found = funnel.init(tmp_path)
    assert (found.schema.name, found.schema.data.facts.train) == ("log", "log-train.csv")
    assert found.proposal.validation is not None
    assert found.schema.data.validation is not None
    assert found.schema.data.validation.model_dump() == {"kind": "file", "files": "log-valid.csv"}
    assert found.checkup.ok
