from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from funnel.data.arrays import checksum, read_arrays, write_arrays

KINDS = ["<i8", "<f8", "<u8", "<i4", "<f4", "<u4", "|u1", "|b1"]
arrays_of = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(KINDS).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=5,
)


def same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name


@given(arrays_of)
def test_what_is_written_is_read(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("arrays") / "x.arrays"
    write_arrays(path, arrays)
    same(arrays, read_arrays(path))


@given(arrays_of)
def test_safetensors_reads_our_files_and_we_read_theirs(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("arrays")
    write_arrays(folder / "ours", arrays)
    same(arrays, load_file(folder / "ours"))
    save_file(arrays, folder / "theirs")
    same(arrays, read_arrays(folder / "theirs"))


def test_a_hand_worked_file(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.array([1, 2], np.uint8), "b": np.array([3], np.int32)})
    header = b'{"b":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}'
    header += b" " * (-len(header) % 8)
    assert (tmp_path / "x").read_bytes() == len(header).to_bytes(8, "little") + header + b"\3\0\0\0" + b"\1\2"


def test_every_array_is_aligned_whatever_the_names(tmp_path):
    for length in range(1, 9):
        arrays = {kind * length: np.ones(3, kind) for kind in KINDS}
        write_arrays(tmp_path / "x", arrays)
        for array in read_arrays(tmp_path / "x").values():
            assert array.flags.aligned


def test_arrays_that_are_no_plain_run_of_numbers_are_written_as_they_look(tmp_path):
    whole = np.arange(12, dtype=np.int64).reshape(3, 4)
    arrays = {"transposed": whole.T, "stepped": whole[::2, ::-1], "one": whole[1:2, 1:2], "scalar": np.array(7, np.float32)}
    write_arrays(tmp_path / "x", arrays)
    same(arrays, read_arrays(tmp_path / "x"))


def test_nothing_is_an_empty_file_of_arrays(tmp_path):
    write_arrays(tmp_path / "x", {})
    assert read_arrays(tmp_path / "x") == {}


def test_what_is_read_is_a_map_that_cannot_be_written(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.arange(3), "none": np.zeros(0, np.int64)})
    array = read_arrays(tmp_path / "x")["a"]
    assert not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_map_outlives_its_file(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.arange(3)})
    array = read_arrays(tmp_path / "x")["a"]
    (tmp_path / "x").unlink()
    assert array.tolist() == [0, 1, 2]


def test_a_file_cut_anywhere_is_refused(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.arange(5), "b": np.ones(3, bool)})
    whole = (tmp_path / "x").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"."):
            read_arrays(tmp_path / "x")
    (tmp_path / "x").write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="its length is not what its header says"):
        read_arrays(tmp_path / "x")


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n3,4\n", b"\xff" * 100, b"PAR1" * 5, b"", b"\2\0\0\0\0\0\0\0[]", b"\4\0\0\0\0\0\0\0null"]
)
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_arrays(tmp_path / "x")


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none")


def test_names_may_hold_anything(tmp_path):
    arrays = {name: np.array([at]) for at, name in enumerate(['a"b', "é/中", "a\nb", " ", "a/offsets"])}
    write_arrays(tmp_path / "x", arrays)
    same(arrays, read_arrays(tmp_path / "x"))


def test_other_types_are_no_arrays_of_a_store(tmp_path):
    with pytest.raises(KeyError):
        write_arrays(tmp_path / "x", {"a": np.array(["text"])})


@given(st.binary(max_size=200))
def test_a_checksum_is_sha256(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("sum") / "x"
    path.write_bytes(content)
    assert checksum(path) == hashlib.sha256(content).hexdigest()


def test_the_header_is_json_in_the_order_of_the_bytes(tmp_path):
    write_arrays(tmp_path / "x", {"small": np.ones(1, bool), "wide": np.ones(2), "middle": np.ones(3, np.float32)})
    content = (tmp_path / "x").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header) == ["wide", "middle", "small"]
    assert [place["data_offsets"] for place in header.values()] == [[0, 16], [16, 28], [28, 29]]
