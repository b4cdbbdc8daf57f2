from __future__ import annotations

import hashlib
import os
from pathlib import Path

import oracle
import pandas as pd
import pytest

from funnel.data import origin as origin_module
from funnel.data.origin import Origin, files_of, fingerprint, hashes_of, origin_of, read_part, require_others, splits_of
from funnel.errors import DataError
from funnel.schema.reader import load_schema


def tree_of(**data):
    tree = oracle.mapping("csv")
    tree["data"] |= {"root": "rows", "validation": {"kind": "file", "files": ["held.csv"]}, **data}
    return tree


@pytest.fixture
def schema():
    return load_schema(tree_of())


@pytest.fixture
def folder(tmp_path):
    for name in ("facts_1.csv", "users.csv", "held.csv", "other.csv"):
        (tmp_path / name).write_text("a")
    return tmp_path


def mark(schema, folder, splits=("train", "validation"), *, labels=True, known=""):
    origins = dict.fromkeys(splits, Origin(root=folder))
    return fingerprint(schema, origins, files_of(schema, origins), labels=labels, known=known)


def test_frames_and_folders_are_told_apart(schema, tmp_path):
    frame = pd.DataFrame({"a": [1]})
    assert origin_of(schema, frame).frames == {"facts": frame}
    assert origin_of(schema, {"user": frame}).frames == {"user": frame}
    assert origin_of(schema, str(tmp_path)) == Origin(root=tmp_path)
    assert origin_of(schema, Origin(root=tmp_path)) == Origin(root=tmp_path)


def test_an_origin_says_what_it_is(tmp_path):
    assert str(Origin(root=tmp_path)) == str(tmp_path)
    assert str(Origin(frames={})) == "the frames given"


def test_a_declared_folder_is_looked_for_from_here_then_beside_the_schema_and_above(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.root: no folder 'rows' from here"):
        origin_of(schema, None, tmp_path / "schemas" / "a.yaml")
    (tmp_path / "project" / "rows").mkdir(parents=True)
    assert origin_of(schema, None, tmp_path / "project" / "schemas" / "a.yaml").root == tmp_path / "project" / "rows"
    (tmp_path / "rows").mkdir()
    assert origin_of(schema, None, tmp_path / "project" / "a.yaml").root.resolve() == tmp_path / "rows"


def test_of_two_declared_folders_that_with_the_rows_is_taken(tmp_path, monkeypatch):
    schema = load_schema(tree_of(root="."))
    (here, beside) = (tmp_path / "here", tmp_path / "beside")
    for folder in (here, beside):
        folder.mkdir()
    monkeypatch.chdir(here)
    assert origin_of(schema, None, beside / "a.yaml").root.resolve() == here  # where messages say what there is
    (beside / "facts_1.csv").write_text("a")
    assert origin_of(schema, None, beside / "a.yaml").root.resolve() == beside
    (here / "facts_1.csv").write_text("a")
    assert origin_of(schema, None, beside / "a.yaml").root.resolve() == here
    assert origin_of(schema).root.resolve() == here


@pytest.mark.parametrize("fitted_on", ["rows", "rows/", "./rows", "other/../rows"])
def test_training_rows_are_no_test(fitted_on):
    rows, files = Origin(root=Path("rows")), load_schema(tree_of(facts={"format": "csv", "files": "facts.csv"}))
    with pytest.raises(DataError, match=r"data\.facts\.files: got 'facts\.csv', which are the training rows.*`data\.test`"):
        require_others(files, rows, "test", fitted_on)
    require_others(files, rows, "train", fitted_on)
    require_others(files, rows, "test", None)
    require_others(files, Origin(root=Path("later")), "test", fitted_on)
    require_others(files, Origin(frames={"facts": pd.DataFrame()}), "test", fitted_on)
    parted = load_schema(tree_of(facts={"format": "csv", "files": "facts.csv"}, test={"fraction": 0.2}))
    require_others(parted, rows, "test", fitted_on)
    require_others(load_schema(tree_of(facts={"format": "csv", "train": "a.csv", "test": "b.csv"})), rows, "test", fitted_on)


def test_a_folder_that_is_not_there_is_refused(schema, tmp_path):
    with pytest.raises(DataError, match=r"no such folder"):
        origin_of(schema, tmp_path / "none")


@pytest.mark.parametrize("name", ["facts_1.csv", "users.csv", "held.csv"])
def test_a_fingerprint_changes_with_any_file_that_is_named(schema, folder, name):
    before = mark(schema, folder)
    (folder / "other.csv").write_text("ab")
    assert mark(schema, folder) == before
    (folder / name).write_text("ab")
    assert mark(schema, folder) != before


def test_a_fingerprint_changes_with_a_file_that_comes(schema, folder):
    before = mark(schema, folder)
    (folder / "facts_2.csv").write_text("a")
    assert mark(schema, folder) != before


@pytest.mark.parametrize("place", [0, 100_000, 150_000, 299_999])
def test_a_fingerprint_sees_the_ends_and_the_middle_of_a_file_of_the_same_size_and_time(schema, folder, place):
    path = folder / "facts_1.csv"
    content = bytearray(b"x" * 300_000)
    path.write_bytes(content)
    os.utime(path, ns=(5, 5))
    before, files = mark(schema, folder), files_of(schema, {"train": Origin(root=folder)})
    content[place] = ord("y")
    path.write_bytes(content)
    os.utime(path, ns=(5, 5))
    sampled = place != 100_000
    assert (mark(schema, folder) != before) == sampled
    # A hash of all of it sees everything.
    assert hashes_of(files)["train facts facts_1.csv"] == hashlib.sha256(content).hexdigest()


def test_a_fingerprint_sees_that_a_file_was_touched(schema, folder):
    before = mark(schema, folder)
    os.utime(folder / "users.csv", ns=(7, 7))
    assert mark(schema, folder) != before


def test_files_of_one_name_in_two_folders_are_two(tmp_path):
    schema = load_schema(tree_of(facts={"format": "csv", "train": "*/facts.csv"}, validation=None))
    (tmp_path / "users.csv").write_text("a")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "facts.csv").write_text("1")
    origins = {"train": Origin(root=tmp_path)}
    assert len(files_of(schema, origins)) == 3
    marks = [mark(schema, tmp_path, ["train"])]
    for name in ("a", "b"):
        (tmp_path / name / "facts.csv").write_text("2")
        marks.append(mark(schema, tmp_path, ["train"]))
    assert len(set(marks)) == 3
    assert len(hashes_of(files_of(schema, origins))) == 3


def test_a_fingerprint_stays_where_the_folder_is_moved(schema, folder, tmp_path_factory):
    before = mark(schema, folder)
    moved = tmp_path_factory.mktemp("elsewhere") / "rows"
    folder.rename(moved)
    assert mark(schema, moved) == before


def test_a_fingerprint_depends_on_how_rows_are_read(schema, folder):
    before = mark(schema, folder)
    assert mark(schema, folder, ["train"]) != before
    assert mark(schema, folder, labels=False) != before
    assert mark(schema, folder, known="a vocabulary") != before


CHANGES = {
    "a feature's buckets": lambda tree: tree["features"][1].update(buckets=8),
    "a count": lambda tree: tree["tables"]["item"].update(min_count=2),
    "a policy": lambda tree: tree.update(inconsistent_labels="drop"),
    "rates of sampling": lambda tree: tree.update(sampling={"impression": 0.5}),
    "a weight": lambda tree: tree["data"].update(weight="w"),
    "a label": lambda tree: tree["stages"][1].update(label="click2"),
    "the group": lambda tree: tree["evaluate"].update(group_by="item_id"),
    "bad rows": lambda tree: tree["data"].update(bad_rows="skip"),
    "shards": lambda tree: tree["data"].update(shard_rows=5),
    "a transform": lambda tree: tree["features"][2].update(transform="none"),
    "a missing value": lambda tree: tree["features"][0].update(missing="oov"),
}
OTHERS = {
    "the network": lambda tree: tree.update(model={"body": {"units": [7]}, "embedding_dim": 3}),
    "the fit": lambda tree: tree.update(train={"batch_size": 7, "seed": 3, "shuffle": "row"}),
    "the objective": lambda tree: tree.update(objective={"kind": "esmm", "weights": {"buy": 2}}),
    "a width": lambda tree: tree["features"][1].update(dim=5),
    "a table's width": lambda tree: tree["tables"]["item"].update(dim=5),
    "a bucketized width": lambda tree: tree["features"][5]["transform"].update(dim=5),
    "a pooling": lambda tree: tree["features"][3].update(pooling="sum"),
    "the root": lambda tree: tree["data"].update(root="elsewhere"),
    "the name": lambda tree: tree.update(name="other"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_says_how_rows_are_read_or_encoded_counts(folder, what):
    tree = tree_of()
    CHANGES[what](tree)
    assert mark(load_schema(tree), folder) != mark(load_schema(tree_of()), folder)


@pytest.mark.parametrize("what", OTHERS)
def test_what_only_the_network_or_the_fit_needs_does_not(folder, what):
    tree = tree_of()
    OTHERS[what](tree)
    assert load_schema(tree) != load_schema(tree_of())
    assert mark(load_schema(tree), folder) == mark(load_schema(tree_of()), folder)
    assert read_part(load_schema(tree)) == read_part(load_schema(tree_of()))


def test_another_format_of_stores_is_another_fingerprint(schema, folder, monkeypatch):
    before = mark(schema, folder)
    monkeypatch.setattr(origin_module, "FORMAT", 99)
    assert mark(schema, folder) != before


def test_frames_have_no_fingerprint(schema, folder):
    assert fingerprint(schema, {"train": Origin(frames={})}, {}, labels=True) is None
    both = {"train": Origin(root=folder), "test": Origin(frames={})}
    assert fingerprint(schema, both, {}, labels=True) is None
    assert files_of(schema, {"train": Origin(frames={})}) == {}


def test_the_splits_of_a_folder_are_those_that_the_schema_names(folder):
    origin = Origin(root=folder)
    held = {"kind": "file", "files": "held.csv"}
    facts = {"format": "csv", "train": "facts*.csv"}
    for data, splits in (
        ({"validation": None, "facts": facts}, ["train"]),
        ({"validation": held, "facts": facts}, ["train", "validation"]),
        ({"validation": None, "facts": facts | {"test": "t.csv"}}, ["train", "test"]),
        ({"validation": held, "facts": facts | {"test": "t.csv"}}, ["train", "validation", "test"]),
        ({"validation": None, "facts": {"format": "csv", "files": "all.csv"}}, ["train"]),
        ({"validation": {"fraction": 0.1}, "facts": facts}, ["train"]),
    ):
        assert list(splits_of(load_schema(tree_of(**data)), origin)) == splits
    assert list(splits_of(load_schema(tree_of()), Origin(frames={}))) == ["train"]


def test_a_missing_file_is_named(schema, folder):
    (folder / "held.csv").unlink()
    with pytest.raises(DataError, match=r"facts: got no file for 'held\.csv'"):
        mark(schema, folder)
