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


def test_without_patience_the_first_epoch_that_is_no_better_is_the_last(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [0.5, 0.3, 0.3, 0.1], patience=0)
    assert [epoch.best for epoch in epochs] == [True, True, False]
    assert same(weights_of(fit.model), after[1])


def test_a_defined_score_is_better_than_an_undefined_one_and_not_the_other_way_round(tmp_path: Path) -> None:
    fit, epochs, after = fitted(tmp_path, [float("nan"), 0.9, float("nan"), 0.9], stages=["click"], patience=3)
    assert [epoch.best for epoch in epochs] == [True, True, False, False]
    assert same(weights_of(fit.model), after[1])


def test_without_early_stopping_the_last_epoch_stays_whatever_the_scores(tmp_path: Path) -> None:
    tree = shop.tree()
    tree["train"] |= {"epochs": 2, "early_stopping": None}
    schema = funnel.load_schema(tree)
    store = funnel.prepare(schema, shop.frames(rows=300))
    model, scores, after = model_of(schema, store), iter([0.1, 0.9]), []

    def validate() -> dict[str, float]:
        after.append(weights_of(model))
        return {"click": next(scores), "buy": 0.0}

    fit = Fit(model, store.learnt, store.shards("train"), Checkpoints(tmp_path, 1, model), validate)
    assert [event.best for event in fit.run() if isinstance(event, Epoch)] == [True, True]
    assert same(weights_of(model), after[1])
    assert list(tmp_path.iterdir()) == []


def test_the_steps_of_an_epoch_see_each_row_once(tmp_path: Path) -> None:
    """The losses that are told of are the means over exactly the rows of the files, before anything was learnt from them."""
    tree = shop.tree()
    tree["data"]["validation"] = None
    tree["train"] |= {
        "epochs": 1,
        "batch_size": 70,
        "optimizer": {"embedding": {"kind": "sgd", "learning_rate": 1e-30}, "dense": {"kind": "sgd", "learning_rate": 1e-30}},
    }
    data = shop.frames(rows=300)
    run = funnel.fit(tree, data)
    predicted = run.predict(data, "train")
    for stage in ("click", "buy"):
        label, p = data["facts"][stage].to_numpy(), predicted[stage].astype(np.float64)
        expected = -np.mean(label * np.log(p) + (1 - label) * np.log1p(-p))
        assert run.history[0]["losses"][f"{stage}_loss"] == pytest.approx(expected, rel=1e-4)
