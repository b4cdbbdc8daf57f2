"""Rows that were thrown away, from the log to the export: what comes out is about all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.sampling import is_sampled
from funnel.model._keras import tf
from funnel.run import Run
from funnel.schema.funnel_schema import FunnelSchema

RATES = {"impression": 0.02, "click": 0.5, "buy": 1.0}
DRAWN, TEST = 150_000, 60_000
WAYS: dict[str, Any] = {
    "inverse": {"rates": RATES},
    "weights": {"rates": RATES, "correction": "weights"},
    "not corrected": None,
}


def schema_of(sampling: Any, **more: Any) -> FunnelSchema:
    tree = {
        "name": "sampled",
        "stages": [{"name": "click", "label": "clicked"}, {"name": "buy", "label": "bought"}],
        "data": {"facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"}},
        "features": [{"name": "c", "kind": "categorical"}, {"name": "x", "kind": "numeric"}],
        "model": {"embedding_dim": 4, "tower": {"units": [8]}},
        "train": {"batch_size": 256, "epochs": 8},
    } | more
    return funnel.load_schema(tree | ({} if sampling is None else {"sampling": sampling}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "rows"
    drawn = funnel.load_schema(schema_of(WAYS["inverse"]), ["stages.click.prior=0.02", "stages.buy.prior=0.3"])
    funnel.simulate(drawn, folder, DRAWN, TEST)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    return {way: funnel.fit(schema_of(sampling), folder) for way, sampling in WAYS.items()}


@pytest.mark.parametrize("way", WAYS)
def test_probabilities_are_those_of_all_rows_where_sampling_is_declared(way: str, runs: dict[str, Run], folder: Path) -> None:
    truth = pl.read_parquet(folder / "truth" / "test.parquet")
    found = runs[way].predict(folder)
    ratios = {name: float(found[name].sum() / truth[name].sum()) for name in ("click", "buy")}
    for name, ratio in ratios.items():
        if way == "not corrected":
            assert ratio > 10, name
        else:
            assert ratio == pytest.approx(1, abs=0.15), name
    report = runs[way].metrics["test"]
    for name, ratio in ratios.items():
        # Test rows are whole: their labels say the same as the truth.
        assert report["cumulative"][name]["predicted_over_observed"] == pytest.approx(ratio, rel=0.1)
    assert report["cumulative"]["click"]["rows"] == TEST


def test_the_inverse_is_the_same_in_predict_and_in_the_export(runs: dict[str, Run], folder: Path, tmp_path: Path) -> None:
    found = runs["inverse"].predict(folder)
    rows = pl.read_parquet(folder / "test.parquet").head(500)
    served = tf.saved_model.load(str(runs["inverse"].export(tmp_path / "export"))).signatures["serving_default"]
    out = served(c=tf.constant(rows["c"].fill_null("").to_list()), x=tf.constant(rows["x"].cast(pl.Float32).fill_null(np.nan)))
    for name, column in out.items():
        np.testing.assert_allclose(column, found[name][:500], rtol=1e-5, err_msg=name)


def test_the_inverse_of_the_two_stage_chain_is_that_of_the_formula(runs: dict[str, Run], folder: Path) -> None:
    run = runs["inverse"]
    found = run.predict(folder)
    plain = Run(schema_of(None), run.learnt, run.vocabulary, funnel.build(schema_of(None), folder), [], {}, {})
    plain.model.create_variables()
    for mine, theirs in zip(plain.model.network.variables, run.model.network.variables, strict=True):
        mine.assign(theirs)
    sampled = plain.predict(folder)
    s0, s1, s2 = RATES.values()
    # W_2 = s_2; odds(p_2) = odds(p'_2) s_1 / W_2; W_1 = (1 - p_2) s_1 + p_2 W_2; odds(p_1) = odds(p'_1) s_0 / W_1.
    odds = {name: sampled[name].astype(float) / (1 - sampled[name].astype(float)) for name in ("click", "buy_given_click")}
    p2 = 1 / (1 + 1 / (odds["buy_given_click"] * s1 / s2))
    p1 = 1 / (1 + 1 / (odds["click"] * s0 / ((1 - p2) * s1 + p2 * s2)))
    np.testing.assert_allclose(found["buy_given_click"], p2, rtol=1e-5)
    np.testing.assert_allclose(found["click"], p1, rtol=1e-5)
    np.testing.assert_allclose(found["buy"], p1 * p2, rtol=1e-5)


def test_sampled_test_rows_count_for_all_that_they_stand_for(runs: dict[str, Run], folder: Path, tmp_path: Path) -> None:
    run = runs["inverse"]
    # Of the test rows, as many are thrown away as of the training rows.
    rows = pl.read_parquet(folder / "test.parquet")
    rate = rows.select(
        pl.when(pl.col("bought") == 1).then(RATES["buy"]).when(pl.col("clicked") == 1).then(RATES["click"]).otherwise(0.02)
    ).to_series()
    kept = rows.filter(pl.Series(np.random.default_rng(0).random(rows.height) < rate.to_numpy()))
    whole = run.evaluate(rows)
    told = Run(schema_of({"rates": RATES, "test": True}), run.learnt, run.vocabulary, run.model, [], {}, {})
    for name in ("click", "buy"):
        weighed, naive = told.evaluate(kept).cumulative[name], run.evaluate(kept).cumulative[name]
        expected = whole.cumulative[name]
        assert weighed.predicted_over_observed == pytest.approx(expected.predicted_over_observed, rel=0.1)
        assert weighed.auc == pytest.approx(expected.auc, abs=0.04)
        assert naive.predicted_over_observed < 0.2  # of rows that are mostly positives


def test_the_inverse_ranks_no_worse_than_weights_of_which_a_few_are_great(runs: dict[str, Run]) -> None:
    one, other = (runs[way].metrics["test"]["cumulative"]["click"]["auc"] for way in ("inverse", "weights"))
    assert one > other - 0.02


def test_rows_held_out_of_sampled_files_were_sampled(folder: Path, tmp_path: Path) -> None:
    facts = {"format": "parquet", "files": str(folder / "train.parquet")}
    declared = {"data": {"facts": facts, "test": {"fraction": 0.3, "by": "row"}}, "train": {"batch_size": 256, "epochs": 2}}
    schema = schema_of({"rates": RATES}, **declared)
    run = funnel.fit(schema, folder, out=tmp_path / "run")
    told = funnel.fit(schema_of({"rates": RATES, "test": True}, **declared), folder)
    for ratio in ("rows", "positives", "predicted_over_observed"):
        found = run.metrics["test"]["cumulative"]["click"][ratio]
        assert found == told.metrics["test"]["cumulative"]["click"][ratio]
        assert run.evaluate(folder).as_dict()["cumulative"]["click"][ratio] == pytest.approx(found, rel=1e-9)
    # A frame is what its owner says it is: of all rows, where nothing is said.
    frame = pl.read_parquet(folder / "train.parquet").head(2000)
    assert is_sampled(run.schema, "test", {"splits": {"test": {"apart": 5}}})
    assert run.evaluate(frame).cumulative["click"].predicted_over_observed < 0.5
    assert run.evaluate(frame, "train").cumulative["click"].predicted_over_observed > 0.5
