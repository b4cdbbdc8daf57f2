"""The only reader of schema files: strict YAML, and errors that say where, what, and what to do."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import SafeRepresenter

from funnel.errors import SchemaError, have
from funnel.locations.location import Location, location
from funnel.locations.url import redacted
from funnel.schema.custom import UnusableError, found, require_usable
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.messages import located, path_of, render, shown


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


class _Representer(SafeRepresenter):
    def represent_text(self, text: str) -> Any:
        # Unquoted, or in single quotes, U+0085 and its like are line breaks.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Representer.add_representer(str, _Representer.represent_text)


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _Constructor
    return yaml


def load_schema(
    source: str | Path | Mapping[str, Any] | FunnelSchema,
    overrides: Sequence[str] = (),
    *,
    layers: bool = True,
    folders: Sequence[Path] = (),
) -> FunnelSchema:
    """Read and check a declaration.

    Args:
        source: A YAML file's path or URL, a mapping of the same shape, or a schema (returned as it is, if nothing overrides).
        overrides: `path=value` texts, the value in YAML: `train.epochs=3`, `stages.1.prior=0.01`.
        layers: Whether layers of the user's own, `kind: custom`, are imported and looked at.
        folders: Where their files are looked for, of a mapping; else the file's folder, or where the schema's were found.

    Raises:
        SchemaError: One line for each problem: file, line, path, what was found, what was expected, what to do.
    """
    if isinstance(source, FunnelSchema) and not overrides:
        return source
    if isinstance(source, FunnelSchema):
        tree: Any = source.model_dump(mode="json", exclude_unset=True)
        where = "schema"
        folders = source.model.folders
    elif isinstance(source, Mapping):
        tree, where = _plain(source), "schema"
    else:
        place = location(source)
        tree, where = _parse(place), str(place)
        folders = [place.parent.absolute()] if isinstance(place, Path) else []
    for override in overrides:
        _override(tree, override)
    try:
        schema = FunnelSchema.model_validate(_plain(tree))
    except RecursionError:
        raise SchemaError(f"{where}: a part holds itself, expected an end. Remove the alias (`*`).") from None
    except ValidationError as error:
        details = error.errors(include_url=False)
        lines = dict.fromkeys(render(detail, *_blamed(detail, tree, where, overrides)) for detail in details)
        raise SchemaError("\n".join(lines)) from None
    for path, part in schema.model.custom.items():
        part.look_in(*folders)
        try:
            if layers:
                require_usable(found(part.layer, part.folders), part.config)
        except UnusableError as error:
            raise SchemaError(located(str(error), ("model", *path, *error.key.split(".", 1)), tree, where)) from None
    return schema


def dump_schema(schema: FunnelSchema) -> str:
    """The schema as YAML, complete: with every default written out, so that a later version's defaults change nothing."""
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    # False, but typed by its first value.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(schema.model_dump(mode="json"), text)
    return text.getvalue()


def _parse(path: Location) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = path.parent.iterdir() if path.parent.is_dir() else ()
        near = sorted(str(other) for other in there if other.suffix in (".yaml", ".yml") and not other.name.startswith("."))
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
        found = "an empty file" if tree is None else shown(tree)
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


def _blamed(detail: ErrorDetails, tree: Any, where: str, overrides: Sequence[str]) -> tuple[Any, str]:
    """The tree and the place that a mistake is told with: no line of the file, where it came from the command line."""
    path = tuple(map(str, path_of(detail, tree)))
    for override in overrides:
        parts = tuple(override.partition("=")[0].strip().split("."))
        if path[: len(parts)] == parts:
            return _plain(tree), f"--set {redacted(override)}"
    return tree, where


def _override(tree: Any, override: str) -> None:
    """Set one value of the tree in place."""
    path, equals, text = override.partition("=")
    override = redacted(override)  # as messages show it
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
            f"--set {override}: {key!r} leads into {shown(node)}, expected a mapping or a list. Correct the path."
        )
    names = [str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in node]
    if key.isdigit() and int(key) < len(node):
        return int(key)
    if key in names:
        return names.index(key)
    raise SchemaError(f"--set {override}: {key!r} is not in the list {have(key, names)} Use a name or a position from 0.")
