from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation import sorting
from funnel.evaluation.grouped import group_areas

ROW = st.tuples(
    st.booleans(), st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-30, 2.0, np.inf]), st.integers(0, 4), st.integers(0, 3)
)
ROWS = st.lists(ROW, max_size=30)
SIZES = st.sampled_from([1, 2, 5, 1 << 16])


def slow(labels, scores, groups, weights):
    """By group, in rational arithmetic."""
    found = {}
    for group in np.unique(groups).tolist():
        rows = [
            (y, s, Fraction(float(w))) for y, s, g, w in zip(labels, scores, groups, weights, strict=True) if g == group and w
        ]
        above, below = ([(s, w) for y, s, w in rows if y == one] for one in (True, False))
        if above and below:
            won = sum(w * v * Fraction(int(s > t) * 2 + int(s == t), 2) for (s, w), (t, v) in product(above, below))
            pairs = sum(w for _, w in above) * sum(v for _, v in below)
            found[group] = float(won / pairs), float(sum(w for _, _, w in rows))
    return found


def columns(rows):
    table = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return (
        np.array(table[0], bool),
        np.array(table[1], np.float64),
        np.array(table[2], np.int32),
        np.array(table[3], np.float64),
    )


def as_dict(found):
    names, areas, mass = found
    assert (names.dtype, areas.dtype, mass.dtype) == (np.int64, np.float64, np.float64)
    assert names.tolist() == sorted(names.tolist())
    return {name: pair for name, *pair in zip(names.tolist(), areas.tolist(), mass.tolist(), strict=True)}


@given(ROWS, SIZES)
def test_areas_are_those_of_each_group_by_itself_from_every_way_to_sort(rows, size):
    labels, scores, groups, weights = columns(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PART", size)
        packed = as_dict(group_areas(labels, scores.astype(np.float32), groups))
        places = as_dict(group_areas(labels, scores, groups))
        ones = as_dict(group_areas(labels, scores.astype(np.float32), groups, np.ones(len(rows))))
        weighted = as_dict(group_areas(labels, scores.astype(np.float32), groups, weights * 0.75))
    expected = {group: list(pair) for group, pair in slow(labels, scores, groups, np.ones(len(rows))).items()}
    assert packed == expected
    assert places == expected
    assert ones == expected
    assert weighted.keys() == slow(labels, scores, groups, weights).keys()
    for group, (area, mass) in slow(labels, scores, groups, weights * 0.75).items():
        assert weighted[group] == [pytest.approx(area, rel=1e-12), mass]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("labels", "scores", "groups", "expected"),
    [
        ([], [], [], {}),
        ([1], [0.5], [0], {}),
        ([1, 1], [0.5, 0.1], [3, 3], {}),
        ([0, 0], [0.5, 0.1], [3, 3], {}),
        ([1, 0], [0.5, 0.1], [3, 4], {}),
        ([1, 0, 1], [0.5, 0.5, 0.5], [2, 2, 2], {2: [0.5, 3]}),
        ([1, 0, 0], [0.2, 0.1, 0.3], [2, 2, 2], {2: [0.5, 3]}),
        ([0, 1, 1, 0], [-1.0, 1.0, -1.0, 1.0], [0, 0, 9, 9], {0: [1, 2], 9: [0, 2]}),
    ],
    ids=["no rows", "one row", "positives", "negatives", "one of each", "ties", "one group", "certain"],
)
def test_extremes(labels, scores, groups, expected, kind):
    assert as_dict(group_areas(np.array(labels, bool), np.array(scores, kind), np.array(groups, np.int32))) == expected


def test_a_large_group_is_never_cut():
    n = 3 * sorting.PART
    random = np.random.default_rng(0)
    labels, scores = random.random(n) < 0.1, random.integers(0, 1000, n).astype(np.float32)
    groups = np.where(np.arange(n) < 5, 0, np.where(np.arange(n) < n - 5, 1, 2)).astype(np.int32)
    labels[[0, -1]] = True
    for group, (area, mass) in as_dict(group_areas(labels, scores, groups)).items():
        here = groups == group
        above = np.bincount(scores[here & labels].astype(int), minlength=1000)
        below = np.bincount(scores[here & ~labels].astype(int), minlength=1000)
        won = (above * (np.cumsum(below) - below / 2)).sum()
        assert (area, mass) == (won / (above.sum() * below.sum()), here.sum())
