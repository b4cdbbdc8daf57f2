from __future__ import annotations

from collections import Counter

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.vocabulary import Vocabulary, choose_terms, count_ids
from funnel.errors import DataError, RunError

texts = st.text(max_size=3)


@given(
    st.lists(st.lists(st.tuples(st.none() | texts, st.integers(0, 3)), max_size=10), min_size=1, max_size=3),
    st.integers(1, 4),
    st.none() | st.integers(1, 4),
)
def test_ids_are_chosen_by_count_then_by_text(parts, min_count, max_rows):
    counts = Counter()
    series = []
    for part in parts:
        for term, count in part:
            counts.update([term] * count)
        series.append((pl.Series("a", [term for term, _ in part], dtype=pl.String), np.array([c for _, c in part], np.int64)))
    counts.pop(None, None)
    counted = count_ids(series)
    assert counted.rows() == sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    terms = oracle.terms_of(counts, min_count, max_rows)
    if any("\n" in term or "\r" in term for term in terms):
        with pytest.raises(DataError, match=r"table 't': the id .* holds a line break"):
            choose_terms(counted, "t", min_count, max_rows)
    else:
        assert choose_terms(counted, "t", min_count, max_rows).to_list() == terms


def test_a_line_break_in_a_rare_id_does_no_harm():
    counted = pl.DataFrame({"term": ["a", "b\n"], "count": [2, 1]})
    assert choose_terms(counted, "t", 2, None).to_list() == ["a"]


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
