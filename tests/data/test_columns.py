from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data import columns as columns_module
from funnel.data.columns import OFFSETS, WEIGHTS, concat, entries_of, names_of, part, take

# A row: an id, a number, a list of ids, and a list of (id, weight).
entry = st.integers(-(2**40), 2**40)
row = st.tuples(
    entry, st.floats(width=32), st.lists(entry, max_size=3), st.lists(st.tuples(entry, st.floats(width=32)), max_size=3)
)
rows_of = st.lists(row, max_size=8)


def columns_of(rows, offsets=np.int64):
    def ends(lists):
        return np.cumsum([0, *map(len, lists)]).astype(offsets)

    bags, pairs = [bag for _, _, bag, _ in rows], [pair for *_, pair in rows]
    return {
        "id": np.array([one for one, *_ in rows], np.int64),
        "number": np.array([number for _, number, *_ in rows], np.float64),
        "bag": np.array([one for bag in bags for one in bag], np.int64),
        "bag" + OFFSETS: ends(bags),
        "pair" + OFFSETS: ends(pairs),
        "pair": np.array([one for pair in pairs for one, _ in pair], np.int64),
        "pair" + WEIGHTS: np.array([weight for pair in pairs for _, weight in pair], np.float32),
    }


def rows_in(columns):
    count = len(columns["id"])
    spans = {
        name: list(zip(columns[name + OFFSETS][:-1], columns[name + OFFSETS][1:], strict=True)) for name in ("bag", "pair")
    }
    assert all(len(span) == count for span in spans.values())
    assert all(columns[name + OFFSETS][0] == 0 and columns[name + OFFSETS][-1] == len(columns[name]) for name in spans)
    weights = columns["pair" + WEIGHTS]
    assert len(weights) == len(columns["pair"])
    return [
        (
            int(columns["id"][at]),
            repr(float(columns["number"][at])),
            columns["bag"][slice(*spans["bag"][at])].tolist(),
            [(int(columns["pair"][e]), repr(float(weights[e]))) for e in range(*spans["pair"][at])],
        )
        for at in range(count)
    ]


def spelt(rows):
    return [(one, repr(number), bag, [(i, repr(w)) for i, w in pair]) for one, number, bag, pair in rows]


def test_a_hand_worked_take():
    columns = {"x": np.array([10, 11, 12]), "b": np.array([1, 2, 3, 4]), "b/offsets": np.array([0, 2, 2, 4])}
    taken = take(columns, np.array([2, 0, 1, 2]))
    assert {name: array.tolist() for name, array in taken.items()} == {
        "x": [12, 10, 11, 12],
        "b": [3, 4, 1, 2, 3, 4],
        "b/offsets": [0, 2, 4, 4, 6],
    }
    assert taken["b/offsets"].dtype == np.int32
    assert "b/weights" not in taken


def test_names_leave_out_what_belongs_to_lists():
    assert names_of(["a", "b", "b/offsets", "b/weights", "c/offsets", "c"]) == ["a", "b", "c"]


@given(rows_of, st.data())
def test_some_rows_in_any_order_are_what_python_takes(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)) if rows else []
    taken = take(columns_of(rows), np.array(chosen, np.int64))
    assert rows_in(taken) == spelt([rows[at] for at in chosen])


@given(rows_of, st.data())
def test_rows_that_follow_each_other_are_a_slice_without_a_copy(rows, data):
    begin = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(begin, len(rows)))
    columns = columns_of(rows)
    cut = part(columns, begin, end)
    assert rows_in(cut) == spelt(rows[begin:end])
    for name in ("id", "number", "bag", "pair", "pair/weights"):
        assert cut[name].base is columns[name]


@given(st.lists(rows_of, min_size=1, max_size=4), st.lists(st.sampled_from([np.int32, np.int64]), min_size=4, max_size=4))
def test_parts_one_after_the_other_are_all_their_rows(parts, kinds):
    joined = concat([columns_of(rows, kind) for rows, kind in zip(parts, kinds, strict=False)])
    assert rows_in(joined) == spelt([one for rows in parts for one in rows])
    if len(parts) > 1:
        assert joined["bag/offsets"].dtype == np.int32


@given(rows_of)
def test_cutting_and_joining_changes_nothing(rows):
    columns = columns_of(rows)
    pieces = [part(columns, at, at + 1) for at in range(len(rows))] or [columns]
    assert rows_in(concat(pieces)) == spelt(rows)
    assert rows_in(take(columns, np.arange(len(rows)))) == spelt(rows)


def test_one_part_is_itself_and_not_the_mapping():
    columns = columns_of([(1, 2.0, [3], [])])
    joined = concat([columns])
    assert joined == columns
    assert joined is not columns


@given(st.lists(st.integers(0, 4), min_size=1, max_size=10), st.data())
def test_entries_stand_where_the_offsets_say(lengths, data):
    offsets = np.cumsum([0, *lengths])
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=10))
    entries, new = entries_of(offsets, np.array(rows, np.int64))
    assert entries.tolist() == [entry for at in rows for entry in range(offsets[at], offsets[at + 1])]
    assert new.tolist() == np.cumsum([0, *(lengths[at] for at in rows)]).tolist()
    assert (entries.dtype, new.dtype) == (np.int64, np.int32)


def test_offsets_beyond_int32_are_int64():
    # Nothing as large is made: the first list claims to be.
    most = np.iinfo(np.int32).max
    parts = [{"b/offsets": np.array([0, most], np.int64)}, {"b/offsets": np.array([0, 1], np.int32)}]
    joined = concat(parts)["b/offsets"]
    assert joined.tolist() == [0, most, most + 1]
    assert joined.dtype == np.int64
    assert concat([{"b/offsets": np.array([0, most - 1])}, parts[1]])["b/offsets"].dtype == np.int32


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32])
def test_positions_and_offsets_of_any_width_serve(kind):
    columns = columns_of([(1, 0.5, [7, 8], [(1, 2.0)]), (2, 1.5, [], [(5, 0.5)])], np.int32)
    assert rows_in(take(columns, np.array([1, 0], kind))) == spelt([(2, 1.5, [], [(5, 0.5)]), (1, 0.5, [7, 8], [(1, 2.0)])])


def test_suffixes_hold_what_no_feature_may_be_called():
    # Names of features have no slash, so that these cannot be mistaken.
    assert columns_module.OFFSETS.startswith("/")
    assert columns_module.WEIGHTS.startswith("/")
