from __future__ import annotations

from pathlib import Path

import pytest

from funnel.schema.json_schema import json_schema
from funnel.schema.reader import dump_schema, load_schema

SCHEMAS = Path(__file__).parents[2] / "schemas"
SHIPPED = sorted(SCHEMAS.glob("*.yaml"))


def test_some_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {"ecommerce", "credit_card", "esm2", "full_chain", "multi_domain"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_loads_under_its_own_name(path: Path) -> None:
    assert load_schema(path).name == path.stem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_editors_find_the_json_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./funnel.schema.json"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_written_out_and_read_again_it_is_the_same(path: Path, tmp_path: Path) -> None:
    schema = load_schema(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_schema(schema), encoding="utf-8")
    assert load_schema(copy) == schema


def test_the_json_schema_is_that_of_this_version() -> None:
    assert (SCHEMAS / "funnel.schema.json").read_text(encoding="utf-8") == json_schema()
