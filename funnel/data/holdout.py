"""Which rows are held out, for validation or for the test: a pure function of the declaration and the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import Codes, uniform
from funnel.errors import DataError
from funnel.schema.data import Fraction, ShareTested, Time, Validation
from funnel.schema.funnel_schema import FunnelSchema


def group_of(schema: FunnelSchema) -> str | None:
    """The dimension whose rows stay together; None for single rows, or where validation is not a share of the training rows."""
    validation = schema.data.validation
    if not isinstance(validation, Fraction) or validation.by == "row":
        return None
    return validation.by or (schema.data.dimensions[0].name if schema.data.dimensions else None)


APART = 1 << 32  # beyond all seeds of validation: who is tested must say nothing of who is validated on


def tested_group_of(schema: FunnelSchema) -> str | None:
    """The dimension whose rows are all tested on, or none of them; None for single rows."""
    test = schema.data.test
    if test is None or test.by == "row":
        return None
    return test.by or (schema.data.dimensions[0].name if schema.data.dimensions else None)


def is_test(test: ShareTested, numbers: Codes) -> NDArray[np.bool_]:
    """Whether facts are test rows: bool [n].

    Args:
        test: The declaration.
        numbers: What says to which group each belongs: the key of its dimension row, or its own position: int64 [n].
    """
    return np.asarray(uniform(numbers, APART + test.seed) < test.fraction)


@dataclass
class HoldOut:
    """Sees all training facts, then says which are held out.

    Attributes:
        validation: The declaration.
    """

    validation: Validation | None
    _least: float = 2.0
    _most: float = -1.0
    _moments: list[pl.Series] = field(default_factory=list)
    _facts: int = 0
    _cut: object = None

    def see(self, numbers: Codes, moments: pl.Series | None) -> None:
        """Some facts.

        Args:
            numbers: What says to which group each belongs: the key of its dimension row, or its own position: int64 [n].
            moments: For validation by time: [n].
        """
        self._facts += len(numbers)
        if isinstance(self.validation, Fraction) and len(numbers):
            chances = uniform(numbers, self.validation.seed)
            self._least, self._most = min(self._least, float(chances.min())), max(self._most, float(chances.max()))
        elif moments is not None:
            self._moments.append(moments)

    def decide(self) -> NDArray[np.bool_] | None:
        """All facts were seen.

        Returns:
            For validation by time, whether each is held out, in the order in which they came; else None: ask `held`.

        Raises:
            DataError: All rows would be on one side.
        """
        match self.validation:
            case Fraction():
                self._require_both(self._least < self._most)
                return None
            case Time() as split:
                times = _moments(self._moments)
                self._moments = []
                cut = times.sort()[min(int(len(times) * (1 - split.fraction)), len(times) - 1)]
                mask = (times >= cut).to_numpy()
                self._require_both(bool(mask.any() and not mask.all()))
                return mask
            case _:
                return None

    def held(self, numbers: Codes) -> NDArray[np.bool_]:
        """Whether facts are held out: bool [n]. The share with the smallest numbers; never none, never all."""
        if not isinstance(self.validation, Fraction):
            return np.zeros(len(numbers), bool)
        chances = uniform(numbers, self.validation.seed)
        return ((chances < self.validation.fraction) | (chances == self._least)) & (chances != self._most)

    def _require_both(self, both: bool) -> None:
        if not both:
            raise DataError(
                f"data.validation: all {self._facts:,} training rows would be on one side, expected some on each. "
                "Change the fraction, or what it goes by, or declare `validation: null`."
            )


def _moments(parts: Sequence[pl.Series]) -> pl.Series:
    """Numbers as text do not sort as numbers do."""
    times = pl.concat([one.rename("time").to_frame() for one in parts], how="vertical_relaxed").to_series()
    numbers = times.cast(pl.Float64, strict=False) if times.dtype == pl.String else times
    return times if numbers.null_count() else numbers
