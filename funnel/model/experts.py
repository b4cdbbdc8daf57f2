"""Experts and the gates that mix them: what each stage gets is its own.

Shapes: B facts, E experts, U units, T towers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.layers import Activation, Dropout, Inputs, StarDense
from funnel.schema.model import Mmoe, Ple

Named = Iterator[tuple[str, Any, bool]]


class Experts(keras.layers.Layer):
    """Stacks of layers of one shape, computed together.

    Args:
        count: E.
        declared: Widths, activation and dropout.
        seed: Of the first weights and of dropout.
    """

    def __init__(self, count: int, declared: Mmoe | Ple, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._count, self._units, self._seed = count, declared.units, seed
        self.first = StarDense(count * declared.units[0], self._side_by_side)
        self.kernels: list[Any] = []
        self.biases: list[Any] = []
        self.activations = [Activation(declared.activation) for _ in declared.units]
        self.dropouts = [
            Dropout(declared.dropout, seed * 1013 + place) if declared.dropout else None for place in range(len(declared.units))
        ]
        for place, (below, width) in enumerate(zip(self._units, self._units[1:], strict=False), 1):
            draw = self._one_by_one(place)
            self.kernels.append(self.add_weight(name=f"kernel_{place}", shape=[count, below, width], initializer=draw))
            self.biases.append(self.add_weight(name=f"bias_{place}", shape=[count, 1, width], initializer="zeros"))

    def _draws(self, place: int, shape: list[int]) -> list[tf.Tensor]:
        """First weights of one layer of each expert, as of a dense layer of its own."""
        seeds = (self._seed * 1009 + place * self._count + expert for expert in range(self._count))
        return [keras.initializers.GlorotUniform(seed=seed)(shape) for seed in seeds]

    def _side_by_side(self, shape: Sequence[int], **_: Any) -> tf.Tensor:
        return tf.concat(self._draws(0, [shape[0], self._units[0]]), axis=1)

    def _one_by_one(self, place: int) -> Any:
        return lambda shape, **_: tf.stack(self._draws(place, list(shape[1:])))

    def call(
        self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,), training: bool = False
    ) -> tf.Tensor:
        """What `StarDense` takes -> float32 [B, E, U]."""
        hidden = self._after(0, self.first(parts, index), training)
        hidden_BEU = tf.reshape(hidden, [-1, self._count, self._units[0]])
        for place, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True), 1):
            each_EBU = tf.matmul(tf.transpose(hidden_BEU, [1, 0, 2]), kernel) + bias
            wide = tf.reshape(tf.transpose(each_EBU, [1, 0, 2]), [-1, self._count * self._units[place]])
            hidden_BEU = tf.reshape(self._after(place, wide, training), [-1, self._count, self._units[place]])
        return hidden_BEU

    def _after(self, place: int, hidden: tf.Tensor, training: bool) -> tf.Tensor:
        hidden, dropout = self.activations[place](hidden, training=training), self.dropouts[place]
        return hidden if dropout is None else dropout(hidden, training=training)


class Gate(keras.layers.Layer):
    """Mixtures of experts, whose shares are a softmax of a linear function.

    Args:
        experts: E.
        mixtures: How many.
        seed: Of the first weights.
    """

    def __init__(self, experts: int, mixtures: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shape = [-1, mixtures, experts]
        self.shares = StarDense(mixtures * experts, keras.initializers.GlorotUniform(seed=seed * 1009 + 991))

    def call(self, inputs: Inputs, experts_BEU: tf.Tensor) -> list[tf.Tensor]:
        """Of each mixture float32 [B, U]."""
        shares_BME = tf.nn.softmax(tf.reshape(self.shares(*inputs), self._shape))
        return tf.unstack(tf.matmul(shares_BME, experts_BEU), num=self._shape[1], axis=1)


class MixtureOfExperts(keras.layers.Layer):
    """Ma et al., 2018 (MMoE).

    Args:
        declared: How many experts, and what they are like.
        towers: T, each with a gate of its own.
        seed: Of the first weights and of dropout.
    """

    def __init__(self, declared: Mmoe, towers: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experts = Experts(declared.experts, declared, seed)
        self.gates = Gate(declared.experts, towers, seed)

    def layers(self) -> Named:
        """Its layers with weights, by name; whether the inputs enter."""
        yield "experts", self.experts, True
        yield "gates", self.gates, True

    def call(
        self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,), training: bool = False
    ) -> list[Inputs]:
        """What `StarDense` takes -> for each tower the same: one part [B, U]."""
        mixed = self.gates((parts, index), self.experts(parts, index, training=training))
        return [((one,), (None,)) for one in mixed]


class ProgressiveExperts(keras.layers.Layer):
    """Tang et al., 2020 (PLE): levels of experts that all towers share, and of each tower's own.

    Args:
        declared: How many levels and experts, and what these are like.
        towers: T.
        seed: Of the first weights and of dropout.
    """

    def __init__(self, declared: Ple, towers: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shared, self.own, self.gates, self.onward = [], [], [], []
        for level in range(declared.levels):
            at = (seed * 31 + level) * (2 * towers + 2)
            self.shared.append(Experts(declared.shared, declared, at))
            self.own.append([Experts(declared.own, declared, at + 1 + tower) for tower in range(towers)])
            count = declared.own + declared.shared
            self.gates.append([Gate(count, 1, at + 1 + towers + tower) for tower in range(towers)])
            if level < declared.levels - 1:
                self.onward.append(Gate(declared.own * towers + declared.shared, 1, at + 2 * towers + 1))

    def layers(self) -> Named:
        """Its layers with weights, by name; whether the inputs enter."""
        for level, shared in enumerate(self.shared):
            yield f"level_{level}/shared", shared, level == 0
            for tower, (own, gate) in enumerate(zip(self.own[level], self.gates[level], strict=True)):
                yield f"level_{level}/own_{tower}", own, level == 0
                yield f"level_{level}/gate_{tower}", gate, level == 0
            if level < len(self.onward):
                yield f"level_{level}/onward", self.onward[level], level == 0

    def call(
        self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,), training: bool = False
    ) -> list[Inputs]:
        """What `StarDense` takes -> for each tower the same: one part [B, U]."""
        together: Inputs = (parts, index)
        each: list[Inputs] = [together] * len(self.own[0])
        for level, experts in enumerate(self.shared):
            shared = experts(*together, training=training)
            own = [one(*enter, training=training) for one, enter in zip(self.own[level], each, strict=True)]
            mixed = [
                gate(enter, tf.concat([mine, shared], axis=1))[0]
                for gate, enter, mine in zip(self.gates[level], each, own, strict=True)
            ]
            if level < len(self.onward):
                together = (self.onward[level](together, tf.concat([*own, shared], axis=1))[0],), (None,)
            each = [((one,), (None,)) for one in mixed]
        return each
