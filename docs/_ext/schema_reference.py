"""The reference of schema keys, drawn from the models that check a schema: type, default, meaning, and an example."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from ruamel.yaml import YAML

from funnel.schema.funnel_schema import FunnelSchema

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
# What a part takes from what it is like, and refuses.
REFUSED = {("Sequence", "weighted"), ("Sequence", "weights")}
HEAD = """# Reference of all keys

Drawn from the models that check a schema. Each part has its keys, with type, default, meaning, and a line that shows the
key in use; all these lines are loaded by a test. A part that is chosen by `kind` may be written as its name alone,
`objective: ips`, where it needs nothing else.
"""


class _AsDeclared(GenerateJsonSchema):
    """Keys and examples in the order in which they were written."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:  # noqa: ARG002  # pydantic's name
        return value


def models() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each part, by its name, without the keys that it refuses; the whole one comes first."""
    schema = FunnelSchema.model_json_schema(schema_generator=_AsDeclared)
    for part, key in REFUSED:
        del schema["$defs"][part]["properties"][key]
    return {"FunnelSchema": schema} | dict(sorted(schema["$defs"].items()))


def example(field: dict[str, Any]) -> Any:
    """A value that a key may have: a declared example, a choice other than the default, or the default.

    Args:
        field: The key's JSON Schema.

    Raises:
        LookupError: There is none: the field lacks `examples`.
    """
    default = field.get("default")
    for part in (field, *field.get("anyOf", ()), *field.get("oneOf", ())):
        if "examples" in part:
            return part["examples"][0]
        if "const" in part:
            return part["const"]
        if "enum" in part:
            return next(value for value in part["enum"] if value != default)
    if isinstance(default, bool):
        return not default
    if default is None or isinstance(default, dict):
        raise LookupError("no example: add `examples=[...]` to the field.")
    return default


def line(key: str, value: Any) -> str:
    """`key: value` as one line of YAML."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 10_000, False  # type: ignore[assignment]
    yaml.dump({key: value}, text)
    return text.getvalue().strip().removeprefix("{").removesuffix("}")


def reference() -> str:
    """The page: a section for each part, an entry for each key."""
    parts = models()
    found = [HEAD]
    for name, model in parts.items():
        found += [f"## {name}", "", _text(model["description"]), ""]
        for key, field in model["properties"].items():
            default = "required" if key in model.get("required", ()) else f"default {_default(field)}"
            # A key that is described as its model is carries no text of its own.
            meaning = field.get("description") or parts[_referred(field)]["description"]
            found += [f"`{key}`: {_type(field)}; {default}", f": {_text(meaning)}", ""]
            found += [f"  `{line(key, example(field))}`", ""]
    return "\n".join(found)


def _type(field: dict[str, Any]) -> str:
    """A JSON Schema's type, for people."""
    if "$ref" in field:
        name = _referred(field)
        return f"[{name}](#{name.lower()})"
    if parts := _parts(field):
        return " or ".join(dict.fromkeys(map(_type, parts)))
    if choices := field.get("enum", [field["const"]] if "const" in field else []):
        return " or ".join(f"`{value}`" for value in choices)
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "patternProperties" in field:
        return "mapping from name to " + " or ".join(_type(part) for part in field["patternProperties"].values())
    return _plain_type(field)


def _parts(field: dict[str, Any]) -> list[dict[str, Any]]:
    """What a key may be one of, without the short ways to write a kind, which the head of the page tells of."""
    parts = field.get("anyOf", field.get("oneOf", []))
    short = any("not" in part for part in parts)
    return [part for part in parts if not (short and ("not" in part or "enum" in part))]


def _plain_type(field: dict[str, Any]) -> str:
    inner = field.get("additionalProperties")
    if isinstance(inner, dict) and inner:
        return f"mapping to {_type(inner)}"
    kind = {"object": "mapping", "string": "text"}.get(field.get("type", ""), field.get("type", "anything"))
    bounds = [f"{sign} {field[key]}" for key, sign in BOUNDS.items() if key in field]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _referred(field: dict[str, Any]) -> str:
    return str(field["$ref"]).rsplit("/", 1)[1]


def _default(field: dict[str, Any]) -> str:
    """A default as one would write it in YAML; a part's own defaults stand in its section."""
    value = field["default"]
    if isinstance(value, dict) and value:
        return f"`{value['kind']}`" if "kind" in value else "as below"
    return f"`{json.dumps(value)}`"


def _text(text: str) -> str:
    return " ".join(text.split())


def setup(app: Any) -> dict[str, bool]:
    """Write the page beside the others; it is not kept in the repository."""
    (Path(app.srcdir) / "reference.md").write_text(reference(), encoding="utf-8")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
