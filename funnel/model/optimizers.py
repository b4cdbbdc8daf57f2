"""Optimisers: row-sparse ones for tables, any for the rest.

Those for tables get gradients whose rows are unique, as `Embeddings` gives them, and gather, compute and overwrite these rows:
no second search for repeats, and no kernel that is slow on CPUs. Of all ways that TensorFlow has, this was the fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from typing import Any

from funnel.errors import SchemaError, have
from funnel.model._keras import keras, tf, tfrs
from funnel.schema.training import Adagrad, Adam, KerasOptimizer, Optimizer, RowWiseAdagrad, Sgd

legacy: Any = keras.optimizers.legacy

# What Keras' optimisers take, and is said elsewhere, or needs Keras' own `fit` (averages of weights).
NOT_OPTIONS = {"learning_rate", "name", "kwargs", "jit_compile", "use_ema", "ema_momentum", "ema_overwrite_frequency"}

_gathered: ContextVar[Mapping[Any, tf.Tensor]] = ContextVar("_gathered", default={})  # noqa: B039  # never changed in place


@contextmanager
def already_gathered(rows: Mapping[Any, tf.Tensor]) -> Iterator[None]:
    """Spares optimisers the reading of rows that the step has read already.

    Args:
        rows: By reference of a table: its rows, as and where its gradient has them, float32 [Q, D].
    """
    token = _gathered.set(rows)
    try:
        yield
    finally:
        _gathered.reset(token)


def gather_rows(table: Any, rows_Q: tf.Tensor) -> tf.Tensor:
    """Rows of a table: `tf.gather`, by the kernel that needs half the time for many rows of a large one.

    Those of a table that parameter servers hold are gathered where they are: only they travel.
    """
    if is_served(table):
        return tf.nn.embedding_lookup(table, rows_Q)
    return tf.gather_nd(table, rows_Q[:, None])


def is_served(table: Any) -> bool:
    """Whether parameter servers hold a table: several of them, its rows shared out, or one."""
    return hasattr(table, "is_sharded_variable") or "/job:ps" in table.device


class _RowSparse:
    """What optimisers of rows share; before the Keras class whose sparse update it replaces."""

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any, **kwargs: Any) -> Any:
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Replicas repeat each other's rows: they are added up first.
            return super()._resource_apply_sparse_duplicate_indices(grad, handle, indices, **kwargs)  # type: ignore[misc]
        return self._resource_apply_sparse(grad, handle, indices)

    def _resource_apply_sparse(self, grad: tf.Tensor, variable: Any, indices: tf.Tensor, **_: Any) -> tf.Operation:
        rows = _gathered.get().get(variable.ref())
        rows = gather_rows(variable, indices) if rows is None else rows
        state = {name: gather_rows(self.get_slot(variable, name), indices) for name in self._state}  # type: ignore[attr-defined]
        updated, new = self._updated(variable, rows, grad, state)
        # All reads come before any write.
        with tf.control_dependencies([updated, *new.values()]):
            slots = [
                self.get_slot(variable, name).scatter_update(tf.IndexedSlices(value, indices))  # type: ignore[attr-defined]
                for name, value in new.items()
            ]
            done = tf.group(variable.scatter_update(tf.IndexedSlices(updated, indices)), *slots)
        with tf.control_dependencies([done]):
            return tf.group(done, *self._left(variable))

    def _left(self, _: Any) -> list[tf.Operation]:
        """What is to be done after a step."""
        return []

    def _updated(
        self, _: Any, rows: tf.Tensor, grad: tf.Tensor, state: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The rows and what is kept of them, after a step."""
        step, new = self._step(grad, state, self._decayed_lr(tf.float32))  # type: ignore[attr-defined]
        return rows - step, new


class RowAdagrad(_RowSparse, legacy.Adagrad):
    """Adagrad (Duchi et al., 2011): steps of g / sqrt(sum of g squared), number by number."""

    _state = ("accumulator",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scratch = _Scratch()

    def _create_slots(self, var_list: list[Any]) -> None:
        super()._create_slots(var_list)
        if not tf.distribute.has_strategy():
            for variable in var_list:
                self._scratch.create(variable)

    def _updated(
        self, variable: Any, rows: tf.Tensor, grad: tf.Tensor, state: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        found = self._scratch.of(variable)
        if found is None:  # under `tf.distribute`, where several may be at work on one table
            return super()._updated(variable, rows, grad, state)
        # TensorFlow's dense kernel goes over the numbers twice, where one operation after another does six times. It wants
        # variables: these take and give tensors without a copy.
        scratch, total = found
        scratch.assign(rows)
        total.assign(state["accumulator"])
        tf.raw_ops.ResourceApplyAdagrad(
            var=scratch.handle, accum=total.handle, lr=self._decayed_lr(tf.float32), grad=grad, use_locking=False
        )
        return scratch.read_value(), {"accumulator": total.read_value()}

    def _left(self, variable: Any) -> list[tf.Operation]:
        # Else they would hold what they were given until the next step gives them more.
        return [one.assign(tf.zeros([0, variable.shape[1]])) for one in self._scratch.of(variable) or ()]

    def _step(self, grad: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total = state["accumulator"] + grad * grad
        return rate * grad * tf.math.rsqrt(total), {"accumulator": total}


class _Scratch:
    """By table two variables, of any number of its rows; Keras and checkpoints, which track what optimisers hold, see none."""

    def __init__(self) -> None:
        self._of: dict[Any, tuple[Any, Any]] = {}

    def create(self, table: Any) -> None:
        def one() -> Any:
            return tf.Variable(tf.zeros([0, table.shape[1]]), shape=[None, table.shape[1]], trainable=False, name="scratch")

        if table.ref() not in self._of:
            self._of[table.ref()] = one(), one()

    def of(self, table: Any) -> tuple[Any, Any] | None:
        return self._of.get(table.ref())


class RowWiseAdagradOptimizer(_RowSparse, legacy.Adagrad):
    """Adagrad with one accumulator a row, of the mean of its squared gradients: the state takes 1/D of the table.

    As for the embeddings of DLRM (Naumov et al., 2019, "Deep Learning Recommendation Model for Personalization and
    Recommendation Systems").
    """

    _state = ("accumulator",)

    def _create_slots(self, var_list: list[Any]) -> None:
        for variable in var_list:
            first = tf.fill(variable.shape[:1], tf.constant(self._initial_accumulator_value, variable.dtype))
            self.add_slot(variable, "accumulator", first)

    def _step(self, grad: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total = state["accumulator"] + tf.reduce_mean(grad * grad, axis=1)
        return rate * grad * tf.math.rsqrt(total)[:, None], {"accumulator": total}


class LazyAdam(_RowSparse, legacy.Adam):
    """Adam (Kingma & Ba, 2015) that leaves the moments of unused rows alone; the bias is corrected for all steps."""

    _state = ("m", "v")

    def _step(self, grad: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        beta_1, beta_2 = self._get_hyper("beta_1", tf.float32), self._get_hyper("beta_2", tf.float32)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = rate * tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        m = beta_1 * state["m"] + (1.0 - beta_1) * grad
        v = beta_2 * state["v"] + (1.0 - beta_2) * grad * grad
        return rate * m / (tf.sqrt(v) + self.epsilon), {"m": m, "v": v}


class RowSgd(_RowSparse, legacy.SGD):
    """Gradient steps, with a momentum that unused rows keep."""

    @property
    def _state(self) -> tuple[str, ...]:
        return ("momentum",) if self._momentum else ()

    def _step(self, grad: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        if not self._momentum:
            return rate * grad, {}
        # As Keras has it: what is kept is the last step itself.
        momentum = self._get_hyper("momentum", tf.float32) * state["momentum"] - rate * grad
        return -momentum, {"momentum": momentum}


class Composite(tfrs.experimental.optimizers.CompositeOptimizer):
    """Several optimisers as one."""

    def parts(self) -> list[tuple[Any, Callable[[], list[Any]]]]:
        """Each optimiser, and what gives its variables."""
        return list(self._optimizers_and_vars)

    @property
    def weights(self) -> list[Any]:
        """All that they keep."""
        # A method of the old kind of Keras; of the new, a list that can be called.
        return [variable for optimizer, _ in self._optimizers_and_vars for variable in optimizer.variables()]


def composite(declared: Optimizer, tables: Callable[[], list[Any]], rest: Callable[[], list[Any]]) -> Composite:
    """One optimiser for the tables, one for the rest, as one.

    Args:
        declared: What the schema says.
        tables: Gives the embedding variables, once there are any.
        rest: Gives the other trainable variables.

    Raises:
        SchemaError: Keras has no such optimiser, or it takes no such options.
    """
    return Composite([(_of_tables(declared.embedding), tables), (_of_the_rest(declared.dense), rest)])


def _of_tables(declared: Adagrad | RowWiseAdagrad | Adam | Sgd) -> Any:
    match declared:
        case Adagrad():
            return RowAdagrad(declared.learning_rate, initial_accumulator_value=declared.initial_accumulator)
        case RowWiseAdagrad():
            return RowWiseAdagradOptimizer(declared.learning_rate, initial_accumulator_value=declared.initial_accumulator)
        case Adam():
            return LazyAdam(declared.learning_rate, declared.beta_1, declared.beta_2)
        case Sgd():
            return RowSgd(declared.learning_rate, declared.momentum)


def _of_the_rest(declared: Adagrad | Adam | Sgd | KerasOptimizer) -> Any:
    match declared:
        case Adagrad():
            return legacy.Adagrad(declared.learning_rate, initial_accumulator_value=declared.initial_accumulator)
        case Adam():
            return legacy.Adam(declared.learning_rate, declared.beta_1, declared.beta_2)
        case Sgd():
            return legacy.SGD(declared.learning_rate, declared.momentum)
        case KerasOptimizer():
            return _of_keras(declared)


def _of_keras(declared: KerasOptimizer) -> Any:
    kinds = {
        name: kind
        for name, kind in vars(keras.optimizers).items()
        if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer) and kind is not keras.optimizers.Optimizer
    }
    where = "train.optimizer.dense"
    if declared.name not in kinds:
        raise SchemaError(f"{where}.name: {declared.name!r} is no optimiser of Keras {have(declared.name, sorted(kinds))}")
    takes = sorted(set(signature(kinds[declared.name]).parameters) - NOT_OPTIONS)
    for option in declared.options:
        if option not in takes:  # Keras lets some pass, and does nothing with them
            raise SchemaError(f"{where}.options.{option}: {declared.name} takes no such option {have(option, takes)}")
    try:
        return kinds[declared.name](learning_rate=declared.learning_rate, **declared.options)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{where}.options: {declared.name} does not take them: {error}. Correct them.") from None
