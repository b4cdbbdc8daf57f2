"""What a tower is told by those before it: Xi et al., 2021 (AITM).

Shapes: B facts, H numbers that a tower gives, S of them that are attended to, its own and those told; U units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.layers import Activation, StarDense
from funnel.schema.model import Tower
from funnel.schema.transfer import Aitm


class Transfer(keras.layers.Layer):
    """Makes of a tower's output, and of those of the towers before it, what the logit is made of (equations 4 to 7).

    With q the tower's own output and p = g(z) what is made of that of one before it, both as wide, and u each of them:
    `w = softmax(<h2(u), h3(u)> / sqrt(U))`, and `z = sum of w h1(u)`.

    Args:
        declared: How wide.
        tower: The tower's own layers: g ends as they do.
        before: The names of the stages before it, whose towers tell.
        seed: Of the first weights.
    """

    def __init__(self, declared: Aitm, tower: Tower, before: Sequence[str], seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared, self._tower, self._before, self._seed = declared, tower, tuple(before), seed
        self.told: list[StarDense] = []
        self.activations: list[Activation] = []
        self.heads: list[StarDense] = []

    def build(self, shape: Any) -> None:
        """Create the layers, for a tower's output of that shape."""
        width = int(shape[-1])
        self._units = self._declared.units or width

        def dense(units: int, place: int) -> StarDense:
            return StarDense(units, keras.initializers.GlorotUniform(seed=self._seed * 1009 + 811 + place))

        self.heads = [dense(self._units, place) for place in range(3)]
        self.told = [dense(width, 3 + place) for place in range(len(self._before))]
        self.activations = [Activation(self._tower.activation) for _ in self._before]

    def layers(self) -> Iterator[tuple[str, Any]]:
        """Its layers with weights, by name."""
        for name, told, activation in zip(self._before, self.told, self.activations, strict=True):
            yield f"from_{name}", told
            yield from ((f"from_{name}_{inner}", layer) for inner, layer in activation.layers())
        yield from zip(("value", "key", "query"), self.heads, strict=True)

    def call(self, own_BH: tf.Tensor, before: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        """float32 [B, U].

        Args:
            own_BH: What the tower gives.
            before: What those before it do, each of its own width.
            training: Whether weights are learnt from it.
        """
        told = [
            activation(dense([given]), training=training)
            for given, dense, activation in zip(before, self.told, self.activations, strict=True)
        ]
        each_BSH = tf.stack([own_BH, *told], axis=1)
        rows = tf.reshape(each_BSH, [-1, each_BSH.shape[2]])
        shape = [-1, 1 + len(told), self._units]
        value_BSU, key_BSU, query_BSU = (tf.reshape(head([rows]), shape) for head in self.heads)
        share_BS = tf.nn.softmax(tf.reduce_sum(key_BSU * query_BSU, axis=2) / math.sqrt(self._units))
        return tf.reduce_sum(share_BS[:, :, tf.newaxis] * value_BSU, axis=1)
