"""What the tables hold before the first step."""

from __future__ import annotations

import subprocess
import sys
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.model import embedding
from funnel.model.embedding import INIT_ROWS, Embeddings
from funnel.schema.layout import Width

BLOCK = 8


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "INIT_ROWS", BLOCK)
        yield


def values(*sizes: int, dim: int = 3, scale: float = 0.5, seed: int = 7) -> np.ndarray:
    begins = accumulate(sizes, initial=0)
    tables = {f"t{place}": (begin, rows) for place, (begin, rows) in enumerate(zip(begins, sizes, strict=False))}
    made = Embeddings((Width(dim, tables, {"facts": ()}),), scale, seed)
    (variable,) = made.trainable_variables
    assert variable.shape == (sum(sizes), dim)
    return variable.numpy()


def test_rows_for_missing_and_unknown_ids_on_both_sides_of_a_border_are_zero_by_hand() -> None:
    found = values(BLOCK - 1, 4)
    assert [row for row, line in enumerate(found) if not line.any()] == [0, 1, BLOCK - 1, BLOCK]


@given(st.lists(st.integers(2, 20), min_size=1, max_size=6))
def test_only_the_first_two_rows_of_every_table_are_zero_wherever_the_borders_are(sizes: list[int]) -> None:
    found = values(*sizes)
    special = {begin + row for begin in accumulate(sizes[:-1], initial=0) for row in (0, 1)}
    assert {row for row, line in enumerate(found) if not line.any()} == special
    assert (found[sorted(set(range(len(found))) - special)] != 0).all()


@given(st.integers(2, 30), st.integers(1, 30), st.integers(1, 5))
def test_rows_that_come_after_do_not_change_those_before(rows: int, more: int, dim: int) -> None:
    np.testing.assert_array_equal(values(rows, dim=dim), values(rows + more, dim=dim)[:rows])


def test_blocks_seeds_and_widths_differ_and_the_same_seed_does_not() -> None:
    found = values(4 * BLOCK)
    blocks = found.reshape(4, BLOCK, 3)[:, 2:]
    assert all((blocks[one] != blocks[other]).all() for one in range(4) for other in range(one))
    assert (values(4 * BLOCK, seed=8)[2:] != found[2:]).all()
    assert (values(4 * BLOCK, dim=4)[2:, :3] != found[2:]).all()
    np.testing.assert_array_equal(values(4 * BLOCK), found)


def test_the_greatest_seed_of_a_schema_is_one_too() -> None:
    assert (values(5, seed=2**31 - 1)[2:] != values(5, seed=2**31 - 2)[2:]).all()


def test_a_scale_of_zero_starts_at_zero() -> None:
    assert not values(20, scale=0.0).any()


@pytest.mark.parametrize("scale", [0.01, 2.0])
def test_first_values_are_normal_with_the_declared_scale(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "INIT_ROWS", INIT_ROWS)
    found = np.sort(values(INIT_ROWS + 40_000, dim=1, scale=scale)[2:, 0]) / scale
    # Shares of a standard normal below these; 300,000 draws err by at most .001 each.
    for bound, share in ((-1.959964, 0.025), (-1.0, 0.158655), (0.0, 0.5), (0.5, 0.691462), (2.575829, 0.995)):
        assert np.searchsorted(found, bound) / len(found) == pytest.approx(share, abs=0.004)


MEMORY = """
from pathlib import Path
from funnel.model._keras import tf
from funnel.model.embedding import INIT_ROWS, Embeddings
from funnel.schema.layout import Width

def make(rows):
    return Embeddings((Width(16, {"ids": (0, rows)}, {"facts": ()}),), 0.01, 0)

def peak():
    # Not ru_maxrss, which begins with what the parent process held.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

make(INIT_ROWS)
before = peak()
(table,) = make(4_000_000).trainable_variables
print((peak() - before) / (4_000_000 * 16 * 4))
assert tf.gather(table, [3_999_999]).numpy().all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: reads /proc")
def test_a_large_table_is_never_there_twice() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0.9 < float(done.stdout) < 1.6
