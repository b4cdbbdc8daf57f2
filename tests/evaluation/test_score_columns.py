"""Declared scores beside the probabilities that a run predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.api import predict as predict_frame
from funnel.run import Run
from tests import shop

SCORES = {
    "gmv": "buy * price",  # filled with 1.5 where missing
    "banded": "buy_given_click * price_band",  # the same column, without a value for what is missing
    "old": "log(age) * click ** 0",  # of a dimension; what is missing stays so
    "odd": "log(click - 2) + 1 / (click - click)",
}


@pytest.fixture(scope="module")
def run() -> Run:
    tree = shop.tree() | {"scores": SCORES}
    return funnel.fit(tree, shop.frames(), overrides=["train.epochs=1"])


def test_each_row_has_the_score_of_its_own_numbers(run: Run) -> None:
    rows = shop.frames(3, 400)
    found = run.predict(rows)
    assert list(found) == ["click", "buy", "buy_given_click", *SCORES]
    joined = rows["facts"].join(rows["user"], on="user_id", how="left", maintain_order="left")
    price, age = joined["price"].to_numpy(), joined["age"].to_numpy()
    assert np.isnan(price).any()
    assert np.isnan(age).any()
    assert all(found[name].dtype == np.float32 for name in SCORES)
    np.testing.assert_allclose(found["gmv"], found["buy"] * np.where(np.isnan(price), 1.5, price), rtol=1e-6)
    np.testing.assert_allclose(found["banded"], found["buy_given_click"] * price, rtol=1e-6)
    np.testing.assert_allclose(found["old"], np.log(age), rtol=1e-6)
    assert np.isnan(found["odd"]).all()  # without a warning


def test_frames_and_files_have_the_scores_and_logits_too(run: Run, tmp_path: Path) -> None:
    found = predict_frame(run, shop.frames(3, 50), logits=True)
    assert isinstance(found, pl.DataFrame)
    assert set(SCORES) < set(found.columns)
    assert {"buy_logit", "buy_given_click_logit"} < set(found.columns)


def test_a_row_that_cannot_be_used_has_no_score(run: Run) -> None:
    rows = shop.frames(5, 20)
    strange = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("nobody")).otherwise(pl.col("user_id"))
    tolerant = funnel.load_schema(run.schema, ["data.bad_rows={kind: skip, max_share: 0.1}"])
    other = Run(tolerant, run.learnt, run.vocabulary, run.model, [], {}, {})
    found = other.predict({"facts": rows["facts"].with_columns(user_id=strange), "user": rows["user"]})
    assert np.flatnonzero(np.isnan(found["gmv"])).tolist() == [3]
