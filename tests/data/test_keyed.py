from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.codes import LARGEST_CODE, MISSING_CODE
from funnel.data.keyed import PARTS, Keyed, parts_of, tally, texts

codes = st.one_of(st.integers(-5, 20), st.sampled_from([MISSING_CODE, LARGEST_CODE, -LARGEST_CODE]))
counts = st.lists(st.lists(st.tuples(codes, st.integers(0, 2**40)), max_size=12), max_size=8)


def count_frame(rows):
    return pl.DataFrame({"code": [code for code, _ in rows], "count": [n for _, n in rows]}, {"code": pl.Int64, "count": pl.Int64})


def text_frame(rows):
    return pl.DataFrame({"code": [code for code, _ in rows], "text": [t for _, t in rows]}, {"code": pl.Int64, "text": pl.String})


def rows_in(parts):
    return sorted(row for part in parts for row in part.rows())


@given(counts, st.sampled_from([0, 1, 3, 10, 10**6]))
def test_counts_add_up_in_memory_as_on_disk(tmp_path_factory, pieces, limit):
    gathered = tally(tmp_path_factory.mktemp("tally") / "deep" / "er", limit)
    wanted = Counter()
    for rows in pieces:
        gathered.add(count_frame(rows))
        for code, number in rows:
            wanted[code] += number
    found = rows_in(gathered.parts())
    assert found == sorted(wanted.items())
    assert rows_in(gathered.parts()) == found  # may be asked again
    parts = list(gathered.parts(PARTS))
    assert len(parts) == PARTS
    assert rows_in(parts) == found


@given(st.lists(st.lists(st.tuples(codes, st.sampled_from(["a", "b", "é", ""])), max_size=12), max_size=8), st.sampled_from([0, 2, 10**6]))
def test_each_code_and_text_is_kept_once(tmp_path_factory, pieces, limit):
    gathered = texts(tmp_path_factory.mktemp("texts"), limit)
    for rows in pieces:
        gathered.add(text_frame(rows))
    assert rows_in(gathered.parts()) == sorted({row for rows in pieces for row in rows})


def test_few_rows_stay_in_memory_and_many_do_not(tmp_path):
    few = tally(oracle.NOWHERE, limit=10)
    for _ in range(100):
        few.add(count_frame([(code, 1) for code in range(4)]))
    assert not few.spilled
    assert rows_in(few.parts()) == [(code, 100) for code in range(4)]
    many = tally(tmp_path / "many", limit=10)
    many.add(count_frame([(code, 1) for code in range(11)]))
    assert many.spilled
    many.add(count_frame([(3, 5)]))
    assert rows_in(many.parts()) == [(code, 6 if code == 3 else 1) for code in range(11)]
    assert len(list(many.parts())) == PARTS


def test_nothing_is_one_part_without_rows(tmp_path):
    (part,) = tally(oracle.NOWHERE).parts()
    assert part.height == 0
    gathered = tally(oracle.NOWHERE)
    gathered.add(count_frame([]))
    assert [part.height for part in gathered.parts()] == [0]
    assert [part.height for part in tally(tmp_path / "x").parts(PARTS)] == [0] * PARTS


@given(
    st.lists(st.tuples(codes, st.integers(1, 9)), max_size=30),
    st.lists(st.tuples(codes, st.sampled_from("abc")), max_size=30),
    st.sampled_from([(1, 10**6), (10**6, 1), (1, 1), (10**6, 10**6)]),
)
def test_each_code_is_in_the_same_part_of_all(tmp_path_factory, numbers, spellings, limits):
    folder = tmp_path_factory.mktemp("two")
    counted, spelt = tally(folder / "counts", limits[0]), texts(folder / "texts", limits[1])
    for row in numbers:
        counted.add(count_frame([row]))
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


def test_several_threads_may_add(tmp_path):
    gathered = tally(tmp_path, limit=50)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda turn: gathered.add(count_frame([(code, 1) for code in range(turn % 7, 40)])), range(200)))
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
    gathered = tally(tmp_path, limit)
    for _ in range(3):
        gathered.add(count_frame([(1, 2**53), (2, 1)]))
    assert rows_in(gathered.parts()) == [(1, 3 * 2**53), (2, 3)]
