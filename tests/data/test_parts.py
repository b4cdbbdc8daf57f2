"""A store made of parts against the one that a single machine makes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import part_stars
import polars as pl
import pytest
import slow_store
from hypothesis import given, settings
from hypothesis import strategies as st

import funnel
from funnel.data import codes
from funnel.data.known import Known
from funnel.data.part import Part, part_at
from funnel.data.store import Store
from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import dump_schema, load_schema

SOME = {"validation": "users", "skip": False, "sampled": False, "shard_rows": 30}


def contents(store: Store) -> dict[str, str]:
    """A hash of every file but the manifest."""
    files = [path for path in sorted(store.path.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(store.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def about(store: Store) -> str:
    """The manifest, in its order, but for the time that everything took."""
    return json.dumps({key: value for key, value in store.manifest.items() if key != "seconds"})


def in_parts(schema, raw: Path, folder: Path, of: int, **options) -> list[Part]:
    return [funnel.prepare(schema, raw, folder, shard=f"{number}/{of}", **options) for number in range(1, of + 1)]


def attempt(make: Callable[[], Store]) -> Store | str:
    """The store, or how its refusal ends: what is before that may name other rows of the same fault."""
    try:
        return make()
    except DataError as error:
        return str(error).rpartition(", expected ")[2]


def require_same(schema, raw: Path, folder: Path, parts: tuple[int, ...]) -> None:
    """One machine and several make the same store, or refuse the rows."""
    one = attempt(lambda: funnel.prepare(schema, raw, folder / "one"))
    for of in parts:
        around = folder / f"parts{of}"

        def make(of: int = of, around: Path = around) -> Store:
            in_parts(schema, raw, around, of)
            return funnel.prepare(schema, raw, folder / f"merged{of}", merge=[around])

        merged = attempt(make)
        if isinstance(one, str) or isinstance(merged, str):
            assert merged == one
            continue
        assert contents(merged) == contents(one), of
        assert about(merged) == about(one), of
        written = (merged.path / "manifest.json").stat().st_mtime_ns
        again = funnel.prepare(schema, raw, merged.path)  # one machine finds it unchanged
        assert (again.path / "manifest.json").stat().st_mtime_ns == written


stars = given(
    seed=st.integers(0, 10**6),
    form=st.sampled_from(["parquet", "csv", "csv.gz"]),
    validation=st.sampled_from(sorted(part_stars.VALIDATIONS)),
    skip=st.booleans(),
    sampled=st.booleans(),
    shard_rows=st.sampled_from([20, 60, 1000]),
    files=st.sampled_from([1, 2, 5]),
    piece=st.sampled_from([200, 1000, 16 << 20]),
    parts=st.sampled_from([(1, 3), (2,), (7,)]),
)


def check(tmp_path_factory, **drawn) -> None:
    folder, skip = tmp_path_factory.mktemp("parts"), drawn["skip"]
    schema = part_stars.schema(drawn["form"], **{key: drawn[key] for key in SOME})
    part_stars.write(folder / "raw", drawn["seed"], drawn["form"], facts=40, files=drawn["files"], bad=skip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funnel.data.pieces.PIECE_BYTES", drawn["piece"])
        require_same(schema, folder / "raw", folder, drawn["parts"])


@settings(max_examples=8)
@stars
def test_parts_together_are_the_store_of_one_machine(tmp_path_factory, **drawn):
    check(tmp_path_factory, **drawn)


@pytest.mark.long
@settings(max_examples=100)
@stars
def test_more_parts_together_are_the_store_of_one_machine(tmp_path_factory, **drawn):
    check(tmp_path_factory, **drawn)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    part_stars.write(tmp_path / "raw", 1, "csv", facts=60, files=3, bad=False)
    return tmp_path / "raw"


@pytest.fixture
def schema() -> FunnelSchema:
    return part_stars.schema("csv", **SOME, hashed=False)


@pytest.fixture
def parts(schema: FunnelSchema, raw: Path, tmp_path: Path) -> Path:
    in_parts(schema, raw, tmp_path / "parts", 3)
    return tmp_path / "parts"


def test_rows_of_a_feature_list_are_read_in_parts(tmp_path, monkeypatch):
    """One file for each source: machines share it."""
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 1500)
    rows = slow_store.generated(5, 80)
    for facts, number in (("facts", 0), ("test", 1)):
        slow_store.write(
            slow_store.Rows(rows.users, rows.facts[number:]), "feature_list", tmp_path / "raw", facts=facts, parts=1
        )
    declared = load_schema(slow_store.schema("feature_list"))
    require_same(declared, tmp_path / "raw", tmp_path, (4,))
    facts = [part_at(tmp_path / "parts4" / f"{number}-of-4").manifest["splits"]["train"]["facts"] for number in (1, 2, 3, 4)]
    assert all(facts)


def test_a_key_that_is_a_field_of_the_list_is_found(tmp_path, monkeypatch):
    """Then nothing of a row can be told without its list."""
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 60)
    files = {"format": "feature_list", "columns": ["n", "l"], "list": "l", "count": "n", "separator": "\t"}
    tree = {
        "name": "a",
        "stages": [{"name": "s", "label": "y"}],
        "features": [{"name": "x", "kind": "categorical", "min_count": 1}, {"name": "c", "kind": "categorical", "source": "d"}],
        "data": {
            "facts": {"format": "csv", "train": "facts.csv"},
            "dimensions": [{"name": "d", "key": "k", **files, "files": "d.txt"}],
            "validation": None,
        },
    }
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "facts.csv").write_text("k,x,y\n" + "".join(f"k{row % 7},{row % 5},{row % 2}\n" for row in range(30)))
    (raw / "d.txt").write_text("".join(f"2\tc\x02{row % 3}\x031\x01k\x02k{row}\x031\n" for row in range(7)))
    require_same(load_schema(tree), raw, tmp_path, (3,))


def test_a_part_that_is_there_and_unchanged_is_not_made_again(schema, raw, parts, tmp_path):
    def written() -> list[int]:
        return [(parts / f"{number}-of-3" / "part.json").stat().st_mtime_ns for number in (1, 2, 3)]

    before = written()
    in_parts(schema, raw, parts, 3)
    assert written() == before
    (parts / "2-of-3" / "train" / "facts" / "0.rows").unlink()  # it is not whole any more
    in_parts(schema, raw, parts, 3)
    assert written()[0::2] == before[0::2]
    assert written()[1] > before[1]
    other = schema.model_copy(update={"inconsistent_labels": "promote"})
    funnel.prepare(other, raw, parts, shard="1/3")
    assert written()[0] > before[0]


def test_parts_may_lie_in_several_places_and_are_put_in_order(schema, raw, parts, tmp_path):
    shutil.move(parts / "2-of-3", tmp_path / "elsewhere")
    store = funnel.prepare(schema, raw, tmp_path / "merged", merge=[tmp_path / "elsewhere", parts])
    assert contents(store) == contents(funnel.prepare(schema, raw, tmp_path / "one"))
    with pytest.raises(
        DataError, match=r"part 2/3 is missing, expected all 3 \(have: '1/3', '3/3'\)\. Prepare it with `--shard 2/3`"
    ):
        funnel.prepare(schema, raw, tmp_path / "merged", merge=[parts])
    kept = funnel.prepare(schema, raw, merge=[parts / "1-of-3", tmp_path / "elsewhere", parts / "3-of-3"])
    assert contents(kept) == contents(store)
    assert kept.path.parent.name.startswith("funnel-")  # a temporary folder


def test_what_another_run_has_learnt_comes_first_in_parts_too(schema, raw, parts, tmp_path):
    learnt = funnel.prepare(schema, raw, tmp_path / "learnt")
    base = Known(learnt.learnt, learnt.vocabulary.only(["city"]))
    one = funnel.prepare(schema, raw, tmp_path / "one", base=base)
    merged = funnel.prepare(schema, raw, tmp_path / "merged", base=base, merge=[parts])
    assert contents(merged) == contents(one) != contents(learnt)
    assert about(merged) == about(one)


def edit_manifest(path: Path, key: str, change: Callable[[dict], object]) -> None:
    manifest = json.loads((path / "part.json").read_text())
    manifest[key] = change(manifest[key])
    (path / "part.json").write_text(json.dumps(manifest))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


WRONG: dict[str, tuple[Callable[[SimpleNamespace], object], str]] = {
    "a part of another cut": (
        lambda at: (
            shutil.move(at.parts / "1-of-3", at.parts / "1-of-2")
            and edit_manifest(at.parts / "1-of-2", "portion", lambda _: [1, 2])
        ),
        r"1-of-2 is 1/2 and .*-of-3 is ./3, expected parts of one cut",
    ),
    "a part twice": (
        lambda at: shutil.copytree(at.parts / "1-of-3", at.parts / "copy"),
        r"got part 1/3 twice, in .*1-of-3 and in .*copy, expected it once",
    ),
    "a part that is missing": (lambda at: shutil.rmtree(at.parts / "3-of-3"), r"part 3/3 is missing, expected all 3"),
    "no folder": (lambda at: shutil.rmtree(at.parts), r"parts: no such folder, expected a part"),
    "no parts": (lambda at: shutil.rmtree(at.parts) or at.parts.mkdir(), r"parts: holds no whole part of this version"),
    "parts that are being written": (
        lambda at: [path.rename(at.parts / f".{path.name}-0a1b") for path in list(at.parts.iterdir())],
        r"Those that are being written, or were interrupted, are none",
    ),
    "a part of another version": (
        lambda at: edit_manifest(at.parts / "2-of-3", "format", lambda number: number - 1),
        r"part 2/3 is missing",
    ),
    "another library": (
        lambda at: edit_manifest(at.parts / "2-of-3", "versions", lambda found: {**found, "polars": "0.1"}),
        r"2-of-3: was made with polars 0\.1, and this is polars .*, expected one version for all parts",
    ),
    "another schema": (
        lambda at: edit_manifest(at.parts / "2-of-3", "schema", lambda found: {**found, "tables": {}}),
        r"2-of-3: was made for another schema \(another tables\), expected",
    ),
    "rows that were added": (
        lambda at: append(at.raw / "facts1.csv", "x\n"),
        r"the file 'facts1\.csv' \(train rows\) has changed since the part was made",
    ),
    "a dimension's file that was touched": (
        lambda at: os.utime(at.raw / "users0.csv", (1, 1)),
        r"the file 'users0\.csv' \(train rows\) has changed since",
    ),
    "a file that is gone": (
        lambda at: (at.raw / "facts2.csv").unlink(),
        r"the file 'facts2\.csv' \(train rows\) is gone since",
    ),
    "a new file": (
        lambda at: shutil.copy(at.raw / "facts2.csv", at.raw / "facts3.csv"),
        r"the file 'facts3\.csv' \(train rows\) is new since",
    ),
    "a part that was not copied whole": (
        lambda at: cut(at.parts / "2-of-3" / "train" / "facts" / "0.rows"),
        r"2-of-3: train/facts/0\.rows has [0-9,]+ bytes, expected [0-9,]+ bytes\. Copy the part again",
    ),
    "a file of a part that is missing": (
        lambda at: (at.parts / "2-of-3" / "test" / "user" / "keys.rows").unlink(),
        r"2-of-3: test/user/keys\.rows is missing, expected [0-9,]+ bytes",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_parts_that_do_not_fit_are_refused(schema, raw, parts, tmp_path, wrong):
    change, message = WRONG[wrong]
    change(SimpleNamespace(raw=raw, parts=parts))
    with pytest.raises(DataError, match=message) as refused:
        funnel.prepare(schema, raw, tmp_path / "merged", merge=[parts])
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
    assert not list(tmp_path.glob("*merged*"))


def test_a_part_needs_files_and_a_folder(schema, raw, tmp_path):
    frame = pl.DataFrame({"user_id": ["a"], "y": [1]})
    with pytest.raises(DataError, match="--shard: got frames, expected a folder with files that all machines see"):
        funnel.prepare(schema, frame, tmp_path / "parts", shard="1/2")
    with pytest.raises(DataError, match="got a shard with `merge` or without `out`"):
        funnel.prepare(schema, raw, shard="1/2")
    with pytest.raises(DataError, match="got a shard with `merge` or without `out`"):
        funnel.prepare(schema, raw, tmp_path / "parts", shard="1/2", merge=["x"])
    (tmp_path / "parts" / "1-of-2").mkdir(parents=True)
    with pytest.raises(DataError, match=r"1-of-2: is already there and no part, expected a new folder"):
        funnel.prepare(schema, raw, tmp_path / "parts", shard="1/2")
    assert not list((tmp_path / "parts" / "1-of-2").iterdir())


def test_rows_that_cannot_be_used_end_the_part_that_reads_them(schema, raw, tmp_path):
    append(raw / "facts2.csv", (raw / "facts2.csv").read_text().splitlines()[-1].replace(",", ",nothing", 1) + "\n")
    funnel.prepare(schema, raw, tmp_path / "parts", shard="1/3")
    with pytest.raises(
        DataError, match=r"facts2\.csv:22 column 'shop_id': got the key 'nothing.*', which the dimension 'shop' lacks"
    ):
        funnel.prepare(schema, raw, tmp_path / "parts", shard="3/3")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["1-of-3"]


def test_whole_contents_are_compared_where_they_were_when_the_parts_were_made(schema, raw, parts, tmp_path):
    with pytest.raises(
        DataError, match=r"1-of-3: does not know these contents of the files, expected a part .* with `--verify`"
    ):
        funnel.prepare(schema, raw, tmp_path / "merged", merge=[parts], verify=True)
    in_parts(schema, raw, parts, 3, verify=True)
    merged = funnel.prepare(schema, raw, tmp_path / "merged", merge=[parts], verify=True)
    one = funnel.prepare(schema, raw, tmp_path / "one", verify=True)
    assert merged.manifest["hashes"] == one.manifest["hashes"] != {}


def colliding(monkeypatch: pytest.MonkeyPatch, *collide: set[str], seeds: set[int]) -> None:
    """Texts of one set have one code under some seeds."""
    real = codes.hashed_text

    def hashed(text: pl.Series, seed: int = 0):
        found = real(text, seed)
        for number, some in enumerate(collide if seed in seeds else ()):
            found[text.is_in(list(some)).to_numpy()] = -1000 - number
        return found

    monkeypatch.setattr(codes, "hashed_text", hashed)


@pytest.fixture
def two(tmp_path: Path) -> tuple[dict, Path]:
    """A declaration of one id, and files in which the ids of one are none of the other's."""
    tree = {
        "name": "a",
        "stages": [{"name": "s", "label": "y"}],
        "features": [{"name": "x", "kind": "categorical", "min_count": 1}],
    }
    tree["data"] = {"facts": {"format": "csv", "train": "facts*.csv", "test": "test.csv"}, "validation": None}
    raw = tmp_path / "two"
    raw.mkdir()
    for name, ids in (("facts1", "abcd" * 3), ("facts2", "efgh" * 3), ("test", "az")):
        (raw / f"{name}.csv").write_text("x,y\n" + "".join(f"{one},{row % 2}\n" for row, one in enumerate(ids)))
    return tree, raw


@pytest.mark.parametrize(
    ("collide", "seeds"),
    [({"a", "b"}, {0}), ({"f", "g"}, {0, 1}), ({"b", "f"}, {0}), ({"c", "h"}, {0, 1, 2}), ({"d", "z"}, {0})],
    ids=["in the first", "in the second, twice", "in both together", "in both, thrice", "in the vocabulary and a test row"],
)
def test_ids_of_one_hash_have_the_parts_made_again_with_another(two, tmp_path, monkeypatch, collide, seeds):
    schema, raw = two
    colliding(monkeypatch, collide, seeds=seeds)
    one = funnel.prepare(schema, raw, tmp_path / "one")
    for _ in range(5):
        made = in_parts(schema, raw, tmp_path / "parts", 2)
        try:
            merged = funnel.prepare(schema, raw, tmp_path / "merged", merge=[tmp_path / "parts"])
            break
        except DataError as error:
            said = str(error)
            again = [part for part in made if part.seed < part.least_seed]
            assert said.endswith(
                f"Run `--shard` again for {', '.join(str(part.portion) for part in again)}: it takes another one."
            )
            assert not (tmp_path / "merged").exists()
    assert {part.seed for part in made} == {max(seeds) + 1}
    assert contents(merged) == contents(one)


def test_ids_that_have_one_hash_whatever_its_seed_are_said_to(two, tmp_path, monkeypatch):
    schema, raw = two
    colliding(monkeypatch, {"b", "f"}, seeds=set(range(8)))
    monkeypatch.setattr("funnel.data.parts.SEEDS", 2)
    for said in (
        "two ids of different parts have one hash, expected one hash for each",
        "whatever its seed. Report this, please",
    ):
        in_parts(schema, raw, tmp_path / "parts", 2)
        with pytest.raises(DataError, match=said):
            funnel.prepare(schema, raw, tmp_path / "merged", merge=[tmp_path / "parts"])
    colliding(monkeypatch, {"a", "b"}, seeds=set(range(8)))
    with pytest.raises(DataError, match=r"1-of-2: two ids have one hash, whatever its seed"):
        funnel.prepare(schema, raw, tmp_path / "other", shard="1/2")
    assert not list((tmp_path / "other").iterdir())


def command(*arguments: object) -> subprocess.Popen:
    program = [sys.executable, "-c", "from funnel.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_machines_make_parts_side_by_side_and_one_makes_the_store(schema, raw, tmp_path):
    """Each is a process; one is killed, and says nothing any more."""
    file = tmp_path / "schema.yaml"
    file.write_text(dump_schema(schema))
    arguments = ["prepare", file, "--data", raw, "--out", tmp_path / "parts"]
    killed = subprocess.Popen([sys.executable, "-c", SLOW, *map(str, [*arguments, "--shard", "2/2"])])
    other = command(*arguments, "--shard", "1/2")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "parts").glob(".2-of-2-*/train/facts")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    out, error = other.communicate()
    assert other.returncode == 0, error
    assert "part 1 of 2: " in out
    assert f"when all 2 are there, `--merge {tmp_path / 'parts'}` makes the store of them" in out
    store = ["prepare", file, "--data", raw, "--out", tmp_path / "store"]
    early = command(*store, "--merge", tmp_path / "parts")
    out, error = early.communicate()
    assert early.returncode == 1
    assert error.startswith("error: --merge: part 2/2 is missing, expected all 2 (have: '1/2'). Prepare it with `--shard 2/2`")
    again = command(*arguments, "--shard", "2/2", "--json")
    out, error = again.communicate()
    assert again.returncode == 0, error
    assert json.loads(out)["portion"] == [2, 2]
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["1-of-2", "2-of-2"]
    merged = command(*store, "--merge", tmp_path / "parts")
    out, error = merged.communicate()
    assert merged.returncode == 0, error
    assert out.endswith(f"store: {tmp_path / 'store'}\n")
    one = funnel.prepare(schema, raw, tmp_path / "one")
    made = funnel.prepare(schema, raw, tmp_path / "store")  # finds it
    assert contents(made) == contents(one)
    assert about(made) == about(one)


# Stays in the middle of the facts.
SLOW = """
import time
from funnel.cli import main
from funnel.data.spill import FactSpill
finish = FactSpill.finish
def stay(self, **options):
    finish(self, **options)
    time.sleep(600)
FactSpill.finish = stay
main()
"""


@pytest.mark.parametrize("shard", ["3/2", "0/3", "2", "a/b"])
def test_a_shard_that_is_none_is_one_message(funnel, schema, raw, tmp_path, shard):
    (tmp_path / "schema.yaml").write_text(dump_schema(schema))
    code, _, error = funnel("prepare", tmp_path / "schema.yaml", "--data", raw, "--shard", shard, "--out", tmp_path / "parts")
    assert code == 1
    assert error.startswith(f"error: --shard: got {shard!r}, expected i/n")
    assert error.count("\n") == 1
    assert not (tmp_path / "parts").exists()


def test_without_a_folder_parts_lie_beside_the_store(funnel, schema, raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.yaml").write_text(dump_schema(schema))
    for number in (1, 2):
        code, out, error = funnel("prepare", "schema.yaml", "--data", raw, "--shard", f"{number}/2")
        assert code == 0, error
    (parts,) = (tmp_path / "stores").iterdir()
    assert f"--merge {parts.relative_to(tmp_path)}` makes the store" in out
    code, out, error = funnel("prepare", "schema.yaml", "--data", raw, "--merge", parts)
    assert code == 0, error
    store = parts.with_name(parts.name.removesuffix(".parts"))
    assert out.endswith(f"store: {store.relative_to(tmp_path)}\n")
    written = (store / "manifest.json").stat().st_mtime_ns
    assert funnel("prepare", "schema.yaml", "--data", raw)[0] == 0
    assert (store / "manifest.json").stat().st_mtime_ns == written
