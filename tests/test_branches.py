"""Exclusive branches that join, from the declaration to the export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.model._keras import tf
from funnel.run import Run

SCHEMA = Path(__file__).parents[1] / "schemas" / "esm2.yaml"
NAMES = ["click", "direct", "buy_direct", "buy_other", "buy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("esm2") / "rows"
    funnel.simulate(funnel.load_schema(SCHEMA), folder, 20_000)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return funnel.fit(funnel.load_schema(SCHEMA, ["train.epochs=2"]), folder)


def test_the_report_names_what_rows_each_conditional_is_about(run: Run, folder: Path) -> None:
    found = run.metrics["test"]
    labels = pl.read_parquet(folder / "impressions-test.parquet").select("clicked", "in_cart", "bought")
    clicked, cart, bought = (labels[name] == 1 for name in labels.columns)
    expected = {
        "click": ("impression", len(labels), clicked.sum()),
        "direct": ("click", clicked.sum(), cart.sum()),
        "buy_direct": ("direct", cart.sum(), (cart & bought).sum()),
        "buy_other": ("click without direct", (clicked & ~cart).sum(), (clicked & ~cart & bought).sum()),
        "buy": ("click", clicked.sum(), bought.sum()),
    }
    for name, (space, rows, positives) in expected.items():
        scores = found["conditional"][name]
        assert (scores["space"], scores["rows"], scores["positives"]) == (space, rows, positives)
        assert found["cumulative"][name]["positives"] == positives
    assert found["conditional"]["buy_other"]["name"] == "buy_other_given_click_not_direct"
    assert found["conditional"]["buy"]["name"] == "buy_given_click"


def test_predictions_add_up(run: Run, folder: Path) -> None:
    found = {name: np.asarray(column, np.float64) for name, column in run.predict(folder).items() if name in run_names(run)}
    np.testing.assert_allclose(found["buy"], found["buy_direct"] + found["buy_other"], rtol=1e-5)
    np.testing.assert_allclose(found["buy"], found["click"] * found["buy_given_click"], rtol=1e-5)
    other = found["click"] * (1 - found["direct_given_click"]) * found["buy_other_given_click_not_direct"]
    np.testing.assert_allclose(found["buy_other"], other, rtol=1e-4)
    assert (found["direct"] + found["buy_other"] <= found["click"] * (1 + 1e-7)).all()


def run_names(run: Run) -> set[str]:
    return {*run.schema.stage_names, *run.schema.conditional_names}


def test_saved_loaded_and_exported_it_says_the_same(run: Run, folder: Path, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    again = funnel.load(tmp_path / "run")
    expected = run.predict(folder)
    for name in run_names(run):
        np.testing.assert_array_equal(again.predict(folder)[name], expected[name])
    served = tf.saved_model.load(str(run.export(tmp_path / "export")))
    assert run_names(run) <= set(served.signatures["serving_default"].structured_outputs)


def test_a_join_takes_its_labels_from_its_branches_in_plain_keras(folder: Path) -> None:
    model = funnel.build(SCHEMA, folder)
    rows, labels = next(iter(funnel.dataset(SCHEMA, folder)))
    by_name = dict(zip(NAMES, tf.unstack(labels, axis=1), strict=True))
    expected = float(model.compute_loss((rows, labels)))
    assert float(model.compute_loss((rows, {n: c for n, c in by_name.items() if n != "buy"}))) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"has no labels \['buy_other'\]"):
        model.compute_loss((rows, {n: c for n, c in by_name.items() if n != "buy_other"}))
