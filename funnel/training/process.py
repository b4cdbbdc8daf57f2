"""The process that trains: its allocator, its threads, and its memory."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.model import SharedBottom

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's: of one operation
SETTINGS = {M_MMAP_THRESHOLD: 1 << 30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 256 << 20}


def tune_allocator() -> bool:
    """Let glibc keep the memory of a step's tensors for the next step, rather than hand it back and ask for it again.

    It changes the whole process, and must come before TensorFlow allocates: `funnel fit` does it in its own. Up to 256 MB more
    are then held than are used. Elsewhere than with glibc nothing is done.

    Returns:
        Whether it was done.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(name, value) == 1 for name, value in SETTINGS.items())


def tune_threads(schema: FunnelSchema) -> int | None:
    """Share the cores out among the towers, which TensorFlow computes side by side, rather than have each wait for all cores.

    It sets an environment variable that TensorFlow reads when it is first used, and leaves one that is set alone: `funnel fit`
    does it in its own process. Where layers are shared, one operation after another needs all cores, and nothing is done.

    Returns:
        Threads of one operation; None where nothing was done.
    """
    if THREADS in os.environ or any(not isinstance(part, SharedBottom) or part.units for part in schema.model.parts):
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // len(schema.stages))
    os.environ[THREADS] = str(threads)
    return threads


def peak_memory() -> int:
    """The greatest resident memory of this process so far, in bytes; pages of mapped files count where they are resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
