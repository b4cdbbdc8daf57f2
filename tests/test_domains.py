"""A domain, and stages that it lacks, from the declaration to the report and the exported model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.errors import DataError
from tests import shop
from tests.conftest import Answer

SCHEMA = Path(__file__).parents[1] / "schemas" / "multi_domain.yaml"
WHERE = ["feed", "search", "app", None]
BUY = ["buy", "buy_given_click"]


def tree(**model: Any) -> dict[str, Any]:
    made = shop.tree()
    made["stages"][1]["domains"] = ["feed", "app"]
    made["features"] = [f for f in made["features"] if f["name"] in ("city", "item", "price")]
    made["tables"] = {"items": {"dim": 6, "min_count": 1}}
    made["features"].append({"name": "scenario", "kind": "categorical"})
    made["model"] |= {"domain": {"feature": "scenario", "units": 4}} | model
    made["scores"] = {"worth": "click + 3 * buy", "least": "min(click, buy)"}
    made["data"]["validation"] = None
    return made | {"train": {"batch_size": 256, "epochs": 1}}


def rows(seed: int = 0, size: int = 900, elsewhere: Any = None) -> dict[str, pl.DataFrame]:
    """The shop's rows in four places; what the log has of `buy` where there is none."""
    made = shop.frames(seed, size)
    where = np.random.default_rng(seed + 7).integers(0, 4, size)
    facts = made["facts"].with_columns(scenario=pl.Series([WHERE[place] for place in where], dtype=pl.String))
    there = pl.col("scenario").is_in(["feed", "app"]).fill_null(value=False)
    return made | {"facts": facts.with_columns(buy=pl.when(there).then(pl.col("buy")).otherwise(elsewhere))}


@pytest.fixture(scope="module")
def run() -> Any:
    return funnel.fit(tree(), rows(), test=rows(1, 300))


def there(frames: dict[str, pl.DataFrame]) -> np.ndarray:
    return frames["facts"]["scenario"].is_in(["feed", "app"]).fill_null(value=False).to_numpy()


def test_predictions_are_nan_where_the_domain_lacks_the_stage(run: Any) -> None:
    frames = rows(2, 80)
    found = run.predict(frames, logits=True)
    lacking = ~there(frames)
    assert lacking.any()
    for name in (*BUY, "buy_logit", "buy_given_click_logit", "worth", "least"):
        np.testing.assert_array_equal(np.isnan(found[name]), lacking, err_msg=name)
    assert np.isfinite(found["click"]).all()
    new = {**frames, "facts": frames["facts"].with_columns(scenario=pl.lit("a new place"))}
    found = run.predict(new)
    assert np.isfinite(found["click"]).all()
    assert np.isnan(found["buy"]).all()


def test_metrics_are_of_the_rows_that_have_the_stage_and_by_domain(run: Any) -> None:
    frames = rows(1, 300)
    facts, own = frames["facts"], there(frames)
    test = run.metrics["test"]
    bought = int(facts["buy"].sum())
    assert test["cumulative"]["click"]["rows"] == 300
    assert (test["cumulative"]["buy"]["rows"], test["cumulative"]["buy"]["positives"]) == (own.sum(), bought)
    assert test["conditional"]["buy"]["rows"] == (facts["click"].to_numpy()[own] == 1).sum()
    buy = next(step for step in test["funnel"] if step["stage"] == "buy")
    assert buy["observed"] == pytest.approx(bought)
    chances = run.predict(frames)["buy"]
    assert buy["predicted"] == pytest.approx(float(np.nansum(chances)), rel=1e-5)
    by = {part["value"]: part for part in test["slices"]["scenario"]}
    assert set(by) == {"feed", "search", "app", "(missing)"}
    for value, part in by.items():
        mine = facts.filter(pl.col("scenario").eq_missing(None if value == "(missing)" else value))
        assert part["rows"] == mine.height
        assert part["cumulative"]["buy"]["rows"] == (mine.height if value in ("feed", "app") else 0)


def test_what_is_learnt_counts_the_rows_that_have_the_stage(run: Any) -> None:
    facts, own = rows()["facts"], there(rows())
    clicked = facts["click"].to_numpy() == 1
    assert run.learnt.known_inside == run.learnt.known_elsewhere == (1.0, 1.0)
    assert run.learnt.given[1] == pytest.approx((clicked & own).mean())
    assert run.learnt.priors[1] == pytest.approx((facts["buy"].sum() + 0.5) / ((clicked & own).sum() + 1))
    assert sorted(run.learnt.domains) == ["app", "feed"]
    assert run.manifest["unknown_labels"] == {"click": 0, "buy": 0}


@pytest.mark.parametrize("elsewhere", [0, 1, "mixed"])
def test_whatever_the_log_has_of_an_absent_stage_is_not_looked_at(run: Any, elsewhere: Any) -> None:
    filling = pl.int_range(pl.len()) % 2 if elsewhere == "mixed" else elsewhere
    # Half of them are purchases without a click, which elsewhere would be refused.
    other = funnel.fit(tree(), rows(elsewhere=filling))
    for name, values in run.predict(rows(2, 50)).items():
        np.testing.assert_array_equal(values, other.predict(rows(2, 50))[name])


def test_a_frame_s_own_batches_give_the_same_in_plain_keras(run: Any) -> None:
    schema = funnel.load_schema(tree())
    model = funnel.build(schema, rows())
    history = model.fit(funnel.dataset(schema, rows()), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert run.model.learnt.domains == model.learnt.domains


def test_a_domain_that_training_rows_lack_is_refused() -> None:
    made = tree()
    made["stages"][1]["domains"] = ["feed", "serch"]
    with pytest.raises(DataError, match=r"stages.domains: 'serch' has no row of its own .* Did you mean 'search'"):
        funnel.fit(made, rows())


def test_the_doctor_does_not_take_absent_stages_for_unknown_labels() -> None:
    said = [f"{finding.about}: {finding.message}" for finding in funnel.check(tree(), rows()).findings]
    assert not [text for text in said if "not known" in text or "label is" in text]
    frames = rows(elsewhere=1)
    lacking = 900 - there(frames).sum()
    said = [finding for finding in funnel.check(tree(), frames).findings if "are not looked at" in finding.message]
    assert [(finding.level, finding.about) for finding in said] == [("warning", "stage buy")]
    assert f"{lacking} of 900 train rows have buy = 1 where scenario is not app or feed" in said[0].message


@pytest.mark.long
def test_a_smaller_export_keeps_every_domain(run: Any, tmp_path: Path) -> None:
    where = run.export(tmp_path / "export", tables="float16", min_count=10_000)
    frames = rows(1, 120)
    verified = funnel.verify(where, run, frames, tolerance=1.0)
    assert {one.rows for one in verified.differences} == {120}
    # NaN must meet NaN.
    assert all(one.largest <= 1.0 for one in verified.differences if one.output not in ("worth", "least"))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi_domain")
    funnel.simulate(SCHEMA, folder / "data", 3000, 600, overrides=["stages.like.prior=0.3"])
    quick = ["train.epochs=1", "train.batch_size=512", "model.body.units=[8]", "model.tower.units=[8]", "model.embedding_dim=4"]
    funnel.fit(SCHEMA, folder / "data", out=folder / "run", overrides=quick)
    return folder


def test_the_shipped_schema_is_simulated_with_nulls_where_a_domain_lacks_a_stage(shipped: Path) -> None:
    facts = pl.read_parquet(shipped / "data" / "train.parquet")
    lists = {"carted": ["feed", "search"], "bought": ["feed", "search"], "liked": ["feed"], "booked": ["mini_app"]}
    assert set(facts["scenario"].unique()) == {"feed", "search", "mini_app"}
    assert facts["clicked"].null_count() == 0
    for column, domains in lists.items():
        assert (facts[column].is_not_null() == facts["scenario"].is_in(domains)).all()


def test_the_shipped_schema_is_judged_by_domain_and_against_the_truth(shipped: Path, funnel: Any) -> None:
    found: Answer = funnel(
        "evaluate", shipped / "run", "--data", shipped / "data", "--truth", shipped / "data/truth/test.parquet", "--json"
    )
    assert found[0] == 0, found[2]
    metrics = json.loads(found[1])
    metrics = metrics.get("test", metrics)
    by = {part["value"]: part for part in metrics["slices"]["scenario"]}
    assert set(by) == {"feed", "search", "mini_app"}
    stages = {name: {k for k, v in part["cumulative"].items() if v["rows"]} for name, part in by.items()}
    assert stages == {
        "feed": {"click", "cart", "buy", "like"},
        "search": {"click", "cart", "buy"},
        "mini_app": {"click", "book"},
    }
    assert metrics["truth"]["book"]["rows"] == by["mini_app"]["rows"]


def test_the_shipped_schema_is_reported_exported_and_verified(shipped: Path, funnel: Any) -> None:
    code, _, error = funnel("report", shipped / "run")
    assert code == 0, error
    page = next((shipped / "run").rglob("*.html")).read_text(encoding="utf-8")
    assert "mini_app" in page
    assert funnel("export", shipped / "run", "--out", shipped / "export")[0] == 0
    code, said, error = funnel("verify", shipped / "export", "--run", shipped / "run", "--data", shipped / "data", "--json")
    assert code == 0, error
    assert json.loads(said)["passed"]
