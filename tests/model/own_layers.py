"""Layers that a user might write, for tests of `kind: custom`; a module of its own, as theirs is."""

from __future__ import annotations

from typing import Any

import keras as keras_3
import tensorflow as tf
import tf_keras as keras


class Gated(keras.layers.Layer):
    """A dense layer, normed and gated, with dropout: what `training` matters to."""

    def __init__(self, units: int, rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.values = keras.layers.Dense(units, "tanh")
        self.gate = keras.layers.Dense(units, "sigmoid")
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(rate)

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = self.norm(self.values(inputs), training=training) * self.gate(inputs)
        return self.drop(hidden, training=training)


class Forgetful(Gated):
    """One that hands `training` on to nobody."""

    def call(self, inputs: Any) -> Any:
        return self.drop(self.norm(self.values(inputs)) * self.gate(inputs))


class Plain(keras.layers.Layer):
    """One that knows nothing of `training`, and takes a seed."""

    def __init__(self, units: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed

    def build(self, shape: Any) -> None:
        drawn = keras.initializers.GlorotUniform(self.seed)
        self.kernel = self.add_weight(name="kernel", shape=[int(shape[-1]), self.units], initializer=drawn)

    def call(self, inputs: Any) -> Any:
        return tf.tanh(tf.matmul(inputs, self.kernel))


def stacked(*, widths: list[int]) -> Any:
    """A function that returns a layer."""
    return keras.Sequential([keras.layers.Dense(width, "tanh") for width in widths])


class Fixed(keras.layers.Layer):
    """Gives what a test says."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def call(self, inputs: Any) -> Any:
        match self.what:
            case "no rank":
                return inputs[:, 0]
            case "half":
                return tf.cast(inputs, tf.float16)
            case "two":
                return inputs, inputs
            case "one row":
                return tf.reduce_sum(inputs, axis=0, keepdims=True)
            case "unknown width":
                return tf.boolean_mask(inputs, inputs[0] >= 0, axis=1)
            case "python":
                return inputs if float(tf.reduce_sum(inputs)) == 0 else -inputs
        raise ValueError(f"what: {self.what}")


def regularized() -> Any:
    return keras.layers.Dense(3, kernel_regularizer="l2")


def of_keras_3() -> Any:
    return keras_3.layers.Dense(3)


class Third(keras_3.layers.Layer):
    """Of the other Keras."""


class NoLayer:
    """Not one at all."""
