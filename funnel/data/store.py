"""The encoded store: all rows of some splits as shards of star batches, with all that is known about them."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from funnel.data.arrays import let_go
from funnel.data.copies import Copies, require_checksum
from funnel.data.origin import FORMAT, Split, read_part
from funnel.data.star import Star
from funnel.data.vocabulary import Vocabulary
from funnel.errors import DataError
from funnel.locations.location import Location, location
from funnel.locations.remote import Remote
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, vocabulary_tables

MANIFEST, LEARNT, VOCABULARY = "manifest.json", "learnt.json", "vocabulary"


class Shards(Sequence[Star]):
    """The shards of one split; each is opened, and its checksum compared, when it is first asked for.

    Args:
        file: Gives the path of a file of the store, and compares its checksum.
        entries: What the manifest says of each.
        sources: The facts and the dimensions.
        owner: The store, which may be temporary: it stays as long as its rows are used.
    """

    def __init__(
        self,
        file: Callable[[str, str], Path],
        entries: Sequence[dict[str, Any]],
        sources: tuple[str, ...],
        owner: object = None,
    ) -> None:
        self._file, self._entries, self._sources, self._owner = file, entries, sources, owner
        self._open: dict[int, Star] = {}
        self._lock = Lock()
        self.sizes = np.array([entry["rows"] for entry in entries], np.int64)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: Any) -> Any:
        with self._lock:
            if number not in self._open:
                self._open[number] = self._load(self._entries[number])
            return self._open[number]

    @property
    def rows(self) -> int:
        """Facts in all shards."""
        return int(self.sizes.sum())

    def let_go(self) -> None:
        """Take what was read of them out of this process's memory; it is read again where needed."""
        with self._lock:
            for star in self._open.values():
                let_go(star.position)

    def once(self) -> Iterator[Star]:
        """Each shard in turn, closed again afterwards: memory holds one at a time."""
        for entry in self._entries:
            yield self._load(entry)

    def _load(self, entry: dict[str, Any]) -> Star:
        star, _ = Star.load(self._file(entry["file"], entry["sha256"]), self._sources)
        return star


class Store:
    """A folder with the encoded rows.

    Args:
        path: The folder. Of one behind a URL, each file is copied to this machine when it is first asked for.
        schema: The declaration that it was, or could have been, prepared for.
        owner: A temporary folder around it, which goes with the last store that holds it.
        copies: Of its files on this machine, where there are some.

    Raises:
        DataError: The folder is missing, not whole, or of another version.
    """

    def __init__(self, path: str | Location, schema: FunnelSchema, owner: object = None, copies: Copies | None = None) -> None:
        self.path, self.schema, self.owner = location(path), schema, owner
        manifest = manifest_of(self.path)
        if manifest is None:
            raise DataError(f"{path}: is no store, expected one that `funnel prepare` wrote. Correct the path.")
        self.manifest = manifest
        self.copies = Copies(self.path, manifest) if copies is None and isinstance(self.path, Remote) else copies
        self._shards: weakref.WeakValueDictionary[str, Shards] = weakref.WeakValueDictionary()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def splits(self) -> list[str]:
        """The splits that have rows."""
        return list(self.manifest["splits"])

    def shards(self, split: Split) -> Shards:
        """The rows of a split."""
        shards = self._shards.get(split)
        if shards is None:
            entries = self.manifest["splits"].get(split, {"shards": []})["shards"]
            # Held weakly: it holds the store.
            shards = self._shards[split] = Shards(self.file, entries, self.schema.sources, self)
        return shards

    @property
    def folder(self) -> Path:
        """Where its files are on this machine, or will be."""
        if isinstance(self.path, Path):
            return self.path
        if self.copies is None:
            raise ValueError("got a store behind a URL without copies")
        return self.copies.folder

    def file(self, name: str, wanted: str) -> Path:
        """The path of a file, as it was written.

        Args:
            name: Its path from the store's folder.
            wanted: Its checksum.

        Raises:
            DataError: It was changed, or cannot be read.
        """
        if self.copies is not None:
            return self.copies.fetch(name, wanted)
        require_checksum(self.folder / name, wanted, self.path / name)
        return self.folder / name

    @cached_property
    def learnt(self) -> Learnt:
        """What the training rows add to the declaration."""
        self._require_unchanged()
        learnt = Learnt.model_validate_json((self.folder / LEARNT).read_text(encoding="utf-8"))
        declared = {stage.name: stage.prior for stage in self.schema.stages}
        priors = tuple(given or rate for given, rate in zip(declared.values(), learnt.priors, strict=True))
        return learnt.model_copy(update={"priors": priors})

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The training rows' ids."""
        self._require_unchanged()
        return Vocabulary.load(self.folder / VOCABULARY, vocabulary_tables(self.schema))

    def _require_unchanged(self) -> None:
        for part, wanted in self.manifest["sums"].items():
            self.file(part, wanted)

    @property
    def digest(self) -> str:
        """A hash of the encoded training rows, and of all that was learnt from them, wherever the store is."""
        shards = [
            shard["sha256"]
            for split in ("train", "validation")
            for shard in self.manifest["splits"].get(split, {"shards": []})["shards"]
        ]
        content = json.dumps([shards, self.manifest["sums"]], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def vocabulary_files(self) -> dict[str, str]:
        """By table: the file with its ids, one a line."""
        if self.copies is not None:
            self._require_unchanged()
        return {table: str(self.folder / VOCABULARY / f"{table}.txt") for table in vocabulary_tables(self.schema)}


def parts_besides_shards(folder: Path) -> list[Path]:
    """What else a store's checksums cover: what was learnt, and the vocabularies."""
    return [Path(LEARNT), *sorted(path.relative_to(folder) for path in (folder / VOCABULARY).iterdir())]


def store_of(schema: FunnelSchema, data: Any) -> Store | None:
    """The store that a caller gave as data, or the folder of one; None where it is something else.

    Raises:
        DataError: It was prepared for a schema that reads or encodes rows in another way.
    """
    if isinstance(data, Store):
        path = data.path
    elif isinstance(data, str | Path | Remote):
        path = location(data)
    else:
        return None
    manifest = manifest_of(path)
    if manifest is None and not isinstance(data, Store):
        return None
    wanted = read_part(schema)
    differ = [key for key in wanted if manifest is None or manifest["schema"].get(key) != wanted[key]]
    if differ:
        raise DataError(
            f"{path}: was prepared for another schema (another {', '.join(differ)}), expected one that reads and encodes rows "
            "in the same way. Prepare again."
        )
    return Store(path, schema, data.owner, data.copies) if isinstance(data, Store) else Store(path, schema)


def manifest_of(path: Location) -> dict[str, Any] | None:
    """What a store says of itself; None where there is no whole store of this version.

    Raises:
        RemoteError: It is behind a URL, and cannot be looked at.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None
