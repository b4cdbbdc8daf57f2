"""What every declaration shares: frozen, no unknown keys, and errors that know where they belong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from funnel.errors import have

# Names become columns, files, and inputs of the SavedModel; a slash separates source and feature inside batches.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]
Column = Annotated[str, StringConstraints(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
LARGEST = 3.4028234663852886e38  # of float32, in which the network computes


class Declared(BaseModel):
    """A part of a schema: immutable, and refusing keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Shorthand:
    """Lets `adam` stand for `{kind: adam}`, and a mapping without a kind for the default one.

    It does so in the models, and in the JSON Schema that editors read.

    Args:
        default: The kind of a mapping that names none.
    """

    def __init__(self, default: str) -> None:
        self.default = default

    def _spell_out(self, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        return {"kind": self.default, **value} if isinstance(value, dict) else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._spell_out, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        declared = handler(core)
        resolved = handler.resolve_ref_schema(declared)
        mapping = resolved.get("discriminator", {}).get("mapping")
        kinds = sorted(mapping) if mapping else [resolved["properties"]["kind"]["const"]]
        without = {"type": "object", "not": {"required": ["kind"]}}
        return {"anyOf": [{"type": "string", "enum": kinds}, declared, without]}


def plain(value: Any) -> Any:
    """A value as YAML and JSON have it, without what our reader of YAML adds: whole numbers that know how they were written."""
    match value:
        case bool() | float() | str() | None:
            return value
        case int():
            return int(value)
        case list() | tuple():
            return [plain(one) for one in value]
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
    raise problem((), f"got {type(value).__name__}, expected text, a number, yes or no, a list, or a mapping. Write one.")


def problem(path: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """An error of one part seen only by a greater whole: `path` leads from the whole to the part."""
    # Braces would be taken for a template's places.
    return PydanticCustomError("funnel", "{message}", {"message": message, "path": path})


def require_known(path: tuple[str | int, ...], name: str, names: Iterable[str], what: str) -> None:
    """Refuse a reference to something that is not declared.

    Raises:
        PydanticCustomError: With the names there are, and the nearest.
    """
    names = list(names)
    if name not in names:
        raise problem(path, f"{name!r} is not {what} {have(name, names)}")


def require_unique(path: tuple[str | int, ...], names: Iterable[str], what: str, key: str = "name") -> None:
    """Refuse a second thing of the same name.

    Raises:
        PydanticCustomError: At the second one.
    """
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            first = ".".join(str(part) for part in path) + f"[{seen[name]}]"
            message = f"{what} {name!r} was already used by {first}, expected each to be different. Change one."
            raise problem((*path, position, key), message)
        seen[name] = position
