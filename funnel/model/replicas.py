"""What replicas that learn in step know of each other: sums over the rows of all of them.

Outside `tf.distribute`, or with one replica, there is nothing to add up, and no operation is made.
"""

from __future__ import annotations

from funnel.model._keras import tf


def several() -> bool:
    """Whether this is traced for one of several replicas."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def summed(tensor: tf.Tensor) -> tf.Tensor:
    """The sum over all replicas, of a tensor of the same shape on each."""
    if not several():
        return tensor
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def mean(values_B: tf.Tensor) -> tf.Tensor:
    """The mean over the rows of all replicas, which may have different numbers of them: float32 [B] -> []."""
    if not several():
        return tf.reduce_mean(values_B)
    total, rows = tf.unstack(summed(tf.stack([tf.reduce_sum(values_B), tf.cast(tf.size(values_B), values_B.dtype)])))
    return tf.math.divide_no_nan(total, rows)


def number() -> tf.Tensor:
    """Which replica this is, from 0: int64 []."""
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group, tf.int64) if several() else tf.constant(0, tf.int64)
