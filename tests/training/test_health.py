from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.order import Epoch as Order
from funnel.errors import DivergedError
from funnel.schema.learnt import cumulative_rates
from funnel.schema.topology import Place
from funnel.training.checkpoint import Checkpoints
from funnel.training.events import Epoch
from funnel.training.health import Watchdog
from funnel.training.loop import Fit
from tests import shop


def small(**train: Any) -> dict[str, Any]:
    tree = shop.tree()
    tree["data"]["validation"] = None
    tree["train"] |= train
    return tree


def test_the_rate_of_a_stage_is_the_product_of_the_priors_down_to_it() -> None:
    np.testing.assert_allclose(cumulative_rates([0.5, 0.2, 0.4], [Place(-1), Place(0), Place(0)]), [0.5, 0.1, 0.2])


def test_a_row_whose_number_overflows_is_named() -> None:
    data = shop.frames(rows=300)
    data["facts"] = data["facts"].with_columns(
        price=pl.when(pl.int_range(pl.len()) == 137).then(3e38).otherwise(pl.col("price"))
    )
    tree = small()
    tree["features"] = [f for f in tree["features"] if f["name"] not in ("price", "price_band")]
    tree["features"].append({"name": "price", "kind": "numeric", "transform": "none", "missing": {"fill": 1.0}})
    with pytest.raises(DivergedError, match=r"epoch 1, step \d: .*rows with the greatest losses: 137,") as error:
        funnel.fit(tree, data)
    assert next(iter(error.value.rows)) == 137


def test_rows_without_a_number_are_named_with_the_first_stage_that_has_none() -> None:
    dog = Watchdog(("click", "buy"), np.array([0.3, 0.001]))
    losses = np.zeros([4, 2])
    losses[2, 1] = np.nan
    with pytest.raises(DivergedError, match=r"step 1: the loss is nan.*'buy' is the first stage.* 1 of 4 rows: 12 \(") as error:
        dog.see(float("nan"), losses, np.zeros([4, 2]), "step 1", lambda _: np.arange(10, 14))
    assert list(error.value.rows) == [12]


def test_weights_that_a_step_broke_are_told_with_the_rows_of_that_step() -> None:
    tree = small(optimizer={"dense": {"kind": "sgd", "learning_rate": 1e38}}, shuffle="row")
    with pytest.raises(DivergedError, match="the step before it broke the weights") as error:
        funnel.fit(tree, shop.frames(rows=600))
    assert len(list(error.value.rows)) == 128


def test_a_loss_far_above_that_of_a_constant_for_long_is_divergence() -> None:
    dog = Watchdog(("click", "buy"), np.array([0.3, 0.001]))

    def see_often() -> None:
        for _ in range(200):
            dog.see(0.5, np.full([4, 2], [0.4, 0.5]), np.zeros([4, 2]), "step 7", lambda _: np.arange(4))

    with pytest.raises(DivergedError, match=r"step 7: the loss of 'buy' has grown to .* lower train"):
        see_often()


def test_a_spike_is_no_divergence() -> None:
    dog = Watchdog(("click",), np.array([0.3]))
    for step in range(200):
        dog.see(0.3, np.full([4, 1], 9.0 if step == 96 else 0.3), np.zeros([4, 1]), f"step {step}", lambda _: np.arange(4))


def test_a_stage_whose_predictions_are_all_the_same_is_told_of_and_reported(tmp_path: Path) -> None:
    tree, events = small(epochs=1), []
    tree["features"] = [feature for feature in tree["features"] if feature["name"] == "hour"]
    tree["tables"] = {}
    data = shop.frames(rows=300)
    data = {"facts": data["facts"].with_columns(hour=pl.lit(1)), "user": data["user"]}
    run = funnel.fit(tree, data, test=data, out=tmp_path / "run", watch=events.append)
    (epoch,) = [event for event in events if isinstance(event, Epoch)]
    assert epoch.constant == ("click", "buy")
    assert run.metrics["test"]["constant"] == ["click", "buy"]


def test_a_healthy_fit_has_no_constant_stage() -> None:
    events: list[Any] = []
    funnel.fit(small(epochs=1), shop.frames(rows=300), watch=events.append)
    assert [event.constant for event in events if isinstance(event, Epoch)] == [()]


@pytest.mark.parametrize(("rate", "size"), [(1e-4, 128), (5e-6, 2048), (0.02, 64)])
def test_a_rare_stage_that_is_predicted_as_well_as_a_constant_can_is_never_stopped(rate: float, size: int) -> None:
    """Its few positives outweigh all else where they fall."""
    dog, random, positives = Watchdog(("buy",), np.array([rate])), np.random.default_rng(0), 0
    for step in range(8000):
        labels = (random.random([size, 1]) < rate).astype(np.float32)
        losses = np.where(labels > 0, -np.log(rate), -np.log1p(-rate))
        positives += int(labels.sum())
        dog.see(float(losses.mean()), losses, labels, f"step {step}", lambda _: np.arange(size))
    assert positives > 30


def test_a_block_of_positives_is_no_divergence_where_a_constant_would_fare_as_ill() -> None:
    dog = Watchdog(("buy",), np.array([0.001]))
    for step in range(400):
        labels = np.full([4, 1], float(step > 300))
        dog.see(1.0, np.where(labels > 0, 6.9, 0.001), labels, f"step {step}", lambda _: np.arange(4))


def test_a_loss_that_grows_though_it_stays_a_number_ends_the_fit_with_what_to_do() -> None:
    wild = {"dense": {"kind": "sgd", "learning_rate": 5.0, "momentum": 0.95}}
    with pytest.raises(DivergedError, match=r"epoch \d+, step \d+: the loss of '\w+' has grown to .* learning rates"):
        funnel.fit(small(batch_size=16, epochs=12, early_stopping=None, optimizer=wild), shop.frames(rows=300))


def test_a_row_whose_number_is_infinite_once_it_is_scaled_is_named_in_its_step() -> None:
    data = shop.frames(rows=300)
    data["facts"] = data["facts"].with_columns(
        price=pl.when(pl.int_range(pl.len()) == 41).then(3e38).otherwise(pl.col("price"))
    )
    tree = small(batch_size=32, shuffle="row")
    tree["features"] = [f for f in tree["features"] if f["name"] not in ("price", "price_band")]
    scale = {"kind": "standardize", "mean": 0.0, "std": 0.5}
    tree["features"].append({"name": "price", "kind": "numeric", "transform": scale, "missing": {"fill": 1.0}})
    shards = funnel.prepare(tree, data).shards("train")
    order = Order(shards, 32, funnel.load_schema(tree).train.shuffle)
    (seen,) = [
        step + 1 for step in range(order.steps) if any(41 in shards[shard].position[rows] for shard, rows in order.step(step))
    ]
    said = rf"epoch 1, step {seen}: the loss is (nan|inf).*'click' is the first stage.* for 1 of \d+ rows: 41 \(from 0"
    with pytest.raises(DivergedError, match=said) as error:
        funnel.fit(tree, data)
    assert list(error.value.rows) == [41]


def test_dead_towers_are_constant_stages(tmp_path: Path) -> None:
    """Units whose sums are below zero for every row: rectified, nothing is left of the row."""
    schema = funnel.load_schema(small(batch_size=64))
    store = funnel.prepare(schema, shop.frames(rows=300))
    model = funnel.build(schema, store)
    model.create_variables()
    (dense,) = model.network.towers[1].stack.dense
    dense.bias.assign(np.full(dense.bias.shape, -1e6, np.float32))
    fit = Fit(model, store.learnt, store.shards("train"), Checkpoints(tmp_path, 1, model), None)
    assert [event.constant for event in fit.run() if isinstance(event, Epoch)] == [("buy",)] * schema.train.epochs
