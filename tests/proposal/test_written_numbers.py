"""Numbers as people write them are told, and lists and ids are not taken for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_logs import log

import funnel

ROWS = 2000
RNG = np.random.default_rng(5)
INCOMES = RNG.integers(100, 90_000, ROWS)


def reason_of(column: list[str], tmp_path: Path, separator: str = ",") -> str | None:
    """Why the column is left out; None where it is a feature."""
    log(ROWS).with_columns(x=pl.Series(column)).write_csv(tmp_path / "log.csv", separator=separator)
    found = funnel.init(tmp_path / "log.csv", out=tmp_path / "s.yaml")
    assert found.checkup.ok
    left = {one.column: one.reason for one in found.proposal.left_out["facts"]}
    assert ("x" in left) != ("x" in [feature.column_name for feature in found.schema.features])
    return left.get("x")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([f"{n:,}" for n in INCOMES], "write them without commas"),
        ([f"{n:,}.25" for n in INCOMES], "write them without commas"),
        ([f"${n / 7:.2f}" for n in INCOMES], "write them without the sign"),
        ([f"{n / 7:,.2f} €" for n in INCOMES], "write them without the sign"),
        ([f"{n % 100}%" for n in INCOMES], "write them without the sign"),
        ([f"{n / 7:.2f}".replace(".", ",") for n in INCOMES], "write them with a point"),
    ],
)
def test_how_to_write_them_is_said(column: list[str], said: str, tmp_path: Path) -> None:
    reason = reason_of(column, tmp_path)
    assert reason is not None
    assert said in reason


def test_a_decimal_comma_beside_whole_numbers_in_a_file_with_semicolons(tmp_path: Path) -> None:
    column = [str(n) if n % 5 == 0 else f"{n},{n % 9}" for n in INCOMES]
    assert "with a point" in str(reason_of(column, tmp_path, ";"))


@pytest.mark.parametrize(
    "column",
    [
        [",".join(map(str, RNG.integers(100, 140, RNG.integers(1, 5)))) for _ in range(ROWS)],
        [",".join(map(str, RNG.integers(1, 40, RNG.integers(1, 3)))) for _ in range(ROWS)],
        [f"c{n % 90}" for n in INCOMES],
        [f"{n % 7}-{n % 5}" for n in INCOMES],
    ],
)
def test_lists_and_ids_are_features(column: list[str], tmp_path: Path) -> None:
    assert reason_of(column, tmp_path) is None


def test_texts_with_line_breaks_and_durations_are_left_out(tmp_path: Path) -> None:
    rows = log(ROWS).with_columns(
        letter=pl.Series([f"a{n % 50}" if n % 40 else "dear\nyou" for n in range(ROWS)]),
        took=pl.Series(INCOMES).cast(pl.Duration("us")),
        at=pl.Series(INCOMES % 24 * 3_600_000_000_000).cast(pl.Time),
    )
    rows.write_parquet(tmp_path / "log.parquet")
    found = funnel.init(tmp_path / "log.parquet", out=tmp_path / "s.yaml")
    left = {one.column: one.reason for one in found.proposal.left_out["facts"]}
    assert "line breaks, in 50 rows" in left["letter"]
    assert "no feature reads" in left["took"]
    assert "no feature reads" in left["at"]
    assert found.checkup.ok


def test_a_birthday_is_no_time_to_part_rows_by(tmp_path: Path) -> None:
    rows = log(ROWS).with_columns(date_of_birth=pl.Series(INCOMES % 20_000).cast(pl.Int32).cast(pl.Date))
    rows.write_parquet(tmp_path / "log.parquet")
    schema = funnel.init(tmp_path / "log.parquet", out=tmp_path / "s.yaml").schema
    assert schema.data.validation.kind == "fraction"
    assert "date_of_birth" not in [feature.column_name for feature in schema.features]
