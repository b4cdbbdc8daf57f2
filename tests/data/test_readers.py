from __future__ import annotations

import gzip
from pathlib import Path

import oracle
import pandas as pd
import polars as pl
import pytest

from funnel.data import readers
from funnel.data.readers import find_files, read_files, read_frame
from funnel.errors import DataError
from funnel.schema.data import Csv, FeatureList, Parquet

CSV = Csv(format="csv", train="*.csv")
PARQUET = Parquet(format="parquet", train="*.parquet")
WANTED = [("a", "id"), ("b", "value")]


def read(files, *paths: Path, wanted=WANTED) -> pl.DataFrame:
    return pl.concat([piece.frame for piece in read_files(files, paths, wanted)])


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


def test_text_is_never_taken_for_numbers(written):
    frame = read(CSV, written('a,b\n007,1\n,2\n"x,""y""",1e400\n'))
    assert frame["a"].to_list() == ["007", None, 'x,"y"']
    assert frame["b"].to_list() == ["1", "2", "1e400"]


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "\ufeffa,b\n1,2\n", "a,b\n1,2"])
def test_windows_lines_a_byte_order_mark_and_no_last_line_break(written, text):
    assert read(CSV, written(text)).rows() == [("1", "2")]


def test_columns_are_named_where_there_is_no_header(written):
    files = Csv(format="csv", train="x", columns=("b", "a"), separator=";")
    assert read(files, written("1;2\n3;4\n")).to_dicts() == [{"a": "2", "b": "1"}, {"a": "4", "b": "3"}]


def test_another_number_of_columns_is_refused(written):
    with pytest.raises(DataError, match=r"x\.csv:1 got 2 columns, expected 3 \(a, b, c\)"):
        read(Csv(format="csv", train="x", columns=("a", "b", "c")), written("1,2\n"))


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_packed_text_is_unpacked(tmp_path, ending):
    oracle.write(tmp_path, f"x.csv.{ending}", "a,b\n1,2\n")
    assert read(CSV, tmp_path / f"x.csv.{ending}").rows() == [("1", "2")]


def test_joined_gz_files_are_read_whole(written):
    path = written(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"), "x.csv.gz")
    assert read(CSV, path).rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("ending", ["gz", "zst"])
@pytest.mark.parametrize("files", [CSV, FeatureList(format="feature_list", train="x", columns=("a", "l"), list="l")])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_a_cut_file_is_refused(tmp_path, ending, files, share):
    text = "a,b\n" + "".join(f"{i},{i * 7919 % 1000}\n" for i in range(5000))
    path = tmp_path / f"x.csv.{ending}"
    oracle.write(tmp_path, path.name, text)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"x\.csv\.\w+: cannot be read as \w+: .*Is it whole"):
        read(files, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got an empty file"),
        (b"a,b\n", "got no rows"),
        (b"a,b\n1,2\n1,2,3\n", "cannot be read as csv"),
        (b"a,b\n\xff\xfe,2\n", "cannot be read as csv"),
        (b'a,b\n"1,2\n', "cannot be read as csv"),
        (gzip.compress(b""), "cannot be read as csv"),
    ],
)
def test_text_that_holds_no_rows_or_wrong_ones_is_refused(written, content, said):
    with pytest.raises(DataError, match=rf"x\.csv.*{said}"):
        read(CSV, written(content))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_a_broken_parquet_file_is_refused(written, content):
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as parquet"):
        read(PARQUET, written(content, "x.parquet"))


def test_a_cut_parquet_file_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": range(100), "b": 0}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read(PARQUET, path)


def test_parquet_files_without_rows_are_refused_unless_another_has_some(tmp_path):
    empty, full = tmp_path / "e.parquet", tmp_path / "f.parquet"
    pl.DataFrame({"a": [], "b": []}).write_parquet(empty)
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(full)
    with pytest.raises(DataError, match="got no rows, expected some"):
        read(PARQUET, empty)
    assert read(PARQUET, empty, full).rows() == [(1, 2)]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_missing_column_is_named_with_the_nearest(tmp_path, name):
    frame = pl.DataFrame({"aa": [1], "price": [2]})
    (frame.write_csv if name == "x.csv" else frame.write_parquet)(tmp_path / name)
    with pytest.raises(DataError, match=r"has no column 'prise' \(have: 'aa', 'price'\)\. Did you mean 'price'\?"):
        read(CSV if name == "x.csv" else PARQUET, tmp_path / name, wanted=[("prise", "value")])


def test_a_place_says_which_row_of_which_file(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "ROWS_AT_ONCE", 2)
    pl.DataFrame({"a": range(5)}).write_parquet(tmp_path / "x.parquet")
    pieces = list(read_files(PARQUET, [tmp_path / "x.parquet"] * 2, [("a", "id")]))
    assert [piece.first for piece in pieces] == [0, 2, 4, 0, 2, 4]
    assert pieces[1].at(1) == f"{tmp_path / 'x.parquet'}, row 4"


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"a": [1], "b": ["x"], "c": 0}), pl.DataFrame({"a": [1], "b": ["x"]}), pl.LazyFrame({"a": [1], "b": ["x"]})],
)
def test_frames_of_either_kind_are_read(frame):
    assert read_frame(frame, WANTED, "frame", PARQUET).frame.to_dicts() == [{"a": 1, "b": "x"}]


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
        read_frame(frame, WANTED, "frame", PARQUET)


def test_a_pandas_column_with_a_number_for_a_name_is_found():
    assert read_frame(pd.DataFrame({101: [1]}), [("101", "id")], "frame", PARQUET).frame["101"].to_list() == [1]


def test_a_feature_list_in_a_frame_keeps_the_types_beside_the_list():
    files = FeatureList(format="feature_list", columns=("k", "n", "l"), list="l", count="n")
    frame = pl.DataFrame({"k": [1.5], "n": [2], "l": ["a\x02x\x031\x01b\x02y\x032"]})
    read = read_frame(frame, [("k", "id"), ("a", "id"), ("b", "bag")], "frame", files).frame
    assert read["k"].dtype == pl.Float64
    assert read["a\x00id"].to_list() == ["x"]
    assert read["b\x00bag"].to_list() == [["y"]]
