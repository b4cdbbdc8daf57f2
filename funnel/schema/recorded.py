"""What a run keeps of layers of the user's own: their source, and where it was; so that another machine can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from funnel.schema.custom import UnusableError, found, require_usable
from funnel.schema.funnel_schema import FunnelSchema

RECORD = "layers.json"


def sources(schema: FunnelSchema) -> dict[str, str | None]:
    """By layer: the SHA-256 of its module's source; None where that cannot be read."""
    return {part.layer: found(part.layer, part.folders).sha256 for part in schema.model.custom.values()}


def record(schema: FunnelSchema, folder: Path) -> None:
    """Write the source of each layer's module, and what tells whether another one is the same.

    Raises:
        UnusableError: A layer cannot be imported.
        OSError: The disk is full, say.
    """
    folder.mkdir()
    content = {}
    for part in schema.model.custom.values():
        one = found(part.layer, part.folders)
        package, version = one.package or (None, None)
        name = part.layer.rpartition(":")[0].removesuffix(".py").replace("/", ".").strip(".") + ".py"
        if one.text is not None:
            (folder / name).write_bytes(one.text)
        content[part.layer] = {
            "module": one.module,
            "folder": None if one.folder is None else str(one.folder),
            "package": package,
            "version": version,
            "sha256": one.sha256,
            "source": None if one.text is None else name,
        }
    (folder / RECORD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def find_again(schema: FunnelSchema, folder: Path) -> Iterator[str]:
    """Import a run's layers, from where they are on this machine; what is kept of them is not executed.

    Args:
        schema: Of the run. Its parts then know where they are looked for.
        folder: What `record` wrote.

    Yields:
        What to warn of: a source that is other than it was.

    Raises:
        UnusableError: One cannot be imported; says where its source lies.
    """
    for part in schema.model.custom.values():
        kept = _kept(folder, part.layer)
        # The file may be named from the folder of the schema, or from that in which the fit ran.
        part.look_in(*(Path(place) for place in (kept.get("folder"),) if place))
        source = kept.get("source")
        try:
            one = found(part.layer, part.folders)
            require_usable(one, part.config)
        except UnusableError as error:
            package = f" It was of the package {kept['package']} {kept['version']}." if kept.get("package") else ""
            lies = f" The run keeps its source in {folder / source}: put it there." if source else ""
            raise UnusableError(error.key, f"{error}{package}{lies}") from None
        if kept and one.sha256 != kept["sha256"]:
            yield (
                f"{part.layer}: its source {one.file or 'here'} is other than {folder / source if source else 'it was'}, with "
                "which the run was fitted: what it predicts may be other, too."
            )


def _kept(folder: Path, layer: str) -> dict[str, str | None]:
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8"))[layer])
    except (OSError, ValueError, KeyError):
        return {}
