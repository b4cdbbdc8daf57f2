"""The JSON Schema of schema files: editors complete and check a file that names it in its first line."""

from __future__ import annotations

import json

from funnel.schema.funnel_schema import FunnelSchema


def json_schema() -> str:
    """The JSON Schema (draft 2020-12) as text, ending in a line break."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **FunnelSchema.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
