from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.words import AT_ONCE, Text


def placed(texts: list[bytes], before: bytes = b""):
    """Texts one after the other, with a byte between two, and where each is."""
    begins, whole = [], before
    for one in texts:
        begins.append(len(whole))
        whole += one + b"\x02"
    begins = np.array(begins, np.int64)
    return Text(np.frombuffer(whole[:-1] if whole else b"", np.uint8)), begins, begins + [len(one) for one in texts]


numbers = st.one_of(st.integers(0, 10**16 - 1), st.integers(0, 120), st.sampled_from([10**8 - 1, 10**8, 10**16 - 1, 0]))


@given(st.lists(numbers, min_size=1, max_size=20), st.binary(max_size=9))
def test_whole_numbers_are_read(wanted, before):
    text, begins, ends = placed([str(number).encode() for number in wanted], before)
    found = text.whole_numbers(begins, ends)
    assert found.tolist() == wanted
    assert found.dtype == np.int64


@given(st.lists(st.text("0123456789", min_size=1, max_size=16), min_size=1, max_size=20))
def test_zeros_in_front_count_as_nothing(texts):
    text, begins, ends = placed([one.encode() for one in texts])
    assert text.whole_numbers(begins, ends).tolist() == [int(one) for one in texts]


@pytest.mark.parametrize("length", range(1, 18))
def test_any_byte_but_a_digit_is_none_wherever_it_stands(length):
    for at in range(length):
        for byte in range(256):
            good = 48 <= byte <= 57 and length <= 16
            one = b"5" * at + bytes([byte]) + b"5" * (length - at - 1)
            text, begins, ends = placed([b"12", one, b"7"])
            found = text.whole_numbers(begins, ends)
            assert (found is not None) == good
            if good:
                assert found.tolist() == [12, int(one), 7]


def test_more_numbers_than_are_in_hand_at_once():
    wanted = np.random.default_rng(0).integers(0, 10**16, 2 * AT_ONCE + 3).tolist()
    text, begins, ends = placed([str(number).encode() for number in wanted])
    assert text.whole_numbers(begins, ends).tolist() == wanted


short = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda text: len(text.encode()) <= 8
)


@given(st.lists(short, min_size=1, max_size=30), st.sampled_from([2, 4, 1 << 12]))
def test_few_texts_are_told_apart_whatever_the_slots(texts, slots):
    text, begins, ends = placed([one.encode() for one in texts])
    few = text.few(begins, ends, slots=slots)
    different = few.texts()
    assert different.gather(few.of.astype(np.int64)).to_list() == texts
    assert different.is_unique().all()


def test_texts_that_are_long_or_many_are_not_few():
    text, begins, ends = placed([b"12345678", b"123456789"])
    assert text.few(begins, ends, slots=1 << 12) is None
    text, begins, ends = placed([str(number).encode() for number in range(20_000)])
    assert text.few(begins, ends, slots=16) is None
    text, begins, ends = placed([str(number).encode() for number in range(3000)])
    few = text.few(begins, ends, slots=1 << 12)  # many of one slot
    assert few.texts().gather(few.of.astype(np.int64)).to_list() == [str(number) for number in range(3000)]


def test_bytes_that_are_no_text_have_none():
    text, begins, ends = placed([b"a", b"\xff"])
    assert text.few(begins, ends, slots=16).texts() is None
