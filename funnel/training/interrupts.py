"""What interrupts a process waits until something is done whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals that interrupt this process do so at the end of this, rather than somewhere in it."""
    if threading.current_thread() is not threading.main_thread():  # no other is interrupted
        yield
        return
    came: list[tuple[int, Any]] = []
    handlers: dict[int, Any] = {}
    for one in SIGNALS:
        handler = signal.getsignal(one)
        if callable(handler):  # neither the system's own, nor none
            handlers[one] = handler
            signal.signal(one, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)
