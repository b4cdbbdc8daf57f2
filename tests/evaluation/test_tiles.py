import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.evaluation.tiles import TILE, tiled, tiled_batch


@given(st.integers(0, 3 * TILE), st.sampled_from([0, 1]))
def test_an_array_has_whole_tiles_and_begins_as_it_did(rows: int, more: int) -> None:
    array = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    made = tiled(array, more=more)
    assert len(made) % TILE == more
    assert 0 <= len(made) - rows < TILE
    np.testing.assert_array_equal(made[:rows], array)
    assert not made[rows:].any()
    if len(made) == rows:
        assert made is array


@pytest.mark.parametrize("rows", [1, TILE - 1, TILE, TILE + 1])
def test_a_batch_gets_rows_without_ids_and_with_empty_bags(rows: int) -> None:
    entries = np.arange(3, dtype=np.int32)
    batch = {
        "facts/item": np.full(rows, 7, np.int32),
        "facts/offsets": np.full(rows, 2.5, np.float32),  # a feature may be called so, or so:
        "facts/weights": np.full(rows, 1.5, np.float32),
        "facts/seen": entries,
        "facts/seen/offsets": np.array([0] * rows + [3], np.int32),
        "facts/seen/weights": np.ones(3, np.float32),
        "user/city": np.array([4], np.int32),
        "index/user": np.zeros(rows, np.int32),
    }
    made = tiled_batch(batch)
    whole = -(-rows // TILE) * TILE
    assert list(made) == list(batch)
    for key in ("facts/item", "facts/offsets", "facts/weights", "index/user"):
        assert len(made[key]) == whole
        np.testing.assert_array_equal(made[key][:rows], batch[key])
        assert not made[key][rows:].any()
    assert made["facts/seen"] is entries
    assert made["facts/seen/weights"] is batch["facts/seen/weights"]
    assert made["facts/seen/offsets"].tolist() == [0] * rows + [3] * (whole + 1 - rows)
    assert made["user/city"].tolist() == [4] + [0] * (TILE - 1)
    assert all(made[key].dtype == array.dtype for key, array in batch.items())
