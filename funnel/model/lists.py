"""Lists without padding: whose each entry is, and where it stands in its list.

Shapes: N rows, E entries of all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from funnel.model._keras import tf
from funnel.model.packing import owners

TILE = 64  # rows: see `funnel.evaluation.tiles`


class Lists(NamedTuple):
    """The entries of rows, row after row.

    Attributes:
        begins: Where those of each row begin: int32 [N].
        lengths: How many it has: int32 [N].
        owners: The row of each entry: int32 [E].
        places: Its place in its list, from 0, the oldest: int32 [E].
    """

    begins: tf.Tensor
    lengths: tf.Tensor
    owners: tf.Tensor
    places: tf.Tensor

    @classmethod
    def of(cls, offsets: tf.Tensor) -> Lists:
        """From offsets, as star batches have them: int [N + 1]."""
        offsets = tf.cast(offsets, tf.int32)
        begins_N, lengths_N = offsets[:-1], offsets[1:] - offsets[:-1]
        owners_E = owners(lengths_N, offsets[-1])
        return cls(begins_N, lengths_N, owners_E, tf.range(offsets[-1]) - tf.gather(begins_N, owners_E))

    @property
    def from_newest(self) -> tf.Tensor:
        """How many entries of its list are newer than each: int32 [E]."""
        return tf.gather(self.lengths, self.owners) - 1 - self.places


def made_up(rows: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Rows made up to whole tiles by zeros, unless weights are learnt from them.

    Where nothing is left at the end of an array but what is thrown away, what is computed for a row does not depend on the rows
    beside it.
    """
    if training:
        return rows
    lacking = tf.math.floormod(-tf.shape(rows)[0], TILE)
    return tf.pad(rows, [[0, lacking], *[[0, 0]] * (rows.shape.rank - 1)])
