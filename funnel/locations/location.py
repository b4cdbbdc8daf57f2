"""What a user gives as a place, understood: a `Path` on this machine, or a `Remote`."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from funnel.errors import RemoteError
from funnel.locations.remote import Remote
from funnel.locations.url import URL, is_url

Location = Path | Remote

LOCAL = ("file", "local")  # protocols of this machine's own files
_COLLAPSED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")  # what is left of a URL that was made a path


def location(given: str | PurePath | Remote) -> Location:
    """The place that a text names: a URL's, unless it is of this machine's own files.

    Raises:
        RemoteError: A URL with credentials, or one that was made a `Path`, which takes one of its slashes away.
    """
    if isinstance(given, Remote):
        return given
    text = str(given)
    if (match := URL.fullmatch(text)) is not None:
        if match["protocol"].lower() in LOCAL:
            return Path(match["rest"].removeprefix("localhost") if match["rest"].startswith("localhost/") else match["rest"])
        return Remote.at(text)
    if isinstance(given, PurePath) and (lost := _COLLAPSED.match(text)) and not Path(text.partition("/")[0]).exists():
        raise RemoteError(
            f"{lost[1]}://...: got a URL that was made a Path, which takes a slash away, expected a text. Give the text itself."
        )
    return Path(given)


def folder_of(base: Location, pattern: str) -> tuple[Location, str]:
    """Where a pattern begins, and the rest of it: it may itself be a URL, or an absolute path."""
    if is_url(pattern):
        place = location(_before_magic(pattern))
        return place, pattern[len(_before_magic(pattern)) :].lstrip("/")
    return (Path("/"), pattern) if pattern.startswith("/") else (base, pattern)


def below(place: Location, folder: Location) -> str:
    """A place's path from a folder; the whole of it where it is not inside."""
    if isinstance(place, Remote) or isinstance(folder, Remote):
        return str(place).removeprefix(f"{folder}/")
    return str(place.relative_to(folder) if place.is_relative_to(folder) else place)


def size_of(place: Location) -> int | None:
    """The bytes of a file; None where a filesystem does not say."""
    return place.size if isinstance(place, Remote) else place.stat().st_size


def matching(folder: Remote, pattern: str) -> list[Remote]:
    """The files that a pattern names, in the order in which paths are sorted; of equal meaning with `glob.glob`.

    A star is any letters of one name, but not the dot that it begins with; `?` is one, `[ab]` one of these.
    """
    found = [folder]
    *folders, last = [part for part in pattern.split("/") if part not in ("", ".")] or [""]
    for part in folders:
        if glob.has_magic(part):
            found = [one for place in found for one in _named(place, part) if one.is_dir()]
        else:
            found = [place / part for place in found]
    if glob.has_magic(last):
        files = [one for place in found for one in _named(place, last) if one.is_file()]
    else:
        looked = [(place / last).look() for place in found]
        files = [one for one in looked if one is not None and one.is_file()]
    return sorted(files, key=lambda one: one.parts)


def _named(folder: Remote, pattern: str) -> Sequence[Remote]:
    try:
        there = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    hidden = pattern.startswith(".")
    return [one for one in there if fnmatch.fnmatchcase(one.name, pattern) and (hidden or not one.name.startswith("."))]


def _before_magic(pattern: str) -> str:
    """The folders of a URL's pattern that it names as they are."""
    protocol, _, rest = pattern.partition("://")
    parts = rest.split("/")
    kept = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return f"{protocol}://{'/'.join(parts[:kept])}"
