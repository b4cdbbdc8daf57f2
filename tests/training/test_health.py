from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.errors import DivergedError
from funnel.training.events import Epoch
from funnel.training.health import Watchdog, cumulative_rates
from tests import shop


def small(**train: Any) -> dict[str, Any]:
    tree = shop.tree()
    tree["data"]["validation"] = None
    tree["train"] |= train
    return tree


def test_the_rate_of_a_stage_is_the_product_of_the_priors_down_to_it() -> None:
    np.testing.assert_allclose(cumulative_rates([0.5, 0.2, 0.4], [-1, 0, 0]), [0.5, 0.1, 0.2])


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
