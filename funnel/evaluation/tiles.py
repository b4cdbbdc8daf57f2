"""Rows made up to whole tiles, so that what is computed for a row does not depend on the rows beside it.

TensorFlow computes most of an array some numbers at a time, and what is left at its end by other instructions, whose last bit
may differ: the exponentials of Eigen do, and products of matrices with few or odd rows. Where all arrays have whole tiles of
rows, nothing is left at an end but what is thrown away.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import Batch
from funnel.data.columns import OFFSETS, WEIGHTS

TILE = 64  # rows: four times the widest registers' float32, whatever the columns


def tiled(array: NDArray[Any], *, more: int = 0, mode: Literal["constant", "edge"] = "constant") -> NDArray[Any]:
    """An array [rows, ...] made up to whole tiles and `more`, by zeros or as `np.pad` says; the same one where it has these."""
    lacking = (more - len(array)) % TILE
    return np.pad(array, [(0, lacking), *[(0, 0)] * (array.ndim - 1)], mode=mode) if lacking else array


def tiled_batch(batch: Batch) -> Batch:
    """A star batch whose sources all have whole tiles of rows: after its own, some without ids and of empty bags."""
    made = {}
    for key, array in batch.items():
        source, _, name = key.partition("/")
        if name.endswith(OFFSETS):
            made[key] = tiled(array, more=1, mode="edge")
        elif f"{source}/{name.removesuffix(WEIGHTS)}{OFFSETS}" in batch:
            made[key] = array  # entries of bags, each computed on its own
        else:
            made[key] = tiled(array)
    return made
