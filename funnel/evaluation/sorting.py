"""Numbers in ascending order, each a whole number of 64 bits that holds all that is wanted of its row.

Such numbers are sorted several times as fast as `numpy.argsort` sorts, and nothing of a row is looked up afterwards, which for
many rows costs more than the sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGN = np.uint32(1 << 31)
HALF = np.uint64(32)  # bits: a number above, and what it carries below
MOST = 1 << 31  # rows, or what is said of them, that 31 bits can tell apart
PART = 1 << 16  # rows at a time: what is made of them stays in a core's cache
LARGE = 1 << 20  # rows that are worth a second thread


def sort(keys: NDArray[np.uint64]) -> None:
    """Sort in place, half by half on two cores where there are many."""
    if len(keys) < LARGE:
        keys.sort()
        return
    middle = len(keys) // 2
    keys.partition(middle)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(np.ndarray.sort, (keys[:middle], keys[middle:])))


def ordinals(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers in the order of scores without NaN; -0 is 0: [n]."""
    bits = (scores + np.float32(0)).view(np.uint32)
    # The bits of numbers below 0 descend: turned round, all ascend.
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def scores_of(ordinals: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The scores again: [n]."""
    return np.where(ordinals & SIGN, ordinals ^ SIGN, ~ordinals).view(np.float32)


def ascending(scores: NDArray[Any]) -> NDArray[Any]:
    """The places of numbers in ascending order, equal ones as they came: whole numbers, [n]."""
    if scores.dtype != np.float32 or len(scores) >> 32:
        return np.argsort(scores, kind="stable")
    return with_places(ordinals(scores)).astype(np.uint32)  # the lower half


def with_places(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """Numbers of 32 bits, at least 0, ascending, each above the place where it was; equal ones as they came: [n].

    Raises:
        ValueError: There are 2^32 or more.
    """
    if len(numbers) >> 32:
        raise ValueError(f"got {len(numbers):,} rows, expected fewer than 2^32.")
    keys = numbers.astype(np.uint64)
    keys <<= HALF
    keys |= np.arange(len(keys), dtype=np.uint32)
    sort(keys)
    return keys


def changes(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Where something else begins: bool [n]."""
    return np.concatenate((np.ones(min(ordered.size, 1), dtype=np.bool_), ordered[1:] != ordered[:-1]))


def sums(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of bool or float values, from each start to the next, and from the last to the end: float64 [starts]."""
    if not len(starts):
        return np.zeros(0)
    if values.dtype != np.bool_:
        return np.add.reduceat(values, starts, dtype=np.float64)
    before = np.cumsum(values, dtype=np.int64)
    before -= values
    return np.diff(before[starts], append=np.count_nonzero(values)).astype(np.float64)


def sums_by_class(
    positive: NDArray[Any], whole: NDArray[np.float64] | None, starts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weight of the positives, and of the negatives, from each start to the next: float64 [starts] each.

    Args:
        positive: Of each row, the weight of its positive: bool where rows have no weights, else float64, [n].
        whole: Of each row, its weight: [n]; None is 1 each.
        starts: In ascending order, the first 0.
    """
    found = sums(positive, starts)
    if whole is None:
        return found, np.diff(starts, append=len(positive)) - found
    return found, sums(whole - positive, starts)


def blocks(rows: int) -> Iterator[slice]:
    """Cut so many rows into parts, wherever that is."""
    return (slice(begin, min(begin + PART, rows)) for begin in range(0, rows, PART))


def parts(ordered: NDArray[Any], *, ignored: int = 0) -> list[slice]:
    """Cut ascending numbers into parts, equal ones never apart.

    Args:
        ordered: [n].
        ignored: Lower bits in which equal numbers may differ; above 0 for uint64 only.

    Returns:
        Parts of at most PART numbers, but for such as are all of equal ones.
    """
    ends = [0]
    while ends[-1] < len(ordered):
        end = ends[-1] + PART
        if end < len(ordered):
            first, last = _alike(ordered[end], ignored)
            begins = np.searchsorted(ordered, first)
            end = int(begins if begins > ends[-1] else np.searchsorted(ordered, last, side="right"))
        ends.append(min(end, len(ordered)))
    return [slice(begin, end) for begin, end in pairwise(ends)]


def _alike(number: Any, ignored: int) -> tuple[Any, Any]:
    if not ignored:
        return number, number
    low = np.uint64((1 << ignored) - 1)
    return number & ~low, number | low
