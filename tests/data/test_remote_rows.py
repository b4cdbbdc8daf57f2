"""Rows and stores behind URLs: the same bits as on this machine, and no more of them here than is needed."""

from __future__ import annotations

import json
from pathlib import Path

import oracle
import pytest
import slow_store as slow

import funnel
from funnel.data.copies import CACHE
from funnel.data.origin import files_of, fingerprint, hashes_of, is_simulated, origin_of
from funnel.data.prepare import make_store, prepare
from funnel.data.store import Store, manifest_of
from funnel.errors import DataError, FunnelError, RemoteError, SchemaError
from funnel.locations.remote import Remote
from funnel.locations.transfer import COPYING, put_file
from funnel.schema.reader import load_schema
from tests.faulty import Faulty, failing, fine

ROOT = Remote.at("faulty://logs")
STORE = Remote.at("faulty://stores/shop")


def put(folder: Path, place: Remote) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            put_file(path, place / path.relative_to(folder))


def contents(store: Store) -> dict[str, str]:
    """The checksums of all that says what the rows are."""
    shards = [shard for split in store.manifest["splits"].values() for shard in split["shards"]]
    return store.manifest["sums"] | {shard["file"]: shard["sha256"] for shard in shards}


@pytest.mark.parametrize("form", ["feature_list", "parquet", "csv", "csv.gz"])
def test_rows_behind_a_url_make_the_same_store(unreliable: type[Faulty], tmp_path: Path, form: str) -> None:
    rows = slow.generated(3, 60)
    slow.write(rows, form, tmp_path / "raw")
    schema = load_schema(slow.schema(form, shard_rows=16))
    here = make_store(schema, {"train": origin_of(schema, tmp_path / "raw")}, tmp_path / "store")
    put(tmp_path / "raw", ROOT)
    there = make_store(schema, {"train": origin_of(schema, "faulty://logs")}, tmp_path / "other")
    assert contents(there) == contents(here)
    assert there.manifest["data"] == "faulty://logs"
    stored = make_store(schema, {"train": origin_of(schema, ROOT)}, STORE)
    assert contents(stored) == contents(here)
    found = {name for name in STORE.files() if name != "manifest.json"}
    assert found == set(contents(here))


def csv_rows(place: Remote, tmp_path: Path, facts: str | None = None) -> funnel.FunnelSchema:
    """The oracle's rows as CSV behind a URL, and their schema."""
    (tmp_path / "raw").mkdir(exist_ok=True)
    schema, _ = oracle.placed("csv", tmp_path / "raw", oracle.FACTS, oracle.USERS)
    if facts is not None:
        next((tmp_path / "raw").glob("facts*")).write_text(facts)
    put(tmp_path / "raw", place)
    return schema


def first_facts() -> str:
    return next(name for name in ROOT.files() if name.startswith("facts"))


def test_a_bad_row_is_told_of_by_its_url_and_line(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    name = first_facts()
    (ROOT / name).write_text((ROOT / name).read_text().replace("2.5", "cheap"))
    with pytest.raises(DataError, match=rf"^faulty://logs/{name}:2 .*'cheap'"):
        prepare(schema, "faulty://logs")
    (ROOT / name).write_text("")
    with pytest.raises(DataError, match=rf"^faulty://logs/{name}: got an empty file"):
        prepare(schema, "faulty://logs")


def test_files_that_did_not_change_are_not_read_again(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    first = prepare(schema, ROOT.url, STORE.url)
    unreliable.asked.clear()
    again = prepare(schema, ROOT.url, STORE.url)
    assert again.manifest == first.manifest
    assert unreliable.count("get") == unreliable.count("put") == 0
    name = first_facts()
    (ROOT / name).write_text((ROOT / name).read_text().replace("2.5", "2.6"))  # of the same size
    other = prepare(schema, ROOT.url, STORE.url)
    assert other.manifest["fingerprint"] != first.manifest["fingerprint"]
    assert contents(other) != contents(first)


def test_what_a_file_is_known_by(bucket: str, tmp_path: Path) -> None:
    root = Remote.at(bucket) / "logs"
    schema = csv_rows(root, tmp_path)
    origin = origin_of(schema, root.url)
    facts, *_, users = files_of(schema, {"train": origin}).values()
    assert facts["path"].startswith(f"{bucket}/logs/facts")
    assert facts["size"] == (root / facts["path"].rpartition("/")[2]).size
    assert len(facts["changed"].strip('"')) == 32  # what S3 keeps as a hash
    (root / "users.csv").write_text((root / "users.csv").read_text())
    assert list(files_of(schema, {"train": origin}).values())[-1] == users  # the same content, put again
    here = {"train": origin_of(schema, tmp_path / "raw")}
    assert list(hashes_of(files_of(schema, {"train": origin})).values()) == list(hashes_of(files_of(schema, here)).values())
    assert fingerprint(schema, {"train": origin}, files_of(schema, {"train": origin}), labels=True) is not None


def test_a_store_is_opened_by_fetching_what_is_asked_for(unreliable: type[Faulty], tmp_path: Path) -> None:
    rows = slow.generated(3, 60)
    slow.write(rows, "parquet", tmp_path / "raw")
    schema = load_schema(slow.schema("parquet", shard_rows=16))
    make_store(schema, {"train": origin_of(schema, tmp_path / "raw")}, STORE)
    unreliable.asked.clear()
    store = Store(STORE.url, schema)
    shards = store.shards("train")
    assert len(shards) > 2
    assert unreliable.count("get") == 0
    one = shards[1]
    assert unreliable.count("get") == 1
    assert one.rows == shards.sizes[1]
    assert shards[1] is one
    assert store.learnt.priors
    assert all(Path(file).is_file() for file in store.vocabulary_files().values())
    # The same one given as data is not fetched again.
    before = unreliable.count("get")
    again = prepare(schema, store)
    assert again.shards("train")[1].rows == one.rows
    assert unreliable.count("get") == before


def test_the_store_that_was_just_made_is_not_fetched(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    store = prepare(schema, tmp_path / "raw", STORE.url)
    assert [star.rows for star in store.shards("train")] == list(store.shards("train").sizes)
    assert store.learnt.priors
    assert unreliable.count("get") == 0


def test_copies_stay_where_the_environment_says(
    unreliable: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    schema = csv_rows(ROOT, tmp_path)
    first = contents(prepare(schema, ROOT.url, STORE.url))
    unreliable.asked.clear()
    store = Store(STORE, schema)
    assert len(store.shards("train")[0].position) == 5
    assert unreliable.count("get") == 0  # it was made here
    (copy,) = (tmp_path / "cache").glob("*/train-00000.shard")
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    assert len(Store(STORE, schema).shards("train")[0].position) == 5
    assert unreliable.count("get") == 1  # a copy that is spoilt is fetched again
    # Another store in the same place is not taken for this one.
    name = first_facts()
    (ROOT / name).write_text((ROOT / name).read_text().replace("2.5", "2.6"))
    prepare(schema, ROOT.url, STORE.url)
    other = Store(STORE, schema)
    assert contents(other) != first
    assert len(other.shards("train")[0].position) == 5
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_shard_that_was_changed_is_refused(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    prepare(schema, ROOT.url, STORE.url)
    (STORE / "train-00000.shard").write_text("something else")
    with pytest.raises(DataError, match=rf"^{STORE}/train-00000\.shard: was changed after it was written"):
        _ = Store(STORE, schema).shards("train")[0]
    (STORE / "train-00000.shard").unlink()
    with pytest.raises(RemoteError, match=rf"^{STORE}/train-00000\.shard: no such file"):
        _ = Store(STORE, schema).shards("train")[0]


def test_a_store_that_was_not_copied_whole_is_none_and_is_made_again(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)

    def broken(request: str, path: str) -> None:
        if request == "put" and path.endswith("manifest.json"):
            unreliable.rule = failing(999, ConnectionResetError("gone"))  # from now on the network is down
            raise ConnectionResetError("gone")

    unreliable.rule = broken
    with pytest.raises(RemoteError, match=r"What is left there may lack its manifest\.json"):
        prepare(schema, tmp_path / "raw", STORE.url)
    unreliable.rule = fine
    assert manifest_of(STORE) is None
    with pytest.raises(DataError, match="is no store"):
        Store(STORE, schema)
    store = prepare(schema, tmp_path / "raw", STORE.url)
    assert set(contents(store)) == set(STORE.files()) - {"manifest.json"}


def test_parts_that_several_machines_put_there_become_the_same_store(unreliable: type[Faulty], tmp_path: Path) -> None:
    rows = slow.generated(3, 60)
    slow.write(rows, "csv", tmp_path / "raw")
    tree = slow.schema("csv", shard_rows=16)
    del tree["data"]["facts"]["test"]
    schema = load_schema(tree)
    here = prepare(schema, tmp_path / "raw", tmp_path / "store")
    put(tmp_path / "raw", ROOT)
    parts = [prepare(schema, ROOT.url, "faulty://parts", shard=f"{number}/3") for number in (1, 2, 3)]
    assert [str(part) for part in parts] == [f"faulty://parts/{number}-of-3" for number in (1, 2, 3)]
    unreliable.asked.clear()
    prepare(schema, ROOT.url, "faulty://parts", shard="2/3")
    assert unreliable.count("get") == unreliable.count("put") == 0  # it is there
    (Remote.at("faulty://parts") / "2-of-3" / "part.json").unlink()
    with pytest.raises(DataError, match=r"part 2/3 is missing, expected all 3"):
        prepare(schema, ROOT.url, STORE.url, merge=["faulty://parts"])
    (Remote.at("faulty://parts") / "2-of-3" / COPYING).write_text("{}")
    prepare(schema, ROOT.url, "faulty://parts", shard="2/3")
    merged = prepare(schema, ROOT.url, STORE.url, merge=["faulty://parts"])
    assert contents(merged) == contents(here)
    damaged = parts[0].path
    assert isinstance(damaged, Remote)
    name = next(name for name in damaged.files() if name.endswith(".rows"))
    (damaged / name).write_text("")
    with pytest.raises(DataError, match=rf"^{damaged}: {name} has 0 bytes, expected"):
        prepare(schema, ROOT.url, STORE.url, merge=["faulty://parts"])


def test_another_folder_is_not_written_over(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    (STORE / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=rf"^{STORE}: is already there and no store"):
        prepare(schema, ROOT.url, STORE.url)
    assert list(STORE.files()) == ["thesis.txt"]


def test_a_store_that_cannot_be_looked_at_is_not_taken_for_missing(unreliable: type[Faulty], tmp_path: Path) -> None:
    schema = csv_rows(ROOT, tmp_path)
    prepare(schema, tmp_path / "raw", STORE.url)
    unreliable.rule = failing(99, PermissionError("Access Denied"), "read", at="stores")
    with pytest.raises(RemoteError, match="permission was refused"):
        prepare(schema, tmp_path / "raw", STORE.url)


def test_where_rows_are_looked_for(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Remote.at(memory)
    schema = csv_rows(root / "conf" / "rows", tmp_path)
    tree = oracle.mapping("csv")
    tree["data"]["root"] = f"{memory}/conf/rows"
    assert str(origin_of(load_schema(tree))) == f"{memory}/conf/rows"
    # A relative one is looked for beside the schema's file, wherever that is.
    tree["data"]["root"] = "rows"
    assert str(origin_of(load_schema(tree), None, f"{memory}/conf/a/schema.yaml")) == f"{memory}/conf/rows"
    (root / "conf" / "schema.yaml").write_text(json.dumps(tree))
    assert prepare(f"{memory}/conf/schema.yaml").manifest["data"] == f"{memory}/conf/rows"
    assert str(origin_of(schema, f"file://{tmp_path}/raw")) == str(tmp_path / "raw")
    with pytest.raises(DataError, match=rf"^{memory}/none: no such folder, expected one with the data. Correct `--data`"):
        origin_of(schema, f"{memory}/none")
    with pytest.raises(
        SchemaError, match=rf"^{memory}/conf/schem.yaml: no such file .*Did you mean '{memory}/conf/schema.yaml'"
    ):
        load_schema(f"{memory}/conf/schem.yaml")


def test_rows_that_were_not_copied_whole_are_refused(memory: str, tmp_path: Path) -> None:
    root = Remote.at(memory)
    schema = csv_rows(root, tmp_path)
    (root / COPYING).write_text(json.dumps({"host": "h", "process": 3, "since": "today"}))
    with pytest.raises(DataError, match=rf"^{memory}: was not copied whole: it is being copied by process 3 of h, since today"):
        prepare(schema, memory)


def test_whether_rows_were_simulated_is_no_reason_to_fail(unreliable: type[Faulty]) -> None:
    (ROOT / "truth" / "train.parquet").write_text("")
    assert is_simulated("faulty://logs")
    unreliable.rule = failing(99, PermissionError("no"))
    for root in ("faulty://logs", "s4://no/such", "the frames given", "s3://a:b@c"):
        assert not is_simulated(root)


@pytest.mark.parametrize("where", ["root", "train", "files", "override"])
def test_a_schema_with_a_secret_is_refused_without_it(where: str) -> None:
    tree, secret = oracle.mapping("csv"), "s3://AKIAKEY:sekr1t@bucket/logs"
    overrides: list[str] = []
    if where == "root":
        tree["data"]["root"] = secret
    elif where == "train":
        tree["data"]["facts"]["train"] = [f"{secret}/*.csv"]
    elif where == "files":
        tree["data"]["validation"] = {"kind": "file", "files": f"{secret}/*.csv"}
    else:
        overrides = [f"data.root={secret}"]
    with pytest.raises(SchemaError, match=r"s3://\*\*\*@bucket/logs.*: got credentials in a URL") as caught:
        load_schema(tree, overrides)
    assert "sekr1t" not in str(caught.value)
    with pytest.raises(FunnelError) as caught_:
        load_schema(oracle.mapping("csv"), [f"stages.none={secret}"])
    assert "sekr1t" not in str(caught_.value)
