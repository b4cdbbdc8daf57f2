"""What is exported says what the run says: every signature, for every family of declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.run import Run
from tests import shop
from tests.serving.exports import ESM2, answer, columns_of, frames, ranked, repeated, run_of, serialised, signatures

ITEM = {"name": "item", "key": "item", "format": "parquet", "files": "items.parquet"}
SCORES = {"gmv": "buy * price", "other": "log(1 + age) - min(click, price_band, 0.25) ** 2 / 3"}


def without_dimensions() -> dict[str, Any]:
    tree = shop.tree()
    features = [feature for feature in tree["features"] if feature.get("source") is None and feature["kind"] != "cross"]
    much = {"name": "seen_more", "kind": "bag", "column": "seen", "table": "items", "weighted": True, "weights": "seen_much"}
    named = {"name": "user_id", "kind": "categorical"}
    crossed = {"name": "user_hour", "kind": "cross", "of": ["user_id", "hour"], "buckets": 30}
    return tree | {
        "data": {"facts": tree["data"]["facts"]},
        "features": [named, *features, much | {"pooling": "mean"}, crossed],
        "evaluate": {"group_by": "user_id"},
        "serving": {"once": ["user_id", "seen_more", "hour"]},
        "scores": {"gmv": SCORES["gmv"]},
    }


def two_dimensions() -> dict[str, Any]:
    tree = shop.tree()
    dimensions = [*tree["data"]["dimensions"], ITEM | {"fact_key": "shown"}]
    more = [
        {"name": "brand", "kind": "categorical", "source": "item", "missing": {"fill": "none"}},
        {"name": "stars", "kind": "numeric", "source": "item", "transform": {"kind": "bucketize", "boundaries": [1, 2.5]}},
        {"name": "city_age", "kind": "cross", "of": ["city", "user_id"], "buckets": 40},
        {"name": "brand_city_hour", "kind": "cross", "of": ["brand", "city", "hour"], "buckets": 70},
    ]
    return tree | {"data": tree["data"] | {"dimensions": dimensions}, "features": [*tree["features"], *more]}


def bins_and_waves() -> dict[str, Any]:
    bins = {"kind": "piecewise_linear", "bins": 5}
    more = [
        {"name": "age_bins", "kind": "numeric", "source": "user", "column": "age", "transform": bins},
        {"name": "age_embedded", "kind": "numeric", "source": "user", "column": "age", "transform": bins | {"dim": 3}},
        {"name": "price_wave", "kind": "numeric", "column": "price", "transform": {"kind": "periodic", "frequencies": 4}},
        {"name": "price_bins", "kind": "numeric", "column": "price", "transform": bins | {"dim": 4}, "missing": {"fill": 2}},
    ]
    tree = shop.tree()
    return tree | {"features": [*tree["features"], *more], "model": {"embedding_dim": 4, "body": "fm", "tower": {"units": [8]}}}


TREES: dict[str, dict[str, Any]] = {
    "bins and waves": bins_and_waves(),
    "chain": shop.tree(),
    "branches that join": shop.tree() | {"stages": ESM2},
    "the inverse of sampling": shop.tree() | {"sampling": {"impression": 0.1, "click": 0.5, "buy": 1}},
    "no shared embeddings": shop.tree() | {"model": {"share_embeddings": False, "embedding_dim": 3, "body": {"units": [6]}}},
    "quotients": shop.tree() | {"objective": {"kind": "division"}},
    "twins": shop.tree() | {"objective": {"kind": "dcmt"}},
    "two dimensions": two_dimensions() | {"serving": {"once": ["user", "hour"]}},
    "a part of a dimension once": two_dimensions() | {"serving": {"once": ["city", "liked", "brand", "price"]}},
    "no dimensions": without_dimensions(),
}


LONG = ("the inverse of sampling", "no shared embeddings", "twins", "two dimensions", "quotients", "bins and waves", "chain")


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in TREES])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    run = run_of({"scores": SCORES} | TREES[request.param])
    return run, run.export(tmp_path_factory.mktemp("exported") / "shop")


def test_every_signature_says_what_the_run_says(exported: tuple[Run, Path]) -> None:
    run, folder = exported
    schema, data = run.schema, frames(1, 300)
    # Ids that training never saw, among those that it did.
    data["facts"] = data["facts"].with_columns(hour=data["facts"]["hour"].replace(3, 1003))
    expected = run.predict({source: data[source] for source in schema.sources})
    rows = columns_of(schema, data)
    served = signatures(folder)
    found = {
        "predict": answer(served["predict"], rows),
        "default": answer(served["serving_default"], rows),
        "examples": answer(served["examples"], {"examples": serialised(schema, rows)}),
        "sparse examples": answer(served["examples"], {"examples": serialised(schema, rows, missing=False)}),
    }
    assert len({round(float(value), 4) for value in expected["buy"]}) > 100
    for name, columns in found.items():
        assert set(columns) == set(expected) == {*schema.probability_names, *schema.scores}, name
        for column, values in expected.items():
            assert columns[column].dtype == np.float32
            np.testing.assert_allclose(columns[column], values, atol=1e-6, rtol=1e-6, err_msg=f"{name} {column}")
    for user in (0, 7):
        plain = answer(served["predict"], repeated(schema, rows, user))
        for column, values in answer(served["rank"], ranked(schema, rows, user)).items():
            np.testing.assert_allclose(values, plain[column], atol=1e-6, rtol=1e-6, err_msg=f"rank {column}")
