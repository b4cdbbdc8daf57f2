"""What a simulated log leaves out of what happened: rows, labels that are null, and labels that come too late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from funnel.errors import DataError
from funnel.evaluation.metrics import auc
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.simulation import simulate

SCHEMAS = Path(__file__).parents[1] / "schemas"
DAY = 86_400
FEATURES: list[Any] = [{"name": "c", "kind": "categorical"}, {"name": "x", "kind": "numeric"}]


def declare(stages: list[Any], data: dict[str, Any] | None = None, **rest: Any) -> FunnelSchema:
    files = {"format": "parquet", "train": "train.parquet", "test": "test.parquet"}
    return load_schema(
        {"name": "log", "stages": stages, "data": {"facts": files, **(data or {})}, "features": FEATURES, **rest}
    )


TWO = [{"name": "click", "label": "clicked", "prior": 0.3}, {"name": "buy", "label": "bought", "prior": 0.4}]


def rows_of(schema: FunnelSchema, out: Path, rows: int = 20_000, **options: Any) -> dict[str, pl.DataFrame]:
    simulate(schema, out, rows, **options)
    return {name: pl.read_parquet(path) for name in ("train", "test") for path in [out / f"{name}.parquet"]}


@pytest.mark.parametrize("selection", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["esm2", "full_chain", "ecommerce"])
def test_rates_are_those_of_the_truth_however_strong_the_selection(name: str, selection: float, tmp_path: Path) -> None:
    schema = load_schema(SCHEMAS / f"{name}.yaml")
    made = simulate(schema, tmp_path / "rows", 20_000, 2_000, selection=selection)
    truth = pl.read_parquet(tmp_path / "rows" / "truth" / "train.parquet")
    for stage in schema.stage_names:
        p = truth[stage].to_numpy()
        assert abs(made.positives["train"][stage] - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum()) + 1


def test_the_stronger_the_selection_the_more_alike_are_click_and_purchase(tmp_path: Path) -> None:
    found = []
    for selection in (0.0, 0.5, 1.0):
        simulate(declare(TWO), tmp_path / "rows", 20_000, selection=selection)
        truth = pl.read_parquet(tmp_path / "rows" / "truth" / "train.parquet")
        click, buy = (np.log(p / (1 - p)) for p in (truth["click"].to_numpy(), truth["buy_given_click"].to_numpy()))
        found.append(np.corrcoef(click, buy)[0, 1])
    assert found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(1.0)  # the same effects, but for their size


def test_the_files_are_a_function_of_all_options(tmp_path: Path) -> None:
    schema = declare(TWO)
    one, same = (rows_of(schema, tmp_path / name, 2_000, selection=0.7, unknown=0.1) for name in "ab")
    for split, frame in one.items():
        assert frame.equals(same[split])
    assert not one["train"].equals(rows_of(schema, tmp_path / "c", 2_000, selection=0.6, unknown=0.1)["train"])


def test_labels_after_the_first_are_null_for_a_share_of_the_rows(tmp_path: Path) -> None:
    frames = rows_of(declare(TWO), tmp_path / "rows", unknown=0.2)
    whole = rows_of(declare(TWO), tmp_path / "whole")
    for split, frame in frames.items():
        assert frame["clicked"].null_count() == 0
        assert frame["bought"].null_count() == pytest.approx(0.2 * frame.height, abs=4 * np.sqrt(0.16 * frame.height))
        known = frame["bought"].is_not_null()
        assert frame["bought"].filter(known).equals(whole[split]["bought"].filter(known))
        assert frame["x"].equals(whole[split]["x"])


def test_stages_of_one_column_lose_it_together_and_text_has_nothing_there(tmp_path: Path) -> None:
    schema = load_schema(
        SCHEMAS / "esm2.yaml", ["data.facts.format=csv", "data.facts.train=train.csv", "data.facts.test=test.csv"]
    )
    made = simulate(schema, tmp_path / "rows", 5_000, unknown=0.3)
    frame = pl.read_csv(tmp_path / "rows" / "train.csv")
    assert frame["bought"].null_count() == pytest.approx(1_500, abs=150)
    assert made.positives["train"]["buy"] == frame["bought"].sum()
    assert made.positives["train"]["buy_direct"] + made.positives["train"]["buy_other"] == frame["bought"].sum()


def test_sampled_rows_are_kept_at_their_rates_and_test_rows_are_whole(tmp_path: Path) -> None:
    rates = {"impression": 0.1, "click": 0.5, "buy": 1.0}
    whole, kept = rows_of(declare(TWO), tmp_path / "whole"), rows_of(declare(TWO, sampling=rates), tmp_path / "kept")
    assert kept["test"].equals(whole["test"])
    deepest = {"impression": (0, 0), "click": (1, 0), "buy": (1, 1)}
    for stage, labels in deepest.items():
        before, after = (
            f["train"].filter((pl.col("clicked") == labels[0]) & (pl.col("bought") == labels[1])).height for f in (whole, kept)
        )
        rate = rates[stage]
        assert abs(after - rate * before) <= 4 * np.sqrt(before * rate * (1 - rate))
    made = simulate(declare(TWO, sampling=rates), tmp_path / "kept", 20_000)
    assert made.lines()[0].startswith(f"train: {kept['train'].height:,} rows of 20,000 drawn; ")
    truth = pl.read_parquet(tmp_path / "kept" / "truth" / "train.parquet")
    assert truth.height == kept["train"].height
    assert auc(kept["train"]["clicked"].to_numpy(), truth["click"].to_numpy()) > 0.6  # row by row
    both = rows_of(declare(TWO, sampling={"rates": rates, "test": True}), tmp_path / "both")
    assert both["test"].height < whole["test"].height


@pytest.mark.parametrize("timed", [True, False])
def test_young_purchases_are_not_seen_yet(timed: bool, tmp_path: Path) -> None:
    matures = {"period": "7d" if timed else 100, "event": "shown_at", "snapshot": "read_at"}
    stages = [TWO[0], TWO[1] | {"matures_after": matures}]
    whole, frames = rows_of(declare(TWO), tmp_path / "whole"), rows_of(declare(stages), tmp_path / "rows")
    for split, frame in frames.items():
        age = frame["read_at"] - frame["shown_at"]
        young = (age.dt.total_seconds() < 7 * DAY) if timed else (age < 100)
        late = whole[split]["bought"] != frame["bought"]
        assert not (late & ~young).any()
        assert frame["clicked"].equals(whole[split]["clicked"])
        if split == "test":
            assert not young.any()
        else:
            assert young.mean() == pytest.approx(0.25, abs=0.02)
            # Of an exponential delay with a mean of a third of the period, a third has not come at a uniform age.
            bought = young & (whole[split]["bought"] == 1)
            assert late.filter(bought).mean() == pytest.approx(1 / 3 - 1 / (np.exp(3) - 1), abs=0.06)


def test_a_first_stage_that_comes_late_takes_what_follows_with_it(tmp_path: Path) -> None:
    stages = [TWO[0] | {"matures_after": {"period": "1d", "event": "t", "snapshot_at": "2024-05-01T00:00:00Z"}}, TWO[1]]
    frame = rows_of(declare(stages), tmp_path / "rows")["train"]
    assert not ((frame["bought"] == 1) & (frame["clicked"] == 0)).any()
    assert str(frame["t"].max()) < "2024-05-01"
    assert str(frame["t"].min()) >= "2024-04-27"


def test_validation_by_time_and_the_event_are_one_column(tmp_path: Path) -> None:
    stages = [TWO[0], TWO[1] | {"matures_after": {"period": "7d", "event": "t", "snapshot": "read_at"}}]
    frame = rows_of(declare(stages, {"validation": {"kind": "time", "column": "t"}}), tmp_path / "rows")["train"]
    assert frame["t"].is_sorted()


def test_weights_are_a_column(tmp_path: Path) -> None:
    frame = rows_of(declare(TWO, {"weight": "w"}), tmp_path / "rows")["train"]
    assert frame["w"].min() >= 0.5
    assert frame["w"].max() <= 2.0
    assert frame["w"].mean() == pytest.approx(1.25, abs=0.02)


BAD: dict[str, tuple[dict[str, float], str]] = {
    "a selection above 1": ({"selection": 1.5}, "selection: got 1.5, expected 0 to 1"),
    "a selection below 0": ({"selection": -0.1}, "selection: got -0.1, expected 0 to 1"),
    "all unknown": ({"unknown": 1.0}, "unknown: got 1, expected 0 to less than 1"),
    "no number": ({"selection": float("nan")}, "selection: got nan"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_share_out_of_its_range_is_refused(name: str, tmp_path: Path) -> None:
    options, message = BAD[name]
    with pytest.raises(DataError, match=message):
        simulate(declare(TWO), tmp_path / "rows", 100, **options)
    assert not (tmp_path / "rows").exists()


def test_a_time_that_is_a_feature_is_refused(tmp_path: Path) -> None:
    stages = [TWO[0], TWO[1] | {"matures_after": {"period": 7, "event": "x", "snapshot_at": 100}}]
    with pytest.raises(DataError, match="column 'x': got the feature 'x' and times of labels"):
        simulate(declare(stages), tmp_path / "rows", 100)
