from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from funnel.ablation.rows import read_rows
from funnel.data.prepare import prepare
from funnel.schema.reader import load_schema
from tests import shop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("shop"))


def test_rows_come_in_the_order_of_the_files(folder: Path, tmp_path: Path) -> None:
    schema = load_schema(shop.tree())
    rows = read_rows(schema, prepare(schema, folder), folder)
    facts = pl.read_parquet(folder / "test.parquet")
    np.testing.assert_array_equal(rows.labels, facts.select("click", "buy").to_numpy())
    assert rows.shape == (300, 2)
    np.testing.assert_array_equal(rows.clusters, np.arange(300))
    assert not rows.grouped
    assert rows.weights is rows.truth is None
    assert rows.remarks == ()


def test_rows_of_a_group_are_drawn_together(folder: Path) -> None:
    schema = load_schema(shop.tree() | {"evaluate": {"group_by": "user_id"}})
    rows = read_rows(schema, prepare(schema, folder), None)
    users = pl.read_parquet(folder / "test.parquet")["user_id"].to_list()
    assert rows.grouped
    assert len(set(zip(users, rows.clusters.tolist(), strict=True))) == len(set(users)) == len(set(rows.clusters.tolist()))


@pytest.mark.parametrize("test", [True, False])
def test_sampled_test_rows_count_for_what_they_stand_for(folder: Path, test: bool) -> None:
    schema = load_schema(shop.tree() | {"sampling": {"rates": {"impression": 0.25, "click": 0.5}, "test": test}})
    rows = read_rows(schema, prepare(schema, folder), folder)
    if not test:
        assert rows.weights is None
        return
    facts = pl.read_parquet(folder / "test.parquet")
    expected = [4 if not click else 2 if not buy else 1 for click, buy in facts.select("click", "buy").iter_rows()]
    np.testing.assert_array_equal(rows.weights, expected)
