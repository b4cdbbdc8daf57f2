import numpy as np
import pytest

from funnel.model._keras import keras, tf
from funnel.model.layers import Dropout, StarDense, prelu

B, N = 11, 4


def parts() -> tuple[list[tf.Tensor], list[tf.Tensor | None], np.ndarray]:
    """Facts and rows of a dimension (one of them unused), the way from one to the other, and the joined rows."""
    rng = np.random.default_rng(0)
    facts, rows = rng.normal(size=[B, 3]).astype(np.float32), rng.normal(size=[N, 2]).astype(np.float32)
    index = rng.integers(0, N - 1, B).astype(np.int32)
    return [tf.constant(facts), tf.constant(rows)], [None, tf.constant(index)], np.concatenate([facts, rows[index]], axis=1)


def test_a_split_layer_is_a_dense_layer_over_joined_rows_with_its_gradients() -> None:
    given, index, joined = parts()
    layer, dense = StarDense(5, "glorot_uniform", "ones"), keras.layers.Dense(5)
    upstream = np.random.default_rng(1).normal(size=[B, 5]).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(given)
        found = layer(given, index)
        loss = tf.reduce_sum(found * upstream)
    dense.build([None, 5])
    dense.set_weights(layer.get_weights())
    with tf.GradientTape(persistent=True) as plain:
        wide = tf.constant(joined)
        plain.watch(wide)
        expected = dense(wide)
        other = tf.reduce_sum(expected * upstream)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(layer.trainable_variables, dense.trainable_variables, strict=True):
        np.testing.assert_allclose(tape.gradient(loss, mine), plain.gradient(other, theirs), rtol=1e-5, atol=1e-5)
    of_facts, of_rows = tape.gradient(loss, given)
    of_joined = plain.gradient(other, wide).numpy()
    np.testing.assert_allclose(of_facts, of_joined[:, :3], rtol=1e-5, atol=1e-6)
    summed = np.zeros([N, 2])
    np.add.at(summed, index[1].numpy(), of_joined[:, 3:])
    np.testing.assert_allclose(of_rows, summed, rtol=1e-5, atol=1e-5)
    assert not of_rows[N - 1].numpy().any()


def test_prelu_is_that_of_keras_with_its_gradients() -> None:
    inputs = tf.constant((np.random.default_rng(2).normal(size=[9, 4]) * [1, 1, 0, 1]).astype(np.float32))
    theirs = keras.layers.PReLU()
    theirs.build([None, 4])
    alpha = tf.Variable([0.25, -0.5, 0.3, 1.5])
    theirs.alpha.assign(alpha)
    found = []
    for function, slopes in ((lambda x: prelu(x, alpha), alpha), (theirs, theirs.alpha)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
            loss = tf.reduce_sum(outputs * outputs + outputs)
        found.append((outputs, *tape.gradient(loss, [inputs, slopes])))
    rows = inputs.numpy() != 0  # at 0 any slope between the two is a gradient
    for name, mine, other in zip(("outputs", "inputs", "slopes"), *found, strict=True):
        mask = rows if name == "inputs" else np.ones(other.shape, bool)
        np.testing.assert_allclose(mine.numpy()[mask], other.numpy()[mask], rtol=1e-5, atol=1e-6)


def test_dropout_scales_what_it_keeps_and_does_nothing_outside_training() -> None:
    layer, ones = Dropout(0.25, seed=3), tf.ones([400, 50])
    dropped = layer(ones, training=True).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(layer(ones), ones)


def test_what_dropout_drops_depends_on_the_seed_and_on_how_often_it_was_used() -> None:
    one, same, other = Dropout(0.5, seed=3), Dropout(0.5, seed=3), Dropout(0.5, seed=4)
    ones = tf.ones([20, 20])
    first, second = one(ones, training=True), one(ones, training=True)
    assert (first.numpy() != second.numpy()).any()
    assert (first.numpy() != other(ones, training=True).numpy()).any()
    same.uses.assign(1)  # as read from a checkpoint
    np.testing.assert_array_equal(same(ones, training=True), second)
