"""Over which rows each stage's losses are."""

import numpy as np

import funnel
from funnel.model._keras import tf
from funnel.model.spaces import stage_rows
from tests import shop
from tests.model.trees import TREES

U = float("nan")


def rows(topology: str, labels: list[list[float]]) -> dict[str, dict[str, list[float]]]:
    schema = funnel.load_schema(shop.tree() | {"stages": TREES[topology]})
    found = stage_rows(tf.constant(labels), schema.topology)
    masks = ("label", "known", "inside", "outside")
    return {
        name: {mask: getattr(one, mask).numpy().tolist() for mask in masks}
        for name, one in zip(schema.stage_names, found, strict=True)
    }


def test_a_chain_by_hand() -> None:
    found = rows("two", [[1, 1], [1, 0], [0, 0], [U, U], [1, U], [0, U], [U, 1]])
    assert found["s0"] == {
        "label": [1, 1, 0, 0, 1, 0, 0],
        "known": [1, 1, 1, 0, 1, 1, 0],
        "inside": [1, 1, 1, 0, 1, 1, 0],
        "outside": [0, 0, 0, 0, 0, 0, 0],
    }
    # What was not clicked was not bought, whether it is written or not; of an unknown click nothing is known to be in or out.
    assert found["s1"] == {
        "label": [1, 0, 0, 0, 0, 0, 1],
        "known": [1, 1, 1, 0, 0, 1, 1],
        "inside": [1, 1, 0, 0, 0, 0, 0],
        "outside": [0, 0, 1, 0, 0, 1, 0],
    }


def test_exclusive_branches_by_hand() -> None:
    #        click direct buy_direct buy_other buy again
    found = rows("esm2", [[1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 1, 1], [1, U, U, U, 1, 0], [0, 0, 0, 0, 0, 0], [U, U, U, U, U, U]])
    assert found["buy_other"]["inside"] == [0, 1, 0, 0, 0]
    assert found["buy_other"]["outside"] == [1, 0, 0, 1, 0]
    assert found["again"]["inside"] == [1, 1, 1, 0, 0]
    assert found["again"]["label"] == [0, 1, 0, 0, 0]


def test_masks_are_finite_whatever_is_unknown() -> None:
    for topology, stages in TREES.items():
        found = rows(topology, [[U] * len(stages)] * 3)
        assert np.isfinite([list(one.values()) for one in found.values()]).all()
