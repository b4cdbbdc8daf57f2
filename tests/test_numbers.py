"""A funnel whose numbers are bins and waves, from simulated files to a served model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import funnel
from funnel.data.origin import read_part
from funnel.schema.learnt import Learnt
from funnel.schema.reader import load_schema

BINS = {"kind": "piecewise_linear", "bins": 6}
NUMBERS = [
    {"name": "age", "kind": "numeric", "source": "user", "transform": BINS},
    {"name": "tenure", "kind": "numeric", "source": "user", "transform": {"kind": "periodic", "frequencies": 8, "dim": 4}},
    {"name": "price", "kind": "numeric", "transform": BINS | {"dim": 3}},
    {"name": "rank", "kind": "numeric", "transform": {"kind": "piecewise_linear", "boundaries": [0, 5, 20, 90]}},
]
TREE: dict[str, Any] = {
    "name": "numbers",
    "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
    "data": {
        "facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"},
        "dimensions": [{"name": "user", "key": "user_id", "format": "parquet", "files": "users.parquet"}],
    },
    "features": [{"name": "city", "kind": "categorical", "source": "user"}, *NUMBERS],
    "model": {"embedding_dim": 4, "body": "dot", "tower": {"units": [8]}},
    "train": {"batch_size": 200, "epochs": 2},
}


def test_from_simulated_files_to_a_served_model(tmp_path: Path) -> None:
    schema = load_schema(TREE)
    assert load_schema(schema.model_dump(exclude_unset=True)) == schema
    funnel.simulate(schema, tmp_path / "data", 3000, seed=1)
    checkup = funnel.check(schema, tmp_path / "data")
    assert not checkup.count("error")
    run = funnel.fit(schema, tmp_path / "data", out=tmp_path / "run")
    ends = run.learnt.scales["age"].boundaries
    assert len(ends) == 7
    assert run.learnt.scales["rank"].boundaries == (0, 5, 20, 90)
    assert run.learnt.scales["tenure"].std > 1
    assert set(run.learnt.rows) == {"city"}
    assert run.metrics["test"]["cumulative"]["click"]["auc"] > 0.55

    version = run.export(tmp_path / "served")
    page = (version / "assets.extra" / "signature.md").read_text()
    assert "no bin, and a sign that it is missing" in page
    again = funnel.load(tmp_path / "run")
    assert isinstance(again.learnt, Learnt)
    for name, column in again.predict(tmp_path / "data").items():
        np.testing.assert_array_equal(column, run.predict(tmp_path / "data")[name])


def test_other_widths_waves_and_first_scales_need_no_other_store() -> None:
    def part(transform: dict[str, Any]) -> dict[str, Any]:
        features = [feature | ({"transform": transform} if feature["name"] == "price" else {}) for feature in TREE["features"]]
        return read_part(load_schema(TREE | {"features": features}))

    wave = {"kind": "periodic", "frequencies": 3, "sigma": 1, "dim": 2}
    assert part(wave) == part({"kind": "periodic"})
    assert part(BINS | {"dim": 2}) == part(BINS)
    assert part(BINS) != part({"kind": "piecewise_linear", "bins": 7})
