from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from funnel.data.codes import LARGEST_CODE, MISSING_CODE, codes_of, distinct, hashed_text, mixed, spelt, uniform

MASK = 2**64 - 1
STEP, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def slow_mixed(number: int, seed: int = 0) -> int:
    state = (number & MASK) ^ (seed * SECOND & MASK)
    state = (state + STEP) & MASK
    state = ((state ^ (state >> 30)) * FIRST) & MASK
    state = ((state ^ (state >> 27)) * SECOND) & MASK
    return state ^ (state >> 31)


def slow_hash(text: str, seed: int = 0) -> int:
    data = text.encode()
    state = slow_mixed(len(data), seed)
    for at in range(0, len(data), 8):
        state = slow_mixed(state ^ int.from_bytes(data[at : at + 8], "little"), seed)
    return -1 - min(state >> 1, LARGEST_CODE - 1)


def slow_code(one: object, seed: int = 0) -> int:
    if one is None:
        return MISSING_CODE
    text = str(one)
    if text.isascii() and text.isdigit() and str(int(text)) == text and int(text) <= LARGEST_CODE:
        return int(text)
    return slow_hash(text, seed)


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ODD = [
    "",
    "0",
    "00",
    "7",
    "007",
    "+7",
    "-7",
    "7 ",
    " 7",
    "1_0",
    "10",
    "7.0",
    "1e1",
    "\uff11",
    "\u0663",
    "-0",
    "+0",
    "\0",
    "7\0",
]
ODD += ["NaN", "null", "0x10", "7\n", "\t7", "9" * 40, str(LARGEST_CODE), str(LARGEST_CODE + 1)]
ODD += [str(-LARGEST_CODE - 1), str(-LARGEST_CODE - 2)]
tricky = st.sampled_from(ODD)
texts = st.one_of(any_text, tricky, st.integers(-(2**70), 2**70).map(str))
int64s = st.one_of(st.integers(-LARGEST_CODE - 1, LARGEST_CODE), st.integers(-20, 20))
seeds = st.integers(0, 2**31)


def test_mixing_is_splitmix64():
    # The first outputs of splitmix64 from state 0 (its reference implementation adds STEP each time).
    states = np.array([k * STEP % 2**64 for k in range(3)], np.uint64).view(np.int64)
    assert [f"{one:016x}" for one in mixed(states).tolist()] == ["e220a8397b1dcdaf", "6e789e6aa1b965f4", "06c45d188009454f"]


@given(st.lists(int64s, max_size=5), seeds)
def test_mixing_is_what_python_computes(numbers, seed):
    found = mixed(np.array(numbers, np.int64), seed)
    assert found.tolist() == [slow_mixed(number, seed) for number in numbers]
    assert found.dtype == np.uint64


@given(st.sets(int64s, max_size=50), seeds)
def test_mixing_is_a_permutation(numbers, seed):
    assert len(set(mixed(np.array(list(numbers), np.int64), seed).tolist())) == len(numbers)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint16, np.int64])
def test_mixing_does_not_depend_on_the_width(kind):
    numbers = np.array([0, 1, 100], kind)
    assert (mixed(numbers) == mixed(numbers.astype(np.int64))).all()


def test_uniform_numbers_are_uniform_and_another_seed_gives_others():
    first, second = (uniform(np.arange(100_000), seed) for seed in (0, 1))
    for chances in (first, second):
        assert chances.min() >= 0
        assert chances.max() < 1
        # 20 cells of about 5,000: each within five standard deviations.
        assert (np.abs(np.histogram(chances, 20, (0, 1))[0] - 5000) < 5 * np.sqrt(5000)).all()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    assert uniform(np.array([MISSING_CODE, LARGEST_CODE]), 2**31 - 1).tolist() == [
        (slow_mixed(number, 2**31 - 1) >> 11) * 2.0**-53 for number in (MISSING_CODE, LARGEST_CODE)
    ]


@given(st.lists(texts, max_size=12), seeds)
def test_a_hash_is_a_pure_function_of_bytes_and_seed_whatever_the_neighbours(ids, seed):
    found = hashed_text(pl.Series("x", ids, dtype=pl.String), seed)
    assert found.tolist() == [slow_hash(text, seed) for text in ids]
    assert (found < 0).all()
    assert (found != MISSING_CODE).all()


@pytest.mark.parametrize("length", [*range(26), 63, 64, 65, 1000])
def test_a_hash_reads_every_byte_of_any_length(length):
    text = "".join(chr(33 + at % 90) for at in range(length))
    ids = pl.Series([text, *(text[:at] + "~" + text[at + 1 :] for at in range(length)), text + "\0"])
    found = hashed_text(ids)
    assert found.tolist() == [slow_hash(one) for one in ids]
    assert len(set(found.tolist())) == length + 2


def test_a_slice_and_a_series_of_several_chunks_hash_alike():
    ids = pl.Series(["a", "bc", "", "d" * 20, "é", "f"])
    wanted = [slow_hash(text) for text in ids]
    assert hashed_text(ids[2:5]).tolist() == wanted[2:5]
    assert hashed_text(ids.gather([5, 0])).tolist() == [wanted[5], wanted[0]]
    chunked = pl.concat([ids[:2], ids[2:3], ids[3:]], rechunk=False)
    assert chunked.n_chunks() > 1
    assert hashed_text(chunked).tolist() == wanted
    assert hashed_text(ids.clear()).tolist() == []
    assert hashed_text(pl.Series(["", ""])).tolist() == [slow_hash("")] * 2


@given(st.lists(st.none() | texts, max_size=12), seeds)
@example([*ODD, None], 0)
def test_codes_of_text_are_what_python_computes(ids, seed):
    codes, table = codes_of(pl.Series("x", ids, dtype=pl.String), seed)
    assert codes.tolist() == [slow_code(one, seed) for one in ids]
    assert codes.dtype == np.int64
    wanted = {(slow_code(one, seed), one) for one in ids if one is not None and slow_code(one, seed) < 0}
    assert table.schema == {"code": pl.Int64, "text": pl.String}
    assert sorted(table.rows()) == sorted(wanted)


@given(st.lists(st.none() | int64s, max_size=12), seeds)
@example([-LARGEST_CODE - 1, None, LARGEST_CODE, -1, 0], 3)
@example([None, None], 0)
@example([-LARGEST_CODE - 1], 0)
def test_whole_numbers_and_their_texts_have_the_same_codes(ids, seed):
    codes, table = codes_of(pl.Series("x", ids, dtype=pl.Int64), seed)
    of_text, same_table = codes_of(pl.Series("x", [None if one is None else str(one) for one in ids], dtype=pl.String), seed)
    assert codes.tolist() == of_text.tolist()
    assert sorted(table.rows()) == sorted(same_table.rows())
    assert spelt(codes, table).to_list() == [None if one is None else str(one) for one in ids]


@pytest.mark.parametrize("kind", [pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64])
def test_whole_numbers_of_any_width_have_the_same_codes(kind):
    least = -3 if kind.is_signed_integer() else 0
    codes, _ = codes_of(pl.Series([least, 7, None], dtype=kind))
    assert codes.tolist() == [slow_code(least), 7, MISSING_CODE]


def test_what_looks_like_seven_and_is_not_has_another_code():
    others = ["007", "+7", "-7", "7 ", " 7", "7.0", "7e0", "\uff17", "seven", ""]
    codes, _ = codes_of(pl.Series(["7", *others]))
    assert codes[0] == 7
    assert len(set(codes.tolist())) == 1 + len(others)
    assert (codes[1:] < 0).all()


@given(st.lists(st.none() | texts, max_size=20), seeds)
def test_codes_are_injective_and_spell_their_ids(ids, seed):
    codes, table = codes_of(pl.Series("x", ids, dtype=pl.String), seed)
    assert len(set(codes.tolist())) == len(set(ids))
    assert spelt(codes, table).to_list() == ids
    assert spelt(codes, pl.concat([table, table.clear()]).reverse()).to_list() == ids


def test_two_texts_with_one_code_are_both_listed(monkeypatch):
    monkeypatch.setattr("funnel.data.codes.hashed_text", lambda text, _: np.full(len(text), -5))
    codes, table = codes_of(pl.Series(["a", "b", "a", None, "3"]))
    assert codes.tolist() == [-5, -5, -5, MISSING_CODE, 3]
    assert sorted(table.rows()) == [(-5, "a"), (-5, "b")]


def test_the_caller_may_change_the_codes():
    ids = pl.Series(["1", "2", "x"])
    codes_of(ids)[0][:] = 0
    assert ids.to_list() == ["1", "2", "x"]


near = st.integers(-3, 12)
far = st.one_of(int64s, st.just(MISSING_CODE))


@given(st.one_of(st.lists(near), st.lists(far), st.lists(st.one_of(near, st.just(MISSING_CODE)))))
@example([MISSING_CODE])
@example([MISSING_CODE, LARGEST_CODE])
@example([MISSING_CODE, MISSING_CODE + 1, MISSING_CODE])
@example([LARGEST_CODE, LARGEST_CODE - 1, MISSING_CODE])
@example([0, 65_536, 70_000])
@example([0, 65_548])
@example([0, 65_549])
def test_distinct_codes_are_numpys_unique(numbers):
    codes = np.array(numbers, np.int64)
    before = codes.copy()
    found, places = distinct(codes)
    wanted, wanted_places = np.unique(codes, return_inverse=True)
    assert found.tolist() == wanted.tolist()
    assert places.tolist() == wanted_places.tolist()
    assert places.dtype == np.int32
    assert found.dtype == np.int64
    assert (codes == before).all()


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("most", [1, 10**5, 10**9, LARGEST_CODE])
def test_many_distinct_codes_are_numpys_unique(most, missing):
    codes = np.random.default_rng(0).integers(-most, most, 20_000, endpoint=True)
    if missing:
        codes[::7] = MISSING_CODE
    for found, wanted in zip(distinct(codes), np.unique(codes, return_inverse=True), strict=True):
        assert (found == wanted).all()


def test_spelling_leaves_what_is_missing_and_unknown_null():
    table = pl.DataFrame({"code": [-9, -4], "text": ["nine", "four"]})
    assert spelt(np.array([-4, 12, MISSING_CODE, -9, 0, -4]), table).to_list() == ["four", "12", None, "nine", "0", "four"]
    assert spelt(np.array([], np.int64), table).to_list() == []
    assert spelt(np.array([5, LARGEST_CODE]), table.clear()).to_list() == ["5", str(LARGEST_CODE)]


@given(st.lists(texts, unique=True, min_size=2, max_size=2), seeds)
def test_another_seed_is_another_hash(pair, seed):
    assume(any(slow_code(one) < 0 for one in pair))
    for one in pair:
        if slow_code(one) < 0:
            assert slow_hash(one, seed) != slow_hash(one, seed + 1)
