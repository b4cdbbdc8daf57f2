from __future__ import annotations

from collections import Counter

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from funnel.data.codes import CollisionError, codes_of
from funnel.data.keyed import Tally
from funnel.data.keyed import texts as texts_of
from funnel.data.vocabulary import Vocabulary, added, choose_terms
from funnel.errors import DataError, RunError

texts = st.text(max_size=3)


def chosen(*args, **kwargs):
    """The terms of ids and their counts, gathered piece by piece."""
    return counted(*args, **kwargs)[0]


def counted(parts, min_count, max_rows=None, *, folder=oracle.NOWHERE, limit=10**6):
    """The same, and how often each was seen."""
    counts, spellings = Tally(folder / "counts", limit), texts_of(folder / "texts", limit)
    for part in parts:
        codes, table = codes_of(pl.Series("x", [term for term, _ in part], dtype=pl.String))
        spellings.add(table)
        seen = pl.DataFrame({"code": codes, "count": np.array([count for _, count in part], np.int64)})
        seen = seen.filter(pl.Series([term is not None for term, _ in part], dtype=pl.Boolean))
        seen = seen.group_by("code").agg(pl.col("count").sum()).sort("code")
        counts.count(seen["code"].to_numpy(), seen["count"].to_numpy())
    return choose_terms(counts, spellings, "t", min_count, max_rows)


@given(
    st.lists(
        st.lists(st.tuples(st.none() | texts | st.integers(0, 12).map(str), st.integers(0, 3)), max_size=10),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 4),
    st.none() | st.integers(1, 4),
    st.sampled_from([1, 10**6]),
)
def test_ids_are_chosen_by_count_then_by_text(tmp_path_factory, parts, min_count, max_rows, limit):
    counts = Counter()
    for part in parts:
        for term, count in part:
            counts.update([term] * count)
    counts.pop(None, None)
    terms = oracle.terms_of(counts, min_count, max_rows)
    folder = tmp_path_factory.mktemp("counts")
    if any("\n" in term or "\r" in term for term in terms):
        with pytest.raises(DataError, match=r"table 't': the id .* holds a line break, expected none\. Clean the column"):
            chosen(parts, min_count, max_rows, folder=folder, limit=limit)
    else:
        found, seen = counted(parts, min_count, max_rows, folder=folder, limit=limit)
        assert found.to_list() == terms
        assert (found.dtype, found.name) == (pl.String, "t")
        assert (seen.tolist(), seen.dtype) == ([counts[term] for term in terms], np.int64)


def test_equals_come_in_the_order_of_their_text_whether_numbers_or_not():
    assert chosen([[("10", 1), ("9", 1), ("a", 1), ("-1", 1), ("007", 1), ("7", 2)]], 1).to_list() == [
        "7",
        "-1",
        "007",
        "10",
        "9",
        "a",
    ]


numbers = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 120), st.integers(0, 18).map(lambda power: 10**power))


@given(st.lists(st.tuples(numbers, st.integers(1, 3)), max_size=12))
@example([(2**63 - 1, 1), (9, 1), (92, 1), (10**18, 1), (0, 1), (1, 1), (10, 1), (100, 1)])
def test_whole_numbers_alone_come_in_the_order_of_their_text_too(pairs):
    counts = Counter()
    for number, count in pairs:
        counts[str(number)] += count
    terms, seen = counted([[(str(number), count)] for number, count in pairs], 1)
    assert terms.to_list() == oracle.terms_of(counts, 1)
    assert seen.tolist() == [counts[term] for term in terms]


def test_a_line_break_in_a_rare_id_does_no_harm():
    assert chosen([[("a", 2), ("b\n", 1)]], 2).to_list() == ["a"]
    assert chosen([[("a", 2), ("b\n", 1)]], 1, 1).to_list() == ["a"]


def test_without_ids_there_are_no_terms():
    for parts in ([], [[]], [[(None, 5)]], [[("a", 1)]]):
        found = chosen(parts, 2)
        assert (found.to_list(), found.dtype) == ([], pl.String)


def test_an_id_that_was_never_used_gets_no_row():
    assert chosen([[("a", 0), ("b", 1)]], 0).to_list() == ["b"]


ODD = [
    "\r",
    "a\rb",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    '"quoted"',
    "it's",
    " a ",
    "\t",
    "😀",
    "é",
    "e\u0301",
    "\\n",
    "\x00",
    "#",
    ",",
]


def test_odd_ids_are_saved_and_loaded_as_they_are(tmp_path):
    vocabulary = Vocabulary({"t": pl.Series("t", ODD), "empty": pl.Series("empty", [], dtype=pl.String)})
    vocabulary.save(tmp_path / "new" / "folder")
    loaded = Vocabulary.load(tmp_path / "new" / "folder", ["t", "empty"])
    assert loaded.terms["t"].to_list() == ODD
    assert loaded.terms["empty"].to_list() == []
    assert loaded.terms["empty"].dtype == pl.String
    encoded = loaded.encode("t", pl.Series([*ODD, None, "a"]))
    assert encoded.tolist() == [*range(2, 2 + len(ODD)), 0, 1]
    assert encoded.dtype == np.int32


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), unique=True))
def test_any_ids_without_line_feeds_are_saved_and_loaded(tmp_path_factory, terms):
    folder = tmp_path_factory.mktemp("vocabulary")
    Vocabulary({"t": pl.Series("t", terms, dtype=pl.String)}).save(folder)
    assert Vocabulary.load(folder, ["t"]).terms["t"].to_list() == terms


def test_counts_are_saved_and_loaded_and_may_be_unknown(tmp_path):
    terms = {"t": pl.Series("t", ["a", "b"]), "old": pl.Series("old", ["c"])}
    Vocabulary(terms, {"t": np.array([2**40, 1])}).save(tmp_path)
    loaded = Vocabulary.load(tmp_path, ["t", "old"])
    assert {table: counts.tolist() for table, counts in loaded.counts.items()} == {"t": [2**40, 1]}
    assert loaded.counts["t"].dtype == np.int64
    assert list(loaded.only(["old", "other"]).terms) == ["old"]
    assert loaded.only(["old"]).counts == {}


def test_counts_of_several_logs_add_up():
    one, other = pl.Series(["a", "b"]), pl.Series(["c", "b"])
    terms = pl.Series(["a", "b", "c", "d"])
    assert added(terms, (one, np.array([1, 2])), (other, np.array([3, 4]))).tolist() == [1, 6, 3, 0]


def test_files_have_one_id_a_line(tmp_path):
    Vocabulary({"t": pl.Series("t", ["b", "é"])}).save(tmp_path)
    assert (tmp_path / "t.txt").read_bytes() == "b\né\n".encode()


def test_a_missing_file_is_a_broken_run(tmp_path):
    with pytest.raises(RunError, match=r"t\.txt: no such file.*fit again"):
        Vocabulary.load(tmp_path, ["t"])


@given(st.lists(texts, unique=True, max_size=5), st.lists(st.none() | texts, max_size=8))
def test_ids_find_their_rows(terms, ids):
    vocabulary = Vocabulary({"t": pl.Series("t", terms, dtype=pl.String)})
    assert vocabulary.encode("t", pl.Series(ids, dtype=pl.String)).tolist() == [oracle.row_of(one, terms) for one in ids]


@given(st.lists(texts | st.integers(0, 99).map(str), unique=True, max_size=8), st.integers(0, 5))
def test_codes_find_the_rows_that_texts_do(terms, seed):
    vocabulary = Vocabulary({"t": pl.Series("t", terms, dtype=pl.String)})
    found = vocabulary.lookup("t", seed)
    codes, _ = codes_of(pl.Series("t", terms, dtype=pl.String), seed)
    assert found.find(codes).tolist() == vocabulary.encode("t", pl.Series(terms, dtype=pl.String)).tolist()
    assert dict(found.texts.rows()) == {code: term for code, term in zip(codes.tolist(), terms, strict=True) if code < 0}


def test_terms_with_one_code_are_found_out(monkeypatch):
    monkeypatch.setattr("funnel.data.codes.hashed_text", lambda text, _: np.full(len(text), -5))
    with pytest.raises(CollisionError):
        Vocabulary({"t": pl.Series("t", ["a", "b"])}).lookup("t", 0)
    assert Vocabulary({"t": pl.Series("t", ["a", "1"])}).lookup("t", 0).find(np.array([-5, 1, 7])).tolist() == [2, 3, 1]
