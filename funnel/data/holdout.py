"""Which training rows are held out for validation: a pure function of the seed and the rows."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.normalise import TIME, key_role
from funnel.data.raw_star import RawStar
from funnel.errors import DataError
from funnel.schema.data import Fraction, Time
from funnel.schema.funnel_schema import FunnelSchema


def hold_out(schema: FunnelSchema, star: RawStar) -> NDArray[np.bool_]:
    """Mark the facts held out: bool [facts]; none where validation is not a share of the training rows.

    Raises:
        DataError: All rows would be on one side.
    """
    match schema.data.validation:
        case Fraction() as split:
            mask = _by_fraction(schema, star, split)
        case Time() as split:
            times = _moments(star.facts.plain[TIME])
            cut = times.sort()[min(int(len(times) * (1 - split.fraction)), len(times) - 1)]
            mask = (times >= cut).to_numpy()
        case _:
            return np.zeros(star.facts.rows, bool)
    if mask.all() or not mask.any():
        side = "held out" if mask.all() else "kept for training"
        raise DataError(
            f"data.validation: all {len(mask):,} training rows would be {side}, expected some on each side. "
            "Change the fraction, or what it goes by, or declare `validation: null`."
        )
    return mask


def _moments(times: pl.Series) -> pl.Series:
    """Numbers as text do not sort as numbers do."""
    numbers = times.cast(pl.Float64, strict=False) if times.dtype == pl.String else times
    return times if numbers.null_count() else numbers


def _by_fraction(schema: FunnelSchema, star: RawStar, split: Fraction) -> NDArray[np.bool_]:
    by = split.by or (schema.data.dimensions[0].name if schema.data.dimensions else "row")
    if by == "row":
        return _held(_uniform_rows(star.facts.rows, schema.train.seed), split.fraction)
    keys = star.dimensions[by].plain[key_role(by)]
    seed = schema.train.seed.to_bytes(8, "little")
    # By the key's text and not its position: a group stays on its side when rows are added.
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8, key=seed).digest() for key in keys)
    uniform = np.frombuffer(digests, np.uint64) / 2.0**64
    return _held(uniform, split.fraction)[star.index[by]]


def _held(uniform: NDArray[np.float64], fraction: float) -> NDArray[np.bool_]:
    """The share with the smallest numbers; at least one of two or more, whatever the share."""
    mask = uniform < fraction
    if len(mask) > 1:
        mask[uniform.argmin()] = True
        mask[uniform.argmax()] = False
    return mask


def _uniform_rows(rows: int, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each row (splitmix64 of seed and position)."""
    start = np.uint64(seed * 0xD6E8FEB86659FD93 % 2**64)
    state = (np.arange(rows, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
