"""Folders and files that appear when they are whole: written beside their place, then renamed; what a kill left goes.

Behind a URL they are written on this machine, then copied; see `funnel.locations.transfer`.
"""

from __future__ import annotations

import atexit
import fcntl
import glob
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex

from funnel.errors import FunnelError
from funnel.locations.lease import leased
from funnel.locations.location import Location
from funnel.locations.remote import Remote
from funnel.locations.transfer import LOCK, Copied, already_there, called, put_file, put_folder


class TemporaryFolder:
    """A folder that goes with its last user, or with the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="funnel-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def require_writable(path: Location, kind: type[FunnelError]) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        FunnelError: Of this kind: something is already there, or the folder around it cannot be written.
        RemoteError: The same of what is behind a URL.
    """
    if isinstance(path, Remote):
        if path.exists():
            raise kind(already_there(path))
        probe = path.with_name(f"{path.name}.{token_hex(4)}.probe")
        probe.write_text("")
        probe.unlink()
        return
    if path.exists():
        raise kind(f"{path}: is already there, expected a new folder. Choose another, or remove it.")
    _make_room(path, kind)


@contextmanager
def whole_folder(
    path: Location,
    kind: type[FunnelError],
    *,
    replace: bool = False,
    last: str | None = None,
    here: TemporaryFolder | None = None,
    copied: Copied | None = None,
) -> Iterator[Path]:
    """A folder to write into that becomes `path` at the end, or is removed where anything fails.

    Args:
        path: Where it will be.
        kind: Of error, where it cannot be.
        replace: Whether a folder that is already there gives way, at the end.
        last: The file without which readers do not take it for whole: behind a URL it is put last.
        here: Where one that is put behind a URL is made, and stays. Default: it goes when it was copied.
        copied: Called with the bytes copied so far, and all there are, where it is behind a URL.

    Raises:
        FunnelError: Something is already there, or it cannot be written (a full disk, say).
        RemoteError: It cannot be copied to a URL.
    """
    if isinstance(path, Remote):
        if not replace:
            require_writable(path, kind)
        owner = here or TemporaryFolder()
        made = owner.path / path.name
        made.mkdir()
        try:
            with called(made, path), _room_here(path, kind, made):
                yield made
            put_folder(made, path, last, replace=replace, copied=copied)
        finally:
            if here is None:
                shutil.rmtree(made.parent, ignore_errors=True)
        return
    if replace:
        _make_room(path, kind)
    else:
        require_writable(path, kind)
    _remove_abandoned(path)
    # Named before it is made: an interrupt right after that removes it, too.
    folder = path.parent / f"{_prefix(path)}{token_hex(8)}"
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    # An interrupt may come while this is entered or left, or a second one while the folder is being removed.
    atexit.register(remove)
    try:
        _make(folder, path, kind)
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
            (folder / LOCK).unlink()
            folder.chmod(0o755)
            _put(folder, path, replace=replace)
    except OSError as error:
        raise kind(f"{path}: cannot be written: {error.strerror or error}. Nothing was left behind.") from None
    finally:
        remove()
        if not folder.exists():
            atexit.unregister(remove)


@contextmanager
def whole_file(path: Location, kind: type[FunnelError], advice: str) -> Iterator[Path]:
    """A file to write that becomes `path` at the end, in place of what is there, or is removed where it cannot be written.

    Args:
        path: Where it will be.
        kind: Of error, where it cannot be, also its folder where that is made while writing.
        advice: What the message says last.

    Raises:
        FunnelError: The disk is full, say.
        RemoteError: It cannot be copied to a URL.
    """
    if isinstance(path, Remote):
        with tempfile.TemporaryDirectory(prefix="funnel-") as temporary:
            made = Path(temporary) / path.name
            with called(made, path), _room_here(path, kind, made):
                yield made
            put_file(made, path)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        # Where its folder could not be made, or is a file, there is nothing to remove.
        if part.parent.is_dir():
            part.unlink(missing_ok=True)
        raise kind(f"{path}: cannot be written: {error.strerror or error}. {advice}") from None


@contextmanager
def held_folder(path: Location, kind: type[FunnelError]) -> Iterator[Callable[[], None]]:
    """Makes a folder where there is none, and keeps other processes from it.

    Args:
        path: The folder.
        kind: Of error, where it cannot be.

    Yields:
        What raises such an error where another process has taken the folder over, as may happen behind a URL.

    Raises:
        FunnelError: Another process is at work there, or it cannot be written.
    """
    if isinstance(path, Remote):
        with leased(path, kind) as still:
            yield still
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("w")
    except OSError as error:
        raise kind(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise kind(f"{path}: another process is at work there. Wait for it, or choose another --out.") from None
        yield lambda: None


@contextmanager
def _room_here(path: Remote, kind: type[FunnelError], made: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: cannot be made in {made.parent}: {error.strerror or error}. Make room, or set TMPDIR.") from None


def _prefix(path: Path) -> str:
    return f".{path.name}-"


def _make_room(path: Path, kind: type[FunnelError]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise kind(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from None


def _make(folder: Path, path: Path, kind: type[FunnelError]) -> None:
    try:
        folder.mkdir(0o700)
    except OSError as error:
        raise kind(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from None


def _put(folder: Path, path: Path, *, replace: bool) -> None:
    if replace and path.exists():
        # Renaming over a folder that holds something is refused: the old one steps aside first.
        aside = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
        path.rename(aside)
        folder.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        folder.rename(path)


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished folders whose process is gone: the lock of a living one is held."""
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
        try:
            with (left / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # being written, or none of ours
