"""Schemas are found again from the rows that were simulated for them, and are found for real logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_logs import features, left_out

import funnel
from funnel.proposal.init import Proposed

SCHEMAS = Path(__file__).parents[2] / "schemas"


def found_again(name: str, folder: Path, impressions: int = 8000) -> tuple[Any, Proposed]:
    declared = funnel.load_schema(SCHEMAS / f"{name}.yaml")
    funnel.simulate(declared, folder, impressions)
    return declared, funnel.init(folder)


@pytest.mark.parametrize("name", ["ecommerce", "credit_card"])
def test_what_was_declared_is_found_again(name: str, tmp_path: Path) -> None:
    declared, found = found_again(name, tmp_path)
    assert [stage.label for stage in found.schema.stages] == [stage.label for stage in declared.stages]
    keys = {(one.key, one.key_in_facts, one.format) for one in declared.data.dimensions}
    assert {(one.key, one.key_in_facts, one.format) for one in found.schema.data.dimensions} == keys
    assert found.schema.data.facts.test is not None
    bags = {(one.column_name, one.separator, one.weights) for one in declared.features if one.kind == "bag"}
    assert {(one.column_name, one.separator, one.weights) for one in found.schema.features if one.kind == "bag"} == bags
    kinds = {one.column_name: one.kind for one in declared.features if one.kind != "cross"}
    again = {one.column_name: one.kind for one in found.schema.features}
    assert {name: kind for name, kind in again.items() if name in kinds} == kinds
    assert set(again) - set(kinds) <= {"item_id", "id"}  # keys, which the declared ones do not take for features
    assert found.checkup.ok
    assert not any(left_out(found, one.name) for one in found.schema.data.dimensions)


def test_time_and_people_of_credit_cards(tmp_path: Path) -> None:
    _, found = found_again("credit_card", tmp_path)
    assert found.proposal.validation == {"kind": "time", "column": "shown_at", "fraction": 0.1}
    assert found.schema.evaluate.group_by == "customer_id"
    assert list(left_out(found)) == ["shown_at"]


def test_kuairand(kuairand: Path, tmp_path: Path) -> None:
    for name in ("val.parquet", "test.parquet"):
        some = pl.read_parquet(kuairand / name).filter(pl.col("user_id") % 4 == 0)  # all rows of a quarter of the users
        some.write_parquet(tmp_path / name)
    for name in ("user_features_pure.csv", "video_features_basic_pure.csv"):
        (tmp_path / name).symlink_to(kuairand / name)
    found = funnel.init(tmp_path, ["is_click", "long_view"])
    schema = found.schema
    assert schema.stage_names == ("click", "long_view")
    assert schema.inconsistent_labels == "drop"
    assert {one.name: one.key for one in schema.data.dimensions} == {"user": "user_id", "video": "video_id"}
    assert (schema.data.facts.train, schema.data.facts.test) == ("val.parquet", "test.parquet")
    assert schema.evaluate.group_by == "user_id"
    assert found.proposal.validation == {"kind": "time", "column": "time_ms", "fraction": 0.1}
    left = left_out(found)
    # What is written while, or after, somebody watches.
    after = {
        "is_like",
        "is_follow",
        "is_comment",
        "is_forward",
        "is_hate",
        "play_time_ms",
        "profile_stay_time",
        "comment_stay_time",
    }
    after |= {"is_profile_enter", "watch_ratio", "finish", "like", "long_watch", "is_positive"}
    assert after <= set(left)
    assert {"is_rand", "source_file", "author_id", "upload_dt", "video_duration", "date", "time_ms"} <= set(left)
    by_hand = funnel.load_schema(SCHEMAS / "kuairand.yaml")
    known = {(one.source, one.column_name) for one in by_hand.features}
    proposed = {(one.source, one.column_name) for one in schema.features}
    assert proposed - known <= {(None, "tag"), (None, "freshness_days")}
    assert known - proposed <= {("user", "is_lowactive_period"), ("video", "upload_dt")}
    assert features(found)["video_tag"].keys == {"separator": ","}


def test_hillstrom() -> None:
    folder = os.environ.get("FUNNEL_HILLSTROM")
    if not folder:
        pytest.skip("NOT RUN: set FUNNEL_HILLSTROM to the folder of hillstrom.csv to test on a real campaign")
    found = funnel.init(folder)
    assert found.schema.stage_names == ("visit", "conversion")
    assert left_out(found) == {"spend": "other than 0 only where conversion is 1: written afterwards"}
    assert features(found)["history"].keys == {"transform": "log1p"}
    assert {name for name, one in features(found).items() if one.kind == "categorical"} == {
        *("recency", "history_segment", "mens", "womens", "zip_code", "newbie", "channel", "segment")
    }
    assert found.checkup.ok
