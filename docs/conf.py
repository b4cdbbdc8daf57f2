"""Sphinx settings, and the reference of schema keys, drawn from the models at each build."""

from __future__ import annotations

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
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"funnel {release}"


def _type(field: dict[str, Any]) -> str:
    """A JSON Schema's type, for people."""
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[1]
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " | ".join(dict.fromkeys(_type(part) for part in field[key] if "not" not in part))
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("const", field.get("type", "any")))


def _reference() -> str:
    """One section for each model, one row for each key."""
    schema = FunnelSchema.model_json_schema()
    models = {"FunnelSchema": schema} | {name: model for name, model in schema["$defs"].items() if "properties" in model}
    lines = ["# Reference of all keys", "", "Drawn from the models that check a schema.", ""]
    for name, model in models.items():
        lines += [f"## {name}", "", model.get("description", "").replace("\n", " "), "", "| key | type | default | meaning |"]
        lines += ["|---|---|---|---|"]
        for key, field in model["properties"].items():
            default = "required" if key in model.get("required", ()) else f"`{field.get('default')}`"
            meaning = field.get("description", "").replace("\n", " ").replace("|", "\\|")
            lines.append(f"| `{key}` | {_type(field).replace('|', chr(92) + '|')} | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Write the reference beside the other pages; it is not kept in the repository."""
    (Path(app.srcdir) / "reference.md").write_text(_reference(), encoding="utf-8")
