"""The call behind `funnel check --draw`: a schema as a picture in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.errors import SchemaError
from funnel.folders import whole_file
from funnel.locations.location import Location, location
from funnel.reporting.picture import picture
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

ENDING = ".svg"


def draw(
    schema: str | Path | Mapping[str, Any] | FunnelSchema, out: str | Path | Location, overrides: Sequence[str] = ()
) -> Location:
    """Draw a schema; see `write_picture`.

    Args:
        schema: A file, a mapping, or a schema. No rows are read.
        out: The file, `.svg`.
        overrides: `path=value` texts, such as `model.body=mmoe`.

    Returns:
        The file.

    Raises:
        SchemaError: The schema is not right, or the file cannot be written.
    """
    return write_picture(load_schema(schema, overrides), out)


def write_picture(schema: FunnelSchema, out: str | Path | Location) -> Location:
    """Write the declared funnel and its network as an SVG file, from the schema alone.

    Args:
        schema: The declaration.
        out: The file, which is replaced; it appears when it is whole.

    Returns:
        The file.

    Raises:
        SchemaError: Another ending, or the folder cannot be written.
        RemoteError: It cannot be copied to a URL.
    """
    path = location(out)
    if path.suffix != ENDING:
        raise SchemaError(
            f"draw: got the file {path.name!r}, expected the ending {ENDING}. Rename it; browsers make other kinds of it."
        )
    with whole_file(path, SchemaError, "Choose another file.") as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(picture(schema) + "\n", encoding="utf-8")
    return path
