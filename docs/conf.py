"""Sphinx settings, and the reference of schema keys, drawn from the models at each build."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import funnel
from funnel.schema.funnel_schema import FunnelSchema

project, author, release = "funnel", "the funnel developers", funnel.__version__
copyright = "2026, the funnel developers"  # noqa: A001  # Sphinx's name
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "selection_tables.md", "peers_tables.md"]  # the tables are parts of other pages
html_theme = "furo"
html_title = f"funnel {release}"


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(field: dict[str, Any]) -> str:
    """A JSON Schema's type, for people."""
    if "$ref" in field:
        name = _referred(field)
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " | ".join(dict.fromkeys(_type(part) for part in field[key] if "not" not in part))
    if "enum" in field or "const" in field:
        return " | ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "patternProperties" in field:
        return "name to " + " | ".join(_type(part) for part in field["patternProperties"].values())
    bounds = [f"{sign} {field[key]}" for key, sign in _BOUNDS.items() if key in field]
    return " ".join([field["type"], ", ".join(bounds)]).strip()


def _referred(field: dict[str, Any]) -> str:
    return str(field["$ref"]).rsplit("/", 1)[1]


def _default(field: dict[str, Any]) -> str:
    """A default as one would write it in YAML; a part's own defaults stand in its section."""
    value = field["default"]
    if isinstance(value, dict) and value:
        return f"`{value['kind']}`" if "kind" in value else "its defaults"
    return f"`{json.dumps(value)}`"


def _reference() -> str:
    """One section for each model, one row for each key."""
    schema = FunnelSchema.model_json_schema()
    parts = schema["$defs"]
    models = {"FunnelSchema": schema} | parts
    lines = ["# Reference of all keys", "", "Drawn from the models that check a schema.", ""]
    for name, model in models.items():
        lines += [f"## {name}", "", _cell(model["description"]), "", "| key | type | default | meaning |", "|---|---|---|---|"]
        for key, field in model["properties"].items():
            default = "required" if key in model.get("required", ()) else _default(field)
            # A key described as its model is carries no text of its own.
            meaning = field.get("description") or parts[_referred(field)]["description"]
            lines.append("| " + " | ".join(_cell(cell) for cell in (f"`{key}`", _type(field), default, meaning)) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def setup(app: Any) -> None:
    """Write the reference beside the other pages; it is not kept in the repository."""
    (Path(app.srcdir) / "reference.md").write_text(_reference(), encoding="utf-8")
