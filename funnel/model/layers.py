"""Dense layers over star batches, their activations, and the stacks of them that bodies and towers are.

Shapes: B facts, N rows of a source, K numbers that enter, U units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from funnel.model import replicas
from funnel.model._keras import keras, tf

# What `StarDense` takes: for each source its numbers float32 [N, K], and the row of each fact, int32 [B]; None where its rows
# are the facts.
Inputs = tuple[Sequence[tf.Tensor], Sequence[tf.Tensor | None]]


@tf.custom_gradient
def take(rows_NU: tf.Tensor, index_B: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """`tf.gather` with a dense gradient."""
    count = tf.shape(rows_NU)[0]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        # Ascending, as for a store's first dimension, it takes a third of the time.
        ascending = tf.reduce_all(index_B[1:] >= index_B[:-1])
        sums = tf.cond(
            ascending & (tf.reduce_max(index_B) + 1 == count),
            lambda: tf.math.segment_sum(upstream, index_B),
            lambda: tf.cond(
                ascending,
                lambda: padded(tf.math.segment_sum(upstream, index_B), count),
                lambda: tf.math.unsorted_segment_sum(upstream, index_B, count),
            ),
        )
        return sums, None

    return tf.gather(rows_NU, index_B), gradient


def padded(rows: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """As many rows, zeros after those that there are."""
    return tf.pad(rows, [[0, count - tf.shape(rows)[0]], *[[0, 0]] * (rows.shape.rank - 1)])


def joined(parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """All numbers of each fact, float32 [B, K]: a dimension's row is repeated for each of its facts."""
    wide = [rows if of_fact is None else take(rows, of_fact) for rows, of_fact in zip(parts, index, strict=True)]
    return tf.concat(wide, axis=1) if len(wide) > 1 else wide[0]


@tf.custom_gradient
def prelu(inputs_BU: tf.Tensor, alpha_U: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """`x` where positive, else `alpha x` (He et al., 2015), in fewer passes over memory than Keras' layer makes."""
    slope_BU = tf.where(inputs_BU > 0, 1.0, alpha_U)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream * slope_BU, tf.reduce_sum(upstream * tf.minimum(inputs_BU, 0.0), axis=0)

    return inputs_BU * slope_BU, gradient


class StarDense(keras.layers.Layer):
    """A dense layer over parts: each source's share is computed once for each of its rows, and then gathered to the facts.

    With W cut by source, `[x_1, x_2[index]] W + b = x_1 W_1 + (x_2 W_2)[index] + b`: the same function as a dense layer over
    joined rows, at the cost of the distinct ones.

    Args:
        units: U.
        kernel_initializer: Of W [K, U], K over all sources.
        bias_initializer: Of b [U].
        use_bias: Whether there is b.

    Attributes:
        of_inputs: The axes of W that are the inputs, one by one, where these enter; of a cross layer, its units are, too.
    """

    of_inputs: tuple[int, ...] = (0,)

    def __init__(
        self, units: int, kernel_initializer: Any, bias_initializer: Any = "zeros", use_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.use_bias = units, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, shapes: Any) -> None:
        """Create W and b."""
        self._sizes = [int(shape[-1]) for shape in shapes]
        self.kernel = self.add_weight(name="kernel", shape=[sum(self._sizes), self.units], initializer=self.kernel_initializer)
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=[self.units], initializer=self.bias_initializer)

    def call(self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,)) -> tf.Tensor:
        """The layer's outputs: float32 [B, U].

        Args:
            parts: For each source float32 [N, its numbers].
            index: For each source the row of each fact, int32 [B]; None where its rows are the facts.
        """
        shares: list[tf.Tensor] = []
        # Added to the last source, whose rows are fewer than the facts where it is a dimension: its gradient is their sum.
        for rows, of_fact, kernel in zip(parts, index, tf.split(self.kernel, self._sizes), strict=True):
            share = tf.matmul(rows, kernel)
            share = tf.nn.bias_add(share, self.bias) if self.use_bias and len(shares) == len(parts) - 1 else share
            shares.append(share if of_fact is None else take(share, of_fact))
        return tf.add_n(shares) if len(shares) > 1 else shares[0]


class PReLU(keras.layers.Layer):
    """A rectifier whose slope for negative numbers is learnt, unit by unit; it starts at .25."""

    def build(self, shape: Any) -> None:
        """Create the slopes."""
        self.alpha = self.add_weight(name="alpha", shape=[int(shape[-1])], initializer=keras.initializers.Constant(0.25))

    def call(self, inputs_BU: tf.Tensor) -> tf.Tensor:
        """float32 [B, U]."""
        # Not the variable itself, which under `tf.distribute` is several.
        return prelu(inputs_BU, tf.convert_to_tensor(self.alpha))


class Moments(keras.layers.BatchNormalization):
    """Less the mean, over the deviation; of a batch without rows these are the moving ones, which it leaves as they are."""

    def _moments(self, inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        own, some = super()._moments(inputs, *args, **kwargs), tf.shape(inputs)[0] > 0
        moving = self.moving_mean, self.moving_variance
        mean, variance = (tf.where(some, one, tf.convert_to_tensor(other)) for one, other in zip(own, moving, strict=True))
        return mean, variance


class Dice(keras.layers.Layer):
    """A rectifier whose bend lies where a unit's outputs do, with a slope below it that is learnt: Zhou et al., 2018 (DIN).

    `p x + (1 - p) alpha x` with p the sigmoid of x less its mean over its deviation: those of the batch in training, moving
    ones afterwards.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scaled = Moments(center=False, scale=False, epsilon=1e-8)

    def build(self, shape: Any) -> None:
        """Create the slopes."""
        self.alpha = self.add_weight(name="alpha", shape=[int(shape[-1])], initializer="zeros")

    def call(self, inputs_BU: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, U]."""
        above_BU = tf.sigmoid(self.scaled(inputs_BU, training=training))
        return inputs_BU * (above_BU + (1.0 - above_BU) * tf.convert_to_tensor(self.alpha))


class Activation(keras.layers.Layer):
    """What follows a dense layer: maybe a norm, then a function of each number.

    Args:
        name_: `prelu`, `dice`, or a name that Keras knows.
        norm: `batch`, `layer`, or None.
    """

    def __init__(self, name_: str, norm: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        norms = {"batch": Moments, "layer": keras.layers.LayerNormalization}
        self.norm = norms[norm]() if norm is not None else None
        own = {"prelu": PReLU, "dice": Dice}
        self.function = own[name_]() if name_ in own else keras.layers.Activation(name_)
        self.name_ = name_

    def layers(self) -> Iterator[tuple[str, Any]]:
        """Its layers with weights, by name."""
        if self.norm is not None:
            yield "norm", self.norm
        if isinstance(self.function, PReLU | Dice):
            yield self.name_, self.function

    def call(self, inputs_BU: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, U]."""
        if self.norm is not None:
            inputs_BU = self.norm(inputs_BU, training=training)
        return self.function(inputs_BU, training=training) if isinstance(self.function, Dice) else self.function(inputs_BU)


class Dropout(keras.layers.Layer):
    """Drops a share of what enters while training (Srivastava et al., 2014).

    What is dropped is a function of the seed, of how often the layer was used, and of the replica: a fit that goes on from
    saved variables drops what it would have dropped.

    Args:
        rate: The share.
        seed: Of what is dropped.
    """

    def __init__(self, rate: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        # Replicas count alike.
        kept = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        self.uses = self.add_weight(name="uses", shape=[], dtype=tf.int64, initializer="zeros", **kept)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The same shape."""
        if not training:
            return inputs
        seed = tf.stack([tf.constant(self.seed, tf.int64), self.uses.assign_add(1)])
        if replicas.several():
            seed += tf.stack([replicas.number() << 32, tf.constant(0, tf.int64)])  # seeds of layers are far below
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed)


class Stack(keras.layers.Layer):
    """Dense layers, each followed by an activation and maybe dropout.

    Args:
        units: Widths.
        activation: `prelu`, `dice`, or a name that Keras knows.
        dropout: Share of outputs dropped in training.
        seed: Of the first weights and of dropout.
        norm: `batch`, `layer`, or None.
    """

    def __init__(
        self, units: Sequence[int], activation: str, dropout: float, seed: int, norm: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dense, self.activations, self.dropouts = [], [], []
        for position, width in enumerate(units):
            self.dense.append(StarDense(width, keras.initializers.GlorotUniform(seed=seed * 1009 + position)))
            self.activations.append(Activation(activation, norm))
            self.dropouts.append(Dropout(dropout, seed * 1013 + position) if dropout else None)

    def layers(self) -> Iterator[tuple[str, Any]]:
        """Its layers with weights, by name, in their order."""
        for place, (dense, activation) in enumerate(zip(self.dense, self.activations, strict=True)):
            yield f"dense_{place}", dense
            yield from ((f"{name}_{place}", layer) for name, layer in activation.layers())

    def call(
        self,
        parts: Sequence[tf.Tensor],
        index: Sequence[tf.Tensor | None] = (None,),
        training: bool = False,
        gates: Sequence[tf.Tensor] | None = None,
    ) -> Inputs:
        """What `StarDense` takes, and gives what it takes: one part [B, last width]; the inputs themselves without layers.

        Args:
            parts: For each source float32 [N, its numbers].
            index: For each source the row of each fact, int32 [B]; None where its rows are the facts.
            training: Whether weights are learnt from it.
            gates: For each layer what its outputs are multiplied with, float32 [B, its width].
        """
        for place, (dense, activation, dropout) in enumerate(zip(self.dense, self.activations, self.dropouts, strict=True)):
            hidden = activation(dense(parts, index), training=training)
            hidden = hidden if gates is None else hidden * gates[place]
            parts, index = (hidden if dropout is None else dropout(hidden, training=training),), (None,)
        return parts, index
