"""The order of an epoch: a pure function of seed, epoch and lane, that can be asked for any step at once."""

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
    """Which facts each step takes, of all or of one lane.

    The groups of all shards, in the order of the epoch, are one line of facts. It is cut into lanes that are equally long, and
    each is mixed by itself: no lane needs a shard but its own, the ones at its ends perhaps shared.

    Attributes:
        shards: The rows.
        batch_size: Facts of a step; the last one may have fewer.
        shuffle: How they are mixed; None takes them as they stand.
        seed: Of all epochs.
        epoch: From 0.
        lane: Which of the lanes this is, from 0.
        lanes: How many there are.
    """

    shards: Shards
    batch_size: int
    shuffle: ByGroup | ByWindow | ByRow | None
    seed: int = 0
    epoch: int = 0
    lane: int = 0
    lanes: int = 1
    _orders: OrderedDict[int, Rows] = field(default_factory=OrderedDict)
    _window: tuple[int, Rows, Rows] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not 0 <= self.lane < self.lanes:
            raise ValueError(f"got lane {self.lane} of {self.lanes}, expected one from 0 to {self.lanes - 1}.")
        everything = np.arange(len(self.shards))
        if self.shuffle is not None:
            everything = np.random.default_rng([OF_SHARDS, self.seed, self.epoch]).permutation(everything)
        self._line: Sequence[int] = everything.tolist()
        self._ends = np.cumsum(self.shards.sizes[everything]) if len(everything) else np.zeros(0, np.int64)
        self._first, self._last = bounds(int(self._ends[-1]) if len(self._ends) else 0, self.lane, self.lanes)

    @property
    def rows(self) -> int:
        """Facts of this lane."""
        return self._last - self._first

    @property
    def steps(self) -> int:
        """Steps of this lane."""
        return -(-self.rows // self.batch_size)

    def rows_before(self, number: int) -> int:
        """How many facts come before a step."""
        return min(number * self.batch_size, self.rows)

    def rows_of(self, number: int) -> int:
        """How many facts a step has, from 0; none where the lane has ended."""
        return max(0, min(self.batch_size, self.rows - number * self.batch_size))

    def step(self, number: int) -> Places:
        """The facts of a step, from 0: by shard, ascending, and so by row of the first dimension."""
        begin, end = number * self.batch_size, min((number + 1) * self.batch_size, self.rows)
        if begin >= end:  # the lane has ended
            return []
        if isinstance(self.shuffle, ByRow):
            return self._placed(permuted(np.arange(begin, end), self.rows, self.seed, self.epoch) + self._first)
        if not isinstance(self.shuffle, ByWindow):
            return [(shard, np.sort(rows)) for shard, rows in self._run(begin, end)]
        size = -(-self.shuffle.rows // self.batch_size) * self.batch_size
        window = begin // size
        found = self._window  # several threads may ask at once
        if found[0] != window:
            found = (window, *self._mixed(window, self._run(window * size, min((window + 1) * size, self.rows))))
            self._window = found
        _, shards, rows = found
        return _by_shard(shards[begin - window * size : end - window * size], rows[begin - window * size : end - window * size])

    def _run(self, begin: int, end: int) -> Places:
        """The facts of this lane from begin to end, in the order of the groups."""
        found: Places = []
        begin, end = begin + self._first, end + self._first
        first = int(np.searchsorted(self._ends, begin, side="right"))
        while begin < end:
            start = int(self._ends[first - 1]) if first else 0
            stop = min(end, int(self._ends[first]))
            shard = self._line[first]
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
        found = self._orders.get(shard)
        if found is None:
            starts = self.shards[shard].group_starts()
            groups = np.random.default_rng([OF_GROUPS, self.seed, self.epoch, shard]).permutation(len(starts) - 1)
            sizes = np.diff(starts)[groups]
            begins = np.cumsum(sizes) - sizes
            found = self._orders[shard] = np.arange(sizes.sum()) + np.repeat(starts[groups] - begins, sizes)
            if len(self._orders) > KEPT:
                self._orders.popitem(last=False)
        return found

    def _mixed(self, window: int, places: Places) -> tuple[Rows, Rows]:
        """The shards and rows of a window's facts, in random order."""
        shards = np.repeat([shard for shard, _ in places], [len(rows) for _, rows in places])
        rows = np.concatenate([rows for _, rows in places])
        order = np.random.default_rng([OF_WINDOWS, self.seed, self.epoch, self.lane, window]).permutation(len(rows))
        return shards[order], rows[order]

    def _placed(self, numbers: Rows) -> Places:
        place = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return _by_shard(np.array(self._line)[place], numbers - starts[place])


def bounds(count: int, part: int, parts: int) -> tuple[int, int]:
    """Where one of the parts of so many things begins and ends; they differ by one thing at most."""
    return count * part // parts, count * (part + 1) // parts


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
