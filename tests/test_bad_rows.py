"""Rows that cannot be used, in real files, by the command line: refused with file, line and field, or skipped and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from funnel.schema.reader import dump_schema, load_schema

Answer = tuple[int, str, str]

TREE = {
    "name": "ali",
    "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
    "data": {
        "facts": {
            "format": "feature_list", "columns": ["id", "click", "buy", "key", "n", "entries"],
            "list": "entries", "count": "n", "train": "facts.csv*",
        },
        "dimensions": [
            {"name": "common", "key": "key", "format": "feature_list", "columns": ["key", "n", "entries"],
             "list": "entries", "count": "n", "files": "common.csv"},
        ],
        "validation": None,
    },
    "features": [
        {"name": "item", "kind": "categorical", "column": "205"},
        {"name": "price", "kind": "numeric", "column": "9"},
        {"name": "nodes", "kind": "bag", "column": "210", "weighted": True},
        {"name": "shops", "kind": "bag", "source": "common", "column": "110_14", "weighted": True},
    ],
}  # fmt: skip


def entries(*some: str) -> str:
    return f"{len(some)}," + "\x01".join(one.replace(":", "\x02").replace("=", "\x03") for one in some)


FACT = entries("205:7=1.0", "9:1=2.5", "210:4=0.5", "210:5=1.0")
COMMON = entries("110_14:3=0.69315", "110_14:8=1.0")
GOOD = [f"{number},{int(number % 2)},0,k{number % 3}," + FACT for number in range(1, 2001)]
USERS = [f"k{number},{COMMON}" for number in range(3)]


def written(folder: Path, facts: list[str], users: list[str] = USERS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "facts.csv").write_text("\n".join(facts) + "\n", newline="\n")
    (folder / "common.csv").write_text("\n".join(users) + "\n", newline="\n")
    (folder / "schema.yaml").write_text(dump_schema(load_schema(TREE)))
    return folder


# What is wrong, its line among the good ones, and what the message says beside the place.
BAD = {
    "an entry without a value": ("3,1,0,k0,1,205\x027", ["field '205'", "'205\\x027'", "expected field, id and a number"]),
    "an entry without an id": ("3,1,0,k0,1,205\x02\x031.0", ["field '205'", "expected field, id and a number"]),
    "an entry without a field's separator": ("3,1,0,k0,1,2057\x031.0", ["expected field, id and a number"]),
    "an empty entry": ("3,1,0,k0,2,\x01205\x027\x031.0", ["expected field, id and a number"]),
    "a weight that is no number": ("3,1,0,k0,1,210\x024\x03heavy", ["field '210'", "heavy"]),
    "a weight that is not finite": ("3,1,0,k0,1,210\x024\x03inf", ["field '210'", "inf"]),
    "a wrong count": ("3,1,0,k0,9,205\x027\x031.0", ["column 'n'", "got '9', expected 1"]),
    "a column too few": ("3,1,0,k0,1", ["got 5 columns, expected 6 (id, click, buy, key, n, entries)"]),
    "a column too many": ("3,1,0,k0,1,205\x027\x031.0,more", ["got 7 columns, expected 6"]),
    "an id beyond int64": ("3,1,0,k0,1,205\x029223372036854775808\x031.0", ["field '205'", "the id 9223372036854775808"]),
    "an id of a bag beyond int64": ("3,1,0,k0,1,210\x0299999999999999999999\x031.0", ["field '210'", "99999999999999999999"]),
    "two items": ("3,1,0,k0,2,205\x027\x031.0\x01205\x028\x031.0", ["field '205'", "more than one entry"]),
    "a label of 2": ("3,2,0,k0,1,205\x027\x031.0", ["column 'click'", "got '2' as label"]),
    "no key": ("3,1,0,,1,205\x027\x031.0", ["column 'key'", "got no key"]),
    "a key that joins nothing": ("3,1,0,k77,1,205\x027\x031.0", ["column 'key'", "dimension 'common' lacks"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_file_line_and_field(name, tmp_path, funnel):
    line, said = BAD[name]
    folder = written(tmp_path / "rows", [*GOOD[:1234], line, *GOOD[1234:]])
    code, out, error = funnel("prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store")
    assert code == 1
    assert f"{folder / 'facts.csv'}:1235 " in error
    assert error.count("\n") == 1
    for part in said:
        assert part in error
    assert "Traceback" not in out + error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_skipped_and_counted_where_declared(name, tmp_path, funnel):
    line, said = BAD[name]
    folder = written(tmp_path / "rows", [*GOOD[:1234], line, *GOOD[1234:]])
    clean = written(tmp_path / "clean", GOOD)
    command = ["prepare", folder / "schema.yaml", "--set", "data.bad_rows=skip", "--json"]
    code, out, error = funnel(*command, "--data", folder, "--out", tmp_path / "store")
    assert code == 0, error
    train = json.loads(out)["splits"]["train"]
    assert train["rows"] == 2000
    skipped = train["skipped"]["facts"]
    assert (skipped["rows"], skipped["of"]) == (1, 2001)
    assert sum(skipped["reasons"].values()) == 1
    (examples,) = skipped["examples"].values()
    assert f"{folder / 'facts.csv'}:1235 " in examples[0]
    assert all(part in examples[0] for part in said)
    # What is left is what would be there without the row.
    code, _, _ = funnel(*command, "--data", clean, "--out", tmp_path / "other")
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "store" / "vocabulary").iterdir())
    for file in names:
        assert (tmp_path / "store" / "vocabulary" / file).read_bytes() == (
            tmp_path / "other" / "vocabulary" / file
        ).read_bytes()


def test_more_bad_rows_than_declared_are_refused_with_a_few_of_them(tmp_path, funnel):
    bad = [BAD["a weight that is no number"][0], BAD["a column too few"][0], BAD["a key that joins nothing"][0]]
    folder = written(tmp_path / "rows", [*GOOD, *bad])
    skip = ["prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store", "--set"]
    code, _, error = funnel(*skip, "data.bad_rows=skip")
    assert code == 1
    assert "3 of 2,003 rows cannot be used, expected at most 0.100%" in error
    assert "a malformed entry (1)" in error
    assert "facts.csv:2001" in error
    assert not (tmp_path / "store").exists()
    code, out, _ = funnel(*skip, "data.bad_rows={max_share: 0.01}")
    assert code == 0
    assert "left out of facts: 1 rows: a malformed entry" in out


def test_a_second_row_for_a_key_is_refused_or_the_first_is_kept(tmp_path, funnel):
    users = [*USERS, "k1," + entries("110_14:99=1.0")]
    folder = written(tmp_path / "rows", GOOD, users)
    command = ["prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store"]
    code, _, error = funnel(*command)
    assert code == 1
    assert f"{folder / 'common.csv'}:4 column 'key'" in error
    assert "more than once" in error
    code, out, error = funnel(*command, "--set", "data.bad_rows={max_share: 0.5}", "--json")
    assert code == 0, error
    assert json.loads(out)["splits"]["train"]["skipped"]["common"]["rows"] == 1
    assert "99" not in (tmp_path / "store" / "vocabulary" / "shops.txt").read_text().split()


def test_facts_of_a_skipped_dimension_row_are_skipped_too(tmp_path, funnel):
    folder = written(tmp_path / "rows", GOOD, [*USERS[:2], "k2,2,110_14\x023"])
    command = ["prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store", "--json"]
    code, out, error = funnel(*command, "--set", "data.bad_rows={max_share: 0.5}")
    assert code == 0, error
    skipped = json.loads(out)["splits"]["train"]["skipped"]
    lost = sum("k2" in line for line in GOOD)
    assert skipped["facts"]["reasons"] == {"a key that dimension 'common' lacks": lost}
    assert skipped["common"]["rows"] == 1


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_a_truncated_archive_is_refused_whatever_the_policy(policy, tmp_path, funnel):
    folder = written(tmp_path / "rows", GOOD)
    text = (folder / "facts.csv").read_bytes() * 20
    (folder / "facts.csv").unlink()
    (folder / "facts.csv.gz").write_bytes(gzip.compress(text)[:-500])
    command = [
        "prepare",
        folder / "schema.yaml",
        "--data",
        folder,
        "--out",
        tmp_path / "store",
        "--set",
        f"data.bad_rows={policy}",
    ]
    code, _, error = funnel(*command)
    assert code == 1
    assert "facts.csv.gz: is cut off" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_hexadecimal_ids_without_a_letter_are_no_numbers(tmp_path, funnel):
    hexed = [line.replace("205\x027", f"205\x02{'a' * 15}{number % 9}{'7' * 8}") for number, line in enumerate(GOOD)]
    hexed[5] = hexed[5].replace("a" * 15, "1" * 15)
    folder = written(tmp_path / "rows", hexed)
    code, _, error = funnel("prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store")
    assert code == 0, error
