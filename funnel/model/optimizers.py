"""Optimisers: row-sparse ones for tables, any for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnel.model._keras import keras, tf, tfrs
from funnel.schema.training import Adagrad, Adam, Optimizer, Sgd


class RowAdagrad(keras.optimizers.legacy.Adagrad):
    """Adagrad (Duchi et al., 2011) for sparse gradients whose rows are unique, as `Embeddings` gives them.

    Gathers and scatters only these rows: no second search for repeats, and no kernel that is slow on CPUs.
    """

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any, **kwargs: Any) -> Any:
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Replicas repeat each other's rows: writing over what another wrote would lose its step.
            return super()._resource_apply_sparse_duplicate_indices(grad, handle, indices, **kwargs)
        return self._apply_rows(grad, handle, indices)

    def _apply_rows(self, grad: tf.Tensor, variable: Any, indices: tf.Tensor) -> tf.Operation:
        accumulator = self.get_slot(variable, "accumulator")
        rate = self._decayed_lr(variable.dtype.base_dtype)
        total = tf.gather(accumulator, indices) + grad * grad
        rows = tf.gather(variable, indices)
        # Both reads come before either write.
        with tf.control_dependencies([total, rows]):
            step = rows - rate * grad * tf.math.rsqrt(total)
            return tf.group(
                accumulator.scatter_update(tf.IndexedSlices(total, indices)),
                variable.scatter_update(tf.IndexedSlices(step, indices)),
            )


def composite(declared: Optimizer, tables: Callable[[], list[Any]], rest: Callable[[], list[Any]]) -> Any:
    """One optimiser for the tables, one for the rest, as one.

    Args:
        declared: What the schema says.
        tables: Gives the embedding variables, once there are any.
        rest: Gives the other trainable variables.
    """
    return tfrs.experimental.optimizers.CompositeOptimizer(
        [(_optimizer(declared.embedding, rows=True), tables), (_optimizer(declared.dense, rows=False), rest)]
    )


def _optimizer(declared: Adagrad | Adam | Sgd, *, rows: bool) -> Any:
    legacy = keras.optimizers.legacy
    match declared:
        case Adagrad():
            kind = RowAdagrad if rows else legacy.Adagrad
            return kind(declared.learning_rate, initial_accumulator_value=declared.initial_accumulator)
        case Adam():
            return legacy.Adam(declared.learning_rate, declared.beta_1, declared.beta_2)
        case Sgd():
            return legacy.SGD(declared.learning_rate, declared.momentum)
