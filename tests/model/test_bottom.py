"""What towers stand on: one bottom for all, or one each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import funnel
from funnel.data.batches import element
from funnel.fitting import model_of
from tests import shop


def tree(**more: Any) -> dict[str, Any]:
    made = shop.tree() | more
    made["data"]["validation"] = None
    return made


def steps(made: dict[str, Any], count: int = 5) -> Any:
    schema = funnel.load_schema(made)
    store = funnel.prepare(schema, shop.frames())
    model = model_of(schema, store)
    model.create_variables()
    batch = element([(star := store.shards("train")[0], np.arange(star.rows))])
    if len(schema.stages) == 1:
        batch = (batch[0], batch[1])
    for _ in range(count):
        model.learn(batch)
    return model


@pytest.mark.parametrize("body", [[], [7]])
def test_with_embeddings_of_its_own_a_stage_learns_as_if_it_were_alone(body: list[int]) -> None:
    network = {"embedding_dim": 4, "body": {"units": body}, "tower": {"units": [8], "activation": "prelu"}}
    apart = steps(tree(objective="parent_space", model=network | {"share_embeddings": False}))
    alone = steps(tree(objective="parent_space", model=network, stages=shop.tree()["stages"][:1]))
    first, second = apart.network.bottoms
    for mine, theirs in zip(first.variables, alone.network.bottoms[0].variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(apart.network.towers[0].variables, alone.network.towers[0].variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert (first.embeddings.tables["6"].numpy() != second.embeddings.tables["6"].numpy()).any()


def test_a_shared_bottom_is_one_and_is_taught_by_all() -> None:
    both = steps(tree(objective="parent_space"), 1)
    alone = steps(tree(objective="parent_space", stages=shop.tree()["stages"][:1]), 1)
    (bottom,) = both.network.bottoms
    assert (bottom.embeddings.tables["6"].numpy() != alone.network.bottoms[0].embeddings.tables["6"].numpy()).any()
    assert len(both.network.tables) == len(both.network.widths)


def test_layers_are_named_by_whose_they_are() -> None:
    network = {"embedding_dim": 4, "body": {"units": [7]}, "tower": {"units": [8]}, "share_embeddings": False}
    model = steps(tree(model=network, objective="dr"), 1)
    assert [(name, first) for name, _, first in model.network.layers()] == [
        ("click/body/dense_0", True),
        ("buy/body/dense_0", True),
        ("click/dense_0", False),
        ("click/logit", False),
        ("buy/dense_0", False),
        ("buy/logit", False),
        ("buy.twin/dense_0", False),
        ("buy.twin/logit", False),
    ]
