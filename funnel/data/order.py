"""The order of an epoch: a pure function of seed, epoch and worker, that can be asked for any step at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from funnel.data.codes import mixed
from funnel.data.store import Shards
from funnel.schema.training import ByGroup, ByRow, ByWindow

Rows = NDArray[np.int64]
Places = list[tuple[int, Rows]]  # shard and rows in it

ROUNDS = 8  # of the permutation: after four, where two things go still depends a little on where they stood
# First numbers of seeds: [seed, epoch] and [seed, epoch, 0] would be one seed to NumPy.
OF_SHARDS, OF_GROUPS, OF_WINDOWS = 1, 2, 3
KEPT = 4  # shards whose order is remembered: a step, or a window, touches few


@dataclass
class Epoch:
    """Which facts each step takes.

    Attributes:
        shards: The rows.
        batch_size: Facts of a step; the last one may have fewer.
        shuffle: How they are mixed; None takes them as they stand.
        seed: Of all epochs.
        epoch: From 0.
        worker: Which of the workers this is, from 0.
        workers: How many share out the shards; each takes whole ones.
    """

    shards: Shards
    batch_size: int
    shuffle: ByGroup | ByWindow | ByRow | None
    seed: int = 0
    epoch: int = 0
    worker: int = 0
    workers: int = 1
    _orders: OrderedDict[int, Rows] = field(default_factory=OrderedDict)
    _window: tuple[int, Rows, Rows] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not 0 <= self.worker < self.workers:
            raise ValueError(f"got worker {self.worker} of {self.workers}, expected one from 0 to {self.workers - 1}.")
        everything = np.arange(len(self.shards))
        if self.shuffle is not None:
            everything = np.random.default_rng([OF_SHARDS, self.seed, self.epoch]).permutation(everything)
        self._mine: Sequence[int] = everything[self.worker :: self.workers].tolist()
        self._ends = np.cumsum(self.shards.sizes[list(self._mine)]) if self._mine else np.zeros(0, np.int64)

    @property
    def rows(self) -> int:
        """Facts of this worker."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def steps(self) -> int:
        """Steps of this worker."""
        return -(-self.rows // self.batch_size)

    def step(self, number: int) -> Places:
        """The facts of a step, from 0: by shard, ascending, and so by row of the first dimension."""
        begin, end = number * self.batch_size, min((number + 1) * self.batch_size, self.rows)
        if isinstance(self.shuffle, ByRow):
            return self._placed(permuted(np.arange(begin, end), self.rows, self.seed, self.epoch))
        if not isinstance(self.shuffle, ByWindow):
            return [(shard, np.sort(rows)) for shard, rows in self._run(begin, end)]
        size = -(-self.shuffle.rows // self.batch_size) * self.batch_size
        window = begin // size
        if self._window[0] != window:
            self._window = (window, *self._mixed(window, self._run(window * size, min((window + 1) * size, self.rows))))
        _, shards, rows = self._window
        return _by_shard(shards[begin - window * size : end - window * size], rows[begin - window * size : end - window * size])

    def _run(self, begin: int, end: int) -> Places:
        """The facts from begin to end in the order of the groups."""
        found: Places = []
        first = int(np.searchsorted(self._ends, begin, side="right"))
        while begin < end:
            start = int(self._ends[first - 1]) if first else 0
            stop = min(end, int(self._ends[first]))
            shard = self._mine[first]
            rows = (
                np.arange(begin - start, stop - start)
                if self.shuffle is None
                else self._order(shard)[begin - start : stop - start]
            )
            found.append((shard, rows))
            begin, first = stop, first + 1
        return found

    def _order(self, shard: int) -> Rows:
        """The facts of a shard: its groups in random order, each as it stands."""
        if shard not in self._orders:
            starts = self.shards[shard].group_starts()
            groups = np.random.default_rng([OF_GROUPS, self.seed, self.epoch, shard]).permutation(len(starts) - 1)
            sizes = np.diff(starts)[groups]
            begins = np.cumsum(sizes) - sizes
            self._orders[shard] = np.arange(sizes.sum()) + np.repeat(starts[groups] - begins, sizes)
            if len(self._orders) > KEPT:
                self._orders.popitem(last=False)
        return self._orders[shard]

    def _mixed(self, window: int, places: Places) -> tuple[Rows, Rows]:
        """The shards and rows of a window's facts, in random order."""
        shards = np.repeat([shard for shard, _ in places], [len(rows) for _, rows in places])
        rows = np.concatenate([rows for _, rows in places])
        order = np.random.default_rng([OF_WINDOWS, self.seed, self.epoch, self.worker, window]).permutation(len(rows))
        return shards[order], rows[order]

    def _placed(self, numbers: Rows) -> Places:
        place = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return _by_shard(np.array(self._mine)[place], numbers - starts[place])


def _by_shard(shards: Rows, rows: Rows) -> Places:
    """Facts in the order in which they lie on disk: within a step their order does not matter."""
    order = np.lexsort((rows, shards))
    shards, rows = shards[order], rows[order]
    cuts = np.flatnonzero(np.diff(shards)) + 1
    return [(int(some[0]), part) for some, part in zip(np.split(shards, cuts), np.split(rows, cuts), strict=True) if len(part)]


def permuted(numbers: Rows, count: int, seed: int, epoch: int) -> Rows:
    """Where a random permutation of `count` things takes some of them, without the others being looked at.

    A Feistel network of several rounds over the next power of four (Luby & Rackoff, 1988), walked until it lands below `count`
    (Black & Rogaway, 2002).

    Args:
        numbers: int64 [n], each in [0, count).
        count: How many things there are.
        seed: Of all epochs.
        epoch: Another one is another permutation.
    """
    half = max(1, (max(1, count - 1).bit_length() + 1) // 2)
    mask = np.int64((1 << half) - 1)
    keys = mixed(np.arange(ROUNDS) + ROUNDS * epoch, seed + 1)
    found = numbers.astype(np.int64)
    outside = np.arange(len(found))
    while len(outside):
        left, right = found[outside] >> half, found[outside] & mask
        for key in keys:
            left, right = right, left ^ (mixed(right ^ key.astype(np.int64)).view(np.int64) & mask)
        found[outside] = (left << half) | right
        outside = outside[found[outside] >= count]
    return found
