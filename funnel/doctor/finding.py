"""One thing that a check has to say, and when a difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
SIGNIFICANT = 3.3  # standard errors: one in a thousand by chance


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        level: `error` where a fit would fail, or give a model that is of no use; `warning` where it may mislead; `note` else.
        about: What it concerns: `feature age`, `stage buy`, `source user`, `table items`, `data`.
        message: What was found, what was expected, and the next step.
    """

    level: Level
    about: str
    message: str


def sort(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, otherwise in the order in which they were found; each once."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: LEVELS.index(finding.level)))


def differ(first: float, first_of: float, second: float, second_of: float) -> bool:
    """Whether two shares differ by more than chance.

    Args:
        first: Rows of the first kind that have it.
        first_of: Rows of the first kind.
        second: Rows of the second kind that have it.
        second_of: Rows of the second kind.
    """
    if min(first_of, second_of) <= 0:
        return False
    pooled = (first + second) / (first_of + second_of)
    error = math.sqrt(pooled * (1 - pooled) * (1 / first_of + 1 / second_of))
    return abs(first / first_of - second / second_of) > SIGNIFICANT * error
