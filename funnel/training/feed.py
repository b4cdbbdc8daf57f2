"""What the steps are fed with: packed batches, made ahead of them by threads of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from funnel.data.batches import labels_and_weights, star_batch
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.parallel import in_order
from funnel.model._keras import tf
from funnel.schema.layout import TOTAL

LET_GO = 4  # steps after which the pages that were read of the store are let go: it may be larger than the memory


class Feed:
    """Packed batches with their labels, and their weights where rows are weighed, as tensors.

    While a step computes, one thread cuts and packs the batches after it, and copies them into tensors. That takes no more than
    a core's idle time, where the same work inside the step would hold it up.

    Args:
        packer: Packs them.
        replicas: Those of this process, of all that share out the lanes.
        threads: One is ahead of the step, and a second would take the step's core; more for steps that are made elsewhere.
    """

    def __init__(self, packer: Packer, replicas: Sequence[int] = (0,), threads: int = 1) -> None:
        self._packer, self._replicas, self._threads = packer, replicas, threads

    def __call__(self, lanes: Lanes, first_step: int = 0) -> Iterator[tuple[tuple[Any, ...], ...]]:
        """Of each step of an epoch, from one on, the batch of each replica of this process.

        With labels float32 [facts, stages], and maybe weights float32 [facts].
        """

        def make(number: int) -> tuple[tuple[Any, ...], ...]:
            if number % LET_GO == 0:
                lanes.shards.let_go()
            return tuple(self._element(lanes, number, replica) for replica in self._replicas)

        yield from in_order(make, range(first_step, lanes.steps), self._threads)

    def _element(self, lanes: Lanes, number: int, replica: int) -> tuple[Any, ...]:
        parts = [(lanes.shards[shard], rows) for shard, rows in lanes.step(number, replica)]
        batch = self._packer(star_batch(parts))
        if lanes.replicas > 1:
            batch[TOTAL] = np.array(lanes.rows_of(number), np.int32)
        others = map(tf.constant, labels_and_weights(parts, self._packer.schema))
        return {key: tf.constant(array) for key, array in batch.items()}, *others
