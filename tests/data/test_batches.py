from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.batches import batches, dataset, element, in_order, star_batch
from funnel.data.order import Epoch
from funnel.data.star import Star
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.schema.training import ByGroup, ByRow, ByWindow

SHUFFLES = [None, ByGroup(kind="group"), ByRow(kind="row"), ByWindow(kind="window", rows=2)]


def tell_apart(facts=23, users=5, seed=0, *, labels=True, first=0, offsets=np.int32) -> Star:
    """A star in which every value says where it is from: fact f has id f, and its user u has id 100 + u."""
    random = np.random.default_rng(seed)

    def columns(rows: int, begin: int):
        lengths = random.integers(0, 4, rows)
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(offsets)
        values = np.repeat(np.arange(begin, begin + rows), lengths).astype(np.int32)
        ids = np.arange(begin, begin + rows, dtype=np.int32)
        bag = {"bag": values, "bag/offsets": ends, "bag/weights": (values / 2).astype(np.float32)}
        return {"id": ids, "number": ids.astype(np.float32) + 0.5, "plain": values, "plain/offsets": ends} | bag

    index = {
        "user": np.sort(random.integers(0, users, facts)).astype(np.int32),
        "item": np.arange(facts, dtype=np.int32)[::-1],
    }
    found = np.stack([np.arange(facts) % 2, np.arange(facts) % 4 == 1], 1).astype(np.uint8) if labels else None
    sources = {"facts": columns(facts, first), "user": columns(users, 10_000 + first), "item": columns(facts, 20_000 + first)}
    return Star(sources, index, np.arange(first, first + facts, dtype=np.uint32), found)


class Shards(Sequence):
    """Some stars, as the shards of a store."""

    def __init__(self, *stars: Star) -> None:
        self.stars = stars
        self.sizes = np.array([star.rows for star in stars], np.int64)

    def __len__(self) -> int:
        return len(self.stars)

    def __getitem__(self, number: int) -> Star:
        return self.stars[number]

    @property
    def rows(self) -> int:
        return int(self.sizes.sum())


def three(labels=True) -> Shards:
    sizes = ((23, 5), (1, 1), (12, 7))
    return Shards(*(tell_apart(f, u, seed, labels=labels, first=100 * seed) for seed, (f, u) in enumerate(sizes)))


def of_row(columns, row: int) -> list[int]:
    return columns["bag"][columns["bag/offsets"][row] : columns["bag/offsets"][row + 1]].tolist()


def bag(batch, key, row):
    begin, end = batch[f"{key}/offsets"][row : row + 2]
    assert (batch[f"{key}/weights"][begin:end] == batch[key][begin:end] / 2).all()
    return batch[key][begin:end].tolist()


def check(parts, batch) -> None:
    """Every fact has its own values, and is led to its own dimension rows."""
    facts = [(star, int(row)) for star, rows in parts for row in rows]
    assert batch["facts/id"].tolist() == [star.sources["facts"]["id"][row] for star, row in facts]
    assert (batch["facts/number"] == batch["facts/id"] + 0.5).all()
    for position, (star, row) in enumerate(facts):
        assert bag(batch, "facts/bag", position) == of_row(star.sources["facts"], row)
        for name in ("user", "item"):
            own = star.index[name][row]
            at = batch[f"index/{name}"][position]
            assert batch[f"{name}/id"][at] == star.sources[name]["id"][own]
            assert batch[f"{name}/number"][at] == star.sources[name]["number"][own]
            assert bag(batch, f"{name}/bag", at) == of_row(star.sources[name], own)
    for name in ("user", "item"):
        rows = {(id(star), int(star.index[name][row])) for star, row in facts}
        assert len(batch[f"{name}/id"]) == len(rows)  # each dimension row once for each star


@given(rows=st.lists(st.integers(0, 22), min_size=1, max_size=12), seed=st.integers(0, 100))
def test_a_batch_holds_each_facts_own_rows(rows, seed):
    parts = [(tell_apart(seed=seed), np.array(rows))]
    batch = star_batch(parts)
    check(parts, batch)
    assert "facts/plain/weights" not in batch


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 11), max_size=6)), min_size=1, max_size=5))
def test_a_batch_of_several_stars_holds_each_facts_own_rows(chosen):
    shards = [tell_apart(12, users, seed, first=100 * seed) for seed, users in enumerate((3, 1, 9))]
    parts = [(shards[number], np.array(rows, np.int64)) for number, rows in chosen]
    batch = star_batch(parts)
    facts = [(star, int(row)) for star, rows in parts for row in rows]
    assert batch["facts/id"].tolist() == [star.sources["facts"]["id"][row] for star, row in facts]
    for position, (star, row) in enumerate(facts):
        for name in ("user", "item"):
            at = batch[f"index/{name}"][position]
            assert batch[f"{name}/id"][at] == star.sources[name]["id"][star.index[name][row]]
            assert bag(batch, f"{name}/bag", at) == of_row(star.sources[name], star.index[name][row])


@pytest.mark.parametrize("offsets", [np.int32, np.int64])
def test_a_batch_has_the_types_that_the_network_takes(offsets):
    for parts in ([(tell_apart(offsets=offsets), np.arange(4))], [(star, np.arange(1)) for star in three()]):
        batch = star_batch(parts)
        kinds = {key: (value.dtype, value.ndim) for key, value in batch.items()}
        assert kinds["facts/id"] == kinds["user/bag"] == kinds["user/bag/offsets"] == kinds["index/user"] == (np.int32, 1)
        assert kinds["facts/number"] == kinds["user/bag/weights"] == (np.float32, 1)
        assert {key.split("/")[0] for key in batch} == {"facts", "user", "item", "index"}


def test_labels_are_those_of_the_facts():
    shards = three()
    parts = [(shards[0], np.array([5, 1])), (shards[2], np.array([0]))]
    batch, labels = element(parts)
    assert labels.dtype == np.float32
    assert labels.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert batch["facts/id"].tolist() == [5, 1, 200]


def test_labels_that_are_not_known_are_nan():
    star = tell_apart()
    star.labels[2] = [1, 255]
    _, labels = element([(star, np.array([2, 1]))])
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.array([[1, np.nan], [1, 1]], np.float32))


def test_weights_are_those_of_the_facts():
    first, second = (
        replace(star, weights=np.arange(star.rows, dtype=np.float32) / 2) for star in (tell_apart(), tell_apart(7))
    )
    parts = [(first, np.array([5, 1])), (second, np.array([6]))]
    batch, labels, weights = element(parts)
    assert (weights.dtype, weights.tolist()) == (np.float32, [2.5, 0.5, 3.0])
    assert batch["facts/id"].tolist() == [5, 1, 6]
    assert len(labels) == 3


def test_rows_that_were_sampled_are_weighed_by_their_labels():
    tree = oracle.mapping() | {"sampling": {"rates": {"impression": 0.25, "click": 0.5}, "correction": "weights"}}
    star = tell_apart()  # the labels of rows 0 to 3: nothing, both, nothing, a click
    rows = np.array([0, 1, 3])
    weights = element([(star, rows)], load_schema(tree))[2]
    assert (weights.dtype, weights.tolist()) == (np.float32, [4.0, 1.0, 2.0])
    assert len(element([(star, rows)], load_schema(tree | {"sampling": {"impression": 0.25}}))) == 2
    assert len(element([(star, rows)])) == 2


def test_without_labels_a_batch_stands_alone():
    assert isinstance(element([(tell_apart(labels=False), np.arange(23))]), dict)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize(("size", "sizes"), [(10, [10, 10, 10, 6]), (36, [36]), (100, [36]), (1, [1] * 36)])
def test_every_fact_comes_once_with_its_own_rows_and_the_last_batch_may_be_smaller(shuffle, size, sizes):
    shards = three()
    epoch = Epoch(shards, size, shuffle, 3, 1)
    found = list(batches(epoch))
    assert [len(labels) for _, labels in found] == sizes
    for number, (batch, labels) in enumerate(found):
        parts = [(shards[shard], rows) for shard, rows in epoch.step(number)]
        check(parts, batch)
        assert (labels == np.concatenate([star.labels[rows] for star, rows in parts])).all()
    ids = sorted(one for batch, _ in found for one in batch["facts/id"].tolist())
    assert ids == sorted(one for star in shards.stars for one in star.sources["facts"]["id"].tolist())


def test_a_row_of_the_first_dimension_stands_once_in_a_batch_by_group():
    """Facts of one row are in one shard, and together."""
    shards = three()
    for batch, _ in batches(Epoch(shards, 6, ByGroup(kind="group"), 0, 0)):
        assert len(set(batch["user/id"].tolist())) == len(batch["user/id"])


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("first", [0, 1, 3, 5, 6])
def test_batches_begin_at_any_step(shuffle, first):
    whole = list(batches(Epoch(three(), 7, shuffle, 3, 1)))
    rest = list(batches(Epoch(three(), 7, shuffle, 3, 1), first))
    assert same(rest, whole[first:])


@pytest.mark.parametrize("size", [1, 5, 23, 100])
def test_all_facts_of_a_star_come_as_they_stand(size):
    star = tell_apart()
    found = list(in_order(star, size))
    assert [len(batch["facts/id"]) for batch in found] == [min(size, 23 - begin) for begin in range(0, 23, size)]
    for begin, batch in zip(range(0, 23, size), found, strict=True):
        check([(star, np.arange(begin, min(begin + size, 23)))], batch)


def elements(data):
    return [({key: value.numpy() for key, value in batch.items()}, labels.numpy()) for batch, labels in data]


def same(first, second):
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a) and (x == y).all()
        for (a, x), (b, y) in zip(first, second, strict=True)
    )


@pytest.fixture
def store(tmp_path):
    facts = [{**oracle.FACTS[row % 5]} for row in range(60)]
    schema, origin = oracle.placed("polars", tmp_path, facts, oracle.USERS)
    schema = FunnelSchema.model_validate(schema.model_dump() | {"data": schema.data.model_dump() | {"shard_rows": 9}})
    store = oracle.store_of(schema, origin, tmp_path)
    assert len(store.shards("train")) > 3
    return store


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_each_pass_over_a_dataset_is_the_next_epoch(store, shuffle):
    shards, seed = store.shards("train"), store.schema.train.seed
    data = dataset(store.schema, shards, batch_size=7, shuffle=shuffle)
    passes = [elements(data) for _ in range(3)]
    for number, found in enumerate(passes):
        assert same(found, list(batches(Epoch(shards, 7, shuffle, seed, number))))
    assert same(passes[0], passes[1]) == (shuffle is None)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_dataset_goes_on_where_another_left_off(store, shuffle):
    shards, seed = store.shards("train"), store.schema.train.seed
    data = dataset(store.schema, shards, batch_size=7, shuffle=shuffle, first_epoch=2, first_step=3)
    assert same(elements(data), list(batches(Epoch(shards, 7, shuffle, seed, 2)))[3:])
    assert same(elements(data), list(batches(Epoch(shards, 7, shuffle, seed, 3))))


def test_workers_share_out_the_facts(store):
    shards = store.shards("train")
    ids = []
    for worker in range(2):
        data = dataset(store.schema, shards, batch_size=7, shuffle=SHUFFLES[1], worker=worker, workers=2)
        epoch = Epoch(shards, 7, SHUFFLES[1], store.schema.train.seed, 0, worker, 2)
        found = elements(data)
        assert same(found, list(batches(epoch)))
        ids += [labels for _, labels in found]
    assert sum(map(len, ids)) == 60


def test_a_dataset_without_labels_gives_batches_alone(store):
    schema = store.schema
    bare = Shards(*(Star(star.sources, star.index, star.position) for star in store.shards("train")))
    (batch,) = dataset(schema, bare, batch_size=60, shuffle=None)
    assert batch["facts/item_id"].shape == (60,)


def test_no_rows_make_no_dataset(store):
    with pytest.raises(ValueError, match="got no rows, expected some to make batches of"):
        dataset(store.schema, store.shards("test"), batch_size=1, shuffle=None)
