"""From ids, as codes, to rows of an embedding table."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import MISSING_CODE, REACH, Codes
from funnel.schema.learnt import MISSING, OOV


class Lookup:
    """Finds the rows of ids of one table: in an array where their codes lie close together, else by bisection.

    Args:
        codes: Of the ids with a row of their own, ascending, each once: int64 [ids].
        rows: Their rows: int32 [ids].
        texts: `code` and `text` of those that are not their own codes.
    """

    def __init__(self, codes: Codes, rows: NDArray[np.int32], texts: pl.DataFrame) -> None:
        self.texts = texts
        self._codes, self._rows = codes, rows
        self._least, self._array = 0, np.zeros(0, np.int32)
        if len(codes) and codes[0] >= 0 and codes[-1] - codes[0] < REACH:
            self._least = int(codes[0])
            self._array = np.full(int(codes[-1]) - self._least + 1, OOV, np.int32)
            self._array[codes - self._least] = rows
            self._codes, self._rows = codes[:0], rows[:0]

    def find(self, codes: Codes) -> NDArray[np.int32]:
        """Rows of ids: MISSING for no id, OOV for one without a row of its own. int64 [n] -> int32 [n]."""
        found = np.full(len(codes), OOV, np.int32)
        if len(self._array):
            there = (codes >= self._least) & (codes < self._least + len(self._array))
            found[there] = self._array[codes[there] - self._least]
        elif len(self._codes):
            place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
            there = self._codes[place] == codes
            found[there] = self._rows[place[there]]
        found[codes == MISSING_CODE] = MISSING
        return found
