"""The only reader of schema files: strict YAML, and errors that say where, what, and what to do."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from funnel.errors import SchemaError, have, listed
from funnel.schema.funnel_schema import FunnelSchema

Path_ = tuple[str | int, ...]


class _Whole(int):
    """A whole number that remembers how it was written: for YAML, the column 110_14 is one."""

    text: str

    def __str__(self) -> str:
        return self.text


class _Constructor(RoundTripConstructor):
    def construct_yaml_int(self, node: Any) -> _Whole:
        number = _Whole(super().construct_yaml_int(node))
        number.text = node.value
        return number


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _Constructor
    return yaml


def load_schema(source: str | Path | Mapping[str, Any] | FunnelSchema, overrides: Sequence[str] = ()) -> FunnelSchema:
    """Read and check a declaration.

    Args:
        source: A YAML file's path, a mapping of the same shape, or a schema (returned as it is, where nothing overrides).
        overrides: `path=value` texts, the value in YAML: `train.epochs=3`, `stages.1.prior=0.01`.

    Raises:
        SchemaError: One line for each problem: file, line, path, what was found, what was expected, what to do.
    """
    if isinstance(source, FunnelSchema) and not overrides:
        return source
    if isinstance(source, FunnelSchema):
        tree: Any = source.model_dump(mode="json", exclude_unset=True)
        where = "schema"
    elif isinstance(source, Mapping):
        tree, where = _plain(source), "schema"
    else:
        tree, where = _parse(Path(source)), str(source)
    for override in overrides:
        _override(tree, override)
    try:
        return FunnelSchema.model_validate(_plain(tree))
    except RecursionError:
        raise SchemaError(f"{where}: a part holds itself, expected an end. Remove the alias (`*`).") from None
    except ValidationError as error:
        lines = dict.fromkeys(_render(detail, tree, where) for detail in error.errors(include_url=False))
        raise SchemaError("\n".join(lines)) from None


def dump_schema(schema: FunnelSchema) -> str:
    """The schema as YAML, complete: with every default written out, so that a later version's defaults change nothing."""
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    # False, but typed by its first value.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(schema.model_dump(mode="json"), text)
    return text.getvalue()


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = [str(other) for other in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
        raise SchemaError(f"{path}: no such file {have(path, near)} Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: cannot be read as text: {error}. Give a YAML file.") from None
    try:
        tree = _yaml().load(text)
    except DuplicateKeyError as error:
        key = re.search(r'duplicate key "([^"]*)"', str(error.problem))
        message = f"got the key {key.group(1) if key else ''!r} twice, expected it once. Remove one."
        raise SchemaError(f"{path}:{_mark(error)} {message}") from None
    except MarkedYAMLError as error:
        hint = " Indent with spaces, not tabs." if "\\t" in str(error.problem) else " Mend the YAML."
        raise SchemaError(f"{path}:{_mark(error)} is not YAML: {error.problem}.{hint}") from None
    except (YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(f"{path}: is not YAML: {reason}. Mend the YAML.") from None
    except RecursionError:
        raise SchemaError(f"{path}: lists and mappings are nested too deep to be read. Mend the YAML.") from None
    if not isinstance(tree, Mapping):
        found = "an empty file" if tree is None else _shown(tree)
        raise SchemaError(f"{path}:1 got {found}, expected `name`, `stages`, `data`, `features`. See `funnel schema`.")
    return tree


def _mark(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return str(mark.line + 1) if mark else "1"


def _plain(node: Any) -> Any:
    """The tree without what the parser adds to it."""
    if isinstance(node, Mapping):
        # Keys such as 101 are names too.
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, str):
        return str(node)
    if isinstance(node, Sequence):
        return [_plain(value) for value in node]
    if isinstance(node, bool | _Whole) or node is None:
        return node
    if isinstance(node, int | float):
        return int(node) if isinstance(node, int) else float(node)
    return str(node)


def _override(tree: Any, override: str) -> None:
    """Set one value of the tree in place."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise SchemaError(f"--set {override}: got no `path=value`, expected one such as `train.epochs=3`.")
    try:
        value = _yaml().load(text)
    except (YAMLError, ValueError):
        value = text
    *parents, last = path.strip().split(".")
    node = tree
    for key in parents:
        if isinstance(node, Mapping):
            if not isinstance(node.get(key), Mapping | list):
                # `body: shared_bottom` is short for a mapping with that kind.
                short = node.get(key)
                node[key] = {"kind": short} if isinstance(short, str) else {}  # type: ignore[index]  # a Mapping of ours is a dict
            node = node[key]
        else:
            node = node[_position(node, key, override)]
    if isinstance(node, Mapping):
        node[last] = value  # type: ignore[index]  # as above
    else:
        node[_position(node, last, override)] = value


def _position(node: Any, key: str, override: str) -> int:
    """Where in a list: by number, or by the name of what is there."""
    if not isinstance(node, list):
        raise SchemaError(
            f"--set {override}: {key!r} leads into {_shown(node)}, expected a mapping or a list. Correct the path."
        )
    names = [str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in node]
    if key.isdigit() and int(key) < len(node):
        return int(key)
    if key in names:
        return names.index(key)
    raise SchemaError(f"--set {override}: {key!r} is not in the list {have(key, names)} Use a name or a position from 0.")


def _render(detail: ErrorDetails, tree: Any, where: str) -> str:
    """One line for one of pydantic's errors."""
    context = detail.get("ctx") or {}
    path = tuple(part for part in _location(detail["loc"], tree))
    path += tuple(context.get("path", ())) if detail["type"] == "funnel" else ()
    line = _line(tree, path)
    prefix = f"{where}:{line}" if line else where
    shown = _dotted(path)
    message = f"{prefix} {shown}: {_message(detail, tree, path)}" if shown else f"{prefix}: {_message(detail, tree, path)}"
    # A key may hold a line break.
    return message.replace("\n", "\\n").replace("\r", "\\r")


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
            return f"got {_shown(given)}, expected one of these {have(given, names)}"
        case "string_pattern_mismatch":
            return f"got {_shown(given)}, expected a letter, then letters, digits or underscores. Rename it."
        case _:
            return f"got {_shown(given)}, expected {_expected(detail['msg'])}."


def _shown(given: Any) -> str:
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
    return list(dict.fromkeys(key for one in _models_in(model) for key in one.model_fields))


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
