"""Copies between here and there: files fetched while they are used, and folders put whole, or not at all.

Object stores have no renaming of folders. A folder is whole where one file of it is there, which is put last; while it is being
copied, a file COPYING in it says who does so.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from funnel.errors import FunnelError, RemoteError
from funnel.locations.driver import ask, connected
from funnel.locations.location import Location
from funnel.locations.remote import Remote

COPYING = ".copying"
LOCK = ".lock"  # of the process that works in a folder: no part of what is in it
AT_ONCE = 4  # files that are copied side by side

Copied = Callable[[int, int], None]  # called with the bytes that were copied so far, and all there are


class Stopped(Exception):  # noqa: N818  # no error: nobody waits for the file any longer
    """A file is no longer wanted."""


def fetch_file(source: Remote, target: Path, stop: threading.Event | None = None) -> None:
    """Copy a file to this machine; it appears there when it is whole.

    Args:
        source: The file.
        target: Where to.
        stop: Set where it is no longer wanted.

    Raises:
        RemoteError: It is not there, or cannot be read, or is cut again and again.
        Stopped: It was stopped.
    """
    filesystem, path = connected(source.url)
    size = source.size
    part = target.with_name(f".{token_hex(8)}.part")

    def fetch() -> None:
        filesystem.get_file(path, str(part), callback=_stoppable(stop))
        # An empty file may be none at all to a driver.
        got = part.stat().st_size if part.exists() else 0
        if size is not None and got != size:
            raise OSError(None, f"got {got:,} of {size:,} bytes: was it changed meanwhile?")
        part.touch()

    try:
        ask(source.url, fetch)
        part.replace(target)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise RemoteError(f"{source}: no such file. Correct the URL.") from None
    except OSError as error:
        raise RemoteError(f"{source}: cannot be copied to {target.parent}: {error.strerror}. Make room (TMPDIR).") from None
    finally:
        part.unlink(missing_ok=True)


def _stoppable(stop: threading.Event | None) -> Any:
    from fsspec.callbacks import Callback  # noqa: PLC0415  # for URLs alone

    class Stoppable(Callback):
        def relative_update(self, inc: int = 1) -> None:
            if stop is not None and stop.is_set():
                raise Stopped
            super().relative_update(inc)

    return Stoppable()


def fetch_folder(source: Remote, target: Path, without: Sequence[str] = ()) -> None:
    """Copy a folder's files to this machine.

    Args:
        source: The folder.
        target: Where to; it is made.
        without: Folders of it that are not wanted.

    Raises:
        RemoteError: One cannot be read.
    """
    found = {
        name: one for name, one in source.files().items() if name.split("/")[0] not in (*without, LOCK) and one.name != COPYING
    }
    target.mkdir(parents=True, exist_ok=True)

    def fetch(name: str) -> None:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        fetch_file(found[name], target / name)

    _side_by_side(fetch, found)


@contextmanager
def fetched(place: Location) -> Iterator[Path]:
    """A file on this machine: itself, or a copy that goes afterwards; messages about it name its true place.

    Raises:
        RemoteError: It cannot be read.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder, called(Path(folder) / place.name, place) as copy:
        fetch_file(place, copy)
        yield copy


@contextmanager
def fetched_folder(place: Location, without: Sequence[str] = ()) -> Iterator[Path]:
    """A folder on this machine: itself, or a copy that goes afterwards; messages about it name its true place.

    Raises:
        RemoteError: It cannot be read.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder, called(Path(folder) / place.name, place) as copy:
        fetch_folder(place, copy, without)
        yield copy


@contextmanager
def called(copy: Path, place: Location) -> Iterator[Path]:
    """What is said about a copy is about the place that it is of."""
    try:
        yield copy
    except FunnelError as error:
        error.args = (str(error).replace(str(copy), str(place)), *error.args[1:])
        raise


def in_turn(places: Sequence[Location]) -> Generator[tuple[Location, Path]]:
    """Each file on this machine, one after the other: itself, or a copy that goes when the next is asked for.

    While one is used the next is fetched, so that two copies are there at a time.

    Raises:
        RemoteError: One cannot be read.
    """
    if not any(isinstance(place, Remote) for place in places):
        yield from ((place, place) for place in places if isinstance(place, Path))
        return
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder, ThreadPoolExecutor(1) as pool:

        def fetch(number: int) -> Path:
            place = places[number]
            if isinstance(place, Path):
                return place
            copy = Path(folder) / f"{number}-{place.name}"
            fetch_file(place, copy, stop)
            return copy

        try:
            coming = pool.submit(fetch, 0)
            for number, place in enumerate(places):
                copy = coming.result()
                if number + 1 < len(places):
                    coming = pool.submit(fetch, number + 1)
                yield place, copy
                if isinstance(place, Remote):
                    copy.unlink()
        finally:
            # Also where the caller leaves off, or is interrupted: nobody waits for what is on its way.
            stop.set()


def put_file(source: Path, target: Remote) -> None:
    """Copy a file to where a URL says, in place of what is there.

    Raises:
        RemoteError: It cannot be written.
    """
    size = source.stat().st_size

    def put(filesystem: Any, path: str) -> None:
        filesystem.put_file(str(source), path)
        filesystem.invalidate_cache(path)
        got = filesystem.info(path).get("size")
        if got is not None and got != size:
            raise OSError(None, f"{got:,} of {size:,} bytes arrived")

    target.put(put)


def put_folder(source: Path, target: Remote, last: str | None, *, replace: bool = False, copied: Copied | None = None) -> None:
    """Copy a folder to where a URL says; either all of it is there afterwards, or nothing that is taken for whole.

    Args:
        source: The folder.
        target: Where to.
        last: The file that is put last: where it is there, all is. None for a folder that has no such file: it is whole where
            COPYING is not there.
        replace: Whether a folder that is already there gives way: from the beginning on it is no longer whole.
        copied: Called after each file.

    Raises:
        RemoteError: Something is there, or it cannot be written; with what was left.
    """
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
    sizes = {name: (source / name).stat().st_size for name in names}
    if last is not None:
        names.remove(last)
    _claim(target, replace=replace)
    done = 0
    lock = threading.Lock()

    def put(name: str) -> None:
        nonlocal done
        put_file(source / name, target / name)
        with lock:
            done += sizes[name]
            if copied is not None:
                copied(done, sum(sizes.values()))

    try:
        earlier = [name for name in target.files() if name not in (COPYING, LOCK)] if replace else []
        if last in earlier:
            (target / str(last)).unlink()
        _side_by_side(put, names)
        target.remove(name for name in earlier if name not in sizes)
        if last is not None:
            put(last)
        (target / COPYING).unlink()
    except BaseException as error:
        left = _withdrawn(target, last, replace=replace)
        if isinstance(error, RemoteError):
            raise RemoteError(f"{error} {left}") from None
        raise


def _claim(target: Remote, *, replace: bool) -> None:
    """Say in the folder who copies to it."""
    content = json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": datetime.now(UTC).isoformat()})
    if replace:
        (target / COPYING).write_text(content)
        return
    there = target.exists()
    try:
        there = there or not (target / COPYING).create(content)
    except BaseException:
        with suppress(FunnelError):
            target.remove()  # its folder was made, where folders are
        raise
    if there:
        raise RemoteError(already_there(target))


def already_there(target: Remote) -> str:
    """What to say where there is something: a whole thing, or one whose copying was never ended."""
    if (by := copying(target)) is None:
        return f"{target}: is already there, expected a new folder. Choose another, or remove it."
    return f"{target}: is being copied ({by}), or was stopped meanwhile, expected a new folder. Choose another, or remove it."


def copying(folder: Remote) -> str | None:
    """Who copies to a folder, or was stopped while doing so; None where it is whole, or not there."""
    try:
        found = json.loads((folder / COPYING).read_text())
        return f"by process {found['process']} of {found['host']}, since {found['since']}"
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return "by another process"


def _withdrawn(target: Remote, last: str | None, *, replace: bool) -> str:
    """Take back what was copied of something new; what to say of what is left."""
    lacks = f"may lack its {last}, without which nothing takes it for whole" if last is not None else f"has a {COPYING} in it"
    if replace:
        return f"What is left in {target} {lacks}: run the same command again."
    try:
        target.remove()
    except FunnelError:
        return f"What is left there {lacks}: remove {target}."
    return "Nothing was left behind."


def _side_by_side(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Do something for each of some names, a few at a time; the first error ends it."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for _ in pool.map(work, names):
            pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
