"""Pydantic's errors as our one line: file, line, path, what was found, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import get_annotations
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from funnel.errors import have, listed
from funnel.locations.url import redacted
from funnel.schema.funnel_schema import FunnelSchema

Path_ = tuple[str | int, ...]


def render(detail: ErrorDetails, tree: Any, where: str) -> str:
    """One line for one of pydantic's errors."""
    path = path_of(detail, tree)
    return located(_message(detail, tree, path), path, tree, where)


def path_of(detail: ErrorDetails, tree: Any) -> Path_:
    """The part that one of pydantic's errors is about."""
    own = (detail.get("ctx") or {}).get("path", ()) if detail["type"] == "funnel" else ()
    return _location(detail["loc"], tree) + tuple(own)


def located(message: str, path: Path_, tree: Any, where: str) -> str:
    """A message about a part, with the place of the part before it."""
    line, dotted = _line(tree, path), _dotted(path)
    prefix = f"{where}:{line}" if line else where
    message = f"{prefix} {dotted}: {message}" if dotted else f"{prefix}: {message}"
    # A key may hold a line break.
    return redacted(message.replace("\n", "\\n").replace("\r", "\\r"))


def _location(location: Path_, tree: Any) -> Path_:
    """Pydantic's location without the tags of unions, which are not keys of the file."""
    path: list[str | int] = []
    node = tree
    for position, part in enumerate(location):
        if isinstance(node, Mapping):
            tag = part in (node.get("kind"), node.get("format"))
            last = position == len(location) - 1
            if str(part) not in map(str, node) and (tag or (not last and isinstance(part, str))):
                continue
            node = next((value for key, value in node.items() if str(key) == str(part)), None)
        elif isinstance(node, Sequence) and not isinstance(node, str):
            if not isinstance(part, int):
                continue
            node = node[part] if part < len(node) else None
        else:
            # A union tries several types for one value: their names follow the value's path.
            break
        path.append(part)
    return tuple(path)


def _message(detail: ErrorDetails, tree: Any, path: Path_) -> str:  # noqa: PLR0911  # one for each kind of error
    kind, given, context = detail["type"], detail["input"], detail.get("ctx") or {}
    match kind:
        case "funnel":
            return str(context["message"])
        case "extra_forbidden":
            known = _known_keys(tree, path[:-1])
            return f"got an unknown key {have(path[-1], known)} Remove it, or correct its name."
        case "missing":
            return "got nothing, expected a value: it is required. Add it."
        case "union_tag_invalid":
            found = context.get("tag")
            names = re.findall(r"'([^']*)'", str(context.get("expected_tags")))
            return (
                f"got `{str(context.get('discriminator')).strip(chr(39))}: {found}`, expected one of these {have(found, names)}"
            )
        case "union_tag_not_found":
            return (
                f"got no `{str(context.get('discriminator')).strip(chr(39))}`, expected it to say which kind this is. Add it."
            )
        case "literal_error":
            names = re.findall(r"'([^']*)'", str(context.get("expected")))
            return f"got {shown(given)}, expected one of these {have(given, names)}"
        case "model_type" if keys := _known_keys(tree, path):
            return f"got {shown(given)}, expected a mapping with some of {listed(keys)}."
        case "string_pattern_mismatch":
            return f"got {shown(given)}, expected a letter, then letters, digits or underscores. Rename it."
        case _:
            return f"got {shown(given)}, expected {_expected(detail['msg'])}."


def shown(given: Any) -> str:
    """What was found, for a message."""
    if given is None:
        return "nothing"
    if isinstance(given, Mapping):
        return f"a mapping with {listed(given)}"
    if isinstance(given, Sequence) and not isinstance(given, str):
        return f"a list of {len(given)}"
    return repr(given)


def _expected(message: str) -> str:
    """Pydantic's sentence, as the second half of ours."""
    message = re.sub(r"^Input should be ", "", message)
    message = re.sub(r"^(\w+) should have at least (\d+) items? after validation, not (\d+)$", r"at least \2", message)
    message = re.sub(r"^a valid ", "a ", message).replace("a integer", "a whole number").replace("dictionary", "mapping")
    return message[0].lower() + message[1:]


def _known_keys(tree: Any, path: Path_) -> list[str]:
    """The keys that the model at a path knows."""
    model: Any = FunnelSchema
    node = tree
    for part in path:
        node = _child(node, part)
        model = _model_at(model, part, node)
    # Of every kind that it may be, where it names none.
    return list(dict.fromkeys(key for one in _models_in(model) for key in _own_first(one)))


def _own_first(model: type[BaseModel]) -> list[str]:
    """What a model knows, begun with what others do not: only the first few are shown."""
    own = get_annotations(model)
    return sorted(model.model_fields, key=lambda name: name not in own)


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, Mapping):
        return next((value for key, value in node.items() if str(key) == str(part)), None)
    return node[part] if isinstance(node, Sequence) and isinstance(part, int) and part < len(node) else None


def _model_at(model: Any, part: str | int, node: Any) -> Any:
    """The model class of a child, by the child's own `kind` or `format` where there are several."""
    if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
        return _choose(model.model_fields[part].annotation, node)
    # A position in a list, or a name in a mapping of models.
    return _choose(model, node)


def _choose(annotation: Any, node: Any) -> Any:
    found = list(_models_in(annotation))
    if len(found) <= 1:
        return found[0] if found else None
    tag = (node.get("kind") or node.get("format")) if isinstance(node, Mapping) else None
    for model in found:
        for field in ("kind", "format"):
            if field in model.model_fields and tag in getattr(model.model_fields[field].annotation, "__args__", ()):
                return model
    return annotation


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _line(tree: Any, path: Path_) -> int | None:
    """The line (from 1) of a path in the file, or of the nearest thing around it."""
    line, node = None, tree
    for part in path:
        marks = getattr(node, "lc", None)
        if marks is None:
            break
        if isinstance(node, Mapping):
            key = next((key for key in node if str(key) == str(part)), None)
            if key is None or marks.data is None or key not in marks.data:
                break
            line = marks.data[key][0] + 1
            node = node[key]
        elif isinstance(part, int) and part < len(node):
            line = marks.data[part][0] + 1
            node = node[part]
        else:
            break
    return line if line is not None else 1 if hasattr(tree, "lc") else None


def _dotted(path: Path_) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
