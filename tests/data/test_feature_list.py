from __future__ import annotations

import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from funnel.data.entries import parse, split
from funnel.data.faults import Sieve
from funnel.data.feature_list import spread
from funnel.errors import DataError
from funnel.schema.data import FeatureList


def files_of(entry=";", field=":", value="="):
    separators = {"entry_separator": entry, "field_separator": field, "value_separator": value}
    return FeatureList(format="feature_list", columns=("k", "n", "l"), list="l", count="n", **separators)


FILES = files_of()


def at(row):
    return f"f.txt:{row + 1}"


def spread_rows(lists, counts=None, files=FILES, *, skip=False):
    """By field: each good row's entries; and the sieve."""
    sieve = Sieve(len(lists), skip=skip)
    if counts is None:
        counts = ["0" if not one else str(one.count(files.entry_separator) + 1) for one in lists]
    found = spread(pa.array(lists, pa.string()), pl.Series("n", counts, dtype=pl.String), files, sieve, at)
    rows = {}
    for field, entries in found.items():
        assert (np.diff(entries.rows) >= 0).all()
        assert entries.values.dtype == np.float64
        assert len(entries.rows) == len(entries.ids) == len(entries.values) > 0
        ids = entries.ids.cast(pl.String).to_list()
        of_row = rows[field] = {}
        for row, one, value in zip(entries.rows.tolist(), ids, entries.values.tolist(), strict=True):
            of_row.setdefault(row, []).append((one, value))
    return rows, sieve


def test_entries_are_found_by_field_and_row():
    found, _ = spread_rows(["u:7=1;p:x=2.5;t:a=1;t:b=0.5", "t:c=-3", ""])
    assert found == {
        "u": {0: [("7", 1.0)]},
        "p": {0: [("x", 2.5)]},
        "t": {0: [("a", 1.0), ("b", 0.5)], 1: [("c", -3.0)]},
    }


@pytest.mark.parametrize("lists", [["", None], [None], [""], ["", "u:7=1", None]])
def test_empty_lists_have_no_entries(lists):
    found, _ = spread_rows(lists)
    assert found == ({"u": {1: [("7", 1.0)]}} if "u:7=1" in lists else {})


def test_lists_of_any_arrow_text_serve():
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        lists = pa.array(["u:7=1", "", None, "u:x=2"], pa.string()).cast(kind)
        found = spread(lists, None, FILES, Sieve(4, skip=False), at)
        assert found["u"].rows.tolist() == [0, 3]
    sliced = pa.array(["t:z=9", "u:7=1", "u:8=2;u:9=3"])[1:]
    assert spread(sliced, None, FILES, Sieve(2, skip=False), at)["u"].ids.cast(pl.String).to_list() == ["7", "8", "9"]


# Every kind of entry that is none.
MALFORMED = ["u7=1", "u:7", "u:7=", "u:7=x", "u:=1", "u", "u:7=nan", "u:7=inf", "u:7=-inf", "u:7=1e999", "u:7=1=2"]
MALFORMED += ["=:", ":=", "", " ", "u:7=1,5", "u:7=0x1", "u=7:1", "é:中=ü", "u:7=1.2.3", "u:7=--1", "u:7=1-", "u::"]
PLACES = ["{}", "{};u:8=1", "u:8=1;{}", "u:8=1;{};u:8=1", "u:abcdefghi=1;{}"]
PAIRS = [(entry, place) for entry in MALFORMED for place in PLACES if (entry, place) != ("", "{}")]


@pytest.mark.parametrize(("entry", "place"), PAIRS)
def test_a_malformed_entry_is_refused_where_it_is(entry, place):
    with pytest.raises(DataError) as caught:
        spread_rows(["u:7=1", place.format(entry), "u:9"])
    named = entry.split(":")[0] if ":" in entry else entry
    assert str(caught.value) == (
        f"f.txt:2 field {named!r}: got the entry {entry!r}, expected field, id and a number, separated by ':' and '='. "
        "Mend the row."
    )


@pytest.mark.parametrize(("entry", "place"), PAIRS)
@pytest.mark.parametrize("around", [["u:7=1", "", "t:a=2;u:8=1"], []])
def test_a_row_with_a_malformed_entry_is_left_out_and_counted(entry, place, around):
    lists = [*around, place.format(entry), *around, place.format(entry)]
    found, sieve = spread_rows(lists, skip=True)
    bad = [len(around), len(lists) - 1]
    assert np.flatnonzero(sieve.bad).tolist() == bad
    assert sieve.faults.reasons == {"a malformed entry": 2}
    assert [message.split(" ")[0] for message in sieve.faults.examples["a malformed entry"]] == [at(row) for row in bad]
    good = [None if row in bad else one for row, one in enumerate(lists)]
    assert found == spread_rows(good)[0]


def test_an_empty_field_is_a_field():
    assert spread_rows([":7=1;u:8=2"])[0] == {"": {0: [("7", 1.0)]}, "u": {0: [("8", 2.0)]}}


def test_an_id_may_hold_a_field_separator():
    assert spread_rows(["t:a:b=1"])[0] == {"t": {0: [("a:b", 1.0)]}}


@pytest.mark.parametrize("count", ["1", "3", "x", None, "-2", "2.0"])
@pytest.mark.parametrize("second", ["t:a=1", "t:a::=1"])
def test_a_count_that_differs_is_refused(count, second):
    lists = ["u:7=1", f"u:7=1;{second}"]
    with pytest.raises(
        DataError, match=r"^f\.txt:2 column 'n': got .*, expected 2: the entries that the list has\. Is the line cut\?"
    ):
        spread_rows(lists, ["1", count])
    found, sieve = spread_rows(lists, ["1", count], skip=True)
    assert (found, sieve.bad.tolist()) == ({"u": {0: [("7", 1.0)]}}, [False, True])
    assert sieve.faults.reasons == {"a wrong count of entries": 1}


def test_a_wrong_count_of_an_empty_list_is_refused():
    with pytest.raises(DataError, match="got '1', expected 0: the entries that the list has"):
        spread_rows([""], ["1"])
    assert spread_rows([""], ["0"])[0] == {}


def test_where_every_row_is_bad_no_entry_is_left():
    for lists, counts in ((["u:7"], None), (["u:7=1"], ["2"]), (["u", "t:8=1"], ["9", "9"])):
        found, sieve = spread_rows(lists, counts, skip=True)
        assert found == {}
        assert sieve.bad.all()


SEPARATORS = [
    (";", ":", "="),
    ("\x01", "\x02", "\x03"),
    ("|", "#", "~"),
    ("\uff1b", ":", "="),
    (";", "é", "="),
    (";", ":", "→"),
    ("中", "文", "字"),
]
DECIMALS = ["0", "1", "-1", "+1", "007", "1.5", ".5", "5.", "-.25", "1e3", "1E3", "1e+3", "2.5e-3", "-0", "0.0", "1e-400"]
DECIMALS += [
    "4.9e-324",
    "3.4028235e38",
    "1.7976931348623157e308",
    "0.1",
    "0.30000000000000004",
    "1" * 30,
    "1.00000000000000000001",
]
ODD = [
    "007",
    "+7",
    "-7",
    "1_0",
    "7 ",
    " 7",
    " ",
    "7.0",
    "1e5",
    "NaN",
    "null",
    "true",
    "\uff11",
    '"',
    "'",
    "#",
    "\t",
    "\r",
    "\\",
]
plain_ids = st.one_of(
    st.integers(0, 2**70).map(str),
    st.integers(0, 99).map(str),
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), min_size=1, max_size=12),
)
fields_of = st.one_of(st.sampled_from("uvt"), st.sampled_from(["101", "109_14", "", "a field of some length", "é"]))
values_of = st.one_of(
    st.sampled_from(DECIMALS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-1000, 1000).map(lambda number: f"{number:.5f}"),
)


@st.composite
def well_formed(draw, ids=plain_ids, fields=fields_of, values=values_of):
    separators = draw(st.sampled_from(SEPARATORS))

    def without(text):
        for one in (*separators, "\n"):
            text = text.replace(one, "")
        return text

    entry = st.tuples(fields.map(without), ids.map(without).filter(bool), values)
    return separators, draw(st.lists(st.lists(entry, max_size=5), min_size=1, max_size=6))


def written(rows, separators):
    between, after_field, after_id = separators
    return [between.join(f"{f}{after_field}{i}{after_id}{v}" for f, i, v in row) for row in rows]


def by_field(rows):
    wanted = {}
    for at_row, row in enumerate(rows):
        for field, one, value in row:
            wanted.setdefault(field, {}).setdefault(at_row, []).append((one, repr(float(value))))
    return wanted


def exactly(found):
    return {f: {row: [(one, repr(value)) for one, value in entries] for row, entries in of.items()} for f, of in found.items()}


@given(well_formed())
@example(((";", ":", "="), [[("u", "7", "1"), ("u", "12345678901234567", "2")], [("u", "0", "-0")]]))
@example(((";", ":", "="), [[("u", "1a", "1"), ("u", "99999999999999999999", "1")]]))
def test_every_well_formed_entry_is_kept_with_its_id_and_value(drawn):
    separators, rows = drawn
    assert exactly(spread_rows(written(rows, separators), files=files_of(*separators))[0]) == by_field(rows)


WAYS = {
    "whole numbers": well_formed(
        st.integers(0, 10**16).map(str), st.sampled_from(["101", "8", "109_14"]), st.sampled_from(["1", "0.69315", "2.5"])
    ),
    "numbers of 17 digits and more": well_formed(st.integers(10**16, 2**64).map(str), st.sampled_from("uv"), values_of),
    "texts": well_formed(),
}


@pytest.mark.parametrize("way", WAYS)
@given(st.data())
def test_the_fast_ways_and_the_slow_one_agree(way, data):
    """Also where the fast ones say nothing: whatever they give is what the slow way gives."""
    separators, rows = data.draw(WAYS[way])
    files = files_of(*separators)
    lists = pa.array([one for one in written(rows, separators) if one], pa.string())
    slow = split(lists, files)
    fast = parse(lists, files)
    if fast is None:
        return
    assert fast.fields.gather(pl.Series(fast.of.astype(np.int64))).to_list() == slow["field"].to_list()
    assert fast.ids.cast(pl.String).to_list() == slow["id"].to_list()
    assert [repr(value) for value in fast.values.tolist()] == [repr(value) for value in slow["value"].to_list()]
    assert fast.sizes.tolist() == [len(row) for row in rows if row]


noise = st.text(st.sampled_from(';:=ut7 .e-\0\n"é'), max_size=12)


@given(st.lists(noise, min_size=1, max_size=5))
@example([":7=1"])
@example(["u:7=1\n"])
@example(["u:7\0=1"])
@example(['u:"7=1', 'u:8"=1'])
def test_any_text_is_taken_as_python_takes_it(lists):
    """Good rows come out, bad ones are sorted out; never an exception, never a row that is half read."""
    found, sieve = spread_rows(lists, ["0"] * 0 or [str(one.count(";") + 1) if one else "0" for one in lists], skip=True)
    good = {}
    for row, text in enumerate(lists):
        entries = []
        for entry in text.split(";") if text else []:
            field, colon, rest = entry.partition(":")
            one, equals, value = rest.partition("=")
            number = pl.Series([value]).cast(pl.Float64, strict=False)[0]
            fine = colon and equals and one and number is not None and math.isfinite(number)
            entries.append((field, one, number) if fine else None)
        if None in entries:
            assert sieve.bad[row]
            continue
        assert not sieve.bad[row]
        for field, one, number in entries:
            good.setdefault(field, {}).setdefault(row, []).append((one, number))
    assert found == good


def test_many_fields_keep_their_entries():
    rows = [[(f"f{(row * 7 + at) % 1000}", str(row), str(at)) for at in range(20)] for row in range(300)]
    assert exactly(spread_rows(written(rows, SEPARATORS[0]))[0]) == by_field(rows)


def test_a_large_piece_is_read_as_a_small_one():
    random = np.random.default_rng(0)
    rows = [
        [
            (random.choice(["u", "v", "109_14"]), str(random.integers(10 ** random.integers(1, 18))), f"{random.random():.5f}")
            for _ in range(5)
        ]
        for _ in range(20_000)
    ]
    assert exactly(spread_rows(written(rows, SEPARATORS[1]), files=files_of(*SEPARATORS[1]))[0]) == by_field(rows)
