from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.model._keras import tf
from funnel.model.funnel_model import build_model
from funnel.schema.learnt import Learnt, declared_only
from funnel.schema.reader import load_schema
from tests.model.stars import LISTED, Batch, batch_of, table_of, tree_of, trees

FEATURES = [
    {"name": "city", "source": "user", "kind": "categorical", "table": "t"},
    {"name": "age", "source": "user", "kind": "numeric", "transform": "none"},
    {"name": "liked", "source": "user", "kind": "bag", "table": "u", "pooling": "sum", "weighted": True, "weights": "w"},
    {"name": "price", "source": "facts", "kind": "numeric", "transform": "none", "missing": {"fill": 0}},
    {"name": "seen", "source": "facts", "kind": "bag", "table": "t", "pooling": "sqrtn"},
    {"name": "hour", "source": "facts", "kind": "categorical", "buckets": 3, "dim": 3},
    {"name": "brand", "source": "item", "kind": "categorical", "buckets": 4, "dim": 1},
]


def model_of(tree: dict[str, Any], **model: Any) -> Any:
    schema = load_schema(tree | {"model": {"tower": {"units": [6]}} | model})
    learnt, unknown = declared_only(schema)
    assert isinstance(learnt, Learnt), unknown
    made = build_model(schema, learnt, {})
    made.create_variables()
    for table in made.network.tables:  # small ones would hide what a row does
        table.assign(tf.random.stateless_normal(table.shape, [1, 2]))
    return made


def tensors(batch: Batch) -> dict[str, tf.Tensor]:
    return {key: tf.constant(array) for key, array in batch.items()}


def logits(model: Any, batch: Batch) -> np.ndarray:
    return model.logits(tensors(batch)).numpy()


def clean(batch: Batch) -> Batch:
    """With numbers that a layer can multiply."""
    return {key: np.nan_to_num(a, posinf=3, neginf=-3) if a.dtype == np.float32 else a for key, a in batch.items()}


def perturbed(batch: Batch, feature: dict[str, Any]) -> Batch:
    key = f"{feature['source']}/{feature['name']}"
    if feature["kind"] == "numeric":
        return batch | {key: batch[key] + 1}
    table = table_of(feature)
    assert table is not None
    return batch | {key: ((batch[key] + 1) % table[1]).astype(np.int32)}


def test_inputs_by_hand() -> None:
    model = model_of(tree_of(FEATURES))
    # By source; in it by width in the order of first features (2, 3, 1), then numbers: 1 column, or 2 with an indicator.
    expected = {
        "seen": (0, 2), "hour": (2, 3), "price": (5, 1), "city": (6, 2), "liked": (8, 3), "age": (11, 2), "brand": (13, 1),
    }  # fmt: skip
    assert model.network.inputs == expected
    assert list(model.network.inputs) == list(expected)
    assert model.network.towers[0].stack.dense[0].kernel.shape[0] == 14


@pytest.mark.parametrize("units", [[], [5]], ids=["towers first", "body first"])
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature["name"])
def test_a_feature_acts_through_its_rows_of_the_kernel_and_no_others(feature: dict[str, Any], units: list[int]) -> None:
    tree = tree_of(FEATURES)
    batch = clean(batch_of(tree, 2, 12, 3)) | {"user/liked": np.array([0, 1, 2], np.int32)}
    batch |= {"user/liked/offsets": np.array([0, 1, 2, 3], np.int32), "user/liked/weights": np.array([1, 2, 3], np.float32)}
    other = perturbed(batch, feature)
    model = model_of(tree, body={"units": units, "activation": "tanh"}, tower={"units": [6], "activation": "tanh"})
    begin, size = model.network.inputs[feature["name"]]
    firsts = [layer for _, layer, first in model.network.layers() if first]
    assert len(firsts) == 1
    kernel, mine = firsts[0].kernel.numpy(), np.zeros(firsts[0].kernel.shape, bool)
    mine[begin : begin + size] = True
    firsts[0].kernel.assign(np.where(mine, 0, kernel))
    np.testing.assert_array_equal(logits(model, batch), logits(model, other))
    firsts[0].kernel.assign(np.where(mine, kernel, 0))
    assert np.abs(logits(model, batch) - logits(model, other)).max() > 1e-4


@settings(max_examples=25)
@given(trees())
def test_inputs_are_the_rows_of_the_first_kernels_one_after_another(tree) -> None:
    model = model_of(tree)
    assert set(model.network.inputs) == {feature["name"] for feature in tree["features"]}
    end = 0
    for begin, size in model.network.inputs.values():
        assert begin == end
        end += size
    assert [layer.kernel.shape[0] for _, layer, first in model.network.layers() if first] == [end]


def test_layers_are_named_by_part_and_the_first_ones_are_those_that_inputs_enter() -> None:
    tree = tree_of(FEATURES) | {"stages": [{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}]}
    deep = model_of(tree, body={"units": [3, 2], "activation": "prelu"}, tower={"units": [4], "activation": "relu"})
    assert [(name, first) for name, _, first in deep.network.layers()] == [
        ("body/dense_0", True), ("body/prelu_0", False), ("body/dense_1", False), ("body/prelu_1", False),
        ("click/dense_0", False), ("click/logit", False), ("buy/dense_0", False), ("buy/logit", False),
    ]  # fmt: skip
    linear = model_of(tree, tower={"units": []})
    assert [(name, first) for name, _, first in linear.network.layers()] == [("click/logit", True), ("buy/logit", True)]
    layers = {id(variable) for _, layer, _ in deep.network.layers() for variable in layer.trainable_variables}
    tables = {id(variable) for variable in deep.network.tables}
    assert layers | tables == {id(variable) for variable in deep.trainable_variables}


def joined(tree: dict[str, Any], batch: Batch) -> Batch:
    """One row of each dimension per fact."""
    found = {key: array for key, array in batch.items() if key.startswith("facts/")}
    for source in ("user", "item"):
        index = batch[f"index/{source}"]
        found[f"index/{source}"] = np.arange(len(index), dtype=np.int32)
        for feature in tree["features"]:
            key = f"{feature['source']}/{feature['name']}"
            if feature["source"] == source and feature["kind"] not in LISTED:
                found[key] = batch[key][index]
            elif feature["source"] == source:
                starts, ends = batch[f"{key}/offsets"][index], batch[f"{key}/offsets"][index + 1]
                places = np.concatenate([np.arange(*part) for part in zip(starts, ends, strict=True)]).astype(int)
                found[f"{key}/offsets"] = np.cumsum([0, *(ends - starts)]).astype(np.int32)
                found |= {name: batch[name][places] for name in (key, f"{key}/weights") if name in batch}
    return found


@settings(max_examples=25)
@given(trees(), st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_a_star_batch_and_its_joined_rows_have_the_same_logits(tree, seed: int, facts: int, rows: int) -> None:
    # Facts or dimensions may be without features, there may be no embeddings at all, and one row.
    model, batch = model_of(tree), clean(batch_of(tree, seed, facts, rows))
    found = logits(model, batch)
    assert found.shape == (facts, 1)
    np.testing.assert_allclose(found, logits(model, joined(tree, batch)), rtol=1e-3, atol=1e-4)


PARTS = {"all": FEATURES, "facts": FEATURES[3:6], "user": FEATURES[:3], "numbers": [FEATURES[1], FEATURES[3]]}
PARTS |= {str(feature["name"]): [feature] for feature in FEATURES}


@pytest.mark.parametrize("chosen", PARTS)
def test_a_model_of_any_part_of_the_features_learns(chosen: str) -> None:
    # Numbers alone are without tables, and where all describe users the facts are without features.
    tree = tree_of(PARTS[chosen])
    model, batch = model_of(tree, tower={"units": [6], "activation": "prelu"}), clean(batch_of(tree, 3, 5, 2))
    element = (tensors(batch), tf.constant([[0.0], [1.0], [1.0], [1.0], [1.0]]))
    losses = [float(model.learn(element).loss) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert model.steps == 10


def test_a_step_on_bags_that_are_all_empty_leaves_the_tables_as_they_are() -> None:
    model = model_of(tree_of([FEATURES[4]]))
    batch = {"facts/seen": np.zeros(0, np.int32), "facts/seen/offsets": np.zeros(4, np.int32)}
    batch |= {"index/user": np.zeros(3, np.int32), "index/item": np.zeros(3, np.int32)}
    before = model.network.bottoms[0].embeddings.tables["2"].numpy()
    learned = model.learn((tensors(batch), tf.ones([3, 1])))
    assert np.isfinite(learned.loss)
    np.testing.assert_array_equal(model.network.bottoms[0].embeddings.tables["2"], before)
