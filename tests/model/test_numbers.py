"""Numbers as bins and waves: hand-worked values, a slow reader, and what they are to bodies, kernels and saved weights."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from funnel.model._keras import tf
from funnel.model.interactions import Fields
from funnel.model.network import blank_batch
from funnel.model.number_embedding import NumberEmbedding
from funnel.model.numbers import columns_of, piecewise_linear, scaled
from funnel.schema.features import Numeric
from funnel.schema.learnt import Scale
from tests.model.stars import batch_of, tree_of
from tests.model.test_contract import BODIES, all_is_learnt, all_is_listed, smooth
from tests.model.test_network import FEATURES, clean, joined, logits, model_of, perturbed, tensors

ENDS = [-1.0, 0.0, 0.5, 3.0]
BINS = {"kind": "piecewise_linear", "boundaries": ENDS}
WAVES = {"kind": "periodic", "frequencies": 3, "dim": 4, "mean": 0.0, "std": 2.0, "sigma": 0.5}


def number(name: str, source: str, transform: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "source": source, "kind": "numeric", "transform": transform, **more}


EMBEDDED = [
    number("bins", "facts", BINS),
    number("binned", "user", BINS | {"dim": 2}, missing={"fill": 0}),
    number("wave", "user", WAVES),
    number("other", "facts", WAVES | {"dim": 3}, missing="error"),
]
ALL = [FEATURES[0], EMBEDDED[1], EMBEDDED[0], *FEATURES[1:], *EMBEDDED[2:]]


def feature(transform: Any, **more: Any) -> Numeric:
    return Numeric.model_validate({"name": "n", "kind": "numeric", "transform": transform, **more})


def test_how_far_a_number_has_come_by_hand() -> None:
    found = piecewise_linear(Scale(boundaries=tuple(ENDS)), tf.constant([-3.0, -1.0, -0.25, 0.0, 0.4, 0.5, 2.0, 3.0, 8.0]))
    expected = [
        [-2, 0, 0],
        [0, 0, 0],
        [0.75, 0, 0],
        [1, 0, 0],
        [1, 0.8, 0],
        [1, 1, 0],
        [1, 1, 0.6],
        [1, 1, 1],
        [1, 1, 3],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=8),
)
def test_bins_are_those_of_the_paper_read_slowly(ends: list[float], values: list[float]) -> None:
    # Numbers that float32 flushes to zero have a test of their own.
    assume(all(high - low > 1e-30 for low, high in pairwise(ends)))
    found = piecewise_linear(Scale(boundaries=tuple(ends)), tf.constant(values, tf.float32)).numpy()
    edges = ends if len(ends) > 1 else [ends[0], ends[0] + 1.0]
    for x, row in zip(values, found, strict=True):
        for t, (low, high) in enumerate(pairwise(edges)):
            if x < low and t > 0:
                expected = 0.0
            elif x >= high and t < len(edges) - 2:
                expected = 1.0
            else:
                expected = (x - low) / (high - low)
            assert row[t] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_neighbours_among_floats_and_a_constant_give_numbers() -> None:
    tiny = piecewise_linear(Scale(boundaries=(0.0, 1.401298464324817e-45, 1.0)), tf.constant([0.0, 1e-45, 0.5, 1.0]))
    assert np.isfinite(tiny).all()
    np.testing.assert_allclose(piecewise_linear(Scale(boundaries=(7.0,)), tf.constant([7.0, 7.5, 5.0])), [[0], [0.5], [-2]])


@pytest.mark.parametrize("missing", ["mean", "error", {"fill": 3}])
def test_what_is_missing_is_in_no_bin_and_has_an_indicator_where_nothing_stands_in(missing: Any) -> None:
    one, scale = feature(BINS, missing=missing), Scale(boundaries=tuple(ENDS))
    found = scaled(one, scale, tf.constant([math.nan, 0.4])).numpy()
    np.testing.assert_allclose(found[:, :3], [[0, 0, 0], [1, 0.8, 0]], atol=1e-6)
    assert found.shape == (2, columns_of(one, scale)) == (2, 4 if missing == "mean" else 3)
    if missing == "mean":
        np.testing.assert_array_equal(found[:, 3], [1, 0])


def by_hand(layer: NumberEmbedding, columns: list[float]) -> np.ndarray:
    return np.array(columns, np.float32) @ layer.kernel.numpy() + layer.bias.numpy()


def test_an_embedding_of_bins_is_a_linear_map_of_its_own() -> None:
    layer = NumberEmbedding(feature(BINS | {"dim": 5}), Scale(boundaries=tuple(ENDS)), 5, seed=3)
    found = layer(tf.constant([0.4, math.nan])).numpy()
    np.testing.assert_allclose(found, [by_hand(layer, [1, 0.8, 0, 0]), by_hand(layer, [0, 0, 0, 1])], rtol=1e-5)
    assert [variable.shape for variable in layer.trainable_variables] == [(4, 5), (5,)]


def test_waves_by_hand() -> None:
    layer = NumberEmbedding(feature(WAVES), Scale(mean=1.0, std=2.0), 4, seed=3)
    found = layer(tf.constant([4.0, math.nan])).numpy()
    angles = [2 * math.pi * c * 1.5 for c in layer.frequencies.numpy().tolist()]
    known = by_hand(layer, [*map(math.sin, angles), *map(math.cos, angles), 0])
    # Zero stands in, which is the mean.
    lacking = by_hand(layer, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(found, np.maximum([known, lacking], 0), rtol=1e-4, atol=1e-6)
    assert (found > 0).any()


def test_first_weights_are_those_of_the_paper() -> None:
    wide = {"kind": "periodic", "frequencies": 4000, "sigma": 0.3, "dim": 8}
    layer = NumberEmbedding(feature(wide), Scale(), 8, seed=1)
    assert layer.frequencies.numpy().std() == pytest.approx(0.3, rel=0.05)
    assert layer.frequencies.numpy().mean() == pytest.approx(0, abs=0.02)
    assert np.abs(layer.kernel.numpy()).max() == pytest.approx(8001**-0.5, rel=0.01)
    other = NumberEmbedding(feature(wide), Scale(), 8, seed=2)
    assert not np.allclose(layer.frequencies, other.frequencies)
    np.testing.assert_array_equal(layer.kernel, NumberEmbedding(feature(wide), Scale(), 8, seed=1).kernel)


def test_embeddings_stand_after_those_of_tables_of_their_width_and_before_plain_numbers() -> None:
    model = model_of(tree_of(ALL))
    # Widths of tables are 2, 3 and 1, and a number has 4. Bins are three and an indicator.
    expected = {
        "seen": (0, 2), "hour": (2, 3), "other": (5, 3), "bins": (8, 4), "price": (12, 1),
        "city": (13, 2), "binned": (15, 2), "liked": (17, 3), "wave": (20, 4), "age": (24, 2), "brand": (26, 1),
    }  # fmt: skip
    assert model.network.inputs == expected
    assert list(model.network.inputs) == list(expected)
    assert model.network.towers[0].stack.dense[0].kernel.shape[0] == 27
    names = [name for name, _, _ in model.network.layers()]
    assert names[:3] == ["body/numeric_binned", "body/numeric_wave", "body/numeric_other"]


@pytest.mark.parametrize("one", EMBEDDED, ids=lambda one: one["name"])
def test_a_number_acts_through_its_rows_of_the_kernel_and_no_others(one: dict[str, Any]) -> None:
    batch = clean(batch_of(tree_of(ALL), 2, 12, 3))
    other = perturbed(batch, one)
    model = model_of(tree_of(ALL), tower={"units": [6], "activation": "tanh"})
    begin, size = model.network.inputs[one["name"]]
    (first,) = [layer for _, layer, first in model.network.layers() if first]
    kernel, mine = first.kernel.numpy(), np.zeros(first.kernel.shape, bool)
    mine[begin : begin + size] = True
    first.kernel.assign(np.where(mine, 0, kernel))
    np.testing.assert_array_equal(logits(model, batch), logits(model, other))
    first.kernel.assign(np.where(mine, kernel, 0))
    assert np.abs(logits(model, batch) - logits(model, other)).max() > 1e-4


@pytest.mark.parametrize("features", [ALL, EMBEDDED[:3]], ids=["all", "numbers alone"])
@pytest.mark.parametrize("body", BODIES)
def test_below_every_body_star_batches_are_joined_rows_and_all_is_learnt(body: str, features: list[dict[str, Any]]) -> None:
    tree = tree_of(features) | {"stages": [{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}]}
    for shared in (True, False):
        model = model_of(tree, body=smooth(body), tower={"units": [4], "activation": "tanh"}, share_embeddings=shared)
        for _, layer, _ in model.network.layers():
            if isinstance(layer, NumberEmbedding):
                layer.bias.assign(tf.ones_like(layer.bias))  # or else all may be below zero, and learn nothing
        batch = clean(batch_of(tree, 3, 12, 4))
        batch |= {key: np.where(np.abs(a) > 5, 1, a) for key, a in batch.items() if a.dtype == np.float32}
        np.testing.assert_allclose(logits(model, batch), logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)
        all_is_learnt(model, batch)
        all_is_listed(model)


def test_an_embedded_number_takes_part_in_products_as_one_embedding() -> None:
    # A table of width 2 and two numbers of width 2: three embeddings, and no plain number.
    features = [FEATURES[0], EMBEDDED[1], number("more", "facts", BINS | {"dim": 2})]
    model = model_of(tree_of(features), body="dot")
    (bottom,) = model.network.bottoms
    seen: list[Fields] = []
    layer = bottom.body.parts[0]
    call = layer.call
    layer.call = lambda fields: (seen.extend(fields), call(fields))[1]
    batch = clean(batch_of(tree_of(features), 3, 4, 2))
    logits(model, batch)
    assert [{width: rows.shape[1] for width, rows in one.embeddings.items()} for one in seen] == [{2: 2}, {2: 4}]
    assert all(one.numbers is None for one in seen)
    # Three products, beside six numbers that enter.
    assert model.network.towers[0].stack.dense[0].kernel.shape[0] == 6 + 3


def test_saved_and_read_again_it_says_the_same(tmp_path: Path) -> None:
    model, batch = model_of(tree_of(ALL)), clean(batch_of(tree_of(ALL), 3, 12, 4))
    path = tf.train.Checkpoint(network=model.network).write(str(tmp_path / "weights"))
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3)
    other = model_of(tree_of(ALL) | {"train": {"seed": 9}})
    before = logits(other, batch)
    tf.train.Checkpoint(network=other.network).read(path).assert_consumed()
    tf.train.Checkpoint(network=model.network).read(path).assert_consumed()
    np.testing.assert_array_equal(logits(other, batch), logits(model, batch))
    assert (before != logits(other, batch)).any()


def test_a_blank_batch_creates_all_there_is_and_says_numbers() -> None:
    model = model_of(tree_of(ALL))
    assert np.isfinite(model.network(blank_batch(model.schema)).towers[0]).all()


FINE = {"kind": "piecewise_linear", "boundaries": np.linspace(-3, 3, 13).tolist(), "dim": 4}


@pytest.mark.parametrize(("transform", "better"), [(FINE, True), (WAVES | {"frequencies": 16}, True), ("none", False)])
def test_what_is_no_straight_line_is_learnt_by_a_linear_tower(transform: Any, better: bool) -> None:
    # A bump: of a straight line nothing is left but the rate.
    rng = np.random.default_rng(0)
    numbers = rng.uniform(-3, 3, 2000).astype(np.float32)
    labels = (rng.random(2000) < np.where(np.abs(numbers) < 1, 0.95, 0.05)).astype(np.float32)
    tree = tree_of([number("n", "facts", transform)])
    tree |= {"train": {"optimizer": {"dense": {"kind": "adam", "learning_rate": 0.05}}}}
    model = model_of(tree, tower={"units": []})
    index = np.zeros(2000, np.int32)
    element = (tensors({"facts/n": numbers, "index/user": index, "index/item": index}), tf.constant(labels[:, None]))
    step = tf.function(model.learn)
    for _ in range(150):
        learned = step(element)
    assert (float(learned.loss) < 0.4) is better
