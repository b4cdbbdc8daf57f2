import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data import lookup as module
from funnel.data.codes import LARGEST_CODE, MISSING_CODE
from funnel.data.lookup import Lookup

NO_TEXTS = pl.DataFrame(schema={"code": pl.Int64, "text": pl.String})
near = st.integers(0, 30)
far = st.integers(-(2**62), 2**62) | near


@pytest.mark.parametrize("reach", [0, 4, 1 << 23])
@given(st.lists(far, max_size=10), st.lists(near, unique=True, max_size=6), st.lists(far, unique=True, max_size=6))
def test_ids_are_looked_up_by_their_codes(reach, asked, close, anywhere):
    for known in (sorted(close), sorted(anywhere)):
        rows = np.arange(2, 2 + len(known), dtype=np.int32)[::-1]
        codes = [*asked, *known, MISSING_CODE, LARGEST_CODE]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "REACH", reach)
            found = Lookup(np.array(known, np.int64), rows.copy(), NO_TEXTS).find(np.array(codes, np.int64))
        assert found.dtype == np.int32
        assert found.tolist() == [0 if c == MISSING_CODE else int(rows[known.index(c)]) if c in known else 1 for c in codes]


def test_no_ids_are_no_error():
    assert Lookup(np.zeros(0, np.int64), np.zeros(0, np.int32), NO_TEXTS).find(np.array([3, MISSING_CODE])).tolist() == [1, 0]
    assert Lookup(np.array([3]), np.array([2], np.int32), NO_TEXTS).find(np.zeros(0, np.int64)).tolist() == []
