from __future__ import annotations

import numpy as np
import pytest
import slow_labels
from hypothesis import given
from hypothesis import strategies as st
from test_labels import declared

from funnel.data.labels import UNKNOWN
from funnel.data.stage_counts import StageCounts

X = UNKNOWN
#                 click, cart, buy
LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, X], [1, X, 1], [X, 1, 0], [X, X, X]], np.uint8)
CHAIN = declared(slow_labels.CHAIN).topology


def shown(counts):
    return (counts.rows, *(getattr(counts, name).tolist() for name in ("known", "given", "passed", "reached")))


def test_rows_are_counted_where_they_are_known():
    # A cart of which the click is not known is no row of the cart's space, but of the buy's.
    assert shown(StageCounts.of(CHAIN, LABELS)) == (7, [5, 5, 5], [5, 3, 2], [4, 2, 1], [4, 3, 2])


def test_rows_count_by_their_weights():
    weights = np.array([0.5, 1, 2, 4, 8, 16, 0], np.float32)
    found = StageCounts.of(CHAIN, LABELS, weights)
    assert shown(found) == (31.5, [15.5, 23.5, 27.5], [15.5, 7, 18], [15, 6, 2], [15, 22, 10])
    assert shown(StageCounts.of(CHAIN, LABELS, np.zeros(7, np.float32)))[0] == 0


def test_no_rows_count_nothing():
    assert shown(StageCounts.of(CHAIN, LABELS[:0])) == (0, [0] * 3, [0] * 3, [0] * 3, [0] * 3)


@given(st.lists(st.integers(0, len(LABELS) - 1), max_size=12), st.integers(0, 12), st.booleans())
def test_counts_add_up(rows, cut, weighed):
    rows = np.array(rows, np.int64)
    weights = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3], np.float32)[rows] if weighed else None
    parts = [slice(None, cut), slice(cut, None)]
    one, other = (StageCounts.of(CHAIN, LABELS[rows[part]], None if weights is None else weights[part]) for part in parts)
    assert shown(one + other) == shown(StageCounts.of(CHAIN, LABELS[rows], weights))


@given(st.lists(st.floats(0, 1e6, width=32), max_size=300))
def test_where_all_is_known_the_shares_are_1_to_the_last_bit(weights):
    labels = np.zeros([len(weights), 3], np.uint8)
    found = StageCounts.of(CHAIN, labels, np.array(weights, np.float32))
    assert (found.known == found.rows).all()
    assert found.given[0] == found.rows


@pytest.mark.parametrize("name", sorted(slow_labels.TOPOLOGIES))
def test_every_topology_is_counted_as_the_slow_way_counts(name):
    stages = slow_labels.TOPOLOGIES[name]
    columns = slow_labels.columns_of(stages)
    rows = []
    for number in range(3 ** len(columns)):
        labels = [(0, 1, None)[number // 3**place % 3] for place in range(len(columns))]
        rows.append(slow_labels.Row(stages, dict(zip(columns, labels, strict=True))))
    table = np.array([[X if label is None else label for label in row.labels.values()] for row in rows], np.uint8)
    found = StageCounts.of(declared(stages).topology, table)
    for place, stage in enumerate(row["name"] for row in stages):
        space = [row.labels[stage] for row in rows if row.happens(stage) == 1 and row.labels[stage] is not None]
        assert (found.given[place], found.passed[place]) == (len(space), sum(space))
