from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.data.packing import Packer
from funnel.model._keras import tf
from funnel.model.packing import packed
from funnel.schema.layout import layout
from funnel.schema.learnt import declared_only
from funnel.schema.reader import load_schema
from tests.model.stars import batch_of, meaning, read, sizes_of, table_of, tree_of, trees

SIZES = st.tuples(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
EVERYTHING = tree_of(
    [
        {"name": "city", "source": "user", "kind": "categorical", "table": "t"},
        {"name": "age", "source": "user", "kind": "numeric", "transform": "none"},
        {"name": "liked", "source": "user", "kind": "bag", "table": "u", "pooling": "mean", "weighted": True, "weights": "w"},
        {"name": "seen", "source": "facts", "kind": "bag", "table": "t", "pooling": "sqrtn"},
    ]
)


def ways(tree: dict[str, Any]) -> tuple[Packer, Any]:
    """To pack: ahead of the step, and in the graph."""
    schema = load_schema(tree)
    learnt, unknown = declared_only(schema)
    assert learnt is not None, unknown
    return Packer(schema, learnt), lambda batch: packed(schema, layout(schema, learnt), batch)


def assert_means(tree: dict[str, Any], found: Any, batch: dict[str, np.ndarray]) -> None:
    """Each lookup takes what the slow reader takes; rows stand once, and only those that are used."""
    mine, theirs = read(tree, found), meaning(tree, batch)
    assert mine.keys() == theirs.keys()
    for lookup, line in theirs.items():
        assert mine[lookup] == pytest.approx(line, rel=1e-5, abs=1e-6), lookup
    assert np.asarray(found["sizes"]).tolist() == list(sizes_of(tree, batch).values())
    for key in [key for key in found if key.endswith("/unique")]:
        places = np.asarray(found[key.replace("unique", "entries")])[:, 1]
        assert len(np.unique(found[key])) == len(np.asarray(found[key])) == len(np.unique(places))


@settings(max_examples=120)
@given(trees(), st.lists(SIZES, min_size=1, max_size=4))
def test_packed_ahead_or_in_the_graph_any_declaration_means_what_a_slow_reader_reads(tree, sizes) -> None:
    packer, in_graph = ways(tree)
    for seed, facts, rows in sizes:
        batch = batch_of(tree, seed, facts, rows)
        found = packer(batch)
        assert_means(tree, found, batch)
        assert_means(tree, in_graph(batch), batch)
        assert all((np.diff(found[key]) > 0).all() for key in found if key.endswith("/unique"))
        fresh = ways(tree)[0](batch)
        assert found.keys() == fresh.keys()
        for key, array in fresh.items():
            np.testing.assert_array_equal(found[key], array, err_msg=f"stale {key}")
            assert found[key].dtype == array.dtype


@given(trees(), SIZES)
def test_numbers_and_indices_pass_as_they_are_and_the_batch_is_not_changed(tree, sizes) -> None:
    batch = batch_of(tree, *sizes)
    before = {key: array.copy() for key, array in batch.items()}
    found = ways(tree)[0](batch)
    plain = {f"{f['source']}/{f['name']}" for f in tree["features"] if table_of(f) is None}
    kept = {key for key in found if not key.startswith("lookups/")} - {"sizes"}
    assert kept == plain | {"index/user", "index/item"}
    assert all(found[key] is batch[key] for key in kept)
    assert all(np.array_equal(batch[key], array, equal_nan=True) for key, array in before.items())


def test_a_graph_traced_once_packs_batches_of_any_size() -> None:
    _, in_graph = ways(EVERYTHING)
    example = batch_of(EVERYTHING, 0, 2, 2)
    shapes = {key: tf.TensorSpec([None], array.dtype) for key, array in example.items()}
    traced = tf.function(in_graph, input_signature=[shapes])
    for seed, facts, rows in [(1, 1, 1), (2, 40, 3), (3, 7, 9)]:
        batch = batch_of(EVERYTHING, seed, facts, rows)
        assert_means(EVERYTHING, traced({key: tf.constant(array) for key, array in batch.items()}), batch)
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("weights", [[0.1, 0.2, -0.3], [-0.3, 0.1, 0.2], [0.7, -0.1, -0.6], [0.0, 0.0, 0.0], [1.0, 0.0, -1.0]])
def test_weights_that_cancel_out_on_paper_give_zero_whatever_float32_leaves_of_them(weights: list[float]) -> None:
    batch = batch_of(EVERYTHING, 0, 1, 1) | {"user/liked": np.array([2, 2, 1], np.int32)}
    batch |= {"user/liked/offsets": np.array([0, 3], np.int32), "user/liked/weights": np.array(weights, np.float32)}
    for way in ways(EVERYTHING):
        line = read(EVERYTHING, way(batch))["user", 0, "liked"]
        assert line == {("u", 2): 0.0, ("u", 1): 0.0}


def test_weights_that_nearly_cancel_out_still_count_and_alike_in_both() -> None:
    batch = batch_of(EVERYTHING, 0, 1, 1) | {"user/liked": np.array([2, 1], np.int32)}
    batch |= {"user/liked/offsets": np.array([0, 2], np.int32), "user/liked/weights": np.array([1.0, -0.9999], np.float32)}
    for way in ways(EVERYTHING):
        line = read(EVERYTHING, way(batch))["user", 0, "liked"]
        exact = 1.0 - float(np.float32(0.9999))
        assert line == pytest.approx({("u", 2): 1 / exact, ("u", 1): 1 - 1 / exact}, rel=1e-6)


def test_bags_that_are_all_empty_need_no_rows() -> None:
    tree = tree_of([{"name": "seen", "source": "facts", "kind": "bag", "table": "t", "pooling": "mean"}])
    batch = {"facts/seen": np.zeros(0, np.int32), "facts/seen/offsets": np.zeros(4, np.int32)}
    batch |= {"index/user": np.zeros(3, np.int32), "index/item": np.zeros(3, np.int32)}
    for way in ways(tree):
        found = way(batch)
        shapes = [np.asarray(found[f"lookups/2/{part}"]).shape for part in ("unique", "entries", "weights")]
        assert shapes == [(0,), (0, 2), (0,)]
        assert np.asarray(found["sizes"]).tolist() == [3, 0, 0]
