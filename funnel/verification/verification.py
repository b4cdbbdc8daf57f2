"""What a verification found, and how far one column is from another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Difference:
    """An output of a signature against the run's own column.

    Attributes:
        signature: Which.
        output: A probability or a score.
        rows: How many were compared.
        largest: The largest difference, of a score in its scale; infinite where one is NaN and the other is not.
        row: Where it is, among the rows of the split, from 0, as `predict` writes them; None where none were compared.
    """

    signature: str
    output: str
    rows: int = 0
    largest: float = 0.0
    row: int | None = None

    def add(self, served: NDArray[Any], own: NDArray[Any], scale: NDArray[Any] | None, position: NDArray[Any]) -> None:
        """Some more rows.

        Args:
            served: What the export says: float32 [n].
            own: What the run says: float32 [n].
            scale: What a difference is divided by: [n]; None for 1.
            position: Which rows these are: [n].
        """
        if not len(own):
            return
        apart = differences(served, own) if scale is None else differences(served, own) / scale
        worst = int(apart.argmax())
        if self.row is None or apart[worst] > self.largest:
            self.largest, self.row = float(apart[worst]), int(position[worst])
        self.rows += len(own)


@dataclass
class Verification:
    """An export against its run.

    Attributes:
        export: The SavedModel's folder.
        run: The run's.
        data: Where the rows were.
        split: Which of them.
        tolerance: How large a difference may be.
        rows: Rows that were sent.
        left_out: Rows that were not, by reason.
        rank_requests: Requests of `rank`, of a user's rows each.
        tensorflow: The version that answered.
        smaller: How the export's tables are smaller than the run's, in words; None where they are not.
        differences: By signature and output.
    """

    export: str
    run: str
    data: str
    split: str
    tolerance: float
    rows: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    rank_requests: int = 0
    tensorflow: str = ""
    smaller: str | None = None
    differences: list[Difference] = field(default_factory=list)

    @property
    def largest(self) -> float:
        """The largest difference of all; NaN where nothing was compared."""
        return max((one.largest for one in self.differences), default=math.nan)

    @property
    def passed(self) -> bool:
        """Whether every output of every signature is as the run has it."""
        return self.largest <= self.tolerance and all(one.rows for one in self.differences)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where an infinite difference is null."""
        found = {name: getattr(self, name) for name in ("export", "run", "data", "split", "tolerance", "rows", "left_out")}
        found |= {"rank_requests": self.rank_requests, "tensorflow": self.tensorflow, "smaller": self.smaller}
        each = [vars(one) | {"largest": _finite(one.largest)} for one in self.differences]
        return {"passed": self.passed, "largest": _finite(self.largest), **found, "differences": each}


def differences(served: NDArray[Any], own: NDArray[Any]) -> NDArray[np.float64]:
    """How far values are apart.

    Args:
        served: float [n].
        own: float [n].

    Returns:
        float64 [n]: 0 where both are NaN, or the same infinity; infinite where only one is.
    """
    left, right = served.astype(np.float64), own.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        apart = np.abs(left - right)
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
