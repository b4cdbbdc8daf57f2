"""Schemas of the project, on simulated rows: what is exported says what the run says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from funnel.schema.data import FACTS
from funnel.schema.reader import load_schema
from funnel.simulation import simulate
from tests.serving.exports import answer, columns_of, ranked, repeated, run_of, serialised, signatures, taken

SCHEMAS = Path(__file__).parents[2] / "schemas"
SCORES = {
    "ecommerce": {"worth": "buy * log(1 + orders) * rating"},
    "esm2": {"gmv": "buy * price"},
    "full_chain": {},
    "multi_domain": {"worth": "click + 5 * buy"},
}


@pytest.mark.parametrize("name", SCORES)
def test_what_is_exported_says_what_the_run_says(name: str, tmp_path: Path) -> None:
    path = SCHEMAS / f"{name}.yaml"
    simulate(path, tmp_path / "data", impressions=3000, test_impressions=600)
    declared = load_schema(path, [f"scores={SCORES[name]}"])
    data = {}
    for source in declared.sources:
        files = [one for pattern in declared.files_of(source).patterns("test") for one in (tmp_path / "data").glob(pattern)]
        data[source] = pl.read_parquet(files)
    train = [one for pattern in declared.data.facts.patterns("train") for one in (tmp_path / "data").glob(pattern)]
    run = run_of(declared.model_dump(mode="json", exclude_unset=True), data | {FACTS: pl.read_parquet(train)})
    expected, rows = run.predict(data), columns_of(run.schema, data)
    served = signatures(run.export(tmp_path / "export"))
    found = answer(served["predict"], rows)
    parsed = answer(served["examples"], {"examples": serialised(run.schema, rows, missing=False)})
    some = taken(rows, list(range(0, 600, 5)))
    one, all_ = answer(served["rank"], ranked(run.schema, some, 3)), answer(served["predict"], repeated(run.schema, some, 3))
    assert set(found) == set(expected) == {*run.schema.probability_names, *SCORES[name]}
    for column, values in expected.items():
        np.testing.assert_allclose(found[column], values, atol=1e-6, rtol=1e-6, err_msg=column)
        np.testing.assert_allclose(parsed[column], values, atol=1e-6, rtol=1e-6, err_msg=column)
        np.testing.assert_allclose(one[column], all_[column], atol=1e-6, rtol=1e-6, err_msg=column)
