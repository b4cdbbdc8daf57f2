from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
from pathlib import Path

import numpy as np
import oracle
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from funnel.data.pieces import Place
from funnel.data.portion import Portion
from funnel.data.readers import find_files, read_files, read_frame
from funnel.errors import DataError
from funnel.schema.data import Csv, FeatureList, Parquet, RefuseBadRows, SkipBadRows

CSV = Csv(format="csv", train="*.csv")
PARQUET = Parquet(format="parquet", train="*.parquet")
LISTS = FeatureList(format="feature_list", train="x", columns=("k", "n", "l"), list="l", count="n")
WANTED = [("a", "id"), ("b", "value")]
REFUSE, SKIP = RefuseBadRows(kind="error"), SkipBadRows(kind="skip", max_share=1)
SIZES = [1, 7, 64, 16 << 20]


def pieces_of(files, *paths: Path, wanted=WANTED, bad_rows=REFUSE):
    return [load() for load in read_files(files, paths, wanted, bad_rows)]


def read(files, *paths: Path, wanted=WANTED, bad_rows=REFUSE) -> pl.DataFrame:
    return pl.concat([piece.frame for piece in pieces_of(files, *paths, wanted=wanted, bad_rows=bad_rows)])


def lined(pieces):
    """Each row with the line that it began on."""
    return [(int(piece.at(at).rpartition(":")[2]), row) for piece in pieces for at, row in enumerate(piece.frame.rows())]


@pytest.fixture(params=SIZES)
def small_pieces(request, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", request.param)
    return request.param


@pytest.fixture
def written(tmp_path):
    def put(content: bytes | str, name: str = "x.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def test_patterns_find_files_in_order_and_once(tmp_path):
    for name in ("b1.csv", "a2.csv", "a1.csv", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "a3.csv").mkdir()
    found = find_files(tmp_path, ["b*.csv", "*.csv"], "data.facts")
    assert [path.name for path in found] == ["b1.csv", "a1.csv", "a2.csv"]


def test_a_folder_with_brackets_in_its_name_is_a_folder(tmp_path):
    folder = tmp_path / "run [1] *"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.csv").touch()
    assert find_files(folder, ["in/*.csv"], "facts") == [folder / "in" / "a.csv"]


def test_an_absolute_pattern_is_itself(tmp_path):
    (tmp_path / "a.csv").touch()
    assert find_files(tmp_path / "elsewhere", [str(tmp_path / "*.csv")], "facts") == [tmp_path / "a.csv"]


def test_a_pattern_without_files_suggests_one(tmp_path):
    (tmp_path / "facts.csv").touch()
    with pytest.raises(DataError, match=r"^facts: got no file for 'fact\.csv' in .*Did you mean 'facts\.csv'"):
        find_files(tmp_path, ["fact.csv"], "facts")
    with pytest.raises(DataError, match="which is not a folder"):
        find_files(tmp_path / "none", ["*"], "facts")


def test_text_is_never_taken_for_numbers(written, small_pieces):
    frame = read(CSV, written('a,b\n007,1\n,2\n"x,""y""",1e400\n'))
    assert frame["a"].to_list() == ["007", None, 'x,"y"']
    assert frame["b"].to_list() == ["1", "2", "1e400"]


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "\ufeffa,b\n1,2\n", "a,b\n1,2", '\ufeff"a","b"\n1,2', '"a","b"\r\n"1","2"'])
def test_windows_lines_a_byte_order_mark_and_no_last_line_break(written, small_pieces, text):
    pieces = pieces_of(CSV, written(text))
    assert lined(pieces) == [(2, ("1", "2"))]


def test_columns_are_named_where_there_is_no_header(written, small_pieces):
    files = Csv(format="csv", train="x", columns=("b", "a"), separator=";")
    pieces = pieces_of(files, written("\ufeff1;2\n3;4\n"))
    assert pl.concat([piece.frame for piece in pieces]).select("a", "b").rows() == [("2", "1"), ("4", "3")]
    assert [line for line, _ in lined(pieces)] == [1, 2]


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=6) | st.text(
    'a,";\n\r\t é', max_size=4
)


@st.composite
def tables(draw):
    """Rows, and how they are written."""
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=8))
    blank = draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    return rows, blank, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans()), draw(st.booleans()), draw(st.booleans())


@given(tables(), st.sampled_from(SIZES), st.sampled_from([",", ";", "\t"]), st.booleans())
@example(([['"', "\n"], ["x\ny", '",\n"']], [0, 1], "\n", False, False, False), 1, ",", True)
@example(([[""], [""]], [1, 0], "\n", False, True, False), 1, ",", False)
@example(([["", ""], ["", ""]], [0, 1], "\n", False, False, True), 1, "\t", True)
@example(([["\r\n"], [""], ["\n\n"]], [1, 1, 2], "\r\n", False, True, True), 1, ",", True)
def test_any_table_is_read_as_it_was_written(tmp_path_factory, drawn, size, separator, headed):
    """Quoted line breaks and separators, empty lines, marks, line breaks of either kind; each row knows its line."""
    rows, blank, ending, every, mark, ended = drawn
    names = [f"c{at}" for at in range(len(rows[0]))]
    text = io.StringIO(newline="")
    every |= any("\r" in value for row in rows for value in row)  # Python would not quote these where lines end in another way
    writer = csv.writer(text, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    wanted = []
    if headed:
        writer.writerow(names)
    for row, lines in zip(rows, blank, strict=True):
        text.write(ending * lines)
        wanted.append((text.getvalue().count("\n") + 1, tuple(value or None for value in row)))
        writer.writerow(row)
    content = text.getvalue()
    content = ("\ufeff" if mark else "") + (content if ended else content.removesuffix(ending))
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(content.encode())
    files = Csv(format="csv", train="x", separator=separator, columns=None if headed else tuple(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funnel.data.pieces.PIECE_BYTES", size)
        pieces = pieces_of(files, path, wanted=[(name, "id") for name in names])
    assert lined(pieces) == wanted
    done = [piece.done for piece in pieces]
    assert done == sorted(done)
    assert done[-1] == path.stat().st_size


CUT = 'a,b\n1,2\n3\n\n5,6\n7,8,9\n"x\ny",10\n11\n12,13\n14,15,16'
GOOD = [(2, ("1", "2")), (5, ("5", "6")), (7, ("x\ny", "10")), (10, ("12", "13"))]


def test_lines_of_another_width_are_refused_where_they_are(written, small_pieces):
    path = written(CUT)
    with pytest.raises(DataError) as caught:
        pieces_of(CSV, path)
    assert (
        str(caught.value) == f"{path}:3 got 1 columns, expected 2 (a, b). Mend the line, or correct `columns` or `separator`."
    )
    with pytest.raises(DataError, match=r"x\.csv:6 got 3 columns, expected 2"):
        pieces_of(CSV, written(CUT.replace("\n3\n", "\n3,4\n")))
    with pytest.raises(DataError, match=r"x\.csv:1 got 2 columns, expected 3 \(a, b, c\)"):
        pieces_of(Csv(format="csv", train="x", columns=("a", "b", "c")), written("1,2\n"))


def test_lines_of_another_width_are_skipped_and_counted_and_the_others_know_their_lines(written, small_pieces):
    pieces = pieces_of(CSV, written(CUT), bad_rows=SKIP)
    assert lined(pieces) == GOOD
    cuts = [cut for piece in pieces for cut in piece.cuts]
    assert [cut.split(" ")[0].rpartition(":")[2] for cut in cuts] == ["3", "6", "9", "11"]
    assert [cut.split("got ")[1].split(" ")[0] for cut in cuts] == ["1", "3", "1", "3"]


@given(
    st.lists(
        st.sampled_from(["1,2", "3", "", "4,5,6", '"x\ny",7', '"p,q",8', '"\n\n",9', '9,"a""b"', '"u\nv"', ","]), max_size=9
    ),
    st.sampled_from(SIZES),
)
def test_any_cuts_are_told_from_good_lines(tmp_path_factory, lines, size):
    lines = ["0,0", *lines]
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("a,b\n" + "\n".join(lines) + "\n", newline="")
    good, cut, line = [], [], 2
    for one in lines:
        row = next(csv.reader(io.StringIO(one, newline="")), [])
        if len(row) == 2:
            good.append((line, tuple(value or None for value in row)))
        elif row:
            cut.append((line, len(row)))
        line += 1 + one.count("\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funnel.data.pieces.PIECE_BYTES", size)
        pieces = pieces_of(CSV, path, bad_rows=SKIP)
        if cut:
            with pytest.raises(DataError, match=rf"x\.csv:{cut[0][0]} got {cut[0][1]} columns"):
                pieces_of(CSV, path)
    assert lined(pieces) == good
    assert [message.split(" columns")[0] for piece in pieces for message in piece.cuts] == [
        f"{path}:{line} got {width}" for line, width in cut
    ]


def test_one_column_has_rows_too(written, small_pieces):
    pieces = pieces_of(CSV, written('a\n1\n\n2\n""\n3'), wanted=[("a", "id")])
    assert lined(pieces) == [(2, ("1",)), (4, ("2",)), (5, (None,)), (6, ("3",))]


def test_a_very_long_row_is_a_row(written, monkeypatch):
    long = "x" * 100_000
    for size in (1000, 99_999, 1 << 20):
        monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", size)
        assert read(CSV, written(f'a,b\n1,"{long}"\n2,{long}\n3,4\n')).rows() == [("1", long), ("2", long), ("3", "4")]


def test_a_row_without_end_is_refused(written, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 100)
    monkeypatch.setattr("funnel.data.text.LONGEST_ROW", 1000)
    path = written('a,b\n1,2\n3,"4\n' + "5,6\n" * 1000)
    with pytest.raises(DataError, match=r"x\.csv: the row after line 2 is longer than .*Is a quote left open"):
        pieces_of(CSV, path)


def packed(ending: str, content: bytes) -> bytes:
    match ending:
        case "gz":
            return gzip.compress(content)
        case "bz2":
            return bz2.compress(content)
        case _:
            return oracle.pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_packed_text_is_unpacked(written, small_pieces, ending):
    pieces = pieces_of(CSV, written(packed(ending, b'a,b\n1,2\n"x\ny",3\n4,5'), f"x.csv.{ending}"))
    assert lined(pieces) == [(2, ("1", "2")), (3, ("x\ny", "3")), (5, ("4", "5"))]


def test_joined_gz_files_are_read_whole(written, small_pieces):
    path = written(gzip.compress(b"a,b\n1,2\n", mtime=0) + gzip.compress(b"3,4\n"), "x.csv.gz")
    assert read(CSV, path).rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
@pytest.mark.parametrize("files", [CSV, FeatureList(format="feature_list", train="x", columns=("a", "l"), list="l")])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_a_cut_file_is_refused(tmp_path, monkeypatch, ending, files, share):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 1000)
    text = "a,b\n" + "".join(f"{i},{i * 7919 % 1000}\n" for i in range(5000))
    path = tmp_path / f"x.csv.{ending}"
    path.write_bytes(packed(ending, text.encode()))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"x\.csv\.\w+: (is cut off|cannot be read as)"):
        pieces_of(files, path, wanted=[("a", "id")])


def test_a_cut_file_says_how_far_it_could_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 1000)
    text = "a,b\n" + "".join(f"{i},{i * 7919 % 1000}\n" for i in range(5000))
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.encode())[:-2000])
    rows = []
    with pytest.raises(DataError) as caught:
        rows.extend(load().frame.height for load in read_files(CSV, [path], WANTED, REFUSE))
    lines = 1 + sum(rows)
    assert lines > 1000
    message = str(caught.value)
    assert message.startswith(f"{path}: is cut off after line {lines:,}: ")
    assert message.endswith("Fetch the file again.")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got an empty file"),
        (b"a,b\n1,2\n1,2,3\n", "x.csv:3 got 3 columns"),
        (b"a,b\n1,2\n\xff\xfe,2\n", "cannot be read as csv after line"),
        (b"\xff,b\n1,2\n", "cannot be read as csv|has no column 'a'"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "cannot be read as csv|has no column 'a'"),
    ],
)
def test_text_that_holds_wrong_rows_is_refused(written, small_pieces, content, said):
    with pytest.raises(DataError, match=rf"x\.csv.*{said}|{said}"):
        pieces_of(CSV, written(content))


def test_a_quote_that_is_left_open_is_refused_or_read_to_the_end(written, small_pieces):
    """As one row it lacks a column."""
    with pytest.raises(DataError, match=r"x\.csv"):
        pieces_of(CSV, written(b'a,b\n"1,2\n'))


@pytest.mark.parametrize("content", ["a,b\n1,2\r3,4\n5,6\n", "a,b\r1,2\r3,4\r", "a,b\n1,2\n3\r4,5\n6,7,8\n", "a,b\n1\r,2\n"])
def test_carriage_returns_alone_are_never_an_exception(written, small_pieces, content):
    """They end rows, or make their file unreadable; a message says so."""
    rows = []
    with contextlib.suppress(DataError):
        rows += [row for _, row in lined(pieces_of(CSV, written(content), bad_rows=SKIP))]
    assert set(rows) <= {("1", "2"), ("3", "4"), ("4", "5"), ("5", "6"), (None, "2")}


@pytest.mark.parametrize("content", ["a,b\n", "a,b", "a,b\r\n", "\ufeffa,b\n", "a,b\n\n", "a,b\n\r\n\n"])
def test_a_header_alone_has_no_rows_and_is_no_error(written, small_pieces, content):
    assert sum(piece.frame.height for piece in pieces_of(CSV, written(content))) == 0


@pytest.mark.parametrize("content", ["\n\na,b\n1,2\n", "\r\na,b\n1,2\n"])
def test_empty_lines_before_the_header_are_no_header(written, small_pieces, content):
    assert [row for _, row in lined(pieces_of(CSV, written(content)))] == [("1", "2")]


def test_empty_lines_at_the_end_are_no_rows(written, small_pieces):
    assert lined(pieces_of(CSV, written("a,b\n1,2\n\n\n\r\n\n3,4\n\n\n"))) == [(2, ("1", "2")), (7, ("3", "4"))]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_a_broken_parquet_file_is_refused(written, content):
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as parquet"):
        pieces_of(PARQUET, written(content, "x.parquet"))


def test_a_cut_parquet_file_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": range(100), "b": 0}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        pieces_of(PARQUET, path)


def test_parquet_files_without_rows_have_none(tmp_path):
    empty, full = tmp_path / "e.parquet", tmp_path / "f.parquet"
    pl.DataFrame({"a": [], "b": []}).write_parquet(empty)
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(full)
    assert sum(piece.frame.height for piece in pieces_of(PARQUET, empty)) == 0
    assert [piece.frame.rows() for piece in pieces_of(PARQUET, empty, full) if piece.frame.height] == [[(1, 2)]]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_missing_column_is_named_with_the_nearest(tmp_path, name):
    frame = pl.DataFrame({"aa": [1], "price": [2]})
    (frame.write_csv if name == "x.csv" else frame.write_parquet)(tmp_path / name)
    with pytest.raises(DataError, match=r"has no column 'prise' \(have: 'aa', 'price'\)\. Did you mean 'price'\?"):
        pieces_of(CSV if name == "x.csv" else PARQUET, tmp_path / name, wanted=[("prise", "value")])


def test_all_missing_columns_are_told_at_once(tmp_path):
    pl.DataFrame({"price": [2], "city": ["a"]}).write_csv(tmp_path / "x.csv")
    with pytest.raises(DataError) as error:
        pieces_of(CSV, tmp_path / "x.csv", wanted=[("prise", "value"), ("price", "value"), ("citty", "id")])
    assert [line.partition(" (have")[0].rpartition(" ")[2] for line in str(error.value).splitlines()] == ["'prise'", "'citty'"]


def test_a_missing_column_is_named_where_the_schema_names_the_columns(written):
    files = Csv(format="csv", train="x", columns=("b", "a"))
    with pytest.raises(DataError, match=r"x\.csv: has no column 'c' \(have: 'b', 'a'\)"):
        pieces_of(files, written("1,2\n"), wanted=[("c", "id")])


def test_a_place_says_which_row_of_which_file(tmp_path, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_ROWS", 2)
    pl.DataFrame({"a": range(5)}).write_parquet(tmp_path / "x.parquet")
    pieces = pieces_of(PARQUET, tmp_path / "x.parquet", tmp_path / "x.parquet", wanted=[("a", "id")])
    assert [piece.place.first for piece in pieces] == [0, 2, 4, 0, 2, 4]
    assert pieces[1].at(1) == f"{tmp_path / 'x.parquet'}, row 4"
    assert [piece.done for piece in pieces[:3]] == sorted(piece.done for piece in pieces[:3])
    assert pieces[2].done == (tmp_path / "x.parquet").stat().st_size
    assert Place("f", 1233, lined=False).at(0) == "f, row 1,234"
    assert Place("f", 1233, lined=True).at(1) == "f:1234"
    assert Place("f", 1, np.array([4, 9]), lined=True).at(1) == "f:9"


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_parquet_pieces_are_about_as_large_as_wanted(tmp_path, monkeypatch, size):
    frame = pl.DataFrame({"a": range(1000), "b": ["x" * 10] * 1000})
    frame.write_parquet(tmp_path / "x.parquet", row_group_size=300, compression="uncompressed", use_pyarrow=False)
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", size)
    pieces = pieces_of(PARQUET, tmp_path / "x.parquet")
    assert pl.concat([piece.frame for piece in pieces]).rows() == frame.rows()
    assert [piece.place.first for piece in pieces] == np.cumsum([0, *(piece.frame.height for piece in pieces[:-1])]).tolist()
    assert len(pieces) == {1: 1000, 100: len(pieces), 10**6: 1}[size]


def test_a_feature_list_stays_one_text_a_row(written, small_pieces):
    path = written('k1,1,a\x02x\x031\nk"2,0,\n\nk3,2,"b"\x02y\x032\x01c\x02z\x033\n', "x.txt")
    pieces = pieces_of(LISTS, path, wanted=[("k", "id"), ("a", "bag")])
    assert lined(pieces) == [(1, ("k1", "1")), (2, ('k"2', "0")), (4, ("k3", "2"))]
    lists = [one for piece in pieces for one in piece.lists.to_pylist()]
    assert lists == ["a\x02x\x031", None, '"b"\x02y\x032\x01c\x02z\x033']


def test_a_feature_list_with_a_line_of_another_width_says_so(written, small_pieces):
    path = written("k1,1,a\nk2,b\nk3,1,c\n", "x.txt")
    with pytest.raises(DataError, match=r"x\.txt:2 got 2 columns, expected 3 \(k, n, l\)"):
        pieces_of(LISTS, path, wanted=[("k", "id")])
    pieces = pieces_of(LISTS, path, wanted=[("k", "id")], bad_rows=SKIP)
    assert lined(pieces) == [(1, ("k1", "1")), (3, ("k3", "1"))]
    assert [one for piece in pieces for one in piece.lists.to_pylist()] == ["a", "c"]


def test_a_feature_list_without_columns_beside_it_has_rows(written, small_pieces):
    files = FeatureList(format="feature_list", train="x", columns=("l", "other"), list="l")
    pieces = pieces_of(files, written("a,1\nb,2\n", "x.txt"), wanted=[("f", "id")])
    assert sum(piece.frame.height for piece in pieces) == 2
    assert [one for piece in pieces for one in piece.lists.to_pylist()] == ["a", "b"]


def frame_of(loads):
    return pl.concat([load().frame for load in loads])


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"a": [1], "b": ["x"], "c": 0}), pl.DataFrame({"a": [1], "b": ["x"]}), pl.LazyFrame({"a": [1], "b": ["x"]})],
)
def test_frames_of_either_kind_are_read(frame):
    assert frame_of(read_frame(frame, WANTED, "frame", PARQUET)).to_dicts() == [{"a": 1, "b": "x"}]


def test_a_large_frame_is_read_in_pieces_that_know_their_rows(monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_ROWS", 3)
    frame = pl.DataFrame({"a": range(8), "b": range(8)})
    pieces = [load() for load in read_frame(frame, WANTED, "frame 'facts'", PARQUET)]
    assert [piece.frame.height for piece in pieces] == [3, 3, 2]
    assert pieces[2].at(1) == "frame 'facts', row 8"
    assert pl.concat([piece.frame for piece in pieces]).equals(frame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ([1, 2], "got list, expected a pandas or polars frame"),
        (pd.DataFrame({"a": [], "b": []}), "got a frame without rows"),
        (pl.DataFrame({"a": [], "b": []}), "got a frame without rows"),
        (pd.DataFrame({"a": [1], "bb": [1]}), "has no column 'b'"),
        (pl.DataFrame({"a": [1], "B": [1]}), "has no column 'b'"),
        (pd.DataFrame({"a": [1, "x"], "b": 0}), "a column mixes types"),
    ],
)
def test_other_frames_are_refused(frame, said):
    with pytest.raises(DataError, match=f"^frame: {said}"):
        list(read_frame(frame, WANTED, "frame", PARQUET))


def test_a_pandas_column_with_a_number_for_a_name_is_found():
    assert frame_of(read_frame(pd.DataFrame({101: [1]}), [("101", "id")], "frame", PARQUET))["101"].to_list() == [1]


def test_a_feature_list_in_a_frame_keeps_the_types_beside_the_list():
    frame = pl.DataFrame({"k": [1.5], "n": [2], "l": ["a\x02x\x031\x01b\x02y\x032"]})
    (load,) = read_frame(frame, [("k", "id"), ("a", "id"), ("b", "bag")], "frame", LISTS)
    piece = load()
    assert piece.frame["k"].dtype == pl.Float64
    assert piece.frame.columns == ["k", "n"]
    assert piece.lists.to_pylist() == frame["l"].to_list()


def portions_of(files, *paths: Path, of: int, bad_rows=REFUSE):
    """The pieces of each portion."""
    found = []
    for number in range(1, of + 1):
        spans = Portion(number, of).spans([path.stat().st_size for path in paths])
        chosen = [(path, span) for path, span in zip(paths, spans, strict=True) if span is not None]
        loads = read_files(files, [path for path, _ in chosen], WANTED, bad_rows, [span for _, span in chosen])
        found.append([load() for load in loads])
    return found


def said(pieces):
    """All that there is to say of pieces, so that two can be compared."""
    return [
        (piece.place.where, [piece.at(row) for row in range(piece.frame.height)], piece.frame.rows(), piece.cuts)
        for piece in pieces
    ]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "csv.zst", "parquet"])
def test_the_portions_of_files_are_their_pieces_in_their_order(tmp_path, monkeypatch, form, of):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 64)
    paths = []
    for file, rows in enumerate((40, 1, 25)):
        # Quotes around line breaks, an empty line, and no line break at the end.
        frame = pl.DataFrame(
            {"a": [f"{file} {row}\n" * (row % 3) for row in range(rows)], "b": [str(row) for row in range(rows)]}
        )
        paths.append(tmp_path / f"{file}.{form}")
        if form == "parquet":
            frame.write_parquet(paths[-1], row_group_size=4)
        else:
            oracle.write(tmp_path, paths[-1].name, frame.write_csv()[: -1 if file == 2 else None] + "\n" * (file == 0))
    files = PARQUET if form == "parquet" else CSV
    whole = pieces_of(files, *paths)
    found = portions_of(files, *paths, of=of)
    assert said([piece for portion in found for piece in portion]) == said(whole)
    if form in ("csv", "parquet"):  # what is packed is read ahead, as far as so small files reach
        assert all(found)


def test_lines_left_out_are_left_out_by_whoever_has_them(written, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 20)
    path = written("a,b\n" + "".join(f"{row},1{',x' * (row % 4 == 0)}\n" for row in range(30)))
    whole = pieces_of(CSV, path, bad_rows=SKIP)
    found = portions_of(CSV, path, of=3, bad_rows=SKIP)
    assert said([piece for portion in found for piece in portion]) == said(whole)
    cuts = [sum(len(piece.cuts) for piece in portion) for portion in found]
    assert sum(cuts) == 8
    assert all(cuts)


def test_row_groups_that_are_not_in_a_portion_are_not_read(tmp_path, monkeypatch):
    """Also those before it: nothing has to be counted there."""
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 1)
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": [str(row) for row in range(64)], "b": ["1"] * 64}).write_parquet(
        path, row_group_size=8, compression="uncompressed"
    )
    content = bytearray(path.read_bytes())
    content[8:60] = b"\xff" * 52  # the first group is spoilt
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        portions_of(PARQUET, path, of=1)
    (span,) = Portion(3, 3).spans([len(content)])
    rows = [row for load in read_files(PARQUET, [path], WANTED, REFUSE, [span]) for row in load().frame["a"]]
    assert rows == [str(row) for row in range(int(rows[0]), 64)]
    assert 0 < len(rows) < 32


def test_a_portion_leaves_what_is_behind_it_alone(written, monkeypatch):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 8)
    path = written(b"a,b\n" + b"1,2\n" * 20 + b"\xff,\xff\n" * 20)
    (span,) = Portion(1, 3).spans([path.stat().st_size])
    assert sum(load().frame.height for load in read_files(CSV, [path], WANTED, REFUSE, [span])) > 5
    with pytest.raises(DataError):
        portions_of(CSV, path, of=1)
