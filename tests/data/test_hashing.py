from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.hashing import hashed


def farm(one, buckets):
    return 0 if one is None else int(tf.strings.to_hash_bucket_fast(str(one), buckets)) + 2


@given(st.lists(st.none() | st.text(max_size=5), max_size=10), st.integers(1, 1 << 30))
def test_hashing_is_tensorflows(ids, buckets):
    found = hashed(pl.Series("x", ids, dtype=pl.String), buckets)
    assert found.tolist() == [farm(one, buckets) for one in ids]
    assert found.dtype == np.int32


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=10), st.integers(1, 1 << 30))
def test_whole_numbers_hash_as_their_texts(ids, buckets):
    assert hashed(pl.Series("x", ids, dtype=pl.Int64), buckets).tolist() == [farm(one, buckets) for one in ids]


def test_a_graph_gives_the_same_rows():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def graph(ids):
        return tf.strings.to_hash_bucket_fast(ids, 1000) + 2

    ids = ["7", "007", "é", " ", "a" * 100, "\x00", "中"]
    assert hashed(pl.Series(ids), 1000).tolist() == graph(tf.constant(ids)).numpy().tolist()


@pytest.mark.parametrize(
    "ids", [pl.Series([], dtype=pl.String), pl.Series([None, None], dtype=pl.String), pl.Series([None], dtype=pl.Null)]
)
def test_without_ids_all_are_missing(ids):
    found = hashed(ids, 3)
    assert (found.tolist(), found.dtype) == ([0] * len(ids), np.int32)


def test_the_caller_may_change_the_rows():
    assert hashed(pl.Series(["a", None]), 3).flags.writeable
