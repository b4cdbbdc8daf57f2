"""Whole stores against a slow and obvious reader, and against each other."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import slow_store as slow
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import funnel
from funnel.data import spill
from funnel.data.origin import origin_of, splits_of
from funnel.data.prepare import make_store, prepare
from funnel.data.store import Store
from funnel.errors import DataError
from funnel.locations.location import location
from funnel.schema.reader import load_schema

FORMS = ["feature_list", "parquet", "csv", "csv.gz", "frames"]


def made(rows: slow.Rows, form: str, folder: Path, **data) -> Store:
    frames = slow.write(rows, form, folder / "raw")
    schema = load_schema(slow.schema(form, **data))
    given_ = frames if frames is not None else folder / "raw"
    return make_store(schema, {"train": origin_of(schema, given_)}, folder / "store")


def sound(seed: int, facts: int = 40) -> slow.Rows:
    """Rows to learn from: some training user has an age, some training fact a price."""
    rows = slow.generated(seed, facts)
    ages = {user["key"]: user["age"] for user in rows.users}
    training = [rows.facts[position] for position in slow.expected(rows).train]
    assume(any(ages[fact["key"]] is not None for fact in training) and any(fact["price"] is not None for fact in training))
    return rows


def contents(store: Store) -> dict[str, str]:
    """A hash of every file that says what the rows are."""
    files = [path for path in sorted(store.path.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(store.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def hashed(text: str, buckets: int) -> int:
    return int(tf.strings.to_hash_bucket_fast(tf.constant([text]), buckets).numpy()[0]) + 2


def check(rows: slow.Rows, store: Store) -> None:
    """Every fact of the store is what the slow reader says."""
    wanted = slow.expected(rows)
    users = {user["key"]: user for user in rows.users}
    assert {table: terms.to_list() for table, terms in store.vocabulary.terms.items()} == wanted.terms
    for split, positions in (("train", wanted.train), ("validation", wanted.held)):
        found = slow.facts_of(store, split)
        assert sorted(found) == positions
        for position in positions:
            fact, seen = rows.facts[position], found[position]
            user = users[fact["key"]]
            terms = wanted.terms
            assert seen["labels"] == slow.labels(fact)
            assert seen["weight"] == fact["weight"]
            assert seen["uid"] == slow.row_of(terms["uid"], user["uid"])
            assert seen["city"] == slow.row_of(terms["city"], user["city"], missing=1)
            assert seen["item"] == slow.row_of(terms["item"], fact["item"])
            assert seen["shop"] == slow.row_of(terms["shop"], fact["shop"])
            assert seen["brand"] == slow.row_of(terms["brand"], fact["127"] or "none")
            for name, entries, table in (
                ("shops", user["shops"], "shop"), ("past", user["109_14"], "past"), ("brands", fact["127_14"], "brands"),
            ):  # fmt: skip
                assert seen[name] == [slow.row_of(terms[table], one) for one, _ in entries]
                weights = None if name == "past" else [slow.float32(weight) for _, weight in entries]
                assert seen[f"{name} weights"] == weights
            assert seen["intentions"] == [hashed(one, 7) for one, _ in fact["intentions"]]
            assert seen["city_item"] == hashed(f"{user['city'] or ''}\x1f{fact['item'] or ''}", 13)
            for name, number in (("price", fact["price"]), ("age", user["age"])):
                assert seen[name] == slow.float32(number) or (math.isnan(seen[name]) and number is None)
    learnt, rates = store.learnt, slow.rates(rows, wanted.train)
    for name, found in (
        ("known_inside", learnt.known_inside),
        ("known_elsewhere", learnt.known_elsewhere),
        ("given", learnt.given),
        ("prior", learnt.priors),
        ("weight", [learnt.weight]),
    ):
        assert found == pytest.approx(rates[name], rel=1e-12)
    groups = {
        position: seen["group"] for split in ("train", "validation") for position, seen in slow.facts_of(store, split).items()
    }
    of_group = {position: users[rows.facts[position]["key"]]["uid"] for position in groups}
    assert len(set(groups.values())) == len(set(of_group.values())) == len({(groups[p], of_group[p]) for p in groups})


@pytest.mark.parametrize("form", [pytest.param(form, marks=pytest.mark.long) if form == "csv.gz" else form for form in FORMS])
@settings(max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_a_store_holds_what_a_slow_reader_finds(form, seed, tmp_path_factory):
    rows = sound(seed)
    check(rows, made(rows, form, tmp_path_factory.mktemp("slow")))


@settings(max_examples=4)
@given(seed=st.integers(0, 10**6), piece=st.sampled_from([1, 200, 3000]), buffer=st.sampled_from([0, 2000]))
def test_pieces_and_spills_change_nothing(seed, piece, buffer, tmp_path_factory):
    rows = sound(seed, 60)
    folder = tmp_path_factory.mktemp("pieces")
    whole = made(rows, "feature_list", folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funnel.data.pieces.PIECE_BYTES", piece)
        patch.setattr(spill.Spill.__init__, "__defaults__", (buffer,))
        patch.setattr(spill.FactSpill.__init__, "__defaults__", (buffer,))
        patch.setattr(spill.DimensionSpill.__init__, "__defaults__", (buffer,))
        cut = made(rows, "feature_list", folder / "cut")
    check(rows, cut)
    assert contents(cut) == contents(whole)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_all_formats_give_the_same_store_bit_for_bit(seed, tmp_path_factory):
    rows = sound(seed, 80)
    folder = tmp_path_factory.mktemp("formats")
    stores = [made(rows, form, folder / form) for form in FORMS]
    first = contents(stores[0])
    assert sum(name.endswith(".shard") for name in first) > 1
    for form, store in zip(FORMS, stores, strict=True):
        assert contents(store) == first, form
        about = [s.manifest["splits"]["train"] for s in (store, stores[0])]
        assert json.dumps(about[0]) == json.dumps(about[1])


def test_columns_that_are_numbers_are_the_same_ids_as_text(tmp_path):
    rows = slow.generated(5)
    for fact in rows.facts:
        fact["item"] = None if fact["item"] is None else str(abs(hash(fact["item"])) % 20)
    frames = slow.write(rows, "frames", tmp_path)
    assert frames is not None
    schema = load_schema(slow.schema("frames"))
    text = make_store(schema, {"train": origin_of(schema, frames)}, tmp_path / "text")
    frames["facts"] = frames["facts"].with_columns(frames["facts"]["item"].cast(int))
    assert contents(make_store(schema, {"train": origin_of(schema, frames)}, tmp_path / "number")) == contents(text)


def test_test_rows_are_encoded_with_the_training_rows_vocabulary(tmp_path):
    rows, later = slow.generated(1), slow.generated(2)
    later.users = rows.users + [user for user in later.users if user["key"] not in {u["key"] for u in rows.users}]
    slow.write(slow.Rows(later.users, rows.facts), "feature_list", tmp_path / "raw")
    slow.write(later, "feature_list", tmp_path / "raw", facts="test", users=False)
    schema = load_schema(slow.schema("feature_list"))
    store = make_store(schema, splits_of(schema, origin_of(schema, tmp_path / "raw")), tmp_path / "store")
    assert store.splits == ["train", "validation", "test"]
    check(slow.Rows(later.users, rows.facts), store)
    terms = store.vocabulary.terms["item"].to_list()
    found = slow.facts_of(store, "test")
    kept = [position for position, fact in enumerate(later.facts) if slow.labels(fact) is not None]
    assert sorted(found) == kept
    assert [found[position]["item"] for position in kept] == [
        slow.row_of(terms, later.facts[position]["item"]) for position in kept
    ]


@pytest.fixture
def prepared(tmp_path):
    rows = slow.generated(3)
    slow.write(rows, "feature_list", tmp_path / "raw")
    slow.write(rows, "feature_list", tmp_path / "raw", facts="test", users=False)
    return slow.schema("feature_list"), tmp_path


def written(store: Store) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.path.glob("*.shard")}


def test_a_store_is_found_again_whatever_network_and_fit_are_declared(prepared):
    tree, folder = prepared
    first = written(prepare(tree, folder / "raw", folder / "store"))
    tree |= {
        "model": {"embedding_dim": 3},
        "train": {"epochs": 9, "seed": 4, "batch_size": 5},
        "objective": {"weights": {"buy": 2}},
    }
    tree["tables"]["shop"]["dim"] = 7
    assert written(prepare(tree, folder / "raw", folder / "store")) == first


@pytest.mark.parametrize("change", ["label", "min_count", "bytes", "touched", "new file", "seed", "feature"])
def test_whatever_the_rows_depend_on_makes_another_store(prepared, change):
    tree, folder = prepared
    before = prepare(tree, folder / "raw", folder / "store")
    mark, first = before.manifest["fingerprint"], written(before)
    facts = folder / "raw" / "facts0.txt"
    match change:
        case "label":
            tree["inconsistent_labels"] = "and"
        case "min_count":
            tree["tables"]["shop"]["min_count"] = 1
        case "bytes":
            facts.write_text(facts.read_text() + facts.read_text().splitlines()[0] + "\n")
        case "touched":
            facts.touch()
        case "new file":
            shutil.copy(facts, folder / "raw" / "facts7.txt")
        case "seed":
            tree["data"]["validation"]["seed"] = 3
        case "feature":
            tree["features"].pop(0)
            tree["evaluate"] = {}
    after = prepare(tree, folder / "raw", folder / "store")
    assert after.manifest["fingerprint"] != mark
    assert written(after) != first
    assert not list(folder.glob(".store*"))


def test_whole_contents_are_compared_when_asked_for(prepared):
    tree, folder = prepared
    facts = folder / "raw" / "facts0.txt"
    facts.write_text(facts.read_text() * 400)  # so that a sample does not see everything
    first = written(prepare(tree, folder / "raw", folder / "store", verify=True))
    assert written(prepare(tree, folder / "raw", folder / "store", verify=True)) == first
    status, text = facts.stat(), bytearray(facts.read_bytes())
    place = text.index(b"\n1,", len(text) // 4) + 3
    text[place] ^= 1  # a label, away from the sampled ends and middle
    facts.write_bytes(text)
    os.utime(facts, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert written(prepare(tree, folder / "raw", folder / "store")) == first
    assert written(prepare(tree, folder / "raw", folder / "store", verify=True)) != first


@pytest.mark.parametrize("damage", ["byte", "cut", "gone"])
def test_a_damaged_shard_is_refused(prepared, damage):
    tree, folder = prepared
    store = prepare(tree, folder / "raw", folder / "store")
    path = next(store.path.glob("train-*.shard"))
    text = bytearray(path.read_bytes())
    match damage:
        case "byte":
            text[-1] ^= 1
            path.write_bytes(text)
        case "cut":
            path.write_bytes(text[:-8])
        case "gone":
            path.unlink()
    with pytest.raises(DataError, match=r"train-\d+\.shard: (was changed|cannot be read)"):
        list(prepare(tree, folder / "raw", folder / "store").shards("train"))


def test_a_store_is_data_too(prepared):
    tree, folder = prepared
    store = prepare(tree, folder / "raw", folder / "store")
    for given_ in (store, folder / "store", str(folder / "store")):
        batch, labels, _ = next(iter(funnel.dataset(tree, given_)))
        assert labels.shape[1] == 2
        assert "index/user" in batch
    tree["inconsistent_labels"] = "promote"
    with pytest.raises(DataError, match=r"was prepared for another schema \(another inconsistent_labels"):
        funnel.dataset(tree, folder / "store")


def test_a_store_has_its_own_test_rows(prepared):
    tree, folder = prepared
    prepare(tree, folder / "raw", folder / "store")
    with pytest.raises(DataError, match="test: got test rows beside a store, expected none: a store has its own"):
        prepare(tree, folder / "store", test=folder / "raw")


@pytest.mark.parametrize("where", ["here", "behind a URL"])
@pytest.mark.parametrize("before", ["nothing", "another store"])
def test_several_that_prepare_one_store_at_once_all_have_it(prepared, where, before):
    tree, folder = prepared
    place = location(f"memory://{folder}/store" if where == "behind a URL" else folder / "store")
    if before == "another store":
        prepare(tree | {"inconsistent_labels": "and"}, folder / "raw", place)
    inner: list[Store] = []

    def watch(_: object) -> None:
        if not inner:
            inner.append(prepare(tree, folder / "raw", place))

    outer = prepare(tree, folder / "raw", place, watch=watch)
    one, other = ({**store.manifest, "seconds": None} for store in (outer, inner[0]))
    assert one == other
    assert slow.facts_of(outer, "train").keys() == slow.facts_of(inner[0], "train").keys()
    assert not list(folder.glob(".store*"))


def test_of_two_that_prepare_different_stores_in_one_place_the_last_is_refused(prepared):
    tree, folder = prepared
    inner: list[Store] = []

    def watch(_: object) -> None:
        if not inner:
            inner.append(prepare(tree | {"inconsistent_labels": "and"}, folder / "raw", folder / "store"))

    with pytest.raises(DataError, match="cannot be written"):
        prepare(tree, folder / "raw", folder / "store", watch=watch)
    assert funnel.prepare(tree | {"inconsistent_labels": "and"}, folder / "raw", folder / "store").path == inner[0].path


def test_a_folder_that_is_no_store_is_never_replaced(prepared):
    tree, folder = prepared
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is already there and no store"):
        prepare(tree, folder / "raw", folder / "mine")
    assert (folder / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_temporary_store_goes_with_its_last_user(prepared):
    tree, folder = prepared
    store = prepare(tree, folder / "raw")
    path, shards = store.path, store.shards("train")
    del store
    gc.collect()
    assert path.exists()
    assert shards.rows
    assert isinstance(shards[0].position, np.ndarray)
    del shards
    gc.collect()
    assert not path.exists()


def test_the_manifest_counts(prepared):
    tree, folder = prepared
    store = prepare(tree, folder / "raw", folder / "store")
    rows, wanted = slow.generated(3), slow.expected(slow.generated(3))
    train = store.manifest["splits"]["train"]
    wrong = sum(slow.labels(fact) is None for fact in rows.facts)
    assert train["inconsistent_labels"] == {"policy": "drop", "rows": {"buy": wrong}}
    assert (train["read"], train["rows"]) == (len(rows.facts), len(wanted.train))
    labels = [slow.labels(rows.facts[p]) for p in wanted.train]
    assert train["stages"] == {
        "click": sum(click == 1 for click, _ in labels),
        "buy": sum(buy == 1 for _, buy in labels),
    }
    clicks, buys = [click for click, _ in labels], [buy for click, buy in labels if click == 1]
    assert None in clicks
    assert None in buys
    assert [1, 1] in labels
    assert train["spaces"] == {
        "click": {"rows": len(clicks) - clicks.count(None), "positives": clicks.count(1), "unknown": clicks.count(None)},
        "buy": {
            "rows": len(buys) - buys.count(None), "positives": buys.count(1), "unknown": sum(b is None for _, b in labels)
        },
    }  # fmt: skip
    users = {user["key"]: user for user in rows.users}
    of_train = [(rows.facts[p], users[rows.facts[p]["key"]]) for p in wanted.train]
    about = train["features"]
    assert about["item"]["missing"] == pytest.approx(sum(f["item"] is None for f, _ in of_train) / len(of_train))
    entries = [one for _, user in of_train for one, _ in user["shops"]]
    assert about["shops"]["entries"] == len(entries)
    assert about["shops"]["oov"] == pytest.approx(sum(one not in wanted.terms["shop"] for one in entries) / len(entries))
    lengths = sorted(len(user["shops"]) for _, user in of_train)
    assert about["shops"]["lengths"]["p100"] == lengths[-1]
    assert about["shops"]["lengths"]["p50"] == lengths[math.ceil(len(lengths) / 2) - 1]
    assert about["price"]["missing"] == pytest.approx(sum(f["price"] is None for f, _ in of_train) / len(of_train))
