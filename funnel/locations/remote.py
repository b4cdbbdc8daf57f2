"""A place behind a URL, with as much of a path's manners as is needed: joined, looked at, read, and small things written."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeVar

from funnel.errors import RemoteError
from funnel.locations.driver import OBJECT_STORES, ask, connected, protocol_of
from funnel.locations.url import plain

Answer = TypeVar("Answer")

# Which of them an entry has depends on the filesystem: the first one tells another content, or at least another time.
MARKS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "generation", "checksum")
TIMES = ("LastModified", "last_modified", "updated", "mtime", "modificationTime", "modified", "created")


@dataclass(frozen=True)
class Remote:
    """A file or folder behind a URL; it may not be there.

    Attributes:
        url: Where: without credentials, and without a slash at its end.
        entry: What its folder's listing said of it, where it was found in one.
    """

    url: str
    entry: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, url: str) -> Remote:
        """The place that a user's text names.

        Raises:
            RemoteError: It holds credentials, or is no plain URL.
        """
        return cls(plain(url))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, below: str | PurePath) -> Remote:
        """A place below this one, or beside it where the path says `..`."""
        parts = self._parts
        for part in (below.as_posix() if isinstance(below, PurePath) else below).split("/"):
            if part == "..":
                del parts[max(1, len(parts) - 1) :]
            elif part not in ("", "."):
                parts.append(part)
        return Remote("/".join(parts))

    @property
    def _root(self) -> str:
        return f"{protocol_of(self.url)}://"

    @property
    def _parts(self) -> list[str]:
        """The bucket or host with its protocol, and the names below it."""
        first, *rest = self.url.removeprefix(self._root).split("/")
        return [self._root + first, *rest]

    @property
    def parts(self) -> tuple[str, ...]:
        """Its names, the bucket or host first: in their order files are sorted, as paths are."""
        return tuple(self._parts)

    @property
    def name(self) -> str:
        """The last of its names."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of its name: `.gz`."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> Remote:
        """The folder around it; a bucket's is the bucket."""
        parts = self._parts
        return Remote("/".join(parts[:-1])) if len(parts) > 1 else self

    @property
    def parents(self) -> tuple[Remote, ...]:
        """The folders around it, from within."""
        return () if self.parent == self else (self.parent, *self.parent.parents)

    def with_name(self, name: str) -> Remote:
        """The place of another name in the same folder."""
        return self.parent / name

    # What is there.

    def look(self) -> Remote | None:
        """The same place, with its size and mark; None where there is nothing.

        Raises:
            RemoteError: It cannot be looked at. (So do all below.)
        """
        try:
            return Remote(self.url, self._ask(lambda filesystem, path: filesystem.info(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _known(self) -> Remote | None:
        return self if self.entry is not None else self.look()

    def exists(self) -> bool:
        """Whether there is something: a file, or the beginning of the names of some."""
        return self._known() is not None

    def is_dir(self) -> bool:
        """Whether it is a folder, or the beginning of names."""
        found = self._known()
        return found is not None and (found.entry or {}).get("type") == "directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        found = self._known()
        return found is not None and (found.entry or {}).get("type") == "file"

    @property
    def size(self) -> int | None:
        """Its bytes; None where the filesystem does not say.

        Raises:
            RemoteError: There is no such file.
        """
        size = self._there().get("size")
        return None if size is None else int(size)

    @property
    def mark(self) -> str:
        """What changes when its content does: a hash or a version where the filesystem has one, else the time."""
        entry = self._there()
        return next((str(entry[name]) for name in (*MARKS, *TIMES) if entry.get(name)), "")

    def _there(self) -> Mapping[str, Any]:
        found = self._known()
        if found is None or found.entry is None:
            raise RemoteError(f"{self}: no such file. Correct the URL.")
        return found.entry

    def iterdir(self) -> Iterator[Remote]:
        """What is in a folder, in the order of the names.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        found = self._ask(lambda filesystem, path: (path.strip("/"), filesystem.ls(path, detail=True)))
        own, entries = found
        for entry in sorted(entries, key=lambda one: str(one["name"])):
            name = str(entry["name"]).strip("/")
            if name and name != own:  # itself: a file, or the mark that some tools leave for a folder
                yield Remote((self / name.rpartition("/")[2]).url, entry)

    def files(self) -> dict[str, Remote]:
        """All files below a folder, by their path from it; {} where there is no folder."""
        # Not the driver's own walk, which leaves out what it cannot list.
        found: dict[str, Remote] = {}
        try:
            there = list(self.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return found
        for one in there:
            if one.is_dir():
                found |= {f"{one.name}/{name}": below for name, below in one.files().items()}
            else:
                found[one.name] = one
        return found

    # What is in it.

    def read_bytes(self) -> bytes:
        """A small file's content.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return bytes(self._ask(lambda filesystem, path: filesystem.cat_file(path)))

    def read_text(self, encoding: str = "utf-8") -> str:
        """A small file's text; raises what `read_bytes` does."""
        return self.read_bytes().decode(encoding)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write a small file, in place of what is there.

        Raises:
            RemoteError: There is no such bucket.
        """
        self.put(lambda filesystem, path: filesystem.pipe_file(path, text.encode(encoding)))

    def create(self, text: str) -> bool:
        """Write a small file where there is none; whether there was none.

        Of several who do so at once, one does, where the filesystem has such a request: S3, Google's. Elsewhere, it is looked
        for first.
        """
        content = text.encode()
        if self.exists():
            return False
        try:
            self.put(lambda filesystem, path: _create(filesystem, path, content))
        except FileExistsError:
            return False
        return True

    def put(self, call: Callable[[Any, str], object]) -> None:
        """Have the driver write this file; its folder is made, where folders are.

        Raises:
            RemoteError: It cannot be written.
        """

        def write(filesystem: Any, path: str) -> None:
            if protocol_of(self.url) not in OBJECT_STORES:
                filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
            call(filesystem, path)

        try:
            self._ask(write)
        except FileNotFoundError as error:
            reason = str(error).splitlines()[0] if str(error) else "no such bucket or folder"
            raise RemoteError(f"{self}: cannot be written: {reason}. Make the bucket, or correct the URL.") from None

    def unlink(self) -> None:
        """Remove a file, if it is there."""
        try:
            self._ask(lambda filesystem, path: filesystem.rm_file(path))
        except FileNotFoundError:
            return

    def remove(self, names: Iterable[str] | None = None) -> None:
        """Remove files below a folder: these, or all, and then the folder itself, where folders are."""
        there = list(self.files() if names is None else names)
        for name in there:
            (self / name).unlink()
        if names is None and protocol_of(self.url) not in OBJECT_STORES and self.exists():
            self._ask(lambda filesystem, path: filesystem.rm(path, recursive=True))

    def _ask(self, call: Callable[[Any, str], Answer]) -> Answer:
        filesystem, path = connected(self.url)
        # What a driver remembers of folders may be older than what other processes did there.
        filesystem.invalidate_cache(path)
        return ask(self.url, lambda: call(filesystem, path))


def _create(filesystem: Any, path: str, content: bytes) -> None:
    try:
        filesystem.pipe_file(path, content, mode="create")
    except (TypeError, NotImplementedError, ValueError):  # of a driver that has no such request
        filesystem.pipe_file(path, content)
