"""The call that encodes rows: what a user gives as data becomes a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.data.origin import files_of, fingerprint, origin_of, splits_of
from funnel.data.preparation import make_store
from funnel.data.reading import Origin, Split
from funnel.data.store import Store, TemporaryFolder, store_of
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

SchemaLike = str | Path | Mapping[str, Any] | FunnelSchema


def schema_file(schema: SchemaLike) -> Path | None:
    """The file that a schema is in."""
    return Path(schema) if isinstance(schema, str | Path) else None


def prepare(
    schema: SchemaLike,
    data: Any = None,
    out: str | Path | None = None,
    *,
    test: Any = None,
    overrides: Sequence[str] = (),
    verify: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Store:
    """Encode rows into a store, out of core; or open the one that is there, where schema and files are those it was made of.

    Only what says how rows are read and encoded counts: another `model`, `objective` or `train` needs no other store.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder; a pandas or polars frame of facts; a mapping of frames by source; a store; or None for the schema's own
            folder.
        out: The store's folder. Default: a temporary one, which goes with the store that is returned.
        test: The test rows, given likewise. Default: those of the folder, where the schema names some.
        overrides: `path=value` texts, such as `data.bad_rows=skip`.
        verify: Compare the whole content of the files, rather than their size, time, and a sample.
        watch: Called with each Progress.

    Raises:
        FunnelError: The schema or the rows are not right; nothing is left behind.
    """
    declared = load_schema(schema, overrides)
    if test is None and (there := store_of(declared, data)) is not None:
        return there
    splits: dict[Split, Origin] = splits_of(declared, origin_of(declared, data, schema_file(schema)))
    if test is not None:
        splits["test"] = origin_of(declared, test, schema_file(schema))
    if out is not None:
        return make_store(declared, splits, Path(out), verify=verify, watch=watch)
    folder = TemporaryFolder()
    return make_store(declared, splits, folder.path / "store", verify=verify, watch=watch, owner=folder)


def default_store(schema: FunnelSchema, origin: Origin) -> Path:
    """Where the command line keeps a store: one folder for each state of schema and files, so that none replaces another."""
    splits = splits_of(schema, origin)
    mark = fingerprint(schema, splits, files_of(schema, splits), labels=True) or "frames"
    return Path("stores") / f"{schema.name}-{mark[:12]}"
