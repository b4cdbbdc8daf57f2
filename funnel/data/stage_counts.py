"""How many rows each stage has: known, those that its conditional is about, and those that reached it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import UNKNOWN, Labels, in_space
from funnel.schema.topology import Topology

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StageCounts:
    """Rows by stage, each counted by its weight; those of other rows add up.

    Attributes:
        rows: All of them.
        known: Those whose label is known: float64 [stages].
        given: Those that the stage's conditional is about, and whose label is known: float64 [stages].
        passed: Those of them that reached it: float64 [stages].
        reached: All that reached it, also where it is not known whether they had its parent: float64 [stages].
    """

    rows: float
    known: Floats
    given: Floats
    passed: Floats
    reached: Floats

    @classmethod
    def of(cls, topology: Topology, labels: Labels, weights: NDArray[np.float32] | None = None) -> StageCounts:
        """Of labels [rows, stages], and what each row counts [rows]: 1 where nothing is given."""

        def count(rows: NDArray[np.bool_]) -> float:
            # Where all are counted, the sum is that of all, to the last bit.
            return float(np.count_nonzero(rows) if weights is None else (weights * rows).sum(dtype=np.float64))

        known = (labels != UNKNOWN).T
        reached = (labels == 1).T
        spaces = [in_space(labels, place) for place in topology]
        return cls(
            count(np.ones(len(labels), bool)),
            np.array([count(stage) for stage in known]),
            np.array([count(space & stage) for space, stage in zip(spaces, known, strict=True)]),
            np.array([count(space & stage) for space, stage in zip(spaces, reached, strict=True)]),
            np.array([count(stage) for stage in reached]),
        )

    def __add__(self, other: StageCounts) -> StageCounts:
        return StageCounts(
            self.rows + other.rows,
            self.known + other.known,
            self.given + other.given,
            self.passed + other.passed,
            self.reached + other.reached,
        )
