"""The processes that learn in step: what they tell each other, beside gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from funnel.distribution.cluster import Cluster
from funnel.distribution.rendezvous import gone
from funnel.errors import ClusterError
from funnel.model._keras import tf

BLOCK = 1 << 22  # numbers that are told at a time
Thing = TypeVar("Thing")
# What a step, or a word to the others, fails with where one of them is gone; and what it may fail with then, or otherwise.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
MAYBE_LOST = (tf.errors.InternalError, tf.errors.UnknownError, tf.errors.FailedPreconditionError, tf.errors.NotFoundError)


class Team:
    """One process, alone."""

    size, rank = 1, 0

    @property
    def leads(self) -> bool:
        """Whether this process writes what there is to write."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when all have come here."""

    def in_turn(self, make: Callable[[], Thing]) -> Thing:
        """What the first one makes, and then the others: where they share a folder, they find there what the first has made."""
        return make()

    def require_same(self, what: str, value: str) -> None:
        """Compare a text.

        Raises:
            ClusterError: It is not the same everywhere.
        """

    def told(self, text: str) -> str:
        """What the first one says."""
        return text

    def take_over(self, variables: Iterable[Any]) -> None:
        """Give all the values that the first one has."""

    def shared_out(self, count: int, work: Callable[[int], NDArray[Any]]) -> list[NDArray[Any]]:
        """The results of some pieces of work, numbered from 0, each done by one of the processes, and given to all.

        Args:
            count: How many.
            work: Does one: [any, columns]; as many columns, and the same type, of each.
        """
        return [work(number) for number in range(count)]


class Workers(Team):
    """The workers of a cluster.

    Args:
        cluster: The cluster, and this process' place in it.
        strategy: TensorFlow's.
    """

    def __init__(self, cluster: Cluster, strategy: Any) -> None:
        self._cluster, self._strategy = cluster, strategy
        self.size, self.rank = cluster.trainers, cluster.rank
        self._gather, self._add = self._traced(_all_rows), self._traced(_sum)

    def wait(self) -> None:
        """Return when all have come here."""
        self._gathered(np.zeros([1, 1], np.int32))

    def in_turn(self, make: Callable[[], Thing]) -> Thing:
        """What the first one makes, and then the others."""
        if self.leads:
            made = make()
            self.wait()
            return made
        self.wait()
        return make()

    def require_same(self, what: str, value: str) -> None:
        """Compare a text; see `Team`."""
        digest = hashlib.sha256(value.encode()).digest()
        everywhere = self._gathered(np.frombuffer(digest, np.int32)[None])
        others = [rank for rank in range(self.size) if (everywhere[rank] != everywhere[0]).any()]
        if others:
            names = [name for name, _ in self._cluster.tasks]
            raise ClusterError(
                f"{what}: those of {', '.join(names[rank] for rank in others)} are not those of {names[0]}, expected the same "
                "everywhere. Give all workers the same schema and rows, and the same versions of packages."
            )

    def told(self, text: str) -> str:
        """What the first one says."""
        data = np.frombuffer(text.encode(), np.uint8).astype(np.int32)[:, None]
        return self._gathered(data if self.leads else data[:0]).astype(np.uint8).tobytes().decode()

    def take_over(self, variables: Iterable[Any]) -> None:
        """Give all the values that the first one has; each is added up with zeros, in blocks of its rows."""
        for variable in variables:
            copies = self._strategy.experimental_local_results(variable)
            if variable.shape.rank == 0:
                value = copies[0].numpy()
                value = self._added(value.reshape(1, 1))[0, 0]
                for copy in copies:
                    copy.assign(value)
                continue
            rows = max(1, BLOCK // max(1, variable.shape[1:].num_elements()))
            for begin in range(0, variable.shape[0], rows):
                places = tf.range(begin, min(begin + rows, variable.shape[0]))
                value = tf.gather(copies[0], places).numpy()
                value = self._added(value.reshape(len(value), -1)).reshape(value.shape)
                for copy in copies:
                    copy.scatter_update(tf.IndexedSlices(value, places))

    def shared_out(self, count: int, work: Callable[[int], NDArray[Any]]) -> list[NDArray[Any]]:
        """Results of pieces of work; see `Team`."""
        own = [work(number) for number in range(self.rank, count, self.size)]
        lengths = np.array(
            [[number, len(part)] for number, part in zip(range(self.rank, count, self.size), own, strict=True)], np.int64
        )
        numbered = self._gathered(lengths.reshape(-1, 2))
        # One without work knows neither the columns nor the type.
        columns = int(self._gathered(np.array([[own[0].shape[1] if own else 0]], np.int64)).max(initial=0))
        together = self._gathered(np.concatenate(own) if own else np.zeros([0, columns], np.float32))
        found: list[NDArray[Any]] = [together] * count
        ends = np.cumsum(numbered[:, 1])
        for (number, length), end in zip(numbered, ends, strict=True):
            found[int(number)] = together[end - length : end]
        return found

    def _gathered(self, array: NDArray[Any]) -> NDArray[Any]:
        """The rows [any, columns] of all, one after another, in the order of the workers."""
        with watched(self._cluster):
            return np.asarray(self._gather(tf.constant(_numbers(array)))).view(array.dtype)

    def _added(self, array: NDArray[Any]) -> NDArray[Any]:
        """What the first one has, of an array [rows, columns]."""
        # The others' bytes are 0: whatever the type, nothing is lost in the sum.
        own = _numbers(array)
        with watched(self._cluster):
            return np.asarray(self._add(tf.constant(own if self.leads else np.zeros_like(own)))).view(array.dtype)

    def _traced(self, speak: Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]) -> Any:
        """A function of int32 [rows, columns], in which each process speaks once, however many devices it has."""
        strategy, local = self._strategy, len(self._strategy.extended.worker_devices)

        def of_replica(rows: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return speak(context, rows, tf.equal(context.replica_id_in_sync_group % local, 0))

        def run(rows: tf.Tensor) -> tf.Tensor:
            return strategy.experimental_local_results(strategy.run(of_replica, args=(rows,)))[0]

        return tf.function(run, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)


def _numbers(array: NDArray[Any]) -> NDArray[np.int32]:
    return np.ascontiguousarray(array).view(np.int32)


def _all_rows(context: Any, rows: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    return context.all_gather(rows[: tf.where(first, tf.shape(rows)[0], 0)], axis=0)


def _sum(context: Any, rows: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    return context.all_reduce(tf.distribute.ReduceOp.SUM, rows * tf.cast(first, tf.int32))


@contextmanager
def watched(cluster: Cluster) -> Iterator[None]:
    """Says who is gone, where TensorFlow says only that somebody is.

    Raises:
        ClusterError: One is.
    """
    try:
        yield
    except (*LOST, *MAYBE_LOST) as error:
        missing = [f"{name} ({address})" for name, address in gone(cluster.others).items()]
        if not missing and isinstance(error, MAYBE_LOST):
            raise
        who = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} gone" if missing else "another process failed"
        message = str(error.message).partition("\n")[0]
        raise ClusterError(
            f"{cluster}: {who}, expected it to answer: its own output says why. Start all processes again with --resume: the "
            f"fit goes on from its last checkpoint. (TensorFlow: {message[:200]})"
        ) from None
