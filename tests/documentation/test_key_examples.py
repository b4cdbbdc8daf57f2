"""Each key of a schema has an example, and a schema with it loads."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from funnel.errors import SchemaError
from funnel.schema.reader import load_schema
from tests.documentation.pages import ROOT
from tests.documentation.whole import DEFAULTS, NEEDS, PLACES, put, whole

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import schema_reference  # what the site is built by

FILES = ("Parquet", "Csv", "FeatureList", "ParquetDimension", "CsvDimension", "FeatureListDimension")
MODELS = schema_reference.models()


def with_key(part: str, key: str) -> dict[str, Any]:
    """A schema, one part of which has its required keys and this one."""
    properties = MODELS[part]["properties"]
    own = {name: schema_reference.example(properties[name]) for name in MODELS[part].get("required", ())}
    if not (part in FILES and key in ("files", "train", "test")):
        own |= DEFAULTS.get(part, {})
    if part == "Stage" and key != "name":
        own["name"] = "again"
    own |= {key: schema_reference.example(properties[key])} | NEEDS.get((part, key), {})
    tree = around(part, key)
    if part == "FunnelSchema":
        return tree | {key: own[key]}
    own = {name: value for name, value in own.items() if value is not None}
    return put(tree, PLACES[part], tree["data"] | own if part == "Data" else own)


def around(part: str, key: str) -> dict[str, Any]:
    """What else the schema has to have for that."""
    tree = whole()
    match part, key:
        case "FunnelSchema", "data" | "features" | "tables":
            tree["tables"], tree["features"] = {}, [{"name": name, "kind": "categorical"} for name in ("item_id", "item_shop")]
            if key == "tables":
                tree["features"][1]["table"] = "shops"
        case "Stage", "name":
            tree["stages"].pop()
        case "Stage", "any_of":
            tree["stages"] += [{"name": "buy_direct", "label": "paid_there", "given": "click"}]
            tree["stages"] += [{"name": "buy_other", "label": "paid_here", "given": "click", "unless": "buy_direct"}]
        case "Stage", "domains":
            put(tree, ("model", "domain"), "scenario")
        case "Aitm", "calibrator":
            tree["objective"] = "division"
        case "ShareTested", _:
            del tree["data"]["facts"]["test"]
        case "QuotientRemainder", _:
            tree["features"][0]["buckets"] = 100_000_000
    return tree


def test_every_part_has_its_place() -> None:
    assert set(PLACES) == set(MODELS)


@pytest.mark.parametrize("part", MODELS)
def test_a_schema_with_the_example_of_each_key_loads(part: str) -> None:
    for key, field in MODELS[part]["properties"].items():
        tree = with_key(part, key)
        # Layers of one's own are imported elsewhere (`test_page_blocks`): that takes TensorFlow.
        loaded = load_schema(tree, layers=False)
        node: Any = loaded
        for step in PLACES[part]:
            node = node[step] if isinstance(step, int) or isinstance(node, dict) else getattr(node, step)
        assert key in node.model_fields_set, f"{part}.{key}"
        assert schema_reference.example(field) is not None


def test_the_page_has_a_section_for_each_part_and_a_line_for_each_key() -> None:
    page = schema_reference.reference()
    for name, model in MODELS.items():
        section = page.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
        for key, field in model["properties"].items():
            assert f"\n`{key}`: " in section, f"{name}.{key}"
            assert f"`{schema_reference.line(key, schema_reference.example(field))}`" in section, f"{name}.{key}"


def test_keys_that_are_left_out_are_refused() -> None:
    for part, key in schema_reference.REFUSED:
        value = {"weighted": True, "weights": "counts"}[key]
        with pytest.raises(SchemaError, match=key):
            load_schema(put(whole(), PLACES[part], {"name": "liked", "kind": part.lower(), key: value}))


def test_a_key_without_an_example_is_refused() -> None:
    with pytest.raises(LookupError, match="examples"):
        schema_reference.example({"type": "string"})


def test_an_example_is_written_as_yaml() -> None:
    assert schema_reference.line("weights", {"click": 1, "buy": 2}) == "weights: {click: 1, buy: 2}"
    assert schema_reference.line("units", [64, 32]) == "units: [64, 32]"
