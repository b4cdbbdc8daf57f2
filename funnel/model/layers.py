"""Stacks of dense layers: the shared body and the towers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from funnel.model._keras import keras, tf


class Stack(keras.layers.Layer):
    """Dense layers, each followed by an activation and maybe dropout.

    Args:
        units: Widths.
        activation: `prelu`, or a name that Keras knows.
        dropout: Share of outputs dropped in training.
        seed: Of the first weights and of dropout.
    """

    def __init__(self, units: Sequence[int], activation: str, dropout: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps: list[keras.layers.Layer] = []
        for position, width in enumerate(units):
            kernel = keras.initializers.GlorotUniform(seed=seed * 1009 + position)
            self.steps.append(keras.layers.Dense(width, kernel_initializer=kernel))
            if activation == "prelu":
                self.steps.append(keras.layers.PReLU(keras.initializers.Constant(0.25)))
            else:
                self.steps.append(keras.layers.Activation(activation))
            if dropout:
                self.steps.append(keras.layers.Dropout(dropout, seed=seed * 1013 + position))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, in] -> [B, last width]."""
        for step in self.steps:
            inputs = step(inputs, training=training) if isinstance(step, keras.layers.Dropout) else step(inputs)
        return inputs


class ConditionalTower(keras.layers.Layer):
    """A stage's own layers, and the logit of the stage given its parent.

    Args:
        units: Widths.
        activation: What follows each layer.
        dropout: Share of outputs dropped in training.
        prior: The expected conditional rate, in (0, 1): the logit starts there, so that rare stages do not collapse to 0.
        seed: Of the first weights.
    """

    def __init__(self, units: Sequence[int], activation: str, dropout: float, prior: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stack = Stack(units, activation, dropout, seed)
        bias = keras.initializers.Constant(math.log(prior) - math.log1p(-prior))
        kernel = keras.initializers.GlorotUniform(seed=seed * 1009 + 997)
        self.logit = keras.layers.Dense(1, kernel_initializer=kernel, bias_initializer=bias)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, in] -> float32 [B]."""
        return self.logit(self.stack(inputs, training=training))[:, 0]
