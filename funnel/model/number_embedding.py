"""Embeddings of numbers: what weights of a feature's own make of it, where a table's rows would be too coarse.

Shapes: N rows of a source, K columns that `scaled` gives, F frequencies, D numbers of the embedding.
"""

from __future__ import annotations

import math
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.numbers import columns_of, scaled
from funnel.schema.features import Numeric
from funnel.schema.learnt import Scale
from funnel.schema.transforms import Periodic


class NumberEmbedding(keras.layers.Layer):
    """A number as D numbers: Gorishniy et al., 2022.

    Piecewise linear: `W e + b`, with e how far it has come through each bin. Periodic: `relu(W p + b)`, with p the sines and
    cosines of 2 pi c x. A missing number enters with an indicator where the training rows' mean would stand in.

    Args:
        feature: Its declaration.
        scale: What is known of it.
        dim: D.
        seed: Of the first weights: W and b uniform up to one over the root of the inputs, c normal, as in the paper.
    """

    def __init__(self, feature: Numeric, scale: Scale, dim: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._scale = feature, scale
        inputs, transform = columns_of(feature, scale), feature.transform
        if isinstance(transform, Periodic):
            # Two of each frequency in the place of the number itself.
            inputs += 2 * transform.frequencies - 1
            first = keras.initializers.RandomNormal(stddev=transform.sigma, seed=seed * 1009)
            self.frequencies = self.add_weight(name="frequencies", shape=[transform.frequencies], initializer=first)
        reach = 1 / math.sqrt(inputs)
        within = [keras.initializers.RandomUniform(-reach, reach, seed=seed * 1009 + place) for place in (1, 2)]
        self.kernel = self.add_weight(name="kernel", shape=[inputs, dim], initializer=within[0])
        self.bias = self.add_weight(name="bias", shape=[dim], initializer=within[1])

    @property
    def meaning(self) -> tuple[str, Scale]:
        """What its weights are about: those of another one mean the same only where this is equal."""
        return self._declared.transform.kind, self._scale

    def call(self, numbers_N: tf.Tensor) -> tf.Tensor:
        """Numbers, float32 [N], NaN where missing -> float32 [N, D]."""
        columns_NK = scaled(self._declared, self._scale, numbers_N)
        if not isinstance(self._declared.transform, Periodic):
            return tf.nn.bias_add(tf.matmul(columns_NK, self.kernel), self.bias)
        angles_NF = 2 * math.pi * columns_NK[:, :1] * tf.convert_to_tensor(self.frequencies)
        waves = tf.concat([tf.sin(angles_NF), tf.cos(angles_NF), columns_NK[:, 1:]], axis=1)
        return tf.nn.relu(tf.nn.bias_add(tf.matmul(waves, self.kernel), self.bias))
