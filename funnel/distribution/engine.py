"""How steps are made: here; on several replicas in step; or by workers, each at its own pace, on what servers hold.

An engine takes the batches of a step, one for each of its replicas in this process, and gives what steps saw, in their order:
at once, or later, where it works on several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from funnel.distribution.cluster import Cluster
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
        ahead: Whether steps are still being made when their successors are asked for.
    """

    replicas: int = 1
    own: Sequence[int] = (0,)
    team: Team = Team()
    threads: int = 1
    ahead: bool = False

    def __init__(self) -> None:
        self._step: Any = None

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

    def make(self, elements: Sequence[Element]) -> list[Made]:
        """Make a step, and give those that are done."""
        (element,) = elements
        if self._step is None:
            self._step = tf.function(self.model.learn, input_signature=[specification(element)], autograph=False)
        return [Made(element[1], self._step(element))]

    def settle(self) -> list[Made]:
        """Give those that are still being made, when they are done."""
        return []


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

    def make(self, elements: Sequence[Element]) -> list[Made]:
        """Make a step."""
        if self._step is None:
            signature = [[specification(element) for element in elements]]
            self._step = tf.function(self._made, input_signature=signature, autograph=False)
        with self._watched():
            learned = Learned(*self._step(list(elements)))
        labels = [element[1] for element in elements]
        return [Made(labels[0] if len(labels) == 1 else tf.concat(labels, axis=0), learned)]

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

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self._cluster is None:
            yield
            return
        with watched(self._cluster):
            yield


class Coordinated(Engine):
    """Workers that learn at their own pace from the batches that this process hands them, on what parameter servers hold.

    A step whose worker is gone is made by another one, or when that one is back.

    Args:
        strategy: TensorFlow's.
        cluster: The cluster.
    """

    ahead = True

    def __init__(self, strategy: Any, cluster: Cluster) -> None:
        super().__init__()
        self._strategy, self._cluster = strategy, cluster
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        self._under_way: deque[tuple[Any, Any]] = deque()
        workers = len(cluster.jobs["worker"])
        # One that a worker is busy with, and one that waits for it.
        self._most, self.threads = 2 * workers, min(4, workers)

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are to be created."""
        return self._strategy.scope()

    def make(self, elements: Sequence[Element]) -> list[Made]:
        """Hand a step to a worker."""
        (element,) = elements
        if self._step is None:
            # Workers may not write into the same rows of the same tensors, which `model.learn` for one device does.
            self._step = tf.function(self._made, input_signature=[specification(element)], autograph=False)
        with self._watched():
            self._under_way.append((element[1], self._coordinator.schedule(self._step, args=(element,))))
            return [self._next()] if len(self._under_way) > self._most else []

    def settle(self) -> list[Made]:
        """Wait for the workers."""
        with self._watched():
            self._coordinator.join()
            return [self._next() for _ in range(len(self._under_way))]

    def _made(self, element: Element) -> Learned:
        return Learned(*self._strategy.run(self.model.learn, args=(element,)))

    def _next(self) -> Made:
        labels, value = self._under_way.popleft()
        return Made(np.asarray(labels), Learned(*value.fetch()))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with watched(self._cluster):
                yield
        except ClusterError:
            self._under_way.clear()
            raise


def specification(element: Any) -> Any:
    """The shapes of all elements like this one: any number of rows."""

    def of(tensor: tf.Tensor) -> tf.TensorSpec:
        return tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype)

    return tf.nest.map_structure(of, element)
