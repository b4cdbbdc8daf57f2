"""How far long work is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Watch = Callable[[Any], None]  # called with each Progress, and whatever else there is to tell


@dataclass(frozen=True)
class Progress:
    """How far a long work is.

    Attributes:
        what: What is being done: `reading facts`.
        done: How much of it.
        total: Of how much.
        unit: Of what: `B` (bytes) or `shards`.
    """

    what: str
    done: int
    total: int
    unit: str
