"""Named arrays in one file, memory-mapped when read.

The layout is that of safetensors: the length of a header (8 bytes, little-endian), the header as JSON (each array's type,
shape and place), and the arrays one after the other. Wider types come first, so that each array is aligned.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_TYPES = {"I64": "<i8", "F64": "<f8", "U64": "<u8", "I32": "<i4", "F32": "<f4", "U32": "<u4", "U8": "|u1", "BOOL": "|b1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers; their names may hold anything that JSON can.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, end = {}, 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            file.write(np.ascontiguousarray(array).data)


def read_arrays(path: Path) -> Arrays:
    """Map what `write_arrays` wrote; nothing is read before it is used.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is cut, or no such file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length)) if length < path.stat().st_size else None
        begin = file.tell()
        if not isinstance(header, dict):
            raise ValueError("it is cut, or no file of arrays")
        ends = [place["data_offsets"][1] for place in header.values()]
        if path.stat().st_size != begin + max(ends, default=0):
            raise ValueError("its length is not what its header says")
        # Plain arrays over the map: slices of np.memmap are an order of magnitude slower to make.
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if max(ends, default=0) else b""
    found: Arrays = {}
    for name, place in header.items():
        first, last = place["data_offsets"]
        dtype, shape = np.dtype(_TYPES[place["dtype"]]), place["shape"]
        found[name] = (
            np.frombuffer(whole, dtype, math.prod(shape), begin + first).reshape(shape)
            if last > first
            else np.zeros(shape, dtype)
        )
    return found


def let_go(array: NDArray[Any]) -> None:
    """Take the pages of the file that an array is mapped from out of this process's memory: they are read again where needed.

    The system would do so when it runs short of memory; until then they would count as this process's.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
