"""Exact quantiles of more numbers than fit in memory, in two passes: radix selection on the bits of float32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

BINS = 1 << 16
_SIGN = np.uint32(0x80000000)


class Quantiles:
    """Boundaries between buckets of equal weight.

    The first pass counts the upper 16 bits of each number; the second looks only at the numbers of those bins in which a
    boundary falls.

    Args:
        buckets: How many are wanted.
    """

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self.bins = np.zeros(BINS, np.int64)

    def see(self, numbers: NDArray[np.floating], weights: NDArray[np.int64] | None) -> None:
        """The first pass: some numbers [n] (not NaN), and how often each counts: int64 [n]."""
        bins = _bits(numbers) >> np.uint32(16)
        self.bins += np.bincount(bins, weights=weights, minlength=BINS).astype(np.int64)

    def boundaries(
        self, again: Iterable[tuple[NDArray[np.floating], NDArray[np.int64] | None]], *, ends: bool = False
    ) -> tuple[float, ...]:
        """The second pass.

        Args:
            again: All that `see` saw.
            ends: Whether the least number and the greatest are wanted, too.

        Returns:
            At most `buckets - 1` numbers, ascending, none useless, and maybe the ends: of numbers that are all the same, one. A
            boundary is the least number of the bucket above it.
        """
        near = self._near_boundaries()
        if ends:
            near[np.flatnonzero(self.bins)[[0, -1]]] = True
        parts = [_counted(_bits(numbers), weights, near) for numbers, weights in again]
        bits, place = np.unique(np.concatenate([bits for bits, _ in parts]), return_inverse=True)
        weight = np.bincount(place, weights=np.concatenate([weights for _, weights in parts]))
        # The other bins stand for all that is in them: no boundary falls there.
        others = np.flatnonzero((self.bins > 0) & ~near)
        keys = np.concatenate([bits.astype(np.int64), others << 16])
        weights = np.concatenate([weight, self.bins[others]])
        values = np.concatenate([_numbers(bits), np.full(len(others), np.nan)])
        order = np.argsort(keys)
        found = _between(values[order], weights[order], self._buckets)
        return tuple(np.unique([values[order[0]], *found, values[order[-1]]]).tolist()) if ends else found

    def _near_boundaries(self) -> NDArray[np.bool_]:
        """The bins in which a boundary may fall: bool [BINS]."""
        filled = np.flatnonzero(self.bins)
        below = np.cumsum(self.bins[filled]).astype(np.float64)
        reached = np.searchsorted(below, below[-1] * np.arange(1, self._buckets) / self._buckets, side="left")
        near = np.zeros(BINS, bool)
        near[filled[reached]] = True
        near[filled[np.minimum(reached + 1, len(filled) - 1)]] = True
        return near


def _between(values: NDArray[np.floating], weights: NDArray[np.floating], buckets: int) -> tuple[float, ...]:
    below = np.cumsum(weights)
    wanted = below[-1] * np.arange(1, buckets) / buckets
    # A boundary is the least value of the bucket above it: the first value with at least so much weight below.
    # Where the greatest value alone fills the upper buckets, it is cut from those below it.
    first = np.minimum(np.searchsorted(below, wanted, side="left") + 1, len(values) - 1)
    return tuple(float(value) for value in values[np.unique(first[first > 0])])


def _bits(numbers: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the numbers as float32, in which the network compares them."""
    # Adding 0 makes one of the two zeros.
    bits = (numbers.astype(np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _numbers(bits: NDArray[np.uint32]) -> NDArray[np.float32]:
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).astype(np.uint32).view(np.float32)


def _counted(
    bits: NDArray[np.uint32], weights: NDArray[np.int64] | None, near: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    kept = near[bits >> np.uint32(16)]
    distinct, place = np.unique(bits[kept], return_inverse=True)
    return distinct, np.bincount(place, weights=None if weights is None else weights[kept], minlength=len(distinct)).astype(
        np.float64
    )
