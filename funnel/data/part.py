"""A part of a store: what one machine of several has read, in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import funnel
from funnel.data.codes import SEEDS, CollisionError
from funnel.data.memory import give_back
from funnel.data.origin import Origin, Split, files_of, fingerprint, hashes_of, read_part
from funnel.data.part_files import write_split
from funnel.data.part_reader import PartReader
from funnel.data.portion import Portion
from funnel.data.progress import Watch
from funnel.errors import DataError
from funnel.folders import whole_folder
from funnel.locations.location import Location, size_of
from funnel.locations.remote import Remote
from funnel.locations.transfer import copying
from funnel.schema.funnel_schema import FunnelSchema

PART, AGAIN = "part.json", "again.json"
FORMAT = 1  # of parts: another one is not read


@dataclass(frozen=True)
class Part:
    """The folder of one.

    Attributes:
        path: The folder, or its URL.
        manifest: What it says of itself.
    """

    path: Location
    manifest: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.path)

    @property
    def portion(self) -> Portion:
        """Which it is, of how many."""
        return Portion(*self.manifest["portion"])

    @property
    def seed(self) -> int:
        """Of the codes' hash."""
        return int(self.manifest["seed"])

    @property
    def least_seed(self) -> int:
        """The seed to begin with, should it be made again: a merge may have found that two ids have one hash."""
        try:
            return int(json.loads((self.path / AGAIN).read_text(encoding="utf-8"))["seed"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def damage(self) -> str | None:
        """What its files lack, as a part of a message; None where they are whole."""
        found = self.path.files() if isinstance(self.path, Remote) else {}
        for name, size in self.manifest["sizes"].items():
            file = found.get(name) if isinstance(self.path, Remote) else self.path / name
            there = size_of(file) if file is not None and file.is_file() else None
            if there != size:
                got = "is missing" if there is None else f"has {there:,} bytes"
                return f"{name} {got}, expected {size:,} bytes"
        return None

    def is_of(self, about: Mapping[str, Any]) -> bool:
        """Whether it is whole, nobody asked for another, and its manifest says all this."""
        same = all(self.manifest[key] == value for key, value in about.items())
        return same and self.seed >= self.least_seed and self.damage() is None

    def ask_again(self, seed: int) -> None:
        """Have it made again, with this seed at least."""
        try:
            (self.path / AGAIN).write_text(json.dumps({"seed": seed}), encoding="utf-8")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}. Make it writable, and merge again.") from None


def part_at(path: Location) -> Part | None:
    """The part in a folder; None where there is no whole one of this version.

    Raises:
        RemoteError: It is behind a URL, and cannot be looked at.
    """
    try:
        manifest = json.loads((path / PART).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Part(path, manifest) if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None


def make_part(
    schema: FunnelSchema,
    splits: Mapping[Split, Origin],
    folder: Location,
    portion: Portion,
    *,
    verify: bool = False,
    watch: Watch | None = None,
) -> Part:
    """Read a portion of the rows, or open the part that is there, where nothing that it depends on has changed.

    Args:
        schema: The declaration.
        splits: Where the rows of each split are: in files.
        folder: The folder around all parts: this one is its folder `i-of-n`, which appears when it is whole. Behind a URL, it
            is made on this machine, and then copied.
        portion: Which portion.
        verify: Whether the files' whole content is compared, rather than size, time and a sample.
        watch: Called with each Progress.

    Raises:
        DataError: The rows are not what the schema says, are no files, or the part cannot be written; nothing is left behind.
    """
    files, path = files_of(schema, splits), folder / portion.name
    mark = fingerprint(schema, splits, files, labels=True)
    if mark is None:
        raise DataError("--shard: got frames, expected a folder with files that all machines see. Write them to files.")
    there, hashes = part_at(path), hashes_of(files) if verify else {}
    about = {
        "format": FORMAT,
        "portion": [portion.number, portion.of],
        "fingerprint": mark,
        "versions": versions(),
        "schema": read_part(schema),
        "files": without_paths(files),
    }
    if there is not None and there.is_of(about if not verify else {**about, "hashes": hashes}):
        return there
    # One that was not copied whole is as good as none.
    halfway = there is None and isinstance(path, Remote) and copying(path) is not None
    if there is None and not halfway and path.exists():
        raise DataError(f"{path}: is already there and no part, expected a new folder. Choose another, or remove it.")
    with whole_folder(path, DataError, replace=there is not None or halfway, last=PART) as made:
        for seed in range(0 if there is None else there.least_seed, SEEDS):
            try:
                said = {
                    split: _read(
                        PartReader(schema, origin, split, made / split, True, seed, watch or (lambda _: None), portion)
                    )
                    for split, origin in splits.items()
                }
                break
            except CollisionError:
                continue
        else:
            raise DataError(f"{path}: two ids have one hash, whatever its seed. Report this, please.")
        manifest = {
            **about,
            "seed": seed,
            "hashes": hashes,
            "splits": said,
            "sizes": _sizes(made),
        }
        (made / PART).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Part(path, manifest)


def _read(reader: PartReader) -> dict[str, Any]:
    """What there is to say of a split, once it is in its folder."""
    shutil.rmtree(reader.folder, ignore_errors=True)  # of a hash that collided
    reader.folder.mkdir()
    reader.run().require_injective({})
    said = write_split(reader)
    give_back()
    return said


def _sizes(folder: Path) -> dict[str, int]:
    found = [path for split in folder.iterdir() if split.is_dir() for path in split.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(found)}


def versions() -> dict[str, str]:
    """What cuts files into pieces, and counts: parts made by others might not fit together."""
    return {"funnel": funnel.__version__} | {name: version(name) for name in ("numpy", "polars", "pyarrow")}


def without_paths(files: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What of files counts, wherever they are."""
    return {name: {key: value for key, value in file.items() if key != "path"} for name, file in files.items()}
