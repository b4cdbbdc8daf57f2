"""A fit's unfinished folder behind a URL: what it has is fetched once, and what is written on this machine is copied there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from funnel.errors import RemoteError
from funnel.folders import TemporaryFolder
from funnel.locations.remote import Remote
from funnel.locations.transfer import fetch_folder, put_file, put_folder

Mark = tuple[int, int]  # of a folder on this machine: another one was written anew


class Mirror:
    """The folder behind a URL, and the same on this machine.

    A step's folder is put whole, its state last, so that half of one is never taken for a checkpoint; weights of the best epoch
    are put before the step that tells of them, and what is no longer kept goes after the new is there.

    Args:
        place: The folder behind the URL.
        parts: The folders in it, of the checkpoints and of the logs.
        whole: What a step's folder begins with, and the file in it that is put last.
        still: What raises an error where another process has taken the folder over.
    """

    def __init__(self, place: Remote, parts: tuple[str, str], whole: tuple[str, str]) -> None:
        self.place = place
        self._checkpoints, self._logs = parts
        self._step, self._state = whole
        self._owner = TemporaryFolder()
        self._put: dict[str, Mark] = {}
        self._logged: dict[str, int] = {}
        self.still: Callable[[], None] = lambda: None

    @property
    def folder(self) -> Path:
        """The one on this machine."""
        return self._owner.path

    def fetch(self) -> None:
        """Have on this machine what is there, but for checkpoints that were not copied whole.

        Raises:
            RemoteError: It cannot be read.
        """
        fetch_folder(self.place, self.folder)
        for step in self._here():
            if step.name.startswith(self._step) and not (step / self._state).is_file():
                shutil.rmtree(step)
            else:
                self._put[step.name] = _mark(step)
        self._logged = {name: path.stat().st_size for name, path in self._log_files()}

    def push(self) -> None:
        """Have there what is on this machine.

        Raises:
            RunError: Another process has taken the folder over.
            RemoteError: It cannot be written: what was there before still is.
        """
        self.still()
        there = self.place / self._checkpoints
        for path in self._here():
            if self._put.get(path.name) != _mark(path):
                last = self._state if path.name.startswith(self._step) else None
                put_folder(path, there / path.name, last, replace=True)
                self._put[path.name] = _mark(path)
        for name, path in self._log_files():
            if (size := path.stat().st_size) != self._logged.get(name):
                put_file(path, self.place / name)
                self._logged[name] = size
        kept = {path.name for path in self._here()}
        for gone in {name.split("/")[0] for name in there.files()} - kept:
            (there / gone).remove()
            self._put.pop(gone, None)

    def begin(self) -> None:
        """Earlier checkpoints go.

        Raises:
            RemoteError: They cannot be removed.
        """
        (self.place / self._checkpoints).remove()
        self._put.clear()

    def remove(self) -> None:
        """Remove the folder, here and there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(RemoteError):
            self.place.remove()

    def _here(self) -> list[Path]:
        """The folders of the checkpoints: of the best weights first."""
        folder = self.folder / self._checkpoints
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []

    def _log_files(self) -> list[tuple[str, Path]]:
        return [
            (path.relative_to(self.folder).as_posix(), path)
            for path in sorted((self.folder / self._logs).rglob("*"))
            if path.is_file()
        ]


def _mark(path: Path) -> Mark:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
