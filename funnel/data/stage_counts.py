"""How many rows each stage has: known, those that its conditional is about, and those that reached it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from funnel.data.labels import ABSENT, Labels, is_known
from funnel.data.stand_ins import kinds
from funnel.schema.topology import Topology

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StageCounts:
    """Rows by stage, each counted by its weight; those of other rows add up.

    Attributes:
        rows: All of them.
        absent: Those whose domain lacks the stage: float64 [stages].
        known: Those whose label is known: float64 [stages].
        inside: Those that the stage's conditional is about: float64 [stages].
        given: Those of them whose label is known: float64 [stages].
        elsewhere: Those of which it is not known whether the conditional is about them: float64 [stages].
        answered: Those of them whose label is known: float64 [stages].
        passed: Those given that reached it: float64 [stages].
        reached: All that reached it, also where it is not known whether they had its parent: float64 [stages].
    """

    rows: float
    absent: Floats
    known: Floats
    inside: Floats
    given: Floats
    elsewhere: Floats
    answered: Floats
    passed: Floats
    reached: Floats

    @classmethod
    def of(cls, topology: Topology, labels: Labels, weights: NDArray[np.float32] | None = None) -> StageCounts:
        """Of labels [rows, stages], and what each row counts [rows]: 1 where nothing is given."""

        def count(rows: NDArray[np.bool_]) -> float:
            # Where all are counted, the sum is that of all, to the last bit.
            return float(np.count_nonzero(rows) if weights is None else (weights * rows).sum(dtype=np.float64))

        known = is_known(labels).T
        reached = (labels == 1).T
        spaces = [kinds(labels, stage, place) for stage, place in enumerate(topology)]
        return cls(
            count(np.ones(len(labels), bool)),
            absent=np.array([count(stage) for stage in (labels == ABSENT).T]),
            known=np.array([count(stage) for stage in known]),
            inside=np.array([count(space) for space, _ in spaces]),
            given=np.array([count(space & stage) for (space, _), stage in zip(spaces, known, strict=True)]),
            elsewhere=np.array([count(space) for _, space in spaces]),
            answered=np.array([count(space & stage) for (_, space), stage in zip(spaces, known, strict=True)]),
            passed=np.array([count(space & stage) for (space, _), stage in zip(spaces, reached, strict=True)]),
            reached=np.array([count(stage) for stage in reached]),
        )

    def __add__(self, other: StageCounts) -> StageCounts:
        return StageCounts(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(self)})
