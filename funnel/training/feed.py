"""What the steps are fed with: packed batches, made ahead of them by a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from funnel.data.batches import labels_and_weights, star_batch
from funnel.data.order import Epoch
from funnel.data.packing import Packer
from funnel.data.parallel import in_order
from funnel.model._keras import tf

LET_GO = 4  # steps after which the pages that were read of the store are let go: it may be larger than the memory


class Feed:
    """Packed batches with their labels, and their weights where rows are weighed, as tensors.

    While a step computes, one thread cuts and packs the batches after it, and copies them into tensors. That takes no more than
    a core's idle time, where the same work inside the step would hold it up.

    Args:
        packer: Packs them.
    """

    def __init__(self, packer: Packer) -> None:
        self._packer = packer

    def __call__(self, epoch: Epoch, first_step: int = 0) -> Iterator[tuple[Any, ...]]:
        """The batches of an epoch from a step on, with labels float32 [facts, stages], and maybe weights float32 [facts]."""

        def make(number: int) -> tuple[Any, ...]:
            if number % LET_GO == 0:
                epoch.shards.let_go()
            parts = [(epoch.shards[shard], rows) for shard, rows in epoch.step(number)]
            batch = self._packer(star_batch(parts))
            others = map(tf.constant, labels_and_weights(parts, self._packer.schema))
            return {key: tf.constant(array) for key, array in batch.items()}, *others

        # One thread: it is ahead of the step, and a second would take the step's core.
        yield from in_order(make, range(first_step, epoch.steps), threads=1)


def specification(element: Any) -> Any:
    """The shapes of all elements like this one: any number of rows."""
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), element)
