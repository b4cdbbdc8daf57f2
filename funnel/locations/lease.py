"""A lock in a place that has none: a small file says which process works in a folder, and is renewed while it does.

It keeps out whom it can: of two processes one goes on, where the filesystem can create a file if there is none (S3, Google's).
Elsewhere two that begin in the same moment are told apart when one of them next looks.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from funnel.errors import FunnelError, RemoteError
from funnel.locations.remote import Remote
from funnel.locations.transfer import LOCK

BEAT = 20.0  # seconds between two renewals
GONE = 120.0  # seconds without one after which a process of another machine is taken for ended

Still = Callable[[], None]

_own: set[str] = set()  # tokens of the leases that this process has


@contextmanager
def leased(folder: Remote, kind: type[FunnelError]) -> Iterator[Still]:
    """Keeps other processes from a folder.

    Args:
        folder: The folder.
        kind: Of error, where it cannot be had.

    Yields:
        What raises such an error once another process has taken the folder over.

    Raises:
        FunnelError: Another process is at work there.
    """
    token, lock = token_hex(8), folder / LOCK
    _take(lock, token, kind)
    _own.add(token)

    def still() -> None:
        found = _read(lock)
        if found.get("token") != token:
            who = _who(found) if found else "somebody who removed its lock"
            raise kind(f"{folder}: was taken over by {who} while this process was at work there. Leave it to one of them.")

    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, token, ended), daemon=True)
    renewing.start()
    try:
        yield still
    finally:
        ended.set()
        renewing.join()
        _own.discard(token)
        with suppress(RemoteError):
            if _read(lock).get("token") == token:
                lock.unlink()


def _take(lock: Remote, token: str, kind: type[FunnelError]) -> None:
    if lock.create(_said(token)):
        return
    found = _read(lock)
    if found and not _is_gone(found):
        raise kind(
            f"{lock.parent}: another process is at work there ({_who(found)}). Wait for it, or choose another --out. Where it "
            f"has ended, try again {GONE:.0f} seconds after it was last seen, or remove {lock}."
        )
    lock.write_text(_said(token))
    if _read(lock).get("token") != token:
        raise kind(f"{lock.parent}: another process began there in the same moment. Leave it to that one.")


def _said(token: str) -> str:
    return json.dumps({"host": _host(), "process": os.getpid(), "token": token, "seen": time.time()})


def _host() -> str:
    """This machine, or the container on it, whose processes can be seen from here."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _read(lock: Remote) -> dict[str, Any]:
    try:
        found = json.loads(lock.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_gone(found: dict[str, Any]) -> bool:
    """Whether the process that a lock tells of has ended, as far as can be told from here."""
    process = found.get("process")
    if found.get("host") == _host() and isinstance(process, int):
        # A container that is started again has the numbers that it had before.
        return found.get("token") not in _own if process == os.getpid() else not _is_alive(process)
    return time.time() - float(found.get("seen", 0)) > GONE


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _who(found: dict[str, Any]) -> str:
    ago = max(0.0, time.time() - float(found.get("seen", 0)))
    return f"process {found.get('process')} of {str(found.get('host')).partition(' ')[0]}, last seen {ago:,.0f} seconds ago"


def _renew(lock: Remote, token: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        # A network that fails now may not the next time; a lock that became another's is told of by `still`.
        with suppress(FunnelError):
            if _read(lock).get("token") == token:
                lock.write_text(_said(token))
