from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.feature_list import field_column, spread_fields
from funnel.errors import DataError
from funnel.schema.data import FeatureList

FILES = FeatureList(
    format="feature_list",
    columns=("k", "n", "l"),
    list="l",
    count="n",
    entry_separator=";",
    field_separator=":",
    value_separator="=",
)


def spread(lists, wanted, counts=None):
    counts = counts or ["0" if one is None or one == "" else str(one.count(";") + 1) for one in lists]
    frame = pl.DataFrame({"k": ["k"] * len(lists), "n": counts, "l": pl.Series(lists, dtype=pl.String)})
    return spread_fields(frame, FILES, wanted, "f.txt")


def test_a_field_is_an_id_a_number_or_a_bag():
    found = spread(["u:7=1;p:x=2.5;t:a=1;t:b=0.5", "t:c=-3"], [("u", "id"), ("p", "value"), ("t", "bag"), ("none", "bag")])
    assert "l" not in found.columns
    assert found["u\x00id"].to_list() == ["7", None]
    assert found["p\x00value"].to_list() == [2.5, None]
    assert found["t\x00bag"].to_list() == [["a", "b"], ["c"]]
    assert found["t\x00weights"].to_list() == [[1.0, 0.5], [-3.0]]
    assert found["none\x00bag"].to_list() == [[], []]


def test_one_field_may_be_read_in_two_ways():
    found = spread(["p:x=2", "p:y=3"], [("p", "id"), ("p", "value"), ("p", "bag")])
    assert [found[field_column("p", kind)].to_list() for kind in ("id", "value", "bag")] == [
        ["x", "y"],
        [2.0, 3.0],
        [["x"], ["y"]],
    ]


@pytest.mark.parametrize("lists", [["", None], [None], ["", "u:7=1", None]])
def test_empty_lists_have_no_entries(lists):
    found = spread(lists, [("u", "id"), ("t", "bag"), ("p", "value")])
    assert found["u\x00id"].to_list() == ["7" if one else None for one in lists]
    assert found["t\x00bag"].to_list() == [[] for _ in lists]
    assert found["p\x00value"].dtype == pl.Float64


@pytest.mark.parametrize(
    "entry", ["u7=1", "u:7", "u:7=", "u:7=x", "u:=1", "u", "u:7=nan", "u:7=inf", "u:7=1=2", "=:", ":=", "", " "]
)
@pytest.mark.parametrize("place", ["{};u:8=1", "u:8=1;{}", "u:8=1;{};u:8=1"])
def test_a_malformed_entry_is_refused_where_it_is(entry, place):
    with pytest.raises(DataError, match=r"^f\.txt:2 field .*: got the entry .*, expected field, id and a number"):
        spread(["u:7=1", place.format(entry)], [("t", "bag")])


def test_an_id_may_hold_a_field_separator():
    assert spread(["t:a:b=1"], [("t", "bag")])["t\x00bag"].to_list() == [["a:b"]]


@pytest.mark.parametrize("count", ["1", "3", "x", None, "-2", "2.0"])
def test_a_count_that_differs_is_refused(count):
    with pytest.raises(DataError, match=r"^f\.txt:2 column 'n': got .*, expected 2: the entries that the list has"):
        spread(["u:7=1", "u:7=1;t:a=1"], [("u", "id")], ["1", count])


@pytest.mark.parametrize("kind", ["id", "value"])
def test_two_entries_of_a_field_that_may_have_one_are_refused(kind):
    with pytest.raises(DataError, match=r"^f\.txt:2 field 'u': got more than one entry.*Declare the feature as a bag"):
        spread(["u:7=1", "u:7=1;t:a=1;u:8=1"], [("u", kind)])


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("uvt"), st.text("ab: é", min_size=1, max_size=3), st.integers(-9, 9)), max_size=6),
        min_size=1,
        max_size=6,
    )
)
def test_every_entry_is_kept_in_order_with_its_weight(rows):
    found = spread([";".join(f"{f}:{i}={w}" for f, i, w in row) for row in rows], [("u", "bag"), ("v", "bag")])
    for field in "uv":
        wanted = [[(one, float(weight)) for name, one, weight in row if name == field] for row in rows]
        pairs = zip(found[f"{field}\x00bag"].to_list(), found[f"{field}\x00weights"].to_list(), strict=True)
        assert [list(zip(ids, weights, strict=True)) for ids, weights in pairs] == wanted
