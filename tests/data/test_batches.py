from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.batches import batches, dataset, shuffled, star_batch
from funnel.data.encode import Columns, IdLists, Star


def tell_apart(facts=23, users=5, seed=0, labels=True) -> Star:
    """A star in which every value says where it is from: fact f has id f, and its user u has id 100 + u."""
    random = np.random.default_rng(seed)

    def columns(rows: int, first: int) -> Columns:
        lengths = random.integers(0, 4, rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = np.repeat(np.arange(first, first + rows), lengths).astype(np.int32)
        bag = IdLists(values, offsets, (values / 2).astype(np.float32))
        plain = IdLists(values, offsets, None)
        ids = np.arange(first, first + rows, dtype=np.int32)
        return Columns(rows, {"id": ids}, {"bag": bag, "plain": plain}, {"number": ids.astype(np.float32) + 0.5})

    index = {"user": random.integers(0, users, facts), "item": np.arange(facts)[::-1]}
    found = np.stack([np.arange(facts) % 2, np.arange(facts) % 4 == 1], 1).astype(np.uint8) if labels else None
    return Star(columns(facts, 0), {"user": columns(users, 100), "item": columns(facts, 1000)}, index, found, None)


def of_row(star_columns: Columns, row: int) -> list[int]:
    offsets = star_columns.lists["bag"].offsets
    return star_columns.lists["bag"].values[offsets[row] : offsets[row + 1]].tolist()


def bag(batch, key, row):
    begin, end = batch[f"{key}/offsets"][row : row + 2]
    assert (batch[f"{key}/weights"][begin:end] == batch[key][begin:end] / 2).all()
    return batch[key][begin:end].tolist()


def check(star: Star, rows, batch) -> None:
    """Every fact has its own values, and is led to its own dimension rows."""
    assert batch["facts/id"].tolist() == list(rows)
    assert (batch["facts/number"] == np.array(rows) + 0.5).all()
    for position, fact in enumerate(rows):
        assert bag(batch, "facts/bag", position) == of_row(star.facts, fact)
        for name, first in (("user", 100), ("item", 1000)):
            own = star.index[name][fact]
            at = batch[f"index/{name}"][position]
            assert batch[f"{name}/id"][at] == first + own
            assert batch[f"{name}/number"][at] == first + own + 0.5
            assert bag(batch, f"{name}/bag", at) == of_row(star.dimensions[name], own)


@given(rows=st.lists(st.integers(0, 22), min_size=1, max_size=12), seed=st.integers(0, 100))
def test_a_batch_holds_each_facts_own_rows(rows, seed):
    star = tell_apart(seed=seed)
    batch = star_batch(star, np.array(rows))
    check(star, rows, batch)
    assert len(batch["user/id"]) == len({star.index["user"][row] for row in rows})  # each dimension row once
    assert "facts/plain/weights" not in batch


def test_a_batch_has_the_types_that_the_network_takes():
    batch = star_batch(tell_apart(), np.arange(4))
    kinds = {key: (value.dtype, value.ndim) for key, value in batch.items()}
    assert kinds["facts/id"] == kinds["user/bag"] == kinds["user/bag/offsets"] == kinds["index/user"] == (np.int32, 1)
    assert kinds["facts/number"] == kinds["user/bag/weights"] == (np.float32, 1)
    assert {key.split("/")[0] for key in batch} == {"facts", "user", "item", "index"}


@pytest.mark.parametrize(("size", "sizes"), [(10, [10, 10, 3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_every_fact_comes_once_and_the_last_batch_may_be_smaller(size, sizes):
    star = tell_apart()
    order = shuffled(np.arange(23), 0, 0)
    found = list(batches(star, order, size))
    assert [len(labels) for _, labels in found] == sizes
    assert np.concatenate([batch["facts/id"] for batch, _ in found]).tolist() == order.tolist()
    labels = np.concatenate([labels for _, labels in found])
    assert labels.dtype == np.float32
    assert (labels == star.labels[order]).all()


def test_rows_may_be_some_of_the_facts():
    found = list(batches(tell_apart(), np.array([5, 3, 20]), 2))
    assert [batch["facts/id"].tolist() for batch, _ in found] == [[5, 3], [20]]


def test_without_labels_a_batch_stands_alone():
    (batch,) = batches(tell_apart(labels=False), np.arange(23), 50)
    assert isinstance(batch, dict)


def test_an_order_is_a_pure_function_of_seed_and_epoch():
    rows = np.arange(1000)
    orders = {(seed, epoch): tuple(shuffled(rows, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    for (seed, epoch), order in orders.items():
        assert sorted(order) == rows.tolist()
        assert tuple(shuffled(rows, seed, epoch)) == order
    assert (rows == np.arange(1000)).all()


@pytest.fixture
def star_and_schema(tmp_path):
    facts = [{**oracle.FACTS[row % 5]} for row in range(12)]
    schema, origin = oracle.placed("polars", tmp_path, facts, oracle.USERS)
    return oracle.star_of(schema, origin), schema


def elements(data):
    return [({key: value.numpy() for key, value in batch.items()}, labels.numpy()) for batch, labels in data]


def same(first, second):
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a) and (x == y).all()
        for (a, x), (b, y) in zip(first, second, strict=True)
    )


def test_a_dataset_gives_the_batches(star_and_schema):
    star, schema = star_and_schema
    rows = np.array([7, 1, 2, 9, 0])
    data = dataset(schema, star, rows, batch_size=2, shuffle=False)
    assert same(elements(data), list(batches(star, rows, 2)))
    assert same(elements(data), list(batches(star, rows, 2)))


def test_each_pass_over_a_shuffled_dataset_is_the_next_epoch(star_and_schema):
    star, schema = star_and_schema
    rows = np.arange(12)
    data = dataset(schema, star, rows, batch_size=5, shuffle=True)
    for epoch in range(3):
        assert same(elements(data), list(batches(star, shuffled(rows, schema.train.seed, epoch), 5)))


def test_a_dataset_without_labels_gives_batches_alone(star_and_schema):
    star, schema = star_and_schema
    bare = Star(star.facts, star.dimensions, star.index, None, None)
    (batch,) = dataset(schema, bare, np.arange(12), batch_size=50, shuffle=False)
    assert batch["facts/item_id"].shape == (12,)
