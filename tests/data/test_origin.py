from __future__ import annotations

import oracle
import pandas as pd
import pytest

from funnel.data.origin import fingerprint, origin_of
from funnel.data.raw_star import Origin
from funnel.errors import DataError
from funnel.schema.reader import load_schema


@pytest.fixture
def schema():
    tree = oracle.mapping("csv")
    tree["data"] |= {"root": "rows", "validation": {"kind": "file", "files": ["held.csv"]}}
    return load_schema(tree)


def test_frames_and_folders_are_told_apart(schema, tmp_path):
    frame = pd.DataFrame({"a": [1]})
    assert origin_of(schema, frame).frames == {"facts": frame}
    assert origin_of(schema, {"user": frame}).frames == {"user": frame}
    assert origin_of(schema, str(tmp_path)) == Origin(root=tmp_path)
    assert origin_of(schema, Origin(root=tmp_path)) == Origin(root=tmp_path)


def test_a_declared_folder_is_looked_for_from_here_then_beside_the_schema_and_above(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.root: no folder 'rows' from here"):
        origin_of(schema, None, tmp_path / "schemas" / "a.yaml")
    (tmp_path / "project" / "rows").mkdir(parents=True)
    assert origin_of(schema, None, tmp_path / "project" / "schemas" / "a.yaml").root == tmp_path / "project" / "rows"
    (tmp_path / "rows").mkdir()
    assert origin_of(schema, None, tmp_path / "project" / "a.yaml").root.resolve() == tmp_path / "rows"


def test_a_folder_that_is_not_there_is_refused(schema, tmp_path):
    with pytest.raises(DataError, match=r"no such folder"):
        origin_of(schema, tmp_path / "none")


@pytest.mark.parametrize("name", ["facts_1.csv", "users.csv", "held.csv"])
def test_a_fingerprint_changes_with_any_file_that_is_named(schema, tmp_path, name):
    for file in ("facts_1.csv", "users.csv", "held.csv", "other.csv"):
        (tmp_path / file).write_text("a")
    before = fingerprint(schema, Origin(root=tmp_path))
    (tmp_path / "other.csv").write_text("ab")
    assert fingerprint(schema, Origin(root=tmp_path)) == before
    (tmp_path / name).write_text("ab")
    assert fingerprint(schema, Origin(root=tmp_path)) != before


def test_frames_have_no_fingerprint(schema):
    assert fingerprint(schema, Origin(frames={})) is None
