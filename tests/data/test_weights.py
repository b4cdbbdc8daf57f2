from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pytest

import funnel
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.weights import row_weights
from funnel.errors import DataError
from funnel.schema.reader import load_schema
from funnel.training.feed import Feed

LABELS = np.array([[0, 0], [1, 0], [1, 1], [1, 255], [255, 255]], np.uint8)


def declared(**parts):
    return load_schema(oracle.mapping("parquet") | parts)


def test_rows_count_once_where_nothing_is_declared():
    assert row_weights(declared(), LABELS, None) is None
    assert row_weights(declared(sampling={"impression": 0.1}), LABELS, None) is None  # `inverse` learns from rows as they are


def test_a_column_is_taken_as_it_is():
    column = np.array([0.5, 0, 2, 1, 1], np.float32)
    assert row_weights(declared(), LABELS, column) is column


def test_a_sampled_row_stands_for_all_that_were_thrown_away():
    sampling = {"rates": {"impression": 0.125, "click": 0.5}, "correction": "weights"}
    found = row_weights(declared(sampling=sampling), LABELS, None)
    # What is not known counts as not reached.
    assert (found.dtype, found.tolist()) == (np.float32, [8, 2, 1, 2, 8])


def frames(weights):
    return {
        "facts": oracle.polars_frame(oracle.FACTS).with_columns(weight=pl.Series(weights)),
        "user": oracle.polars_frame(oracle.USERS),
    }


def weighed(**data):
    tree = oracle.mapping("parquet")
    tree["data"] |= {"weight": "weight", **data}
    return tree | {"train": {"batch_size": 2, "shuffle": "row"}}


def test_a_column_goes_from_the_rows_to_the_batches_in_any_order(tmp_path):
    rows = frames([0.5, 1.5, 2.5, 3.5, 4.5])
    schema = load_schema(weighed(shard_rows=1))
    store = funnel.prepare(schema, rows)
    for star in store.shards("train"):
        assert star.weights.dtype == np.float32
        assert star.weights.tolist() == (star.position + 0.5).tolist()
    # Prices tell the facts apart.
    by_price = {str(np.float32(fact["price"] or 0)): row + 0.5 for row, fact in enumerate(oracle.FACTS)}
    by_price |= {"0.0": 2.5, "nan": 1.5}
    seen = list(funnel.dataset(schema, store))
    assert [len(element) for element in seen] == [3, 3, 3]
    for batch, labels, weights in seen:
        assert weights.dtype == np.float32
        assert len(labels) == len(weights)
        assert weights.numpy().tolist() == [by_price[str(price)] for price in batch["facts/price"].numpy()]
    lanes = Lanes.of(store.shards("train"), schema.train.model_copy(update={"batch_size": 2}), 0, 1)
    for (element,), (_, labels, weights) in zip(Feed(Packer(schema, store.learnt))(lanes), seen, strict=True):
        np.testing.assert_array_equal(element[1], labels)
        np.testing.assert_array_equal(element[2], weights)


def test_test_rows_need_no_weights():
    rows, test = frames([1.0] * 5), frames([1.0] * 5)
    test["facts"] = test["facts"].drop("weight")
    store = funnel.prepare(weighed(), rows, test=test)
    assert store.shards("test")[0].weights is None
    with pytest.raises(DataError, match="has no column 'weight'"):
        funnel.prepare(weighed(), test)
