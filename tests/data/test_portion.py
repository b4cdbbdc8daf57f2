from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.portion import WHOLE, Portion, Span
from funnel.errors import DataError


@pytest.mark.parametrize(
    ("text", "number", "of"), [("1/1", 1, 1), ("2/3", 2, 3), (" 07/12 ", 7, 12), ("999999/999999", 999999, 999999)]
)
def test_i_of_n_is_read(text, number, of):
    assert Portion.parse(text) == Portion(number, of)
    assert Portion.parse(str(Portion(number, of))) == Portion(number, of)


@pytest.mark.parametrize("text", ["3/2", "0/3", "1/0", "0/0"])
def test_an_i_that_is_none_of_n_is_refused(text):
    with pytest.raises(DataError, match=rf"--shard: got '{text}', expected i/n with an i from 1 to n\. Give each machine"):
        Portion.parse(text)


@pytest.mark.parametrize(
    "text", ["", "2", "2/", "/3", "-1/3", "1/-3", "1.0/3", "a/b", "1/2/3", "1 / 3", "\u0661/3", "1000000/1000000"]
)
def test_what_is_no_i_of_n_is_refused(text):
    with pytest.raises(DataError, match=r"--shard: got .*, expected i/n, as in 2/3"):
        Portion.parse(text)


def test_stretches_are_as_long_as_each_other_wherever_files_end():
    assert Portion(1, 2).spans([10, 10, 10]) == [Span(0, WHOLE.end), Span(0, 5), None]
    assert Portion(2, 2).spans([10, 10, 10]) == [None, Span(5, WHOLE.end), Span(0, WHOLE.end)]
    assert [Portion(number, 3).spans([2]) for number in (1, 2, 3)] == [[None], [Span(0, 1)], [Span(1, WHOLE.end)]]
    assert Portion(2, 3).spans([]) == []


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=5), st.integers(1, 12))
def test_each_piece_is_in_one_portion_and_their_order_stays(files, of):
    """Files are lists of the lengths of their pieces."""
    found = []
    for number in range(1, of + 1):
        for file, span in enumerate(Portion(number, of).spans([sum(pieces) for pieces in files])):
            ends = [sum(files[file][: piece + 1]) for piece in range(len(files[file]))]
            found += [(file, end) for end in ends if span is not None and span.holds(end)]
    assert found == [(file, sum(pieces[: piece + 1])) for file, pieces in enumerate(files) for piece in range(len(pieces))]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(1, 9))
def test_somebody_looks_at_an_empty_file(sizes, of):
    looked = [Portion(number, of).spans(sizes) for number in range(1, of + 1)]
    for file, size in enumerate(sizes):
        spans = [spans[file] for spans in looked if spans[file] is not None]
        assert sum(span.holds(max(1, size)) for span in spans) == 1


def test_what_a_file_has_gained_since_belongs_to_whoever_has_its_end():
    first, second = (Portion(number, 2).spans([10])[0] for number in (1, 2))
    assert not first.holds(11)
    assert second.holds(10)
    assert second.holds(10**12)
