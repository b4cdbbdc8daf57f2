"""An epoch of several replicas: lanes of rows, dealt out among them, so that each row is used once over all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.data.order import Epoch, Places, bounds
from funnel.data.store import Shards
from funnel.schema.training import Train


@dataclass(frozen=True)
class Lanes:
    """Which facts each replica takes in each step.

    Every step takes as many facts of each lane, so that what is learnt depends on the number of lanes, and not on how many
    replicas share them out, or on which machines these are.

    Attributes:
        epochs: The lanes.
        replicas: How many share them out; one may have several, or none.
    """

    epochs: tuple[Epoch, ...]
    replicas: int = 1

    @classmethod
    def of(cls, shards: Shards, train: Train, epoch: int, lanes: int, replicas: int = 1) -> Lanes:
        """The lanes of an epoch.

        Args:
            shards: The rows.
            train: How they are shuffled, and how many facts a step takes of all lanes together.
            epoch: From 0.
            lanes: How many; no more than a step has facts.
            replicas: How many share them out.
        """
        cut = [bounds(train.batch_size, lane, lanes) for lane in range(lanes)]
        return cls(
            tuple(
                Epoch(shards, end - begin, train.shuffle, train.seed, epoch, lane, lanes)
                for lane, (begin, end) in enumerate(cut)
            ),
            replicas,
        )

    @property
    def shards(self) -> Shards:
        """The rows."""
        return self.epochs[0].shards

    @property
    def rows(self) -> int:
        """Facts of all lanes."""
        return sum(epoch.rows for epoch in self.epochs)

    @property
    def steps(self) -> int:
        """Steps of the epoch."""
        return max(epoch.steps for epoch in self.epochs)

    def rows_of(self, number: int) -> int:
        """Facts of all lanes in a step, from 0."""
        return sum(epoch.rows_of(number) for epoch in self.epochs)

    def step(self, number: int, replica: int = 0) -> Places:
        """The facts of a step that a replica takes: by lane, then by shard. A replica without any takes none of some shard."""
        found = [place for epoch in self.epochs[replica :: self.replicas] for place in epoch.step(number)]
        return found or [(0, np.zeros(0, np.int64))]
