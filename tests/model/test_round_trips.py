"""Every body, topology and kind of features through the public calls: saved, loaded and served, it says what it said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.data.prepare import prepare
from funnel.fitting import model_of
from funnel.run import Run
from funnel.schema.reader import load_schema
from tests import sequences_shop, shop
from tests.model.test_contract import BODIES
from tests.serving.exports import ESM2, answer, columns_of, frames, signatures

EVERY: dict[str, Any] = BODIES | {
    "custom with a norm": {"kind": "custom", "layer": "tests.model.own_layers:Gated", "config": {"units": 5, "rate": 0.2}},
}
STAGES: dict[str, Any] = {
    "one stage": [{"name": "click", "label": "click"}],
    "three": [{"name": name, "label": name} for name in ("click", "direct", "buy")],
    "tree": ESM2,
}
BAGS = {"compressed": {"kind": "bag", "column": "seen", "buckets": 20, "compress": {"remainders": 4}, "name": "compressed"}}
FEATURES: dict[str, Any] = {
    "numbers": [feature for feature in shop.tree()["features"] if feature["name"] in ("age", "price")],
    "bags": [*shop.tree()["features"], *BAGS.values()],
    "sequences": sequences_shop.tree()["features"],
}
QUICK = {("custom between others", "three", "bags"), ("progressive experts", "tree", "sequences")}


def cases() -> Iterator[Any]:
    for body in EVERY:
        for stages in STAGES:
            for features in FEATURES:
                marks = () if (body, stages, features) in QUICK else pytest.mark.long
                yield pytest.param(body, stages, features, marks=marks, id=f"{body}, {stages}, {features}")


def rows_of(seed: int, rows: int) -> dict[str, Any]:
    return frames(seed, rows) | {"user": sequences_shop.frames(seed, rows)["user"]}


def run_of(body: Any, stages: Any, features: Any) -> Run:
    """A run that was not fitted: what its layers learn is drawn."""
    tree = shop.tree() | {"stages": stages, "features": features, "inconsistent_labels": "drop"}
    if not any("table" in feature for feature in features):
        del tree["tables"]
    tree["model"] = {"embedding_dim": 4, "body": body, "tower": {"units": [5], "activation": "dice", "norm": "batch"}}
    schema = load_schema(tree)
    data = rows_of(0, 400)
    store = prepare(schema, {source: data[source] for source in schema.sources})
    model = model_of(schema, store)
    model.create_variables()
    rng = np.random.default_rng(1)
    for variable in model.network.variables:
        if variable.dtype.is_floating:
            # Variances are positive.
            size = np.abs(rng.normal(size=variable.shape, scale=0.3)) + 0.1
            variable.assign(size if "variance" in variable.name else size * rng.choice([-1, 1], variable.shape))
    return Run(schema, store.learnt, store.vocabulary, model, [], {}, {})


@pytest.mark.parametrize(("body", "stages", "features"), list(cases()))
def test_saved_loaded_and_served_it_says_the_same(body: str, stages: str, features: str, tmp_path: Path) -> None:
    run = run_of(EVERY[body], STAGES[stages], FEATURES[features])
    data = rows_of(3, 40)
    expected = run.predict({source: data[source] for source in run.schema.sources})
    assert all(np.isfinite(column).all() and column.std() > 1e-4 for column in expected.values())
    run.save(tmp_path / "run")
    again = funnel.load(tmp_path / "run")
    found = again.predict({source: data[source] for source in run.schema.sources})
    served = answer(signatures(again.export(tmp_path / "served" / "1"))["serving_default"], columns_of(run.schema, data))
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)
        np.testing.assert_allclose(served[name], column, rtol=2e-5, atol=1e-6)
