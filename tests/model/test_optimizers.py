from typing import Any

import numpy as np
import pytest

import funnel
from funnel.model._keras import keras, tf
from funnel.model.optimizers import LazyAdam, RowAdagrad, RowSgd, RowWiseAdagradOptimizer, already_gathered
from tests import shop

ROWS, DIM, STEPS = 30, 4, 6


def steps(optimizer: Any, *, gathered: bool = False) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Some sparse steps: the first and last values, and what each step was given."""
    rng = np.random.default_rng(1)
    start = rng.normal(size=[ROWS, DIM]).astype(np.float32)
    variable, given = tf.Variable(start), []
    for _ in range(STEPS):
        rows = np.sort(rng.choice(ROWS - 5, 7, replace=False)).astype(np.int32)
        gradient = rng.normal(size=[7, DIM]).astype(np.float32)
        given.append((rows, gradient))
        slices = tf.IndexedSlices(tf.constant(gradient), tf.constant(rows))
        with already_gathered({variable.ref(): tf.gather(variable, rows)} if gathered else {}):
            optimizer.apply_gradients([(slices, variable)])
    return start, variable.numpy(), given


def adagrad(values: np.ndarray, given: list[tuple[np.ndarray, np.ndarray]], *, by_row: bool) -> np.ndarray:
    total = np.full([ROWS, 1 if by_row else DIM], 0.05)
    values = values.astype(np.float64)
    for rows, gradient in given:
        for row, g in zip(rows, gradient.astype(np.float64), strict=True):
            total[row] += np.mean(g * g) if by_row else g * g
            values[row] -= 0.1 * g / np.sqrt(total[row])
    return values


def lazy_adam(values: np.ndarray, given: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    m, v, values = np.zeros([ROWS, DIM]), np.zeros([ROWS, DIM]), values.astype(np.float64)
    for step, (rows, gradient) in enumerate(given, 1):
        for row, g in zip(rows, gradient.astype(np.float64), strict=True):
            m[row] = 0.9 * m[row] + 0.1 * g
            v[row] = 0.999 * v[row] + 0.001 * g * g
            values[row] -= 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m[row] / (np.sqrt(v[row]) + 1e-7)
    return values


def momentum(values: np.ndarray, given: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    kept, values = np.zeros([ROWS, DIM]), values.astype(np.float64)
    for rows, gradient in given:
        for row, g in zip(rows, gradient, strict=True):
            kept[row] = 0.5 * kept[row] - 0.1 * g
            values[row] += kept[row]
    return values


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "oracle"),
    [
        (lambda: RowAdagrad(0.1, 0.05), lambda *of: adagrad(*of, by_row=False)),
        (lambda: RowWiseAdagradOptimizer(0.1, 0.05), lambda *of: adagrad(*of, by_row=True)),
        (lambda: LazyAdam(0.1), lazy_adam),
        (lambda: RowSgd(0.1, 0.5), momentum),
    ],
    ids=["adagrad", "row-wise adagrad", "lazy adam", "momentum"],
)
def test_rows_step_as_the_formula_says_and_others_stay(optimizer, oracle, gathered: bool) -> None:
    start, end, given = steps(optimizer(), gathered=gathered)
    np.testing.assert_allclose(end, oracle(start, given), rtol=1e-4, atol=1e-5)
    unused = np.setdiff1d(np.arange(ROWS), np.concatenate([rows for rows, _ in given]))
    assert len(unused) >= 5
    np.testing.assert_array_equal(end[unused], start[unused])


def test_row_adagrad_is_the_stock_adagrad() -> None:
    _, ours, _ = steps(RowAdagrad(0.1, initial_accumulator_value=0.05))
    _, stock, _ = steps(keras.optimizers.legacy.Adagrad(0.1, 0.05, epsilon=0.0))
    np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-6)


def test_row_wise_adagrad_keeps_one_number_a_row() -> None:
    optimizer, variable = RowWiseAdagradOptimizer(0.1, 0.05), tf.Variable(tf.ones([3, 2]))
    optimizer.apply_gradients([(tf.IndexedSlices(tf.constant([[3.0, 1.0]]), tf.constant([1])), variable)])
    np.testing.assert_allclose(optimizer.get_slot(variable, "accumulator"), [0.05, 5.05, 0.05], rtol=1e-6)


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Nadam", "RMSprop", "Ftrl"])
def test_any_optimiser_of_keras_trains_the_dense_part(name: str) -> None:
    tree, data = shop.tree(), shop.frames(rows=200)
    tree["train"]["optimizer"] = {"dense": {"kind": "keras", "name": name}}
    model = funnel.build(tree, data)
    model.create_variables()
    before = [variable.numpy() for variable in model.network.towers[0].trainable_variables]
    model.train_step(next(iter(funnel.dataset(tree, data))))
    after = [variable.numpy() for variable in model.network.towers[0].trainable_variables]
    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    assert model.steps == 1


@pytest.mark.parametrize(
    ("dense", "said"),
    [
        ({"kind": "keras", "name": "AdamV"}, "train.optimizer.dense.name: 'AdamV' is no optimiser of Keras"),
        (
            {"kind": "keras", "name": "AdamW", "options": {"decay_rate": 1}},
            "train.optimizer.dense.options: AdamW does not take",
        ),
    ],
)
def test_an_optimiser_that_keras_has_not_is_refused(dense, said: str) -> None:
    tree = shop.tree()
    tree["train"]["optimizer"] = {"dense": dense}
    with pytest.raises(funnel.SchemaError, match=said):
        funnel.build(tree, shop.frames(rows=100))
