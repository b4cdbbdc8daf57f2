"""How steps are made: here; on several replicas in step; or by workers, each at its own pace, on what servers hold.

An engine takes the batches of a step, one for each of its replicas in this process, and gives what steps saw, in their order.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import Thread
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from funnel.distribution.cluster import Cluster
from funnel.distribution.rendezvous import KNOCK, answers, named
from funnel.distribution.team import Team, Workers, watched
from funnel.errors import ClusterError
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel, Learned

Element = tuple[Any, ...]  # batch, labels, maybe weights


class Made(NamedTuple):
    """A step that was made.

    Attributes:
        labels: Of the rows of this process: float32 [B, stages].
        learned: What it saw; `losses` and `conditional` of the same rows.
    """

    labels: Any
    learned: Learned


class Engine:
    """Here, on one device.

    Attributes:
        replicas: How many learn in step.
        own: The numbers of those in this process.
        team: The processes that learn in step.
        threads: That make batches ahead of the steps.
        ahead: How many steps may still be under way when the next one is asked for.
        under_way: Steps that were asked for and not yet given.
    """

    replicas: int = 1
    own: Sequence[int] = (0,)
    team: Team = Team()
    threads: int = 1
    ahead: int = 0

    def __init__(self) -> None:
        self._step: Any = None
        self.under_way: deque[Any] = deque()

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are to be created."""
        return nullcontext()

    def begin(self, model: FunnelModel) -> None:
        """The model whose steps are to be made."""
        self.model, self._step = model, None

    @property
    def traces(self) -> int:
        """How often the step was traced: once, whatever the batches."""
        return int(self._step.experimental_get_tracing_count()) if self._step is not None else 0

    def make(self, elements: Sequence[Element]) -> None:
        """Make a step, or have it made."""
        (element,) = elements
        if self._step is None:
            self._step = tf.function(self.model.learn, input_signature=[specification(element)], autograph=False)
        self.under_way.append(Made(element[1], self._step(element)))

    def wait(self, patience: float | None = None) -> None:
        """Return when the earliest step under way is done; what interrupts this changes nothing.

        Args:
            patience: Seconds for which none of those who make it need answer; by default, as long as for one that never came.

        Raises:
            ClusterError: None did.
        """

    def next(self) -> Made:
        """The earliest step under way, which then no longer is."""
        made: Made = self.under_way.popleft()
        return made


class Replicated(Engine):
    """Replicas that learn in step, each from its share of the rows of a step: on the devices of this process, or of several.

    Args:
        strategy: TensorFlow's.
        cluster: Of several processes; None for one.
    """

    def __init__(self, strategy: Any, cluster: Cluster | None = None) -> None:
        super().__init__()
        self._strategy, self._cluster = strategy, cluster
        self.replicas = strategy.num_replicas_in_sync
        self.team = Team() if cluster is None else Workers(cluster, strategy)
        local = len(strategy.extended.worker_devices)
        self.own = range(self.team.rank * local, (self.team.rank + 1) * local)

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are to be created."""
        return self._strategy.scope()

    def make(self, elements: Sequence[Element]) -> None:
        """Make a step."""
        if self._step is None:
            signature = [[specification(element) for element in elements]]
            self._step = tf.function(self._made, input_signature=signature, autograph=False)
        with watched(self._cluster) if self._cluster is not None else nullcontext():
            learned = Learned(*self._step(list(elements)))
        labels = [element[1] for element in elements]
        self.under_way.append(Made(labels[0] if len(labels) == 1 else tf.concat(labels, axis=0), learned))

    def _made(self, elements: Sequence[Element]) -> Learned:
        strategy = self._strategy
        if len(elements) == 1:
            return Learned(*strategy.run(self.model.learn, args=(elements[0],)))
        first = self.own[0]
        given = strategy.experimental_distribute_values_from_function(
            lambda context: elements[int(context.replica_id_in_sync_group) - first]
        )
        learned = Learned(
            *(strategy.experimental_local_results(part) for part in strategy.run(self.model.learn, args=(given,)))
        )
        together = {name: tf.concat(getattr(learned, name), axis=0) for name in ("losses", "conditional")}
        return Learned(learned.loss[0], learned.means[0], learned.rows[0], **together)


class Coordinated(Engine):
    """Workers that learn at their own pace from the batches that this process hands them, on what parameter servers hold.

    A step whose worker is gone is made by another one, or when that one is back.

    Args:
        strategy: TensorFlow's.
        cluster: The cluster.
        patience: Seconds to wait for workers, where all are gone.
    """

    def __init__(self, strategy: Any, cluster: Cluster, patience: float) -> None:
        super().__init__()
        self._strategy, self._cluster, self._patience = strategy, cluster, patience
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        workers = len(cluster.jobs["worker"])
        # One that a worker is busy with, and one that waits for it.
        self.ahead, self.threads = 2 * workers, min(4, workers)

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are to be created."""
        return self._strategy.scope()

    def make(self, elements: Sequence[Element]) -> None:
        """Hand a step to a worker."""
        (element,) = elements
        if self._step is None:
            self._step = tf.function(self._made, input_signature=[specification(element)], autograph=False)
        with self._watched():
            self.under_way.append((element[1], self._coordinator.schedule(self._step, args=(element,))))

    def wait(self, patience: float | None = None) -> None:
        """Return when the earliest step under way is done; see `Engine`."""
        _, value = self.under_way[0]
        # TensorFlow waits without end, and where no signal reaches it: so let another thread wait.
        fetching = Thread(target=_fetch, args=(value,), daemon=True)
        fetching.start()
        limit, answered = self._patience if patience is None else patience, monotonic()
        workers = {name: address for name, address in self._cluster.others.items() if name.startswith("worker ")}
        while fetching.is_alive():
            fetching.join(KNOCK)
            if not fetching.is_alive() or any(answers(address) for address in workers.values()):
                answered = monotonic()
            elif monotonic() - answered > limit:
                self.under_way.clear()
                # It ends by waiting for a thread of its own, which waits for the workers: so it never ends.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._coordinator))
                raise ClusterError(
                    f"{self._cluster}: {monotonic() - answered:.0f} s without an answer from {named(workers)}, expected one at "
                    "least. Start all processes again with --resume: the fit goes on from its last checkpoint."
                )

    def next(self) -> Made:
        """The earliest step under way; waits without end."""
        with self._watched():
            labels, value = self.under_way[0]
            learned = Learned(*value.fetch())
            self.under_way.popleft()
            return Made(np.asarray(labels), learned)

    def _made(self, element: Element) -> Learned:
        return Learned(*self._strategy.run(self.model.learn, args=(element,)))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with watched(self._cluster):
                yield
        except ClusterError:
            self.under_way.clear()
            raise


def _fetch(value: Any) -> None:
    with suppress(Exception):  # who takes the value meets it again
        value.get()


def specification(element: Any) -> Any:
    """The shapes of all elements like this one: any number of rows."""

    def of(tensor: tf.Tensor) -> tf.TensorSpec:
        return tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype)

    return tf.nest.map_structure(of, element)
