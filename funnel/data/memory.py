"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # another C library than GNU's, which keeps less
        return None


def give_back() -> None:
    """Hand back what was freed: GNU's allocator keeps it, in pieces that work of another shape cannot use."""
    trim = _trim()
    if trim is not None:
        trim(0)
