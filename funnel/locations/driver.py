"""The packages behind URLs, through fsspec: found, asked again where a network fails, and their errors told as ours."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any, TypeVar

from funnel.errors import RemoteError, have
from funnel.locations.url import URL, redacted

Answer = TypeVar("Answer")

WAITS = (0.5, 2.0, 5.0)  # seconds before something is tried again
USUAL = ("s3", "gs", "az", "abfs", "hdfs", "sftp", "http", "https", "memory", "file")
# Of these, folders are but the beginnings of names: they need not be made, and an empty one is none.
OBJECT_STORES = frozenset(
    ["s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "ocilake", "tos", "tosfs", "memory"]
)
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)  # which are no failures
_LASTING = (PermissionError, ImportError, ValueError, TypeError, NotImplementedError, AttributeError)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def connected(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, and what it calls it.

    Raises:
        RemoteError: The protocol is not known, its package is not there, or it does not answer.
    """
    from fsspec.core import url_to_fs  # noqa: PLC0415  # a third of a second, and for URLs alone

    require_protocol(url)
    try:
        filesystem, path = ask(url, lambda: url_to_fs(url))
    except _ANSWERS as error:
        raise RemoteError(f"{url}: cannot be reached: {_reason(error)}. Correct the URL.") from None
    return filesystem, str(path)


def require_protocol(url: str) -> None:
    """Refuse a URL whose protocol is unknown, or needs a package that is not there.

    Raises:
        RemoteError: With the protocols there are, or what to install.
    """
    from fsspec.registry import get_filesystem_class, known_implementations, registry  # noqa: PLC0415  # as above

    protocol = protocol_of(url)
    names = dict.fromkeys([*USUAL, *sorted(known_implementations), *sorted(registry)])
    if protocol not in names:
        raise RemoteError(f"{url}: got the protocol {protocol!r} {have(protocol, names)} Correct it.")
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        known = known_implementations.get(protocol, {})
        package = str(known.get("class", "")).partition(".")[0].replace("_", "-")
        package = f'"fsspec[{protocol}]"' if package in ("", "fsspec") else package
        reason = str(known.get("err") or error).rstrip(".")
        message = f"{url}: {protocol}:// needs a package that is not installed ({reason}). pip install {package}"
        raise RemoteError(message) from None


def protocol_of(url: str) -> str:
    """What stands before `://`."""
    match = URL.fullmatch(url)
    if match is None:
        raise ValueError(f"got {url!r}, expected a URL")
    return match["protocol"]


def ask(where: str, call: Callable[[], Answer]) -> Answer:
    """Have a driver do something; several times where it fails and may not the next time.

    Args:
        where: The URL, for messages.
        call: What to do: it may be done again after it was done in part.

    Raises:
        FileNotFoundError: There is no such file, folder or bucket. (FileExistsError, IsADirectoryError, NotADirectoryError,
            likewise.)
        RemoteError: It is refused, or fails again and again.
    """
    waits = iter(WAITS)
    while True:
        try:
            return call()
        except (*_ANSWERS, RemoteError):
            raise
        except Exception as error:  # drivers raise what their packages do
            wait = next(waits, None)
            if wait is None or _lasts(error):
                raise _told(where, error, tries=len(WAITS) + 1 if wait is None else 1) from None
        time.sleep(wait)


def _lasts(error: Exception) -> bool:
    """Whether it would fail again."""
    full = isinstance(error, OSError) and error.errno in _FULL
    return full or isinstance(error, _LASTING) or "Credential" in type(error).__name__


def _told(where: str, error: Exception, tries: int) -> RemoteError:
    reason = _reason(error)
    if "Credential" in type(error).__name__:
        return RemoteError(f"{where}: got no credentials: {reason}. Put them into the environment; never into the URL.")
    if isinstance(error, PermissionError):
        return RemoteError(
            f"{where}: permission was refused: {reason}. Correct the credentials in the environment, or what they may do."
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return RemoteError(f"{where}: cannot be copied: {reason}. Make room, here (TMPDIR, FUNNEL_CACHE) or there.")
    if isinstance(error, NotImplementedError):
        return RemoteError(f"{where}: its filesystem cannot do this: {reason}. Choose another place.")
    after = f" (tried {tries} times)" if tries > 1 else ""
    return RemoteError(f"{where}: cannot be reached{after}: {reason}. Is the network up, and the URL right? Try again.")


def _reason(error: Exception) -> str:
    """The first line of what an error says, without secrets."""
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip() or type(error).__name__
    return redacted(text.splitlines()[0][:300]).rstrip(". ")
