"""Ids as whole numbers: what is counted, joined and looked up before an id has a row of its own.

An id that is a whole number of at least 0, in its usual decimal form, is its own code. Any other text is a hash of its bytes
below 0, and its text is kept, so that two texts with one code are found out (`Texts.require_injective`), and the vocabulary
can spell it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.int64]

MISSING_CODE = int(np.iinfo(np.int64).min)  # no id at all
LARGEST_CODE = int(np.iinfo(np.int64).max)
SEEDS = 8  # of the hash: that two texts collide under all of them will not be seen
REACH = 1 << 23  # codes that lie no further apart are held in arrays, one place a code


NO_TEXTS = pl.DataFrame(schema={"code": pl.Int64, "text": pl.String})  # where all ids are their own codes


class CollisionError(Exception):
    """Two texts have one code: everything is done again with another hash."""


# Steele, Lea & Flood, 2014 (splitmix64).
_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: NDArray[Any], seed: int = 0) -> NDArray[np.uint64]:
    """A permutation of 64-bit numbers that leaves no pattern: the same on every machine."""
    with np.errstate(over="ignore"):
        state = numbers.astype(np.int64, copy=False).view(np.uint64) ^ (np.uint64(seed) * _SECOND)
        state = state + _STEP
        state = (state ^ (state >> np.uint64(30))) * _FIRST
        state = (state ^ (state >> np.uint64(27))) * _SECOND
        return np.asarray(state ^ (state >> np.uint64(31)))


def uniform(numbers: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each number: a pure function of it and the seed."""
    return (mixed(numbers, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def hashed_text(text: pl.Series, seed: int = 0) -> Codes:
    """A code below 0 for each text: [n] without nulls. Eight bytes at a time, so that long texts cost more rounds."""
    array = text.to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(text) + 1]
    stored = array.buffers()[2]
    data = np.zeros((0 if stored is None else stored.size) + 8, np.uint8)
    if stored is not None:
        data[: stored.size] = np.frombuffer(stored, np.uint8)
    words = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # the eight bytes from any place
    begins, lengths = offsets[:-1], np.diff(offsets)
    state = mixed(lengths, seed)
    rows = np.flatnonzero(lengths > 0)
    for at in range(0, int(lengths.max(initial=0)), 8):
        rows = rows[lengths[rows] > at]
        left = np.minimum(lengths[rows] - at, 8).astype(np.uint64)
        keep = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(8) * (np.uint64(8) - left))
        state[rows] = mixed((state[rows] ^ (words[begins[rows] + at] & keep)).view(np.int64), seed)
    return -1 - np.minimum(state >> np.uint64(1), np.uint64(LARGEST_CODE - 1)).astype(np.int64)


def distinct(codes: Codes) -> tuple[Codes, NDArray[np.int32]]:
    """The different codes, ascending, and each one's place among them: int32 [n]."""
    if not len(codes):
        return codes, np.zeros(0, np.int32)
    least, most = int(codes.min()), int(codes.max())
    if least == MISSING_CODE < most:
        # Apart from the others, or these would seem to lie far apart.
        there = codes != MISSING_CODE
        found, of_others = distinct(codes[there])
        every = np.zeros(len(codes), np.int32)
        every[there] = of_others + 1
        return np.concatenate([[MISSING_CODE], found]), every
    if most - least > 4 * len(codes) + (1 << 16):
        found, places = np.unique(codes, return_inverse=True)
        return found, places.astype(np.int32)
    # Codes of one feature mostly lie close together: a mark for each one there may be is faster than sorting.
    marks = np.zeros(most - least + 1, bool)
    shifted = codes - least
    marks[shifted] = True
    rank = np.cumsum(marks, dtype=np.int32)
    rank -= 1
    return np.flatnonzero(marks) + least, rank[shifted]


def codes_of(ids: pl.Series, seed: int = 0) -> tuple[Codes, pl.DataFrame]:
    """Codes of ids: MISSING_CODE for null.

    Args:
        ids: Text, or whole numbers that fit int64: [n].
        seed: Of the hash.

    Returns:
        int64 [n]; and `code` and `text` of each different id that is not its own code.
    """
    if ids.dtype.is_integer():
        numbers = ids.cast(pl.Int64)
        if not ids.null_count() and not (numbers < 0).any():
            return numbers.to_numpy(), _texts(np.zeros(0, np.int64), pl.Series("text", [], pl.String))
        codes = numbers.fill_null(MISSING_CODE).to_numpy(writable=True)
        spelt = ids.filter(numbers < 0).unique().cast(pl.String) if (numbers < 0).any() else pl.Series("text", [], pl.String)
        if not len(spelt):
            return codes, _texts(np.zeros(0, np.int64), spelt)
        hashed = hashed_text(spelt, seed)
        below = spelt.cast(pl.Int64).to_numpy()
        order = np.argsort(below)
        negative = (numbers < 0).fill_null(value=False).to_numpy()  # the least int64 is an id too
        codes[negative] = hashed[order][np.searchsorted(below[order], codes[negative])]
        return codes, _texts(hashed, spelt)
    numbers = ids.cast(pl.Int64, strict=False)
    own = ((numbers >= 0) & (numbers.cast(pl.String) == ids)).fill_null(value=False)
    codes = numbers.fill_null(MISSING_CODE).to_numpy(writable=True)
    if own.all():
        return codes, _texts(np.zeros(0, np.int64), ids.clear())
    other = (~own & ids.is_not_null()).to_numpy()
    codes[~own.to_numpy()] = MISSING_CODE
    spelt = ids.filter(pl.Series(other))
    hashed = hashed_text(spelt, seed)
    codes[other] = hashed
    distinct, first = np.unique(hashed, return_index=True)
    # Every different text, not one for each code: otherwise nobody would see that two share one.
    texts = pl.DataFrame({"code": hashed, "text": spelt}).unique() if len(distinct) < len(hashed) else None
    return codes, texts if texts is not None else _texts(distinct, spelt.gather(first))


def _texts(codes: Codes, text: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"code": codes, "text": text}, schema={"code": pl.Int64, "text": pl.String})


def spelt(codes: Codes, texts: pl.DataFrame) -> pl.Series:
    """The ids of codes: text [n], null for MISSING_CODE.

    Args:
        codes: int64 [n].
        texts: `code` and `text` of those that are not their own.
    """
    series = pl.Series("code", codes)
    own = series.cast(pl.String)
    if not (series < 0).any():
        return own.rename("text")
    found = series.to_frame().join(texts, on="code", how="left", maintain_order="left")["text"]
    return pl.select(pl.when(series >= 0).then(own).otherwise(found).alias("text")).to_series()
