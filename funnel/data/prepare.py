"""The call that encodes rows: what a user gives as data becomes a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

from funnel.data.arrays import checksum
from funnel.data.codes import SEEDS, CollisionError
from funnel.data.copies import Copies
from funnel.data.holdout import tested_group_of
from funnel.data.known import Known
from funnel.data.origin import FORMAT, Origin, Split, files_of, fingerprint, hashes_of, origin_of, read_part, splits_of
from funnel.data.part import Part, make_part
from funnel.data.parts import Parts
from funnel.data.portion import Portion
from funnel.data.preparation import Preparation
from funnel.data.progress import Progress, Watch
from funnel.data.store import MANIFEST, Store, manifest_of, parts_besides_shards, store_of
from funnel.errors import DataError, RemoteError
from funnel.folders import TemporaryFolder, whole_folder
from funnel.locations.location import Location, location
from funnel.locations.remote import Remote
from funnel.locations.transfer import Copied, copying
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

SchemaLike = str | Path | Mapping[str, Any] | FunnelSchema


def schema_file(schema: SchemaLike) -> Location | None:
    """The file that a schema is in."""
    return location(schema) if isinstance(schema, str | Path) else None


def make_store(
    schema: FunnelSchema,
    splits: Mapping[Split, Origin],
    path: Location,
    *,
    labels: bool = True,
    known: Known | None = None,
    base: Known | None = None,
    parts: Parts | None = None,
    verify: bool = False,
    watch: Watch | None = None,
    owner: object = None,
) -> Store:
    """Prepare a store, or open the one that is there, where nothing that it depends on has changed.

    Args:
        schema: The declaration.
        splits: Where the rows of each split are; the training rows are learnt from.
        path: The store's folder; it appears when it is whole. One that no longer fits is replaced. Behind a URL, it is made on
            this machine, and then copied, its manifest last.
        labels: Whether labels are read.
        known: What a run has learnt, to encode with.
        base: What a run has learnt, to which the training rows add: its ids keep their rows, its scales stay.
        parts: What several machines have read of the rows; None to read them.
        verify: Whether the files' whole content is compared, rather than size, time and a sample.
        watch: Called with each Progress.
        owner: Of a temporary folder around the store.

    Raises:
        DataError: The rows are not what the schema says, or the store cannot be written; nothing is left behind.
    """
    files = files_of(schema, splits)
    mark = fingerprint(schema, splits, files, labels=labels, known=_mark(known, base))
    there = manifest_of(path)
    hashes = hashes_of(files) if verify else {}
    if parts is not None:
        parts.require_fit(schema, files, hashes if verify else None)

    def fits(manifest: dict[str, Any] | None) -> bool:
        return (
            manifest is not None
            and mark is not None
            and manifest["fingerprint"] == mark
            and (not verify or manifest["hashes"] == hashes)
        )

    if fits(there):
        return Store(path, schema, owner)
    # One that was not copied whole is as good as none.
    halfway = there is None and isinstance(path, Remote) and copying(path) is not None
    if there is None and not halfway and path.exists():
        raise DataError(f"{path}: is already there and no store, expected a new folder. Choose another, or remove it.")
    made = TemporaryFolder() if isinstance(path, Remote) else None
    told = watch or (lambda _: None)
    try:
        with whole_folder(
            path, DataError, replace=there is not None or halfway, last=MANIFEST, here=made, copied=_told(watch)
        ) as folder:
            for seed in range(SEEDS) if parts is None else [parts.seed]:
                try:
                    found = Preparation(schema, splits, folder, labels, known, base, seed, told, parts).run()
                    break
                except CollisionError:
                    continue
            else:
                collided = DataError(f"{path}: two ids have one hash, whatever its seed. Report this, please.")
                raise collided if parts is None else parts.collided()
            manifest = {
                "format": FORMAT,
                "fingerprint": mark,
                "hashes": hashes,
                "files": files,
                "schema": read_part(schema),
                **found,
            }
            manifest["sums"] = {str(part): checksum(folder / part) for part in parts_besides_shards(folder)}
            manifest["data"] = " and ".join(dict.fromkeys(str(origin) for origin in splits.values()))
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    except (DataError, RemoteError):
        # Of several processes that prepare one store at once, all but the first find it there at the end.
        meanwhile = None
        with suppress(RemoteError):  # what went wrong first says more
            meanwhile = manifest_of(path)
        if not fits(meanwhile):
            raise
        return Store(path, schema, owner)
    return Store(path, schema, owner, Copies(path, manifest, made) if isinstance(path, Remote) else None)


@overload
def prepare(
    schema: SchemaLike,
    data: Any = None,
    out: str | Location | None = None,
    *,
    test: Any = None,
    overrides: Sequence[str] = (),
    base: Known | None = None,
    shard: None = None,
    merge: Sequence[str | Location] = (),
    verify: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Store: ...


@overload
def prepare(
    schema: SchemaLike,
    data: Any = None,
    out: str | Location | None = None,
    *,
    test: Any = None,
    overrides: Sequence[str] = (),
    shard: str,
    merge: Sequence[str | Location] = (),
    verify: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Part: ...


def prepare(
    schema: SchemaLike,
    data: Any = None,
    out: str | Location | None = None,
    *,
    test: Any = None,
    overrides: Sequence[str] = (),
    base: Known | None = None,
    shard: str | None = None,
    merge: Sequence[str | Location] = (),
    verify: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Store | Part:
    """Encode rows into a store, out of core; or open the one that is there, where schema and files are those it was made of.

    Only what says how rows are read and encoded counts: another `model`, `objective` or `train` needs no other store.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder; a pandas or polars frame of facts; a mapping of frames by source; a store; or None for the schema's own
            folder.
        out: The store's folder. Default: a temporary one, which goes with the store that is returned. With `shard`, the folder
            around all parts, which must be given.
        test: The test rows, given likewise. Default: those of the folder, where the schema names some.
        overrides: `path=value` texts, such as `data.bad_rows=skip`.
        base: What a run has learnt, to which the training rows add: its ids keep their rows, its scales stay.
        shard: `i/n`: read the i-th of n portions of the files, on one of n machines that see the same files.
        merge: All n parts, or the folder around them: the store is made of these, the same as if one machine had read the
            files.
        verify: Compare the whole content of the files, rather than their size, time, and a sample.
        watch: Called with each Progress.

    Returns:
        The store; with `shard`, the part.

    Raises:
        FunnelError: The schema, the rows or the parts are not right; nothing is left behind.
    """
    declared = load_schema(schema, overrides)
    portion = None if shard is None else Portion.parse(shard)
    parts = Parts.of(merge) if merge and portion is None else None
    if portion is None and parts is None and (there := store_of(declared, data)) is not None:
        if test is not None:
            raise DataError(
                "test: got test rows beside a store, expected none: a store has its own. Give what the store was made of, or "
                "judge other rows by `evaluate`."
            )
        return there
    splits: dict[Split, Origin] = splits_of(declared, origin_of(declared, data, schema_file(schema)))
    if test is not None:
        splits["test"] = origin_of(declared, test, schema_file(schema))
    if portion is not None:
        if merge or out is None:
            raise DataError("prepare: got a shard with `merge` or without `out`, expected the folder around the parts alone.")
        if declared.data.test is not None and tested_group_of(declared) is None:
            raise DataError(
                "--shard: got `data.test` by rows, whose places in all files no machine knows alone, expected `by` a "
                "dimension, or files of test rows. Declare `data.test.by`, or prepare on one machine."
            )
        return make_part(declared, splits, location(out), portion, verify=verify, watch=watch)
    if out is not None:
        return make_store(declared, splits, location(out), base=base, parts=parts, verify=verify, watch=watch)
    folder = TemporaryFolder()
    path = folder.path / "store"
    return make_store(declared, splits, path, base=base, parts=parts, verify=verify, watch=watch, owner=folder)


def _told(watch: Watch | None) -> Copied:
    """What tells how far copying is."""
    return lambda done, total: watch(Progress("copying the store", done, total, "B")) if watch is not None else None


def _mark(known: Known | None, base: Known | None) -> str:
    """What is known already, as a part of a fingerprint."""
    return (known.digest if known else "") + (f" and more than {base.digest}" if base else "")


def default_store(schema: FunnelSchema, origin: Origin, base: Known | None = None) -> Path:
    """Where the command line keeps a store: one folder for each state of schema and files, so that none replaces another."""
    splits = splits_of(schema, origin)
    mark = fingerprint(schema, splits, files_of(schema, splits), labels=True, known=_mark(None, base)) or "frames"
    return Path("stores") / f"{schema.name}-{mark[:12]}"
