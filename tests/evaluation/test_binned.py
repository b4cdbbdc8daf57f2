from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation import sorting
from funnel.evaluation.binned import Bins
from funnel.evaluation.ranked import Ranked

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 3)), max_size=25)
FIELDS = ("mass", "positive", "predicted", "gaps", "squares", "variance")


def slow(rows, count):
    """Sums by bin, run after run, in rational arithmetic."""
    found = {field: [Fraction(0)] * count for field in FIELDS}
    total, before = sum(w for *_, w in rows), Fraction(0)
    for chance in sorted({p for _, p, _ in rows}) if total else []:
        run = [(y, Fraction(p, 8), w) for y, p, w in rows if p == chance]
        mass = sum(w for *_, w in run)
        place = min(count - 1, int(count * (before + mass / Fraction(2)) / total))
        before += mass
        for y, p, w in run:
            sums = w, y * w, p * w, (p - y) * w, w * w, w * w * p * (1 - p)
            for field, value in zip(FIELDS, sums, strict=True):
                found[field][place] += value
    return found


@given(ROWS, st.integers(1, 6), st.sampled_from([1, 2, 5, 1 << 16]), st.booleans())
def test_bins_hold_what_falls_into_them_however_rows_are_cut(rows, count, size, weighted):
    if not weighted:
        rows = [(y, p, 1) for y, p, _ in rows]
    labels, chances = np.array([y for y, *_ in rows], bool), np.array([p / 8 for _, p, _ in rows], np.float32)
    weights = np.array([w for *_, w in rows], np.float64) if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        found = Bins.of(Ranked.of(labels, chances, weights), count)
    expected = slow(rows, count)
    for field in FIELDS:
        assert getattr(found, field).tolist() == [float(value) for value in expected[field]], field  # eighths are exact
    total = sum(w for *_, w in rows)
    assert found.total == total
    if total:
        assert found.error == pytest.approx(float(sum(map(abs, expected["gaps"])) / total))
        by_chance = sum(math.sqrt(2 * value / math.pi) for value in expected["variance"]) / total
        assert found.error_by_chance == pytest.approx(by_chance)
    else:
        assert math.isnan(found.error)
        assert math.isnan(found.error_by_chance)


def test_by_hand():
    ranked = Ranked.of(np.array([False, True, False, True]), np.array([0.25, 0.25, 0.5, 1.0], np.float32))
    found = Bins.of(ranked, 2)
    assert found.mass.tolist() == [2, 2]
    assert found.gaps.tolist() == [-0.5, 0.5]
    assert found.error == 0.25
    assert found.variance.tolist() == [2 * 3 / 16, 1 / 4]
