"""What becomes of a column."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_logs import features, left_out, log, written

import funnel
from funnel.doctor.leaks import LEAK
from funnel.proposal.init import Proposed

ROWS = 4000
RNG = np.random.default_rng(3)


def proposed(tmp_path: Path, ending: str = "csv", **columns: Any) -> Proposed:
    return funnel.init(written(log(ROWS, **columns), tmp_path / f"log.{ending}"), ["visit", "signup"])


def of(values: Any) -> pl.Series:
    return pl.Series(values)


KINDS = [
    ("country", of(RNG.choice(["de", "fr"], ROWS)), "categorical", {}),
    ("plz", of([f"0{n}" for n in RNG.integers(1000, 1400, ROWS)]), "categorical", {}),
    ("price", of(RNG.normal(10, 1, ROWS).round(3)), "numeric", {}),
    ("spent_before", of(RNG.lognormal(2, 1.5, ROWS).round(3)), "numeric", {"transform": "log1p"}),
    ("age", of(RNG.integers(18, 80, ROWS)), "numeric", {}),
    ("item_id", of(RNG.integers(0, 500, ROWS)), "categorical", {}),
    ("x", of(RNG.integers(0, 12, ROWS)), "categorical", {}),
    ("x", of(RNG.integers(0, 100_000, ROWS)), "numeric", {}),
    ("is_new", of(RNG.integers(0, 2, ROWS)), "categorical", {}),
    ("flag", of(RNG.integers(0, 2, ROWS) == 1), "categorical", {}),
    ("tags", of(["|".join(f"t{k}" for k in RNG.integers(0, 9, n % 4)) for n in range(ROWS)]), "bag", {"separator": "|"}),
    ("tags", of([",".join(f"t{k}" for k in RNG.integers(0, 9, n % 4)) for n in range(ROWS)]), "bag", {"separator": ","}),
    ("span", of(RNG.choice(["[1,10)", "[10,100)", "0"], ROWS)), "categorical", {}),
    ("place", of(RNG.choice(["Paris, France", "Oslo", "Rome, Italy"], ROWS)), "categorical", {}),
]


@pytest.mark.parametrize(("name", "values", "kind", "keys"), KINDS, ids=[f"{name}-{kind}" for name, _, kind, _ in KINDS])
def test_kinds_of_columns_in_text(name: str, values: pl.Series, kind: str, keys: dict[str, Any], tmp_path: Path) -> None:
    found = features(proposed(tmp_path, **{name: values}))[name]
    assert (found.kind, found.keys) == (kind, keys)


def test_types_of_parquet_say_more(tmp_path: Path) -> None:
    lists = [[f"t{k}" for k in range(n % 4)] for n in range(ROWS)]
    found = proposed(
        tmp_path,
        "parquet",
        code=of([str(n) for n in RNG.integers(0, 3000, ROWS) // 2]),  # as text: an id, whatever it looks like
        tags=of(lists),
        tag_counts=of([[1.5 + k for k, _ in enumerate(one)] for one in lists]),
        vector=of([[0.5] * (n % 3) for n in range(ROWS)]),
        born=of([dt.date(1980, 1, 1 + n % 28) for n in range(ROWS)]),
        pair=of([{"a": n % 3} for n in range(ROWS)]),
    )
    assert features(found)["code"].kind == "categorical"
    assert features(found)["tags"].keys == {"weighted": True, "weights": "tag_counts"}
    left = left_out(found)
    assert "structs" in left["pair"]
    assert "a time" in left["born"]
    assert "of no other column's entries" in left["vector"]
    assert "tag_counts" not in {**features(found), **left}


def test_weights_in_text(tmp_path: Path) -> None:
    counts = RNG.integers(0, 4, ROWS)
    found = proposed(
        tmp_path,
        bought=of([";".join(f"i{k}" for k in RNG.integers(0, 9, n)) for n in counts]),
        bought_amounts=of([";".join(f"{k / 2}" for k in RNG.integers(1, 9, n)) for n in counts]),
    )
    assert features(found)["bought"].keys == {"separator": ";", "weighted": True, "weights": "bought_amounts"}


LEFT = [
    ("const", pl.lit("a"), "the same in every row"),
    ("empty", pl.lit(None, pl.String), "no values"),
    ("town", pl.col("city"), "the same as city in every row"),
    ("row", pl.int_range(ROWS), "the number of the row"),
    ("uuid", pl.int_range(ROWS).map_elements(lambda n: f"u{n * 7919}", pl.String), "a value of its own in each row"),
    ("mail_id", of(RNG.integers(0, 10_000, ROWS)), "come once"),
    ("note", of([f"the {n}th letter of a long and winding tale" for n in range(ROWS)]), "free text"),
    ("shown_at", pl.int_range(ROWS) // 2 + 1_700_000_000, "a time"),
    ("day", of([f"2024-01-{1 + n % 28:02d}" for n in range(ROWS)]), "a time"),
    ("date", of(20240101 + np.arange(ROWS) % 28), "a time"),
    (
        "did_visit",
        pl.when(pl.col("visit") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")),
        "one thing wherever visit happened",
    ),
    ("pages", pl.col("visit") * pl.int_range(1, ROWS + 1) % 7, "where visit is 1: written afterwards"),
    ("coupon", pl.when(pl.col("signup") == 1).then(pl.lit("c")), "where signup is 1: written afterwards"),
    ("likes", of(RNG.integers(0, 2, ROWS)), None),
    ("liked", of(RNG.integers(0, 2, ROWS)), None),
    ("is_like", of(RNG.integers(0, 2, ROWS)), "named like a step"),
    ("hash", of(RNG.integers(2**62, 2**63, ROWS).astype(np.uint64) * 2), "beyond 64 bits"),
    ("amount", of([f"{n / 7:.3f}" if n % 50 else "n/a" for n in range(ROWS)]), "numbers, but for texts such as 'n/a' in 2.00%"),
]


@pytest.mark.parametrize(("name", "values", "reason"), LEFT, ids=[name for name, _, _ in LEFT])
def test_suspicious_columns_are_left_out_with_the_reason(name: str, values: Any, reason: str | None, tmp_path: Path) -> None:
    found = proposed(tmp_path, **{name: values})
    if reason is None:
        assert name in features(found)
        return
    assert reason in left_out(found)[name]
    assert f"  # - {name}: " in found.text


def test_a_leak_is_what_the_doctor_calls_one(tmp_path: Path) -> None:
    noise = RNG.normal(0, 1, ROWS)
    found = proposed(tmp_path, told=pl.col("visit") * 3.0 + of(noise), hint=pl.col("visit") * 1.0 + of(RNG.normal(0, 1, ROWS)))
    assert "alone it tells visit" in left_out(found)["told"]
    assert "(`funnel check`)" in left_out(found)["told"]
    assert float(left_out(found)["told"].split("AUC ")[1][:5]) > LEAK
    assert "hint" in features(found)


def test_many_ids_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.proposal.features.MANY", 500)
    monkeypatch.setattr("funnel.proposal.features.MOST", 700)
    found = proposed(tmp_path, query=of([f"q{n % 600}" for n in range(ROWS)]), site=of([f"s{n % 800}" for n in range(ROWS)]))
    assert features(found)["query"].keys == {"min_count": 5}
    assert features(found)["query"].about == "600 ids"
    assert features(found)["site"].keys == {"min_count": 5, "max_rows": 700}


def test_validation_goes_by_time_where_every_row_has_one(tmp_path: Path) -> None:
    found = proposed(tmp_path, day=pl.int_range(ROWS) // 400 + 20240101, shown_at=pl.int_range(ROWS) + 1_700_000_000)
    assert found.proposal.validation == {"kind": "time", "column": "shown_at", "fraction": 0.1}
    late = pl.when(pl.col("visit") == 1).then(pl.int_range(ROWS) + 1_700_000_000)
    found = proposed(tmp_path, visited_at=late)
    assert found.proposal.validation == {"kind": "fraction", "fraction": 0.1, "by": "row"}


def test_of_one_moment_none_is_later(tmp_path: Path) -> None:
    found = proposed(tmp_path, day=of(["2024-01-01"] + ["2024-01-02"] * (ROWS - 1)))
    assert found.proposal.validation == {"kind": "fraction", "fraction": 0.1, "by": "row"}


def test_a_stage_that_only_the_latest_rows_reach_is_not_held_out_by_time(tmp_path: Path) -> None:
    late = {
        "signup": ((pl.int_range(ROWS) > 0.95 * ROWS) & (pl.int_range(ROWS) % 5 == 0)).cast(int),
        "visit": pl.lit(1) - pl.int_range(ROWS) % 5 // 4,
    }
    found = proposed(tmp_path, shown_at=pl.int_range(ROWS) + 1_700_000_000, **late)
    assert found.proposal.validation == {"kind": "fraction", "fraction": 0.1, "by": "row"}
    assert found.checkup.ok


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    path = written(log().select("visit", "signup", pl.lit("a").alias("const")), tmp_path / "log.csv")
    with pytest.raises(funnel.DataError, match=r"no column is left as a feature.*const \(the same in every row\)"):
        funnel.init(path)
