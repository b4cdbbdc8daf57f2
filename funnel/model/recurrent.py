"""A recurrent network over sequences of any lengths, whose arithmetic is that of their entries, and no more.

Rows are sorted by their lengths, the longest first. So those that still have entries at a step stand at the beginning, and
become fewer from step to step: entries are put step after step, and in each by the rank of their row.

Shapes: N rows, E entries of all of them, T the longest list, R rows that still have entries, K numbers per entry, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.layers import take
from funnel.model.lists import TILE, Lists
from funnel.model.packing import owners


class Steps(NamedTuple):
    """Which entries stand where.

    Attributes:
        sizes: Rows that each step goes through: int32 [T].
        begins: Where they begin: int32 [T].
        places: Where each entry stands: int32 [E].
        lasts: Where the last entry of each row stands; any place for a row without: int32 [N].
    """

    sizes: tf.Tensor
    begins: tf.Tensor
    places: tf.Tensor
    lasts: tf.Tensor

    @classmethod
    def of(cls, lists: Lists, tile: int) -> Steps:
        """The steps of some lists, each of so many rows or a multiple of them."""
        longest = tf.reduce_max(tf.concat([[0], lists.lengths], axis=0))
        rank_N = tf.argsort(tf.argsort(lists.lengths, direction="DESCENDING", stable=True))
        ended = tf.cumsum(tf.math.unsorted_segment_sum(tf.ones_like(lists.lengths), lists.lengths, longest + 1))
        sizes_T = (tf.size(lists.lengths) - ended[:-1] + tile - 1) // tile * tile
        begins_T = tf.cumsum(sizes_T, exclusive=True)
        # One step more, for rows without entries.
        padded = tf.concat([begins_T, [0]], axis=0)
        places_E = tf.gather(padded, lists.places) + tf.gather(rank_N, lists.owners)
        lasts_N = tf.gather(padded, tf.maximum(lists.lengths - 1, 0)) + rank_N
        return cls(sizes_T, begins_T, places_E, tf.where(lists.lengths > 0, lasts_N, 0))


class Gru(keras.layers.Layer):
    """A gated recurrent unit: Cho et al., 2014, in the form that Keras and cuDNN compute (the reset gate after the product).

    Its T steps are made one after another, and each takes what it costs to begin some small operations.

    Args:
        units: U.
        seed: Of the first weights.
    """

    def __init__(self, units: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._units, self._seed = units, seed

    def build(self, shape: Any) -> None:
        """Create the weights; columns are those of the update gate, the reset gate, and the candidate."""
        first = keras.initializers.GlorotUniform(seed=self._seed * 1009)
        again = keras.initializers.Orthogonal(seed=self._seed * 1009 + 1)
        self.kernel = self.add_weight(name="kernel", shape=[int(shape[-1]), 3 * self._units], initializer=first)
        self.recurrent = self.add_weight(name="recurrent", shape=[self._units, 3 * self._units], initializer=again)
        self.bias = self.add_weight(name="bias", shape=[2, 3 * self._units], initializer="zeros")

    def call(self, entries_EK: tf.Tensor, lists: Lists, training: bool = False) -> tf.Tensor:
        """What is remembered after the last entry: float32 [N, U]; zeros of an empty list."""
        steps = Steps.of(lists, 1 if training else TILE)
        entries = tf.range(tf.size(steps.places))
        order = tf.scatter_nd(steps.places[:, None], entries, tf.reduce_sum(steps.sizes)[None])
        of_inputs, of_state = tf.unstack(tf.convert_to_tensor(self.bias))
        inputs = tf.matmul(take(entries_EK, order), self.kernel) + of_inputs
        states = remembered(inputs, tf.convert_to_tensor(self.recurrent), of_state, steps.sizes)
        # Of no list at all, there is no state to take.
        last_NU = take(tf.concat([states, tf.zeros([1, self._units])], axis=0), steps.lasts)
        return tf.where(lists.lengths[:, None] > 0, last_NU, 0.0)


@tf.custom_gradient
def remembered(
    inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, sizes_T: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """The states of a gated recurrent unit after each entry.

    Only what hangs on the step before is computed step by step, forward and back; gates, and the gradients of weights, are
    computed for all entries at once.

    Args:
        inputs: What entries give to the gates and the candidate, step after step: float32 [E, 3 U].
        kernel: What the state gives to them: float32 [U, 3 U].
        bias: float32 [3 U].
        sizes_T: The rows of each step, never more than those of the step before: int32 [T].

    Returns:
        float32 [E, U].
    """
    units, begins_T = kernel.shape[0], tf.cumsum(sizes_T, exclusive=True)

    def forward(time: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        begin, state = begins_T[time], state[: sizes_T[time]]
        update, _, candidate, _ = _gates(inputs[begin : begin + sizes_T[time]], tf.matmul(state, kernel) + bias)
        return update * state + (1.0 - update) * candidate

    start = tf.zeros(tf.stack([tf.reduce_max(tf.concat([[0], sizes_T], axis=0)), units]))
    states = _step_by_step(forward, start, tf.size(sizes_T), units)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, None]:
        before = _before(states, sizes_T, begins_T)
        from_state = tf.matmul(before, kernel) + bias
        update, reset, candidate, recalled = _gates(inputs, from_state)
        # What a gradient of the state is multiplied by, on its way to the update gate, the reset gate and the candidate.
        to_candidate = (1.0 - update) * (1.0 - candidate * candidate)
        to_update = (before - candidate) * update * (1.0 - update)
        to_reset = to_candidate * recalled * reset * (1.0 - reset)
        to_state = tf.stack([to_update, to_reset, to_candidate * reset], axis=1)
        last = tf.size(sizes_T) - 1

        def back(step: tf.Tensor, later: tf.Tensor) -> tf.Tensor:
            """The gradient of the state after a step; `later`, of that after the step behind it."""
            time = last - step
            begin, rows = begins_T[time], sizes_T[time]
            behind, count = begins_T[tf.minimum(time + 1, last)], tf.shape(later)[0]
            through = tf.reshape(to_state[behind : behind + count] * later[:, tf.newaxis], [-1, 3 * units])
            carried = later * update[behind : behind + count] + tf.matmul(through, kernel, transpose_b=True)
            return upstream[begin : begin + rows] + tf.pad(carried, [[0, rows - count], [0, 0]])

        backwards = _step_by_step(back, tf.zeros([0, units]), tf.size(sizes_T), units)
        # Made from the last step on: put them in the order of the entries.
        made_T = tf.cumsum(sizes_T, reverse=True, exclusive=True)
        step_E = owners(sizes_T, tf.shape(inputs)[0])
        shift_E = tf.gather(made_T - begins_T, step_E)
        of_state = tf.gather(backwards, tf.range(tf.shape(inputs)[0]) + shift_E)
        of_gates = tf.concat([of_state * to_update, of_state * to_reset], axis=1)
        of_inputs = tf.concat([of_gates, of_state * to_candidate], axis=1)
        of_sums = tf.concat([of_gates, of_state * to_candidate * reset], axis=1)
        return of_inputs, tf.matmul(before, of_sums, transpose_a=True), tf.reduce_sum(of_sums, axis=0), None

    return states, gradient


def _gates(inputs: tf.Tensor, from_state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Update gate, reset gate, candidate, and what the state gives to it; each [R, U], of [R, 3 U]."""
    update, reset, candidate = tf.split(inputs, 3, axis=1)
    to_update, to_reset, recalled = tf.split(from_state, 3, axis=1)
    reset = tf.sigmoid(reset + to_reset)
    return tf.sigmoid(update + to_update), reset, tf.tanh(candidate + reset * recalled), recalled


def _step_by_step(
    step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], start: tf.Tensor, steps: tf.Tensor, units: int
) -> tf.Tensor:
    """What steps make, one under another: float32 [E, U]. Each takes its number, and what the one before has made."""
    # The first one is empty, so that there is one.
    made = tf.TensorArray(tf.float32, size=steps + 1, infer_shape=False, element_shape=[None, units]).write(0, start[:0])

    def body(number: tf.Tensor, state: tf.Tensor, made: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        state = step(number, state)
        return number + 1, state, made.write(number + 1, state)

    shapes = tf.TensorShape([]), tf.TensorShape([None, units]), tf.TensorShape(None)
    found = tf.while_loop(
        lambda number, *_: number < steps, body, (0, start, made), shape_invariants=shapes, parallel_iterations=1
    )
    return tf.reshape(found[2].concat(), [-1, units])


def _before(states: tf.Tensor, sizes_T: tf.Tensor, begins_T: tf.Tensor) -> tf.Tensor:
    """The state before each entry, zeros before the first of a row: float32 [E, U]."""
    count = tf.shape(states)[0]
    step_E = owners(sizes_T, count)
    first = tf.reduce_max(tf.concat([[0], sizes_T[:1]], axis=0))
    place_E = tf.gather(begins_T, tf.maximum(step_E - 1, 0)) + tf.range(count) - tf.gather(begins_T, step_E)
    return tf.concat([tf.zeros_like(states[:first]), tf.gather(states, place_E[first:])], axis=0)
