"""What differs between declarations, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from funnel.schema.funnel_schema import FunnelSchema

LACKING = "\u2013"  # a dash
UNTOLD: dict[str, Any] = {"name": True, "data": {"root"}}  # what they are called, and where their rows are, changes no fit
_NOTHING = object()


def differences(schemas: Sequence[FunnelSchema]) -> list[tuple[str, list[str]]]:
    """The keys that have not one value in all schemas, each with the value in every one; a dash where it has none.

    Entries of lists are told apart by their names: features, stages, dimensions.
    """
    trees = [schema.model_dump(mode="json", exclude=UNTOLD) for schema in schemas]
    return [(path, [_text(value) for value in values]) for path, values in _walk("", [_named(tree) for tree in trees])]


def _named(value: Any) -> Any:
    """A tree in which lists of what has a name are mappings."""
    match value:
        case dict():
            return {key: _named(inner) for key, inner in value.items()}
        case [{"name": _}, *_]:
            return {entry["name"]: {key: _named(inner) for key, inner in entry.items() if key != "name"} for entry in value}
    return value


def _walk(path: str, values: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    if all(value == values[0] for value in values[1:]):
        return
    if not all(isinstance(value, dict) for value in values):
        yield path, values
        return
    for key in dict.fromkeys(key for value in values for key in value):
        yield from _walk(f"{path}.{key}" if path else key, [value.get(key, _NOTHING) for value in values])


def _text(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items() if inner not in (None, [], {})) or "{}"
        case list():
            return f"[{', '.join(map(_text, value))}]"
        case bool():
            return str(value).lower()
        case None:
            return "null"
    return LACKING if value is _NOTHING else str(value)
