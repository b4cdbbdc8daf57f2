"""Labels that are not known, weights of rows and sampled rows, from the declaration to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.sampling import is_sampled
from funnel.evaluation.metrics import predicted_over_observed
from tests import shop
from tests.conftest import Answer


def tree(**data: Any) -> dict[str, Any]:
    declared = shop.tree()
    declared["data"] |= {"validation": {"kind": "fraction", "by": "row", "fraction": 0.2}, **data}
    declared["train"] |= {"epochs": 1}
    return declared


def rows(seed: int = 0, size: int = 900, **columns: Any) -> dict[str, pl.DataFrame]:
    made = shop.frames(seed, size)
    return made | {"facts": made["facts"].with_columns(**columns)}


def known_where(stage: str, rows: pl.Expr) -> pl.Expr:
    return pl.when(rows).then(pl.col(stage))


HALF = pl.int_range(pl.len()) % 2 == 0


def test_a_fit_learns_from_what_is_known_and_says_what_is_not() -> None:
    test = rows(1, 300, buy=known_where("buy", HALF))
    run = funnel.fit(tree(), rows(buy=known_where("buy", HALF)), test=test)
    facts = test["facts"]
    bought, clicked = facts["buy"], facts["click"] == 1
    # Without a click there was no purchase, also where that is null.
    known = (bought.is_not_null() | ~clicked).sum()
    found = run.metrics["test"]
    assert found["cumulative"]["click"]["rows"] == 300
    assert (found["cumulative"]["buy"]["rows"], found["cumulative"]["buy"]["positives"]) == (known, bought.sum())
    assert found["conditional"]["buy"]["rows"] == (bought.is_not_null() & clicked).sum()
    assert run.learnt.known_inside[0] == 1
    assert 0 < run.learnt.known_inside[1] < 1
    assert run.manifest["unknown_labels"]["click"] == 0
    assert run.manifest["unknown_labels"]["buy"] > 0
    assert all(np.isfinite(column).all() for column in run.predict(rows(2, 50)).values())


def test_a_null_purchase_of_a_row_without_a_click_is_no_purchase(tmp_path: Path) -> None:
    """Logs have it so: the same model comes of a null as of a 0."""
    whole = funnel.fit(tree(), rows())
    nulls = funnel.fit(tree(), rows(buy=known_where("buy", pl.col("click") == 1)))
    for name, column in whole.predict(rows(2, 50)).items():
        np.testing.assert_array_equal(nulls.predict(rows(2, 50))[name], column)
    assert nulls.manifest["unknown_labels"] == {"click": 0, "buy": 0}


def test_nulls_in_the_place_of_every_0_are_refused_when_a_fit_starts() -> None:
    with pytest.raises(
        funnel.DataError, match=r"^stage 'buy': all \d+ known labels of its rows \(click\) are 1, and \d+ labels"
    ):
        funnel.fit(tree(), rows(buy=known_where("buy", pl.col("buy") == 1)))


def test_unknown_labels_are_told_on_the_command_line(funnel: Any, tmp_path: Path) -> None:
    folder = shop.write(tmp_path / "shop")
    facts = pl.read_parquet(folder / "train.parquet").with_columns(buy=known_where("buy", HALF))
    facts.write_parquet(folder / "train.parquet")
    answer: Answer = funnel(
        "fit", folder / "schema.yaml", "--data", folder, "--set", "train.epochs=1", "--out", tmp_path / "run"
    )
    assert answer[0] == 0, answer[2]
    assert "  unknown labels: " in answer[1]
    answer = funnel("prepare", folder / "schema.yaml", "--data", folder, "--out", tmp_path / "store")
    assert answer[0] == 0, answer[2]
    unknown = (facts["buy"].is_null() & (facts["click"] == 1)).sum()
    train, held = (part for part in answer[1].split("train: ")[1].split("test: ")[0].split("validation: "))
    counts = [int(part.split("unknown labels: ")[1].split(" ")[0].replace(",", "")) for part in (train, held)]
    assert sum(counts) == unknown


def test_weights_of_zero_are_as_good_as_absent() -> None:
    half = rows(weight=pl.when(HALF).then(1.0).otherwise(0.0))
    declared = tree(weight="weight", validation=None)
    run = funnel.fit(declared, half)
    assert run.learnt.weight == 0.5
    kept = half["facts"].filter(HALF)
    assert run.learnt.priors[0] == pytest.approx((kept["click"].sum() + 0.5) / (kept.height + 1))
    # Evaluation counts each row once, and needs no weights.
    assert run.evaluate(rows(1, 300)).cumulative["click"].rows == 300


def test_sampled_rows_are_judged_for_all_that_they_stand_for() -> None:
    rng = np.random.default_rng(5)
    every = rows(3, 4000)
    kept = (every["facts"]["click"] == 1).to_numpy() | (rng.random(4000) < 0.25)
    sampled = every | {"facts": every["facts"].filter(pl.Series(kept))}
    declared = tree() | {"sampling": {"impression": 0.25}}
    run = funnel.fit(declared, sampled, test=rows(4, 1000))
    assert not is_sampled(run.schema, "test")
    assert is_sampled(run.schema, "validation")
    assert is_sampled(run.schema, "train")
    assert run.metrics["test"]["cumulative"]["click"]["predicted_over_observed"] == pytest.approx(
        run.evaluate(rows(4, 1000)).cumulative["click"].predicted_over_observed
    )
    facts, predicted = sampled["facts"], run.predict(sampled)
    stands_for = np.where(facts["click"] == 1, 1.0, 4.0)
    wanted = predicted_over_observed(facts["click"], predicted["click"], stands_for)
    found = run.evaluate(sampled, "train").cumulative["click"]
    assert found.predicted_over_observed == pytest.approx(wanted, rel=1e-5)
    assert found.rows == facts.height
    as_test = funnel.load_schema(declared | {"sampling": {"rates": {"impression": 0.25}, "test": True}})
    run.schema = as_test
    assert run.evaluate(sampled).cumulative["click"].predicted_over_observed == pytest.approx(wanted, rel=1e-5)
