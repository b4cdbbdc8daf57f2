"""Which columns are taken for stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_logs import left_out, log, refusal, table, written

import funnel
from funnel.proposal.asking import Question
from funnel.proposal.stages import contradictions, guess
from funnel.proposal.words import depth, plain_name, stage_name


def test_nested_columns_are_a_chain_from_the_commonest_to_the_rarest(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = log(flag=pl.Series(rng.integers(0, 2, 4000)))
    frame = frame.select("flag", "signup", "city", "visit")
    found = guess(table(frame, tmp_path / "log.parquet"))
    assert found.columns == ("visit", "signup")
    assert found.certain
    assert found.others == ("flag",)


def test_names_say_nothing_where_values_do_not_nest(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {"clicked": rng.integers(0, 2, 1000), "bought": rng.integers(0, 2, 1000), "a": rng.integers(0, 9, 1000)}
    )
    assert len(guess(table(frame, tmp_path / "log.parquet")).columns) == 1


def test_columns_that_are_no_stages_by_name_or_nesting_are_not_guessed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({name: rng.integers(0, 2, 1000) for name in ("mens", "womens", "newbie")})
    path = written(frame, tmp_path / "log.csv")
    assert guess(table(frame, tmp_path / "log.csv")).columns == ()
    said = refusal(path)
    assert "got several columns of 0 and 1 (have: 'mens', 'womens', 'newbie')" in said
    assert "--stages" in said


def test_a_single_column_of_0_and_1_is_the_stage(tmp_path: Path) -> None:
    found = funnel.init(written(log().drop("visit"), tmp_path / "log.csv"))
    assert found.schema.stage_names == ("signup",)


def test_two_labels_that_are_one_are_not_two_stages(tmp_path: Path) -> None:
    frame = log().with_columns(view=pl.col("visit"))
    found = funnel.init(written(frame, tmp_path / "log.parquet"), ["visit", "signup"])
    assert "view" in left_out(found)
    assert len(guess(table(frame, tmp_path / "again.parquet")).columns) == 2


def test_few_rows_nest_by_chance(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1] * 90 + [0] * 10, "b": [1] * 3 + [0] * 97})
    assert guess(table(frame, tmp_path / "log.parquet")).columns == ()


def test_labels_may_be_unknown_where_both_kinds_are_known(tmp_path: Path) -> None:
    unknown = pl.when(pl.col("visit") == 0).then(None).otherwise(pl.col("signup"))
    found = funnel.init(written(log().with_columns(signup=unknown), tmp_path / "log.csv"))
    assert found.schema.stage_names == ("visit", "signup")
    assert "unknown" in found.text


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["visits", "signup"], "--stages: 'visits' is no column of log (have: 'visit', 'signup'). Did you mean 'visit'?"),
        (["city"], "'city' has values such as 'c3', expected 0 and 1"),
        (["visit", "visit"], "got 'visit' twice"),
        (["visit", "pages"], "'pages' has values from 0 to 7, expected 0 and 1"),
        (
            ["visit", "left"],
            "'left' is 1 in all 1,257 rows with a value and 2,743 are missing, expected 0 and 1. If missing means 0",
        ),
        (["visit", "never"], "'never' is 0 in all 4,000 rows with a value, expected 0 and 1"),
        (["none"], "'none' has no values at all"),
        ([], "got no stages, expected columns of 0 and 1 (have: 'visit', 'signup')"),
    ],
)
def test_stages_that_are_none_are_refused(stages: list[str], message: str, tmp_path: Path) -> None:
    others = {
        "pages": pl.Series(np.arange(4000) % 8),
        "left": pl.when(pl.col("visit") == 1).then(1),
        "never": pl.lit(0),
        "none": pl.lit(None, pl.String),
    }
    frame = log(**others)
    message = message.replace("1,257", f"{frame['visit'].sum():,}").replace("2,743", f"{4000 - frame['visit'].sum():,}")
    message = message.replace("c3", frame["city"][0])
    said = refusal(written(frame, tmp_path / "log.csv"), stages)
    assert message in said
    assert "\n" not in said


def test_without_any_column_of_0_and_1_there_is_no_funnel(tmp_path: Path) -> None:
    said = refusal(written(log().select("city"), tmp_path / "log.csv"))
    assert "got no column of 0 and 1 (have: 'city'), expected one for each stage" in said


def test_rows_with_a_later_stage_alone_are_counted_and_dropped(tmp_path: Path) -> None:
    frame = (
        log()
        .with_row_index()
        .with_columns(
            signup=pl.when(pl.col("index") < 40).then(1).otherwise("signup"),
            visit=pl.when(pl.col("index") < 40).then(0).otherwise("visit"),
        )
    )
    frame = frame.drop("index")
    assert contradictions(table(frame, tmp_path / "log.csv"), ["visit", "signup"]) == [("signup", "visit", 0.01)]
    found = funnel.init(tmp_path / "log.csv", ["visit", "signup"])
    assert found.schema.inconsistent_labels == "drop"
    assert "# 1.00% of the rows have signup without visit." in found.text


def test_who_is_asked_may_answer_otherwise_and_is_asked_again(tmp_path: Path) -> None:
    answers, asked = iter(["visits", "signup"]), []

    def ask(question: Question) -> str:
        asked.append(question)
        return next(answers)

    found = funnel.init(written(log(), tmp_path / "log.csv"), ask=ask)
    assert found.schema.stage_names == ("signup",)
    assert asked[0].proposed == "visit,signup"
    assert "Did you mean 'visit'?" in asked[1].problem


def test_names_of_stages_and_features() -> None:
    assert [depth(name) for name in ("is_click", "added_to_cart", "hired", "mens")] == [1, 2, 5, None]
    assert stage_name("is_click", []) == "click"
    assert stage_name("click", ["click"]) == "click_2"
    assert plain_name("umsatz #1") == "umsatz_1"
    assert plain_name("101_a") == "c_101_a"
    assert plain_name("größe") == "gro_e"
    assert plain_name("价格") == "column"
    assert plain_name("class") == "class_"
    assert plain_name("index") == "index_"
    assert plain_name("tag", ["tag"], "video") == "video_tag"
