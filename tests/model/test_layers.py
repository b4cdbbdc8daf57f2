from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funnel
from funnel.model._keras import keras, tf
from funnel.model.layers import Activation, Dropout, PReLU, Stack, StarDense, prelu, take
from tests import shop

B, N = 11, 4
CASES = {  # by source: numbers, and rows of each fact; None where its rows are the facts
    "facts alone": [(3, None)],
    "a dimension alone, unsorted": [(3, [3, 0, 2, 0, 1, 3, 3, 0, 2, 1, 0])],
    "facts and a dimension with rows that nothing uses": [(3, None), (2, [2, 0, 2, 0, 1, 2, 0, 0, 2, 1, 0])],
    "facts and one row for all": [(1, None), (2, [0] * B)],
    "facts and two dimensions": [(1, None), (2, [3, 3, 2, 2, 1, 1, 0, 0, 0, 1, 2]), (4, [0, 1, 2] * 3 + [0, 0])],
    "two dimensions without facts": [(2, [3, 0, 2, 0, 1, 3, 3, 0, 2, 1, 0]), (1, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2])],
}


def parts(case: str) -> tuple[list[tf.Tensor], list[tf.Tensor | None]]:
    rng = np.random.default_rng(0)
    given = [tf.constant(rng.normal(size=[B if index is None else N, size])) for size, index in CASES[case]]
    return given, [None if index is None else tf.constant(index, tf.int32) for _, index in CASES[case]]


@pytest.mark.parametrize("case", CASES)
def test_a_split_layer_is_a_dense_layer_over_joined_rows_with_its_gradients(case: str) -> None:
    given, index = parts(case)
    layer, dense = StarDense(5, "glorot_uniform", "ones", dtype="float64"), keras.layers.Dense(5, dtype="float64")
    upstream = np.random.default_rng(1).normal(size=[B, 5])
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = layer(given, index)
        loss = tf.reduce_sum(found * upstream)
    of_layer = tape.gradient(loss, [*layer.trainable_variables, *given])
    wide = tf.concat([rows if of is None else tf.gather(rows, of) for rows, of in zip(given, index, strict=True)], axis=1)
    dense.build(wide.shape)
    dense.set_weights(layer.get_weights())
    with tf.GradientTape() as plain:
        plain.watch(wide)
        expected = dense(wide)
        other = tf.reduce_sum(expected * upstream)
    *of_dense, of_wide = plain.gradient(other, [*dense.trainable_variables, wide])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    begin = 0
    for size, of in CASES[case]:
        columns = of_wide.numpy()[:, begin : begin + size]
        begin += size
        summed = np.zeros([N, size])
        for fact, row in enumerate(of or []):
            summed[row] += columns[fact]
        of_dense.append(columns if of is None else summed)
    for mine, theirs in zip(of_layer, of_dense, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-13)


def test_a_split_layer_by_hand() -> None:
    layer = StarDense(1, "ones", keras.initializers.Constant(0.5))
    found = layer([tf.constant([[1.0], [2.0], [3.0]]), tf.constant([[10.0, 20.0], [1.0, 1.0]])], [None, tf.constant([1, 0, 1])])
    assert found.numpy().tolist() == [[3.5], [32.5], [5.5]]
    assert layer.kernel.shape == [3, 1]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([2, 0, 2], [10, 0, 101]),
        ([0, 0, 2], [11, 0, 100]),
        ([0, 1, 1], [1, 110, 0]),
        ([0, 0, 0], [111, 0, 0]),
        ([2, 1, 0], [100, 10, 1]),
    ],
    ids=str,
)
def test_taken_rows_give_back_the_sum_of_their_gradients_and_unused_ones_zero(index: list[int], expected: list[int]) -> None:
    rows = tf.constant([[1.0], [2.0], [3.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = tf.reduce_sum(take(rows, tf.constant(index)) * [[1.0], [10.0], [100.0]])
    assert tape.gradient(loss, rows).numpy()[:, 0].tolist() == expected


def both_prelus(inputs: np.ndarray, alpha: np.ndarray) -> list[list[np.ndarray]]:
    """Outputs, and gradients for inputs and slopes: ours, and those of Keras."""
    theirs, mine = keras.layers.PReLU(), tf.Variable(alpha)
    theirs.build(inputs.shape)
    theirs.alpha.assign(alpha)
    found = []
    for function, slopes in ((lambda x: prelu(x, mine), mine), (theirs, theirs.alpha)):
        given = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = function(given)
            loss = tf.reduce_sum(outputs * outputs + 3 * outputs)
        found.append([array.numpy() for array in (outputs, *tape.gradient(loss, [given, slopes]))])
    return found


slopes = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 1.5, 7.0]), min_size=3, max_size=3)
numbers = st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3)


@given(st.lists(numbers, min_size=1, max_size=6), slopes)
def test_prelu_is_that_of_keras_with_its_gradients(rows: list[list[float]], alpha: list[float]) -> None:
    inputs = np.array(rows, np.float32)
    mine, theirs = both_prelus(inputs, np.array(alpha, np.float32))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(mine[1][inputs != 0], theirs[1][inputs != 0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(mine[2], theirs[2], rtol=1e-4, atol=1e-3)


def test_prelu_by_hand_and_at_zero_where_the_slope_is_that_of_the_negative_side() -> None:
    mine, theirs = both_prelus(np.array([[-2.0, 0.0, 3.0]], np.float32), np.array([0.25, -0.5, 7.0], np.float32))
    assert mine[0].tolist() == theirs[0].tolist() == [[-0.5, 0.0, 3.0]]
    # What comes from above is 2 y + 3. That of Keras has no gradient at 0: rows of which nothing is known would teach nothing.
    assert mine[1].tolist() == [[2 * 0.25, 3 * -0.5, 9.0]]
    assert theirs[1].tolist() == [[2 * 0.25, 0.0, 9.0]]
    assert mine[2].tolist() == theirs[2].tolist() == [2 * -2.0, 0.0, 0.0]


def test_prelu_passes_on_what_is_not_a_number() -> None:
    mine, _ = both_prelus(np.array([[np.nan, np.inf, -1.0]], np.float32), np.full(3, 0.25, np.float32))
    assert np.isnan(mine[0][0, 0])
    assert mine[0][0, 1:].tolist() == [np.inf, -0.25]


def test_slopes_start_at_a_quarter() -> None:
    layer = PReLU()
    assert layer(tf.constant([[-4.0, 4.0]])).numpy().tolist() == [[-1.0, 4.0]]
    assert layer.alpha.numpy().tolist() == [0.25, 0.25]


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_dropout_drops_its_share_and_scales_what_it_keeps(rate: float) -> None:
    dropped = Dropout(rate, seed=3)(tf.ones([400, 100]), training=True).numpy()
    assert np.unique(dropped) == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-6)
    assert (dropped == 0).mean() == pytest.approx(rate, abs=0.01)


def test_dropout_does_nothing_outside_training_and_does_not_count_it() -> None:
    layer, ones = Dropout(0.5, seed=3), tf.ones([40, 5])
    np.testing.assert_array_equal(layer(ones), ones)
    assert int(layer.uses) == 0
    layer(ones, training=True)
    assert int(layer.uses) == 1


def masks(layer: Any, times: int) -> list[np.ndarray]:
    return [layer(tf.ones([20, 20]), training=True).numpy() for _ in range(times)]


def test_what_dropout_drops_depends_on_the_seed_and_on_how_often_it_was_used(tmp_path) -> None:
    layer = Dropout(0.5, seed=3)
    first, second = masks(layer, 2)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "saved"))
    third = masks(layer, 1)[0]
    assert all((one != other).any() for one, other in itertools.combinations([first, second, third], 2))
    assert (masks(Dropout(0.5, seed=4), 1)[0] != first).any()
    again = Dropout(0.5, seed=3)
    tf.train.Checkpoint(layer=again).read(path).assert_consumed()
    np.testing.assert_array_equal(masks(again, 1)[0], third)


def test_a_traced_step_drops_anew_each_time_as_an_eager_one_does() -> None:
    layer = Dropout(0.5, seed=3)
    step = tf.function(lambda: layer(tf.ones([20, 20]), training=True))
    for expected in masks(Dropout(0.5, seed=3), 3):
        np.testing.assert_array_equal(step(), expected)


def test_no_two_layers_of_a_network_drop_or_start_alike() -> None:
    tree = shop.tree()
    tree["model"] = {"body": {"units": [20, 20], "dropout": 0.5}, "tower": {"units": [20, 20], "dropout": 0.5}}
    model = funnel.build(tree, shop.frames(rows=60))
    stacks = [model.network.bottoms[0].body.parts[0], *(tower.stack for tower in model.network.towers)]
    found = [masks(dropout, 1)[0] for stack in stacks for dropout in stack.dropouts]
    assert len(found) == 6
    assert all((one != other).any() for one, other in itertools.combinations(found, 2))
    model.create_variables()
    kernels = [stack.dense[1].kernel.numpy() for stack in stacks]
    assert all((one != other).all() for one, other in itertools.combinations(kernels, 2))


def test_a_stack_without_layers_gives_what_it_was_given() -> None:
    given, index = parts("facts and two dimensions")
    given = [tf.cast(rows, tf.float32) for rows in given]
    found, of = Stack([], "relu", 0.5, 0)(given, index, training=True)
    assert [part is other for part, other in zip(found, given, strict=True)] == [True] * 3
    assert [part is other for part, other in zip(of, index, strict=True)] == [True] * 3


def test_a_stack_names_its_layers_and_leaves_out_those_without_weights() -> None:
    assert [name for name, _ in Stack([3, 2], "prelu", 0.5, 0).layers()] == ["dense_0", "prelu_0", "dense_1", "prelu_1"]
    assert [name for name, _ in Stack([3, 2], "relu", 0.0, 0).layers()] == ["dense_0", "dense_1"]


@pytest.mark.parametrize(("activation", "norm"), [("relu", "batch"), ("dice", None), ("dice", "batch")])
def test_a_batch_without_rows_leaves_the_moving_moments_as_they_are(activation: str, norm: str | None) -> None:
    layer, rows = Activation(activation, norm), np.random.default_rng(0).normal(size=[B, 3]).astype(np.float32)
    layer(tf.constant(rows), training=True)
    before = layer.get_weights()
    assert any(np.abs(one).max() > 0 for one in before)
    assert layer(tf.zeros([0, 3]), training=True).shape == (0, 3)
    for mine, was in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, was)
