from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.fitting import model_of
from funnel.training.checkpoint import Checkpoints
from funnel.training.events import Epoch
from funnel.training.loop import Fit
from tests import shop


def weights_of(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.network.variables]


def fitted(folder: Path, scores: list[float], **stopping: object) -> tuple[Fit, list[Epoch], list[list[np.ndarray]]]:
    """Train with scripted validation losses: the fit, its epochs, and the weights after each."""
    tree = shop.tree()
    tree["data"]["validation"] = None
    tree["train"] |= {"epochs": len(scores), "early_stopping": stopping}
    schema = funnel.load_schema(tree)
    store = funnel.prepare(schema, shop.frames(rows=300))
    model = model_of(schema, store)
    scripted: Iterator[float] = iter(scores)
    after: list[list[np.ndarray]] = []

    def validate() -> dict[str, float]:
        after.append(weights_of(model))
        return {"click": next(scripted), "buy": 0.0}

    fit = Fit(model, store.learnt, store.shards("train"), Checkpoints(folder, 1, model), validate)
    return fit, [event for event in fit.run() if isinstance(event, Epoch)], after


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_best_epoch_is_kept_and_patience_ends_the_fit(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [0.5, 0.3, 0.4, 0.45, 0.1], patience=1)
    assert [epoch.best for epoch in epochs] == [True, True, False, False]
    assert same(weights_of(fit.model), after[1])
    assert not same(weights_of(fit.model), after[-1])


def test_auc_is_better_the_greater_it_is(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [0.5, 0.7, 0.6], metric="auc", patience=5)
    assert [epoch.best for epoch in epochs] == [True, True, False]
    assert same(weights_of(fit.model), after[1])


def test_only_the_declared_stages_decide(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [0.5, 0.3], stages=["buy"], patience=5)
    assert [epoch.best for epoch in epochs] == [True, False]
    assert same(weights_of(fit.model), after[0])


def test_a_score_that_is_undefined_everywhere_still_ends_with_weights(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [float("nan"), float("nan")], metric="auc", patience=3)
    assert len(epochs) == 2
    assert same(weights_of(fit.model), after[0])


def test_every_row_is_seen_in_each_epoch_with_the_last_partial_batch(tmp_path: Path) -> None:
    _, epochs, _ = fitted(tmp_path, [0.5, 0.4])
    assert [epoch.rows for epoch in epochs] == [300, 300]
    assert [epoch.step for epoch in epochs] == [3, 6]
    assert all(
        epoch.losses["loss"] == pytest.approx(epoch.losses["click_loss"] + epoch.losses["buy_loss"], rel=1e-5)
        for epoch in epochs
    )


def test_the_step_is_traced_once_whatever_the_batches(tmp_path: Path) -> None:
    fit, _, _ = fitted(tmp_path, [0.5, 0.4, 0.3])
    assert fit.traces == 1
