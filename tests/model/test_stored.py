"""Tables as an export stores them, against a slow oracle, and at the ends of what numbers can be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from funnel.model import stored as stored_module
from funnel.model._keras import tf
from funnel.model.stored import KINDS, LARGEST, STEPS, Elsewhere, Float, rounded, stored

MOST = np.float32(LARGEST * STEPS)
TINY = float(np.finfo(np.float16).smallest_subnormal)
ROWS = [
    [0.0, 0.0, 0.0],
    [-0.0, 0.0, -0.0],
    [0.01, -0.02, 0.005],
    [1.0, -127.0, 63.5],
    [1e-12, -1e-12, 0.0],
    [3e-8, 0.0, -7e-6],
    [MOST, -MOST, 1.0],
    [6e4, 1e-4, 0.0],
    [0.3, 0.3, 0.3],
]
sized = st.floats(0, float(MOST), width=32) | st.floats(0, 1, width=32) | st.floats(0, 2.0**-14, width=32)
numbers = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    elements=st.builds(np.copysign, sized, st.sampled_from([-1, 1])),
)


def slowly(row: list[float]) -> tuple[list[int], Fraction]:
    """The least float16 scale with which nothing clips, found one by one upwards; and the nearest steps, ties to even."""
    most = max(abs(Fraction(number)) for number in row)
    scale = np.float16(float(most / STEPS))
    while Fraction(float(scale)) * STEPS < most:
        scale = np.nextafter(scale, np.float16(np.inf))
    while scale > 0 and Fraction(float(before := np.nextafter(scale, np.float16(0)))) * STEPS >= most:
        scale = before
    exact = Fraction(float(scale))
    return [round(Fraction(number) / exact) if exact else 0 for number in row], exact


@given(numbers)
def test_bytes_are_those_of_a_slow_oracle(numbers_RD: np.ndarray) -> None:
    values, scales = rounded(numbers_RD)
    assert (values.dtype, scales.dtype) == (np.int8, np.float16)
    for row, found, scale in zip(numbers_RD.tolist(), values.tolist(), scales, strict=True):
        expected, exact = slowly(row)
        assert Fraction(float(scale)) == exact
        # Quotients are rounded to float32 before they are to whole numbers.
        for number, one, other in zip(row, found, expected, strict=True):
            assert one == other or abs(abs(Fraction(number) / exact - Fraction(one + other, 2))) < Fraction(1, 2**16)


@pytest.mark.parametrize("row", ROWS)
def test_no_number_clips_nor_is_more_than_half_a_step_off(row: list[float]) -> None:
    exact = np.array([row], np.float32)
    values, scales = rounded(exact)
    assert np.abs(values.astype(int)).max() <= STEPS
    assert np.isfinite(scales).all()
    back = values.astype(np.float64) * scales.astype(np.float64)[:, None]
    assert (np.abs(back - exact) <= scales.astype(np.float64)[:, None] * (0.5 + 1e-5)).all()
    # The greatest number of a row is not far from the end of the scale, unless that is as small as float16 goes.
    assert np.abs(values).max() >= 126 or scales[0] <= 20 * TINY


def test_by_hand() -> None:
    values, scales = rounded(np.array([[0, 127, -63.4], [0, 0, 0], [2.54, 1.27, 0.63]], np.float32))
    assert scales[:2].tolist() == [1, 0]
    assert float(scales[2]) == pytest.approx(0.02, rel=2**-10)
    assert values.tolist() == [[0, 127, -63], [0, 0, 0], [127, 63, 31]]


def variable(rows: list[list[float]]) -> tf.Variable:
    return tf.Variable(np.array(rows, np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_gathered_is_what_was_stored(kind: str) -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(50, 6), scale=0.02).astype(np.float32)
    rows = np.array([3, 40, 3, 0, 17])
    table = stored(tf.Variable(exact), rows, kind)
    asked = tf.constant([4, 0, 0, 2])
    found = tf.function(table.gather)(asked).numpy()
    expected = exact[rows]
    if kind == "float16":
        expected = expected.astype(np.float16).astype(np.float32)
    if kind == "int8":
        values, scales = rounded(expected)
        expected = values.astype(np.float32) * scales.astype(np.float32)[:, None]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[asked])
    assert not any(one.trainable for one in table.variables)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_read_block_by_block(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, rows = variable(ROWS[:4] * 3), np.arange(12)
    whole = [one.numpy() for one in stored(table, rows, kind).variables]
    monkeypatch.setattr(stored_module, "BLOCK", 5)
    for one, other in zip(whole, stored(table, rows, kind).variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_bytes_and_halves_are_all_that_is_kept() -> None:
    sizes = {
        kind: sum(one.numpy().nbytes for one in stored(variable([[0.1] * 18] * 7), np.arange(7), kind).variables)
        for kind in KINDS
    }
    assert sizes == {"float32": 7 * 72, "float16": 7 * 36, "int8": 7 * 20}


@pytest.mark.parametrize(("kind", "most"), [("float16", LARGEST), ("int8", float(MOST)), ("float32", 3e38)])
def test_what_does_not_fit_is_refused_and_what_just_fits_is_not(kind: str, most: float) -> None:
    found = stored(variable([[most, -most]]), np.arange(1), kind).gather(tf.constant([0])).numpy()
    np.testing.assert_allclose(found, [[most, -most]], rtol=1e-3)
    wrong = [float("nan"), float("inf"), *([most * 1.001] if kind != "float32" else [])]
    for number in wrong:
        with pytest.raises(ValueError, match=f"holds numbers that are none, or beyond .*expected such as {kind} can hold"):
            stored(variable([[0.0, number]]), np.arange(1), kind)


def test_rows_that_have_moved_are_found() -> None:
    table = Float(np.arange(6, dtype=np.float32).reshape(3, 2))
    moved = Elsewhere(table, np.array([2, 1, 1, 0], np.int32))
    assert moved.gather(tf.constant([0, 2, 3])).numpy().tolist() == [[4, 5], [2, 3], [0, 1]]


def test_no_rows_are_no_rows() -> None:
    for kind in KINDS:
        assert stored(variable([[1.0, 2.0]]), np.arange(1), kind).gather(tf.zeros([0], tf.int32)).shape == (0, 2)
