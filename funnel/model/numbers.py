"""Numeric features inside the graph: scaled, or cut into buckets; the same in training and in the exported model."""

from __future__ import annotations

from funnel.model._keras import tf
from funnel.schema.features import Log1p, Numeric
from funnel.schema.learnt import FIRST, MISSING, Scale


def scaled(feature: Numeric, scale: Scale, numbers_N: tf.Tensor) -> tf.Tensor:
    """Inputs of the network: float32 [N, 1], or [N, 2] with an indicator of missing numbers where these are the mean.

    Args:
        feature: One that is not bucketized.
        scale: Its mean and standard deviation.
        numbers_N: float32 [N], NaN where missing.
    """
    missing = tf.math.is_nan(numbers_N)
    if isinstance(feature.transform, Log1p):
        numbers_N = tf.sign(numbers_N) * tf.math.log1p(tf.abs(numbers_N))
    standard = (numbers_N - scale.mean) / scale.std
    # Zero is the mean.
    columns = [tf.where(missing, tf.zeros_like(standard), standard)]
    if feature.missing == "mean":
        columns.append(tf.cast(missing, tf.float32))
    return tf.stack(columns, axis=1)


def columns_of(feature: Numeric) -> int:
    """How many columns `scaled` gives."""
    return 2 if feature.missing == "mean" else 1


def bucketized(scale: Scale, numbers_N: tf.Tensor) -> tf.Tensor:
    """Rows of the feature's embedding table: int32 [N]; a bucket holds `boundary <= x < next`."""
    missing = tf.math.is_nan(numbers_N)
    known = tf.where(missing, tf.zeros_like(numbers_N), numbers_N)
    bucket = tf.raw_ops.Bucketize(input=known, boundaries=list(scale.boundaries)) + FIRST
    return tf.where(missing, MISSING, bucket)
