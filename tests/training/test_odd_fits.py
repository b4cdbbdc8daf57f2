"""Fits of unusual shapes: each is stopped, gone on with, and started from."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import funnel
from funnel.training.events import Epoch
from tests import shop
from tests.training.fits import Halt, same, stop_after


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=300)


def without(*names: str) -> dict[str, Any]:
    made = shop.tree()
    made["features"] = [feature for feature in made["features"] if feature["name"] not in names]
    return made


def only(*names: str) -> dict[str, Any]:
    made = shop.tree()
    made["features"] = [feature for feature in made["features"] if feature["name"] in names]
    made["tables"] = {} if not {"item", "seen"} & set(names) else made["tables"]
    return made


def no_dimension() -> dict[str, Any]:
    made = without("user_id", "city", "age", "liked", "city_item")
    made["data"] = {"facts": made["data"]["facts"]}
    return made


def one_stage() -> dict[str, Any]:
    made = shop.tree()
    made["stages"] = made["stages"][:1]
    return made


def no_validation() -> dict[str, Any]:
    made = shop.tree()
    made["data"]["validation"] = None
    return made


def linear() -> dict[str, Any]:
    made = shop.tree()
    made["model"]["tower"] = {"units": []}
    return made


ODD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no dimension": (no_dimension(), {}),
    "no embeddings": (only("age", "price"), {}),
    "only bags": (only("liked", "seen", "also_seen"), {}),
    "nothing of the facts": (only("age", "liked"), {}),
    "one stage": (one_stage(), {}),
    "no validation": (no_validation(), {}),
    "no tower": (linear(), {}),
    "a batch larger than the data": (shop.tree(), {"batch_size": 100_000}),
    "a batch of one row": (shop.tree(), {"batch_size": 1, "epochs": 1}),
    "one epoch": (shop.tree(), {"epochs": 1}),
}


FIRST = ("no embeddings", "only bags")  # the others: --long


@pytest.mark.parametrize("name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.long) for name in ODD])
def test_it_goes_on_exactly_and_may_be_started_from(tmp_path: Path, data, name: str) -> None:
    made, train = ODD[name]
    made = made | {"train": {"batch_size": 64, "epochs": 2, "checkpoint": {"steps": 1, "keep": 1}} | train}
    rows = {"facts": data["facts"]} if name == "no dimension" else data
    if name == "a batch of one row":
        rows = {"facts": data["facts"].head(40), "user": data["user"]}
    whole = funnel.fit(made, rows)
    stop = 1 if whole.manifest["steps"] < 4 else 3
    with pytest.raises(Halt):
        funnel.fit(made, rows, out=tmp_path / "run", watch=stop_after(stop))
    run = funnel.fit(made, rows, out=tmp_path / "run", resume=True)
    assert same(run, whole)
    assert run.metrics == whole.metrics
    next_ = funnel.fit(made, rows, warm_start=tmp_path / "run", out=tmp_path / "next")
    told = next_.manifest["warm_start"]
    assert told["fresh"] == []
    assert all(counts["rows"] == counts["known"] for counts in told["tables"].values())
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["next", "run"]


@pytest.mark.parametrize(("column", "value"), [("click", 1), ("buy", 0), pytest.param("click", 0, marks=pytest.mark.long)])
def test_a_stage_that_all_rows_reach_or_none_is_fitted_and_gone_on_with(tmp_path: Path, data, column: str, value: int) -> None:
    facts = data["facts"].with_columns(pl.lit(value).alias(column))
    facts = facts.with_columns(buy=pl.col("buy") * pl.col("click"))
    made = shop.tree()
    made["train"] = {"batch_size": 64, "epochs": 3, "early_stopping": {"metric": "auc"}, "checkpoint": {"steps": 1}}
    rows = {"facts": facts, "user": data["user"]}
    events: list[Any] = []
    whole = funnel.fit(made, rows, watch=events.append)
    assert [event.rows for event in events if isinstance(event, Epoch)] == [whole.manifest["training_rows"]] * len(
        whole.history
    )
    with pytest.raises(Halt):
        funnel.fit(made, rows, out=tmp_path / "run", watch=stop_after(7))
    assert same(funnel.fit(made, rows, out=tmp_path / "run", resume=True), whole)
