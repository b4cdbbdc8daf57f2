from collections.abc import Iterator

import numpy as np
import pytest

import funnel
from funnel.model.network import blank_batch
from funnel.training.loop import Epoch, train
from tests import shop


def fitted(scores: list[float], **stopping: object) -> tuple[list[Epoch], list[list[np.ndarray]], list[np.ndarray]]:
    """Train with scripted validation losses: the epochs, the weights after each, and those at the end."""
    tree = shop.tree()
    tree["data"]["validation"] = None
    tree["train"] |= {"epochs": len(scores), "early_stopping": stopping}
    data = shop.frames(rows=300)
    model = funnel.build(tree, data)
    model.network(blank_batch(model.schema))
    scripted: Iterator[float] = iter(scores)
    after: list[list[np.ndarray]] = []

    def validate() -> dict[str, float]:
        after.append([variable.numpy() for variable in model.network.variables])
        score = next(scripted)
        return {"click": score, "buy": 0.0}

    epochs = [event for event in train(model, funnel.dataset(tree, data), validate) if isinstance(event, Epoch)]
    return epochs, after, [variable.numpy() for variable in model.network.variables]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_best_epoch_is_kept_and_patience_ends_the_fit() -> None:
    epochs, after, final = fitted([0.5, 0.3, 0.4, 0.45, 0.1], patience=1)
    assert [epoch.best for epoch in epochs] == [True, True, False, False]
    assert same(final, after[1])
    assert not same(final, after[-1])


def test_auc_is_better_the_greater_it_is() -> None:
    epochs, after, final = fitted([0.5, 0.7, 0.6], metric="auc", patience=5)
    assert [epoch.best for epoch in epochs] == [True, True, False]
    assert same(final, after[1])


def test_only_the_declared_stages_decide() -> None:
    epochs, after, final = fitted([0.5, 0.3], stages=["buy"], patience=5)
    assert [epoch.best for epoch in epochs] == [True, False]
    assert same(final, after[0])


def test_a_score_that_is_undefined_everywhere_still_ends_with_weights() -> None:
    epochs, after, final = fitted([float("nan"), float("nan")], metric="auc", patience=3)
    assert len(epochs) == 2
    assert same(final, after[0])


def test_every_row_is_seen_in_each_epoch_with_the_last_partial_batch() -> None:
    epochs, _, _ = fitted([0.5, 0.4])
    assert [epoch.rows for epoch in epochs] == [300, 300]
    assert all(
        epoch.losses["loss"] == pytest.approx(epoch.losses["click_loss"] + epoch.losses["buy_loss"], rel=1e-5)
        for epoch in epochs
    )
