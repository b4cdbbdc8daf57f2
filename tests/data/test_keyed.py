from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.codes import LARGEST_CODE, MISSING_CODE
from funnel.data.keyed import PARTS, Keyed, Tally, parts_of, texts

codes = st.one_of(st.integers(-5, 20), st.sampled_from([MISSING_CODE, LARGEST_CODE, -LARGEST_CODE]))
counts = st.lists(st.lists(st.tuples(codes, st.integers(0, 2**40)), max_size=12), max_size=8)


def count(tally, rows):
    """Codes ascending, each once, as `Tally.count` wants them."""
    summed = Counter()
    for code, number in rows:
        summed[code] += number
    ordered = sorted(summed)
    tally.count(np.array(ordered, np.int64), np.array([summed[code] for code in ordered], np.int64))


def text_frame(rows):
    return pl.DataFrame(
        {"code": [code for code, _ in rows], "text": [t for _, t in rows]}, {"code": pl.Int64, "text": pl.String}
    )


def rows_in(parts):
    return sorted(row for part in parts for row in part.rows())


limits = st.sampled_from([0, 1, 3, 10, 10**6])
reaches = st.sampled_from([0, 1, 5, 1 << 10])


@given(counts, limits, reaches)
def test_counts_add_up_in_an_array_as_in_rows_and_on_disk(tmp_path_factory, pieces, limit, reach):
    gathered = Tally(tmp_path_factory.mktemp("tally") / "deep" / "er", limit, reach)
    wanted = Counter()
    for rows in pieces:
        count(gathered, rows)
        for code, number in rows:
            wanted[code] += number
    found = [row for row in rows_in(gathered.parts()) if row[1]]
    assert found == sorted((code, number) for code, number in wanted.items() if number)
    assert [row for row in rows_in(gathered.parts()) if row[1]] == found  # may be asked again
    parts = list(gathered.parts(PARTS))
    assert len(parts) == PARTS
    assert [row for row in rows_in(parts) if row[1]] == found
    count(gathered, [(4, 1)])  # and goes on
    wanted[4] += 1
    assert [row for row in rows_in(gathered.parts()) if row[1]] == sorted((c, n) for c, n in wanted.items() if n)


@given(
    st.lists(st.lists(st.tuples(codes, st.sampled_from(["a", "b", "é", ""])), max_size=12), max_size=8),
    st.sampled_from([0, 2, 10**6]),
)
def test_each_code_and_text_is_kept_once(tmp_path_factory, pieces, limit):
    gathered = texts(tmp_path_factory.mktemp("texts"), limit)
    for rows in pieces:
        gathered.add(text_frame(rows))
    assert rows_in(gathered.parts()) == sorted({row for rows in pieces for row in rows})


def test_few_rows_stay_in_memory_and_many_do_not(tmp_path):
    few = Tally(oracle.NOWHERE, limit=10, reach=0)
    for _ in range(100):
        count(few, [(code, 1) for code in range(4)])
    assert not few.spilled
    assert rows_in(few.parts()) == [(code, 100) for code in range(4)]
    many = Tally(tmp_path / "many", limit=10, reach=0)
    count(many, [(code, 1) for code in range(11)])
    assert many.spilled
    count(many, [(3, 5)])
    assert rows_in(many.parts()) == [(code, 6 if code == 3 else 1) for code in range(11)]
    assert len(list(many.parts())) == PARTS


def test_codes_that_lie_close_together_are_counted_in_an_array(tmp_path):
    close = Tally(oracle.NOWHERE, limit=0, reach=100)  # a row would be written
    for first in (50, 20, 90, 20):
        count(close, [(first + code, 2) for code in range(10)])
    assert rows_in(close.parts()) == sorted(
        (first + code, 4 if first == 20 else 2) for first in (50, 20, 90) for code in range(10)
    )
    apart = Tally(tmp_path, limit=10**6, reach=100)
    count(apart, [(0, 1), (99, 1)])
    count(apart, [(100, 1)])  # one too far
    count(apart, [(-1, 1)])
    count(apart, [(LARGEST_CODE - 3, 1), (LARGEST_CODE, 1)])
    assert rows_in(apart.parts()) == [(-1, 1), (0, 1), (99, 1), (100, 1), (LARGEST_CODE - 3, 1), (LARGEST_CODE, 1)]


def test_an_array_of_more_codes_than_rows_are_held_is_one_part_where_one_is_asked_for(tmp_path):
    counted, spelt = Tally(tmp_path / "counts", limit=10, reach=1000), texts(tmp_path / "texts", limit=10)
    count(counted, [(code, 1) for code in range(50)])
    count(counted, [(-4, 7)])
    spelt.add(text_frame([(-4, "four")]))
    ((part, spelling),) = parts_of(counted, spelt)
    assert sorted(part.rows()) == [(-4, 7), *((code, 1) for code in range(50))]
    assert spelling.rows() == [(-4, "four")]


def test_nothing_is_one_part_without_rows(tmp_path):
    for empty in (Tally(oracle.NOWHERE), texts(oracle.NOWHERE)):
        (part,) = empty.parts()
        assert part.height == 0
    gathered = Tally(oracle.NOWHERE)
    count(gathered, [])
    assert [part.height for part in gathered.parts()] == [0]
    for empty in (Tally(tmp_path / "x"), texts(tmp_path / "y")):
        assert [part.height for part in empty.parts(PARTS)] == [0] * PARTS


@given(
    st.lists(st.tuples(codes, st.integers(1, 9)), max_size=30),
    st.lists(st.tuples(codes, st.sampled_from("abc")), max_size=30),
    st.sampled_from([(1, 10**6), (10**6, 1), (1, 1), (10**6, 10**6)]),
    reaches,
)
def test_each_code_is_in_the_same_part_of_all(tmp_path_factory, numbers, spellings, limits, reach):
    folder = tmp_path_factory.mktemp("two")
    counted, spelt = Tally(folder / "counts", limits[0], reach), texts(folder / "texts", limits[1])
    for row in numbers:
        count(counted, [row])
    for row in spellings:
        spelt.add(text_frame([row]))
    wanted = Counter()
    for code, number in numbers:
        wanted[code] += number
    seen, pairs = set(), []
    for part, spelling in parts_of(counted, spelt):
        here = {row[0] for row in (*part.rows(), *spelling.rows())}
        assert not here & seen
        seen |= here
        own = dict(part.rows())
        pairs += [(code, own.get(code, 0), text) for code, text in spelling.rows()]
    assert sorted(pairs) == sorted((code, wanted[code], text) for code, text in set(spellings))
    assert seen == {code for code, _ in numbers} | {code for code, _ in spellings}


@pytest.mark.parametrize("reach", [0, 20, 1000])
def test_several_threads_may_count(tmp_path, reach):
    gathered = Tally(tmp_path, 50, reach)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda turn: count(gathered, [(code, 1) for code in range(turn % 7, 40)]), range(200)))
    wanted = Counter(code for turn in range(200) for code in range(turn % 7, 40))
    assert rows_in(gathered.parts()) == sorted(wanted.items())


def test_a_merge_that_shrinks_nothing_is_not_repeated(tmp_path):
    merged = []

    def merge(rows):
        merged.append(rows.height)
        return rows.unique()

    gathered = Keyed(tmp_path, merge, 100)
    for code in range(1000):
        gathered.add(text_frame([(code, "x")]))
    assert sum(merged) < 1100  # each row about once
    assert rows_in(gathered.parts()) == [(code, "x") for code in range(1000)]


@pytest.mark.parametrize("limit", [1, 1000])
def test_counts_beyond_int32_are_exact(tmp_path, limit):
    for reach in (0, 100):
        gathered = Tally(tmp_path / str(reach), limit, reach)
        for _ in range(3):
            count(gathered, [(1, 2**53), (2, 1)])
        assert rows_in(gathered.parts()) == [(1, 3 * 2**53), (2, 3)]
