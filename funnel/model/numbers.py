"""Numeric features inside the graph: scaled, cut into bins or buckets; the same in training and in the exported model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from funnel.model._keras import tf
from funnel.schema._base import LARGEST
from funnel.schema.features import Numeric
from funnel.schema.learnt import FIRST, MISSING, Scale
from funnel.schema.transforms import Log1p, PiecewiseLinear


def scaled(feature: Numeric, scale: Scale, numbers_N: tf.Tensor) -> tf.Tensor:
    """Inputs of the network: float32 [N, 1], or [N, bins]; and one more, an indicator of missing numbers, where none stands in.

    Args:
        feature: One that is not bucketized.
        scale: Its mean and standard deviation, or where its bins begin and end.
        numbers_N: float32 [N], NaN where missing.
    """
    missing_N = tf.math.is_nan(numbers_N)
    if isinstance(feature.transform, PiecewiseLinear):
        columns_NK = piecewise_linear(scale, numbers_N)
    else:
        if isinstance(feature.transform, Log1p):
            numbers_N = tf.sign(numbers_N) * tf.math.log1p(tf.abs(numbers_N))
        columns_NK = ((numbers_N - scale.mean) / scale.std)[:, tf.newaxis]
    # Zero is the mean, or no bin at all.
    columns_NK = tf.where(missing_N[:, tf.newaxis], tf.zeros_like(columns_NK), columns_NK)
    if feature.missing != "mean":
        return columns_NK
    return tf.concat([columns_NK, tf.cast(missing_N, tf.float32)[:, tf.newaxis]], axis=1)


def columns_of(feature: Numeric, scale: Scale) -> int:
    """How many columns `scaled` gives."""
    own = bins_of(scale) if isinstance(feature.transform, PiecewiseLinear) else 1
    return own + 1 if feature.missing == "mean" else own


def bins_of(scale: Scale) -> int:
    """How many bins there are: one where all numbers are the same."""
    return max(1, len(scale.boundaries) - 1)


def piecewise_linear(scale: Scale, numbers_N: tf.Tensor) -> tf.Tensor:
    """How far each number has come through each bin: float32 [N, bins], NaN where missing.

    Between 0 and 1, but for the first bin, which goes on below, and the last, which goes on above: Gorishniy et al., 2022,
    equation 1. Where all training rows have the same number, it is what is more than that.
    """
    ends = scale.boundaries if len(scale.boundaries) > 1 else (scale.boundaries[0], scale.boundaries[0] + 1.0)
    bins = len(ends) - 1
    # Not a quotient: what is between two neighbours among floats may be flushed to zero.
    per_unit = [min(1 / (high - low), LARGEST) for low, high in pairwise(ends)]
    least, greatest = np.zeros(bins, np.float32), np.ones(bins, np.float32)
    least[0], greatest[-1] = -np.inf, np.inf
    way_NK = (numbers_N[:, tf.newaxis] - tf.constant(ends[:-1], tf.float32)) * tf.constant(per_unit, tf.float32)
    return tf.minimum(tf.maximum(way_NK, least), greatest)


def bucketized(scale: Scale, numbers_N: tf.Tensor) -> tf.Tensor:
    """Rows of the feature's embedding table: int32 [N]; a bucket holds `boundary <= x < next`."""
    missing = tf.math.is_nan(numbers_N)
    known = tf.where(missing, tf.zeros_like(numbers_N), numbers_N)
    bucket = tf.raw_ops.Bucketize(input=known, boundaries=list(scale.boundaries)) + FIRST
    return tf.where(missing, MISSING, bucket)
