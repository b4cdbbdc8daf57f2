from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.model._keras import keras, tf
from funnel.model.optimizers import LazyAdam, RowAdagrad, RowSgd, RowWiseAdagradOptimizer, already_gathered

ROWS, DIM, STEPS = 30, 4, 12
Given = list[tuple[np.ndarray, np.ndarray]]
Found = tuple[np.ndarray, dict[str, np.ndarray]]


def given_steps(seed: int = 1) -> tuple[np.ndarray, Given]:
    """First values, and rows with gradients: sets of rows that overlap, one of them empty, one of a single row."""
    rng = np.random.default_rng(seed)
    start, given = rng.normal(size=[ROWS, DIM]).astype(np.float32), []
    for size in [7] * (STEPS - 3) + [0, 1, ROWS - 5]:
        rows = np.sort(rng.choice(ROWS - 5, size, replace=False)).astype(np.int32)
        given.append((rows, rng.normal(size=[size, DIM]).astype(np.float32)))
    return start, given


def apply(optimizer: Any, variable: tf.Variable, given: Given, *, gathered: bool = False) -> None:
    for rows, gradient in given:
        slices = tf.IndexedSlices(tf.constant(gradient), tf.constant(rows), tf.constant([ROWS, DIM]))
        with already_gathered({variable.ref(): tf.gather(variable, rows)} if gathered else {}):
            optimizer.apply_gradients([(slices, variable)])


def adagrad(start: np.ndarray, given: Given, *, by_row: bool = False) -> Found:
    total, values = np.full([ROWS, 1 if by_row else DIM], 0.05), start.astype(np.float64)
    for rows, gradient in given:
        for row, g in zip(rows, gradient.astype(np.float64), strict=True):
            total[row] += np.mean(g * g) if by_row else g * g
            values[row] -= 0.1 * g / np.sqrt(total[row])
    return values, {"accumulator": total[:, 0] if by_row else total}


def row_wise(start: np.ndarray, given: Given) -> Found:
    return adagrad(start, given, by_row=True)


def lazy_adam(start: np.ndarray, given: Given) -> Found:
    m, v, values = np.zeros([ROWS, DIM]), np.zeros([ROWS, DIM]), start.astype(np.float64)
    for step, (rows, gradient) in enumerate(given, 1):
        for row, g in zip(rows, gradient.astype(np.float64), strict=True):
            m[row] = 0.8 * m[row] + 0.2 * g
            v[row] = 0.99 * v[row] + 0.01 * g * g
            values[row] -= 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.8**step) * m[row] / (np.sqrt(v[row]) + 1e-7)
    return values, {"m": m, "v": v}


def momentum(start: np.ndarray, given: Given, share: float = 0.5) -> Found:
    kept, values = np.zeros([ROWS, DIM]), start.astype(np.float64)
    for rows, gradient in given:
        for row, g in zip(rows, gradient, strict=True):
            kept[row] = share * kept[row] - 0.1 * g
            values[row] += kept[row]
    return values, {"momentum": kept} if share else {}


def sgd(start: np.ndarray, given: Given) -> Found:
    return momentum(start, given, 0.0)


OPTIMIZERS = {
    "adagrad": (lambda: RowAdagrad(0.1, 0.05), adagrad),
    "row-wise adagrad": (lambda: RowWiseAdagradOptimizer(0.1, 0.05), row_wise),
    "lazy adam": (lambda: LazyAdam(0.1, 0.8, 0.99), lazy_adam),
    "momentum": (lambda: RowSgd(0.1, 0.5), momentum),
    "sgd": (lambda: RowSgd(0.1), sgd),
}
each_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)


@pytest.mark.parametrize("gathered", [False, True], ids=["reads rows", "rows given"])
@each_optimizer
def test_rows_and_slots_step_as_the_formula_says_and_others_stay(kind: str, gathered: bool) -> None:
    make, oracle = OPTIMIZERS[kind]
    start, given = given_steps()
    optimizer, variable = make(), tf.Variable(start)
    optimizer._create_all_weights([variable])
    slots = {name: optimizer.get_slot(variable, name) for name in optimizer._state}
    first = {name: slot.numpy() for name, slot in slots.items()}
    apply(optimizer, variable, given, gathered=gathered)
    values, expected = oracle(start, given)
    np.testing.assert_allclose(variable, values, rtol=1e-5, atol=1e-5)
    assert slots.keys() == expected.keys()
    unused = np.setdiff1d(np.arange(ROWS), np.concatenate([rows for rows, _ in given]))
    assert len(unused) == 5
    np.testing.assert_array_equal(variable.numpy()[unused], start[unused])
    for name, slot in slots.items():
        np.testing.assert_allclose(slot, expected[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(slot.numpy()[unused], first[name][unused])


@each_optimizer
def test_a_step_touches_only_its_rows_bit_by_bit(kind: str) -> None:
    start, given = given_steps()
    optimizer, variable = OPTIMIZERS[kind][0](), tf.Variable(start)
    for rows, gradient in given:
        before = variable.numpy()
        apply(optimizer, variable, [(rows, gradient)])
        np.testing.assert_array_equal(np.flatnonzero((variable.numpy() != before).any(axis=1)), rows)


@each_optimizer
def test_rows_that_the_step_has_read_are_not_read_again(kind: str) -> None:
    # Told that its rows are others than they are, an optimiser believes it: this is what spares the reading.
    optimizer, variable = OPTIMIZERS[kind][0](), tf.Variable(tf.zeros([3, 1]))
    slices = tf.IndexedSlices(tf.zeros([1, 1]), tf.constant([1]), tf.constant([3, 1]))
    with already_gathered({variable.ref(): tf.constant([[5.0]])}):
        optimizer.apply_gradients([(slices, variable)])
    assert variable.numpy().tolist() == [[0.0], [5.0], [0.0]]
    variable.assign(tf.zeros([3, 1]))
    optimizer.apply_gradients([(slices, variable)])
    assert variable.numpy().tolist() == [[0.0], [0.0], [0.0]]


def test_the_rows_given_end_with_the_step_also_where_it_fails() -> None:
    optimizer, variable = RowSgd(0.1), tf.Variable(tf.zeros([1, 1]))
    with pytest.raises(KeyError), already_gathered({variable.ref(): tf.constant([[5.0]])}):
        raise KeyError
    optimizer.apply_gradients([(tf.IndexedSlices(tf.zeros([1, 1]), tf.constant([0]), tf.constant([1, 1])), variable)])
    assert variable.numpy().tolist() == [[0.0]]


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_row_adagrad_is_the_stock_adagrad_on_whole_tables(traced: bool) -> None:
    start, given = given_steps(2)
    ours, stock = RowAdagrad(0.1, 0.05), keras.optimizers.legacy.Adagrad(0.1, 0.05, epsilon=0.0)
    mine, theirs = tf.Variable(start), tf.Variable(start)
    ours._create_all_weights([mine])

    def step(rows: tf.Tensor, gradient: tf.Tensor) -> None:
        ours.apply_gradients([(tf.IndexedSlices(gradient, rows, tf.constant([ROWS, DIM])), mine)])

    step = tf.function(step, reduce_retracing=True) if traced else step
    for rows, gradient in given:
        step(tf.constant(rows), tf.constant(gradient))
        dense = np.zeros([ROWS, DIM], np.float32)
        dense[rows] = gradient
        stock.apply_gradients([(tf.constant(dense), theirs)])
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.get_slot(mine, "accumulator"), stock.get_slot(theirs, "accumulator"), rtol=1e-5)


def test_row_wise_adagrad_by_hand() -> None:
    optimizer, variable = RowWiseAdagradOptimizer(0.1, 0.05), tf.Variable(tf.ones([3, 2]))
    slices = tf.IndexedSlices(tf.constant([[3.0, 1.0]]), tf.constant([1]), tf.constant([3, 2]))
    for total in (5.05, 10.05):  # (9 + 1) / 2 each time
        before = variable.numpy()[1]
        optimizer.apply_gradients([(slices, variable)])
        np.testing.assert_allclose(optimizer.get_slot(variable, "accumulator"), [0.05, total, 0.05], rtol=1e-6)
        np.testing.assert_allclose(variable.numpy()[1], before - 0.1 * np.array([3, 1]) / total**0.5, rtol=1e-6)


def test_lazy_adam_corrects_its_bias_for_all_steps_not_those_of_a_row() -> None:
    optimizer, variable = LazyAdam(1.0, 0.5, 0.75), tf.Variable(tf.zeros([2, 1]))
    for row in (0, 1):
        optimizer.apply_gradients([(tf.IndexedSlices(tf.ones([1, 1]), tf.constant([row]), tf.constant([2, 1])), variable)])
    # Step 1: m = .5, v = .25, corrected to 1 and 1. Step 2 divides the same by 1 - .5^2 and 1 - .75^2.
    second = (0.5 / 0.75) / (0.25 / 0.4375) ** 0.5
    np.testing.assert_allclose(variable, [[-1.0], [-second]], rtol=1e-5)


@each_optimizer
def test_slots_come_back_from_a_checkpoint(kind: str, tmp_path) -> None:
    make, _ = OPTIMIZERS[kind]
    start, given = given_steps(3)
    optimizer, variable = make(), tf.Variable(start)
    apply(optimizer, variable, given[:6])
    path = tf.train.Checkpoint(optimizer=optimizer, variable=variable).write(str(tmp_path / "saved"))
    again, other = make(), tf.Variable(tf.zeros([ROWS, DIM]))
    again._create_all_weights([other])
    tf.train.Checkpoint(optimizer=again, variable=other).read(path).assert_existing_objects_matched()
    assert int(again.iterations) == 6
    for one, table in ((optimizer, variable), (again, other)):
        apply(one, table, given[6:])
    np.testing.assert_array_equal(other, variable)
    for name in optimizer._state:
        np.testing.assert_array_equal(again.get_slot(other, name), optimizer.get_slot(variable, name))
