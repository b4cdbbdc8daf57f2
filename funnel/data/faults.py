"""Rows that cannot be used: the first is refused, or all are left out and counted, as the schema declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.errors import DataError

EXAMPLES = 3  # messages kept of each reason


@dataclass
class Faults:
    """Rows left out, and why.

    Attributes:
        read: Rows read, with those left out.
        rows: Rows left out.
        reasons: How many of them for each reason; a row may have several.
        examples: The first messages of each reason.
    """

    read: int = 0
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: Faults) -> None:
        """Those of later rows."""
        self.read += other.read
        self.rows += other.rows
        self.reasons += other.reasons
        for reason, messages in other.examples.items():
            self.examples[reason] = (self.examples.get(reason, []) + messages)[:EXAMPLES]

    def count(self, reason: str, rows: int, messages: list[str]) -> None:
        """Some rows for one reason."""
        self.reasons[reason] += rows
        self.examples[reason] = (self.examples.get(reason, []) + messages)[:EXAMPLES]

    def require_few(self, where: str, share: float) -> None:
        """Refuse more than the declared share.

        Raises:
            DataError: With the counts, and a few of the rows.
        """
        if self.rows > share * self.read:
            counts = ", ".join(f"{reason} ({rows:,})" for reason, rows in self.reasons.most_common())
            shown = "; ".join(messages[0] for messages in self.examples.values())
            raise DataError(
                f"{where}: {self.rows:,} of {self.read:,} rows cannot be used, expected at most {share:.3%} "
                f"(data.bad_rows.max_share): {counts}. For example: {shown}"
            )

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {"rows": self.rows, "of": self.read, "reasons": dict(self.reasons), "examples": self.examples}


class Sieve:
    """Collects the bad rows of one piece, or refuses the first.

    Args:
        rows: How many rows the piece has.
        skip: Whether bad rows are left out.
    """

    def __init__(self, rows: int, *, skip: bool) -> None:
        self._skip = skip
        self._seen: dict[str, NDArray[np.bool_]] = {}
        self.bad = np.zeros(rows, bool)
        self.faults = Faults(read=rows)

    def refuse(self, bad: NDArray[np.bool_] | pl.Series, reason: str, message: Callable[[int], str]) -> None:
        """Rows that cannot be used.

        Args:
            bad: bool [rows].
            reason: A few words: `not a number`.
            message: The whole message for one of the rows.

        Raises:
            DataError: There is one, and bad rows are not skipped.
        """
        found = np.flatnonzero(bad)
        if not len(found):
            return
        if not self._skip:
            raise DataError(message(int(found[0])))
        seen = self._seen.setdefault(reason, np.zeros(len(self.bad), bool))
        # A row counts once for a reason, however many features find it.
        found = found[~seen[found]]
        seen[found] = self.bad[found] = True
        self.faults.count(reason, len(found), [message(int(row)) for row in found[:EXAMPLES]])

    @property
    def kept(self) -> NDArray[np.intp] | None:
        """Positions of the good rows; None where all are."""
        self.faults.rows = int(self.bad.sum())
        return np.flatnonzero(~self.bad) if self.faults.rows else None
