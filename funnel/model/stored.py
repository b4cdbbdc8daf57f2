"""Tables as an export may store them: half as long, or a byte a number; what is used of them is float32 again.

Shapes: R rows, D numbers per row, Q rows that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from funnel.model._keras import tf
from funnel.model.optimizers import gather_rows
from funnel.schema.layout import Width

Kind = Literal["float32", "float16", "int8"]
KINDS: tuple[Kind, ...] = ("float32", "float16", "int8")
BLOCK = 1 << 18  # rows that are read at a time: a table is never there twice as float32
STEPS = 127  # of an int8, to either side of 0
LARGEST = float(np.finfo(np.float16).max)
MOST = {"float32": float(np.finfo(np.float32).max), "float16": LARGEST, "int8": LARGEST * STEPS}


class Table(Protocol):
    """What a network can read."""

    def gather(self, rows_Q: tf.Tensor) -> tf.Tensor:
        """Rows, int32 [Q] -> float32 [Q, D]."""


class Tables(NamedTuple):
    """Tables that a network reads in the place of its own.

    Attributes:
        widths: Where they stand; the tables' numbers of rows may be others than those of the network.
        by_bottom: For each of its bottoms, by width.
    """

    widths: tuple[Width, ...]
    by_bottom: tuple[Mapping[str, Table], ...]


class Float(tf.Module):
    """A table of floats, of 16 or 32 bits.

    Args:
        values_RD: float16 or float32 [R, D].
    """

    def __init__(self, values_RD: NDArray[Any]) -> None:
        super().__init__()
        self.values = tf.Variable(values_RD, trainable=False, name="table")

    def gather(self, rows_Q: tf.Tensor) -> tf.Tensor:
        """Rows, int32 [Q] -> float32 [Q, D]."""
        return tf.cast(gather_rows(self.values, rows_Q), tf.float32)


class Int8(tf.Module):
    """A table of bytes, with a scale for each row.

    Args:
        values_RD: int8 [R, D].
        scales_R: float16 [R]. A number is its byte times this.
    """

    def __init__(self, values_RD: NDArray[np.int8], scales_R: NDArray[np.float16]) -> None:
        super().__init__()
        self.values = tf.Variable(values_RD, trainable=False, name="table")
        self.scales = tf.Variable(scales_R, trainable=False, name="scales")

    def gather(self, rows_Q: tf.Tensor) -> tf.Tensor:
        """Rows, int32 [Q] -> float32 [Q, D]."""
        scales_Q = tf.cast(tf.gather(self.scales, rows_Q), tf.float32)
        return tf.cast(gather_rows(self.values, rows_Q), tf.float32) * scales_Q[:, None]


class Elsewhere(tf.Module):
    """A table whose rows have moved.

    Args:
        table: With rows where they now are.
        places_R: int32 [R]. By row: where it now is.
    """

    def __init__(self, table: Table, places_R: NDArray[np.int32]) -> None:
        super().__init__()
        self._table, self._places = table, tf.constant(places_R)

    def gather(self, rows_Q: tf.Tensor) -> tf.Tensor:
        """Rows, int32 [Q] -> float32 [Q, D]."""
        return self._table.gather(tf.gather(self._places, rows_Q))


def stored(table: Any, rows_R: NDArray[np.int64], kind: Kind) -> Float | Int8:
    """Rows of a table as they are stored.

    Args:
        table: A variable, float32 [any, D].
        rows_R: Those that are wanted, in their order.
        kind: As what.

    Raises:
        ValueError: A number is too large for it, or none; says so of the table.
    """
    shape = len(rows_R), int(table.shape[1])
    values = np.empty(shape, kind)
    scales = np.empty(shape[0], np.float16)
    for begin in range(0, shape[0], BLOCK):
        part = slice(begin, begin + BLOCK)
        numbers = gather_rows(table, tf.constant(rows_R[part])).numpy()
        # Written so that NaN is refused, too.
        if not (np.abs(numbers) <= MOST[kind]).all():
            raise ValueError(f"holds numbers that are none, or beyond {MOST[kind]:.3g}, expected such as {kind} can hold")
        if kind == "int8":
            values[part], scales[part] = rounded(numbers)
        else:
            values[part] = numbers
    return Int8(values, scales) if kind == "int8" else Float(values)


def rounded(numbers_RD: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Numbers as bytes times a scale for each row: symmetric, so that 0 stays 0.

    The scale is the least float16 with which no number of the row clips, so that each is at most half a scale off. With a zero
    point of its own a row's error would be about a tenth less, for a byte more.

    Args:
        numbers_RD: Sizes up to 127 times the largest float16.

    Returns:
        int8 [R, D], within -127 and 127; float16 [R], 0 for rows of zeros.
    """
    wanted_R = np.abs(numbers_RD).max(axis=1, initial=0).astype(np.float64) / STEPS
    scales_R = wanted_R.astype(np.float16)
    short_R = scales_R < wanted_R
    scales_R[short_R] = np.nextafter(scales_R[short_R], np.float16(np.inf))
    divisor_R = np.where(scales_R > 0, scales_R, 1).astype(np.float32)
    return np.rint(numbers_RD / divisor_R[:, None]).astype(np.int8), scales_R
