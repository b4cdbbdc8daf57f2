from __future__ import annotations

from collections import defaultdict

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.codes import LARGEST_CODE, MISSING_CODE, mixed
from funnel.data.pieces import Place
from funnel.data.spill import BUCKET_SHIFT, BUCKETS, DimensionSpill, FactSpill, Spill

BUFFERS = [0, 100, 1000, 1 << 30]
buckets_of = st.lists(st.lists(st.sampled_from([0, 1, 2, 7, 4094, 4095]), max_size=6), max_size=6)


def fact_piece(first, buckets):
    """Facts that say which they are: fact f has the bag [f] * (f % 3)."""
    facts = np.arange(first, first + len(buckets))
    lengths = facts % 3
    return {
        "fact bucket": np.array(buckets, np.uint16),
        "fact": facts,
        "bag": np.repeat(facts, lengths),
        "bag/offsets": np.cumsum([0, *lengths]),
        "bag/weights": (np.repeat(facts, lengths) / 2).astype(np.float32),
    }


def facts_in(columns):
    facts = columns["fact"].tolist()
    for at, fact in enumerate(facts):
        begin, end = columns["bag/offsets"][at : at + 2]
        assert columns["bag"][begin:end].tolist() == [fact] * (fact % 3)
        assert columns["bag/weights"][begin:end].tolist() == [fact / 2] * (fact % 3)
    return facts


def filled(folder, pieces, buffer):
    spill = FactSpill(folder, buffer)
    first = 0
    for buckets in pieces:
        spill.add(len(buckets), fact_piece(first, buckets))
        first += len(buckets)
    spill.finish()
    return spill


@given(buckets_of, st.sampled_from(BUFFERS), st.data())
def test_all_facts_of_some_buckets_come_out_whatever_the_buffer(tmp_path_factory, pieces, buffer, data):
    spill = filled(tmp_path_factory.mktemp("spill") / "facts", pieces, buffer)
    of = [bucket for buckets in pieces for bucket in buckets]
    assert spill.rows == len(of)
    assert spill.sizes.tolist() == np.bincount(of, minlength=BUCKETS).tolist()
    first = data.draw(st.sampled_from([0, 1, 2, 5, 4095]))
    last = data.draw(st.sampled_from([place for place in (1, 2, 3, 8, 4095, 4096) if place > first]))
    most = data.draw(st.sampled_from([1, 2, 3, 10**9]))
    read = list(spill.read(first, last, most))
    parts = [facts_in(columns) for columns in read]
    assert sorted(fact for part in parts for fact in part) == [fact for fact, bucket in enumerate(of) if first <= bucket < last]
    assert all(len(part) == most for part in parts[:-1])
    assert all(0 < len(part) <= most for part in parts)
    by_bucket = defaultdict(list)
    for part in parts:
        for fact in part:
            by_bucket[of[fact]].append(fact)
    assert all(facts == sorted(facts) for facts in by_bucket.values())  # the order in which they came
    assert [fact for part in parts for fact in part] == [
        fact for columns in spill.read(first, last, 10**9) for fact in facts_in(columns)
    ]


def test_what_is_small_stays_in_memory_and_what_is_not_goes_to_disk(tmp_path):
    small = filled(oracle.NOWHERE, [[1, 2], [3]], 1 << 20)
    assert len(small.blocks) == 1
    large = filled(tmp_path / "facts", [[1, 2], [3], [2, 2]], 0)
    assert len(large.blocks) == len(list((tmp_path / "facts").iterdir())) == 3
    part = next(large.read(0, BUCKETS, 100))
    assert facts_in(part) == [0, 1, 2, 3, 4]
    large.remove()
    assert not (tmp_path / "facts").exists()
    assert facts_in(part) == [0, 1, 2, 3, 4]  # what was read is a copy


def test_the_last_block_joins_the_others_on_disk(tmp_path):
    spill = FactSpill(tmp_path / "facts", 150)
    for first in range(0, 20, 2):
        spill.add(2, fact_piece(first, [0, 1]))
    spill.finish()
    assert len(spill.blocks) > 1
    assert all(not isinstance(block.columns, dict) for block in spill.blocks)
    assert sorted(facts_in(next(spill.read(0, BUCKETS, 100)))) == list(range(20))


def test_an_empty_range_gives_nothing():
    spill = filled(oracle.NOWHERE, [[5, 5]], 1 << 20)
    assert list(spill.read(6, 4096, 10)) == []
    empty = filled(oracle.NOWHERE, [], 1 << 20)
    assert list(empty.read(0, BUCKETS, 10)) == []
    assert empty.rows == 0


def test_a_full_disk_is_the_systems_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    spill = Spill(tmp_path / "file", 0)
    with pytest.raises(OSError, match="File exists"):
        spill.add(1, {"x": np.arange(1)})


def row_piece(first, keys):
    return fact_piece(first, [0] * len(keys)) | {"key user": np.array(keys, np.int64)}


keys_of = st.lists(
    st.lists(st.one_of(st.integers(-3, 9), st.sampled_from([LARGEST_CODE, MISSING_CODE + 1])), max_size=6), max_size=6
)


def dimension(folder, pieces, buffer=1 << 20):
    spill = DimensionSpill(folder, "key user", buffer)
    first = 0
    for number, keys in enumerate(pieces):
        piece = row_piece(first, keys)
        del piece["fact bucket"]
        # Of each piece every second row was left out.
        spill.add_piece(len(keys), piece, Place(f"p{number}", 1, lined=True), 2 * np.arange(len(keys)))
        first += len(keys)
    spill.finish()
    return spill


@given(keys_of, st.sampled_from(BUFFERS), st.lists(st.integers(-4, 10), max_size=8))
def test_rows_are_found_by_their_first_key(tmp_path_factory, pieces, buffer, asked):
    spill = dimension(tmp_path_factory.mktemp("rows") / "user", pieces, buffer)
    keys = [key for piece in pieces for key in piece]
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    again, repeated = spill.index()
    assert again.tolist() == [row for row, key in enumerate(keys) if first[key] != row]
    assert repeated.tolist() == [keys[row] for row in again]
    assert spill.find(np.array([*asked, *keys], np.int64)).tolist() == [first.get(key, -1) for key in [*asked, *keys]]
    assert spill.keys.tolist() == sorted(first)
    by_row = spill.keys_by_row()
    assert by_row.tolist() == [key if first[key] == row else 0 for row, key in enumerate(keys)]
    sizes = spill.sizes_of_buckets()
    assert sizes.sum() == len(first)
    for key in first:
        assert sizes[int(mixed(np.array([key]))[0] >> BUCKET_SHIFT)] > 0


@given(keys_of.filter(any), st.sampled_from(BUFFERS), st.data())
def test_rows_are_taken_in_any_order_whatever_the_buffer(tmp_path_factory, pieces, buffer, data):
    spill = dimension(tmp_path_factory.mktemp("rows") / "user", pieces, buffer)
    spill.index()
    rows = data.draw(st.lists(st.integers(0, spill.rows - 1), max_size=10))
    assert facts_in(spill.take(np.array(rows, np.int64))) == rows


@given(keys_of)
def test_a_row_knows_where_it_was_read(pieces):
    spill = dimension(oracle.NOWHERE, pieces)
    row = 0
    for number, keys in enumerate(pieces):
        for place in range(len(keys)):
            assert spill.at(row) == f"p{number}:{2 * place + 1}"
            row += 1


def test_buckets_of_facts_are_those_of_their_rows(tmp_path):
    """All facts of a row are in one bucket: the upper bits of its mixed key."""
    spill = dimension(tmp_path / "user", [list(range(1000))])
    spill.index()
    wanted = np.bincount((mixed(np.arange(1000)) >> np.uint64(52)).astype(np.int64), minlength=4096)
    assert spill.sizes_of_buckets().tolist() == wanted.tolist()
    assert wanted.max() < 6
