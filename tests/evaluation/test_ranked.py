"""Rows in their order: the same from every way that they are sorted, and however they are cut."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation import sorting
from funnel.evaluation.ranked import Ranked

ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 0.25, 1.5, np.inf])), max_size=25)
SIZES = st.sampled_from([1, 2, 5, 1 << 16])


@contextmanager
def cut(size):
    """Parts of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        yield


def ways(rows):
    """The same rows, sorted as numbers that hold all of a row, by their places, and as soft labels of rows with weights."""
    labels, scores = np.array([label for label, _ in rows], bool), np.array([score for _, score in rows])
    marks = np.arange(len(rows), dtype=np.int32)
    return (
        labels,
        scores,
        {
            "packed": Ranked.of(labels, scores.astype(np.float32), None, marks),
            "places": Ranked.of(labels, scores, None, marks),
            "weights": Ranked.of(labels, scores, np.ones(len(rows)), marks),
            "soft": Ranked.of(labels.astype(np.float64), scores.astype(np.float32), None, marks),
        },
    )


@given(ROWS)
def test_each_row_carries_what_is_its_own(rows):
    labels, scores, found = ways(rows)
    for ranked in found.values():
        assert sorted(ranked.marks) == list(range(len(rows)))
        np.testing.assert_array_equal(ranked.scores, scores[ranked.marks])
        np.testing.assert_array_equal(ranked.positive, labels[ranked.marks])
        assert (np.diff(ranked.scores[np.isfinite(ranked.scores)]) >= 0).all()


def test_marks_may_be_as_great_as_an_int32_and_alike():
    marks = np.array([2**31 - 1, 0, 2**31 - 1], np.int32)
    ranked = Ranked.of(np.array([True, False, False]), np.array([-1, 1, -3], np.float32), None, marks)
    assert ranked.marks.tolist() == [2**31 - 1, 2**31 - 1, 0]
    assert ranked.positive.tolist() == [False, True, False]


def test_what_was_not_given_is_not_carried():
    ranked = Ranked.of(np.array([True]), np.array([1], np.float32))
    (runs,) = ranked.parts()
    with pytest.raises(ValueError, match="rows without marks"):
        ranked.marked(runs)


@given(ROWS, SIZES)
def test_runs_say_what_is_below_and_above_them(rows, size):
    labels, scores, _ = ways(rows)
    with cut(size):
        for ranked in ways(rows)[2].values():
            seen = []
            for runs in ranked.parts():
                positive_at_least, rows_at_least = runs.at_least
                columns = zip(
                    runs.scores,
                    runs.positive,
                    runs.negative,
                    runs.positive_below,
                    runs.negative_below,
                    positive_at_least,
                    rows_at_least,
                    strict=True,
                )
                for score, *of_run in columns:
                    below, same = scores < score, scores == score
                    expected = [(labels & same).sum(), (~labels & same).sum()]
                    expected += [(of & below).sum() + (of & same).sum() / 2 for of in (labels, ~labels)]
                    expected += [(labels & ~below).sum(), (~below).sum()]
                    assert of_run == expected
                    seen.append(score)
                by_row = runs.by_row(runs.scores)
                np.testing.assert_array_equal(by_row, ranked.scores[runs.rows])
            assert seen == sorted(set(scores.tolist()))  # 0 and -0 are one


def slow_areas(labels, scores):
    """In rational arithmetic; None where a class has no rows."""
    above = [s for y, s in zip(labels, scores, strict=True) if y]
    below = [s for y, s in zip(labels, scores, strict=True) if not y]
    if not above or not below:
        return None
    won = sum(Fraction(int(s > t) * 2 + int(s == t), 2) for s, t in itertools.product(above, below))
    precise = sum(Fraction(sum(t >= s for t in above), int((scores >= s).sum())) for s in above)
    return won / (len(above) * len(below)), precise / len(above)


@given(ROWS, SIZES)
def test_areas_are_those_of_rational_arithmetic_however_rows_are_cut(rows, size):
    with cut(size):
        labels, scores, found = ways(rows)
        expected = slow_areas(labels, scores)
        for ranked in found.values():
            assert (ranked.positives, ranked.negatives) == (labels.sum(), (~labels).sum())
            assert ranked.two_classes == (expected is not None)
            if expected is None:
                assert math.isnan(ranked.area)
                assert math.isnan(ranked.average_precision)
            else:
                assert ranked.area == float(expected[0])
                assert ranked.average_precision == pytest.approx(float(expected[1]), rel=1e-14)


@given(ROWS, SIZES, st.integers(1, 5))
def test_bins_are_of_equal_mass_by_the_middle_of_each_run(rows, size, count):
    with cut(size):
        _, scores, found = ways(rows)
        for ranked in found.values():
            which = [int(one) for runs in ranked.parts() for one in ranked.bins(runs, count)]
            middles = [
                Fraction(int((scores < s).sum())) + Fraction(int((scores == s).sum()), 2) for s in sorted(set(scores.tolist()))
            ]
            assert which == [math.floor(count * middle / len(rows)) for middle in middles]


@given(ROWS, SIZES)
def test_what_holds_for_a_class_is_spread_over_its_rows_times_their_weights(rows, size):
    with cut(size):
        labels, scores, found = ways(rows)
        weights = np.arange(len(rows)) / 2
        found["uneven"] = Ranked.of(labels, scores, weights, np.arange(len(rows), dtype=np.int32))
        for name, ranked in found.items():
            spread = np.full(len(rows), np.nan)
            for runs in ranked.parts():
                finite = np.nan_to_num(runs.scores, posinf=9, neginf=-9)
                spread[ranked.marked(runs)] = ranked.of_rows(runs, finite + 1, finite - 1)
            expected = np.nan_to_num(scores, posinf=9, neginf=-9) + np.where(labels, 1, -1)
            np.testing.assert_array_equal(spread, expected * (weights if name == "uneven" else 1))


@given(st.integers(0, 999), SIZES)
def test_weights_that_add_up_to_much_and_to_little(seed, size):
    """Sums from either end keep the digits of what is small there."""
    random = np.random.default_rng(seed)
    labels, weights = random.random(30) < 0.5, 10.0 ** random.integers(-9, 9, 30)
    labels[:2] = True, False
    scores = random.integers(0, 12, 30).astype(np.float64)
    above, below = (
        [(Fraction(w), s) for w, s, y in zip(weights, scores, labels, strict=True) if y == one] for one in (True, False)
    )
    won = sum(w * v * Fraction(int(s > t) * 2 + int(s == t), 2) for (w, s), (v, t) in itertools.product(above, below))
    pairs = sum(w for w, _ in above) * sum(v for v, _ in below)
    precise = sum(
        w * sum(v for v, t in above if t >= s) / sum(v for v, t in [*above, *below] if t >= s) for w, s in above
    ) / sum(w for w, _ in above)
    with cut(size):
        ranked = Ranked.of(labels, scores, weights)
        assert ranked.area == pytest.approx(float(won / pairs), rel=1e-12, abs=1e-15)
        assert ranked.average_precision == pytest.approx(float(precise), rel=1e-12)
