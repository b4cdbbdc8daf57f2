"""Where rows come from: the folder a schema names, another one, or frames."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funnel.data.raw_star import Origin
from funnel.data.readers import find_files
from funnel.errors import DataError
from funnel.schema.data import Held
from funnel.schema.funnel_schema import FACTS, FunnelSchema


def origin_of(schema: FunnelSchema, data: Any = None, schema_file: Path | None = None) -> Origin:
    """Understand what a caller gave as data.

    Args:
        schema: The declaration.
        data: A folder; a pandas or polars frame of facts; a mapping of such frames by source; or None for `data.root`.
        schema_file: The file that the schema was read from; a relative `data.root` is looked for beside it and above, too.

    Raises:
        DataError: There is no such folder.
    """
    if isinstance(data, Origin):
        return data
    if isinstance(data, Mapping):
        return Origin(frames=data)
    if data is not None and not isinstance(data, str | Path):
        return Origin(frames={FACTS: data})
    if data is not None:
        root = Path(data)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder, expected one with the data. Correct `--data`.")
        return Origin(root=root)
    declared = Path(schema.data.root)
    above = schema_file.resolve().parents if schema_file is not None and not declared.is_absolute() else ()
    for base in (Path(), *above):
        if (base / declared).is_dir():
            return Origin(root=base / declared)
    raise DataError(f"data.root: no folder {schema.data.root!r} from here, expected one with the data. Give `--data DIR`.")


def fingerprint(schema: FunnelSchema, origin: Origin) -> str | None:
    """A hash of the names, sizes and times of all files that the schema names; None for frames."""
    if origin.root is None:
        return None
    digest = hashlib.sha256()
    for source in schema.sources:
        files = schema.files_of(source)
        patterns = [*files.patterns("train"), *files.patterns("test")]
        if source == FACTS and isinstance(held := schema.data.validation, Held):
            patterns += [held.files] if isinstance(held.files, str) else held.files
        for path in find_files(origin.root, patterns, source):
            status = path.stat()
            digest.update(f"{source}|{path.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
