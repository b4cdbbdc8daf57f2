"""Work on several cores at once, with results in the order of the work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

MOST = 4  # each holds a piece in memory
AHEAD = 2  # pieces that wait for a core, or are done: while their taker is busy, no core is idle


def cores() -> int:
    """How many pieces are worked on at once."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST, there)


def in_order(function: Callable[[Work], Result], work: Iterable[Work], threads: int | None = None) -> Iterator[Result]:
    """Results in the order of the work; little more of it is taken in hand than there are threads, by default one a core.

    Polars, Arrow and NumPy release the interpreter's lock in what takes long.
    """
    running: deque[Future[Result]] = deque()
    threads = threads or cores()
    pool = ThreadPoolExecutor(threads)
    try:
        for one in work:
            running.append(pool.submit(function, one))
            if len(running) >= threads + AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        # Also where the caller leaves off, or is interrupted.
        pool.shutdown(wait=True, cancel_futures=True)
