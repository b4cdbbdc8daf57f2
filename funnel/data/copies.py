"""The files of a store behind a URL: each is copied to this machine when it is first asked for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from funnel.data.arrays import checksum
from funnel.errors import DataError
from funnel.folders import TemporaryFolder
from funnel.locations.location import Location
from funnel.locations.remote import Remote
from funnel.locations.transfer import fetch_file

CACHE = "FUNNEL_CACHE"  # a folder for copies that stay, for the next process; without it they go with this one


class Copies:
    """Copies of the files that were asked for.

    Args:
        store: The store.
        manifest: What it says of itself: the copies of another store at the same place are not taken for its own.
        made: A folder on this machine in which the whole of it is, as it was made there.
    """

    def __init__(self, store: Remote, manifest: Mapping[str, Any], made: TemporaryFolder | None = None) -> None:
        self.store = store
        self.folder, self._owner = _place(store, manifest)
        if made is not None and self._owner is None and not self.folder.exists():
            with suppress(OSError):  # it will be fetched
                shutil.move(made.path / store.name, self.folder)
        elif made is not None and self._owner is not None:
            self.folder, self._owner = made.path / store.name, made

    def fetch(self, name: str, wanted: str) -> Path:
        """The copy of a file, with this checksum where the store is whole.

        Raises:
            RemoteError: It cannot be read.
        """
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and checksum(path) == wanted:
                return path
        except OSError as error:
            raise DataError(f"{path}: cannot be used: {error.strerror}. Remove it, or set another {CACHE}.") from None
        fetch_file(self.store / name, path)
        require_checksum(path, wanted, self.store / name)
        return path


def _place(store: Remote, manifest: Mapping[str, Any]) -> tuple[Path, object]:
    if not (named := os.environ.get(CACHE)):
        folder = TemporaryFolder()
        return folder.path, folder
    mark = hashlib.sha256(json.dumps([str(store), manifest], sort_keys=True).encode()).hexdigest()
    return Path(named).absolute() / f"{store.name}-{mark[:16]}", None


def require_checksum(path: Path, wanted: str, where: Location) -> None:
    """Refuse a file that is not as it was written.

    Args:
        path: The file.
        wanted: What its checksum was.
        where: What it is called.

    Raises:
        DataError: It was changed, or cannot be read.
    """
    try:
        changed = checksum(path) != wanted
    except OSError as error:
        raise DataError(
            f"{where}: cannot be read: {error.strerror}. The store is not whole: remove it, and prepare again."
        ) from None
    if changed:
        raise DataError(
            f"{where}: was changed after it was written, expected the checksum {wanted[:12]}... Remove the store, "
            "and prepare again."
        )
