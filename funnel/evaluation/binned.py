"""Rows in bins of equal mass, by their probability: what calibration is read off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funnel.evaluation.ranked import Ranked
from funnel.evaluation.sorting import changes, sums

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Sums over the rows of each bin, ascending: float64 [bins].

    Equal probabilities share a bin, the one where the middle of their mass falls: some may be uneven, even empty.

    Attributes:
        mass: The weights.
        positive: Those of the positives.
        predicted: Probabilities times weights.
        gaps: Predicted less observed positives.
        squares: The weights squared.
        variance: Of the positives, were every probability true.
    """

    mass: Floats
    positive: Floats
    predicted: Floats
    gaps: Floats
    squares: Floats
    variance: Floats

    @classmethod
    def of(cls, ranked: Ranked, count: int) -> Bins:
        """Add rows up.

        Args:
            ranked: The rows, by probability.
            count: Of bins.
        """
        found = np.zeros([6, count])
        for runs in ranked.parts() if ranked.total > 0 else ():
            which, chance, other = ranked.bins(runs, count), runs.scores, 1 - runs.scores
            squares = runs.mass if ranked.whole is None else sums(ranked.whole[runs.rows] ** 2, runs.starts)
            of_runs = (
                runs.mass,
                runs.positive,
                runs.mass * chance,
                runs.negative * chance - runs.positive * other,
                squares,
                squares * chance * other,
            )
            first = np.flatnonzero(changes(which))
            found[:, which[first]] += [sums(values, first) for values in of_runs]
        return cls(*found)

    @property
    def total(self) -> float:
        """The weight of all rows."""
        return float(self.mass.sum())

    @property
    def error(self) -> float:
        """The mean size of the gaps (ECE); NaN where no row has a weight."""
        return float(np.abs(self.gaps).sum() / self.total) if self.total > 0 else math.nan

    @property
    def error_by_chance(self) -> float:
        """What it is on average were every probability true: by bin, the mean size of a normal deviation."""
        return float(np.sqrt(self.variance * 2 / math.pi).sum() / self.total) if self.total > 0 else math.nan
