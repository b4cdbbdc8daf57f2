"""Whole runs compared: figures are those of `evaluate`, whatever the runs' features, network and funnel are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel as library
from funnel.errors import DataError, RunError
from funnel.run import Run
from tests import shop
from tests.conftest import Answer

SHARED = ["click", "buy", "buy_given_click"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("shop"))


def tree(**more: Any) -> dict[str, Any]:
    return shop.tree() | {"evaluate": {"group_by": "user_id"}} | more


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Path]:
    """Three of one funnel, one of which reads fewer features, and one that goes straight to the purchase."""
    one = {"batch_size": 128, "epochs": 1}
    few = [feature for feature in shop.tree()["features"] if feature["name"] in ("item", "city", "user_id")]
    declared = {
        "first": tree(),
        "short": tree(train=one),
        "few": tree(features=few, train=one),
        "straight": tree(stages=[{"name": "buy", "label": "buy"}], train=one),
    }
    for name, schema in declared.items():
        library.fit(schema, folder, out=folder / "runs" / name)
    return {name: folder / "runs" / name for name in declared}


def test_each_run_has_the_figures_that_evaluate_gives(folder: Path, runs: dict[str, Path]) -> None:
    names = ["first", "short", "few"]
    found = library.compare([runs[name] for name in names], folder, slices=["city"])
    assert found.runs == ("first", "short", "few")
    assert [one.name for one in found.probabilities] == SHARED
    assert (found.rows, found.left_out, found.alone) == (300, 0, ())
    for place, name in enumerate(names):
        report = Run.load(runs[name]).evaluate(folder, slices=["city"])
        for one in found.probabilities:
            assert one.scores[place] == getattr(report, one.kind)[one.stage]
        for part, own in zip(found.slices["city"], report.slices["city"], strict=True):
            assert part.value == own.value
            for one in part.probabilities:
                # Intervals of a slice are drawn among its own clusters' numbers alike.
                assert one.scores[place].auc == pytest.approx(getattr(own, one.kind)[one.stage].auc, nan_ok=True)


def test_funnels_that_differ_are_compared_in_what_they_share(folder: Path, runs: dict[str, Path]) -> None:
    found = library.compare([runs["first"], runs["straight"]], folder)
    assert [one.name for one in found.probabilities] == ["buy"]
    assert found.alone == ("click", "buy_given_click")
    straight = Run.load(runs["straight"]).evaluate(folder).cumulative["buy"]
    (buy,) = found.probabilities
    assert (buy.scores[1].auc, buy.scores[1].log_loss) == (straight.auc, straight.log_loss)
    back = library.compare([runs["straight"], runs["first"]], folder).probabilities[0]
    assert back.scores[1].log_loss == pytest.approx(buy.scores[0].log_loss, rel=1e-12)
    assert back.changes[1]["auc"].value == pytest.approx(-buy.changes[1]["auc"].value, abs=1e-15)


def test_frames_and_truth(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    true = pl.DataFrame({name: random.random(300) for name in ("click", "buy_given_click")})
    true.write_parquet(tmp_path / "truth.parquet")
    frames = {"facts": pl.read_parquet(folder / "test.parquet"), "user": pl.read_parquet(folder / "users.parquet")}
    of_folder = library.compare([runs["first"], runs["short"]], folder, truth=tmp_path / "truth.parquet")
    of_frames = library.compare([runs["first"], Run.load(runs["short"])], frames, truth=tmp_path / "truth.parquet")
    assert of_frames.probabilities == of_folder.probabilities
    assert of_folder.truth is not None
    own = Run.load(runs["short"]).evaluate(folder, truth=tmp_path / "truth.parquet").truth
    assert {one.stage: one.scores[1] for one in of_folder.truth} == own


def test_rows_that_one_run_cannot_use_are_left_out_for_all(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    lenient = tree(train={"batch_size": 128, "epochs": 1})
    lenient["data"] = lenient["data"] | {"bad_rows": {"kind": "skip", "max_share": 0.2}}
    lenient["features"] = [f | {"missing": "error"} if f["name"] == "hour" else f for f in lenient["features"]]
    run = library.fit(lenient, folder, out=tmp_path / "lenient")
    rows = pl.read_parquet(folder / "test.parquet")
    hour = pl.when(pl.int_range(pl.len()) % 10 == 3).then(None).otherwise(pl.col("hour")).alias("hour")
    frames = {"facts": rows.with_columns(hour), "user": pl.read_parquet(folder / "users.parquet")}
    found = library.compare([runs["first"], run], frames)
    assert (found.rows, found.left_out) == (270, 30)
    kept = frames | {"facts": frames["facts"].filter(pl.col("hour").is_not_null())}
    alone = library.compare([runs["first"], run], kept)
    for one, other in zip(found.probabilities, alone.probabilities, strict=True):
        for scores, expected in zip(one.scores, other.scores, strict=True):
            assert (scores.rows, scores.positives, scores.auc) == (expected.rows, expected.positives, expected.auc)
            assert scores.log_loss == pytest.approx(expected.log_loss, rel=1e-12)


def test_what_cannot_be_compared_is_refused(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    first, short = runs["first"], runs["short"]
    with pytest.raises(RunError, match=r"compare: got 1 run, expected two or more"):
        library.compare([first], folder)
    with pytest.raises(RunError, match=r"first: is given twice, expected different runs"):
        library.compare([first, short, first], folder)
    with pytest.raises(RunError, match=r"nothing: is no folder, expected a run"):
        library.compare([first, folder / "nothing"], folder)
    with pytest.raises(DataError, match=r"slice 'citi': is no feature.*mean 'city'"):
        library.compare([first, short], folder, slices=["citi"])
    other = tree(data=shop.tree()["data"] | {"facts": {"format": "parquet", "train": "train.parquet", "test": "train.parquet"}})
    library.fit(other, folder, out=tmp_path / "other")
    with pytest.raises(RunError, match=r"other: reads train.parquet in .*, expected test.parquet as first does"):
        library.compare([first, tmp_path / "other"], folder)
    lacking = tree(
        data=shop.tree()["data"] | {"dimensions": [{"name": "user", "key": "user_id", "format": "parquet", "files": "p*"}]}
    )
    people = shop.write(tmp_path / "people")
    (people / "users.parquet").rename(people / "people.parquet")
    library.fit(lacking, people, out=tmp_path / "lacking")
    with pytest.raises(RunError, match=r"lacking: user: got no file for 'p\*' in .*have: .*'users.parquet'"):
        library.compare([first, tmp_path / "lacking"], folder)
    renamed = tree(stages=[{"name": "tap", "label": "click"}], train={"batch_size": 128, "epochs": 1})
    library.fit(renamed, folder, out=tmp_path / "renamed")
    with pytest.raises(RunError, match=r"first: got no probability that the other runs have too.*they have: 'tap'"):
        library.compare([first, tmp_path / "renamed"], folder)


def test_the_command_writes_one_page_of_several_runs(
    folder: Path, runs: dict[str, Path], funnel: Callable[..., Answer], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    asked = ("--data", folder, "--slice", "city", "--out", page, "--plots", tmp_path / "charts")
    code, out, error = funnel("report", runs["first"], runs["few"], runs["straight"], *asked)
    assert (code, out, error) == (0, f"report: {page}\ncharts: {tmp_path / 'charts'}\n", "")
    text = page.read_text()
    for said in ("3 runs", "By city", "Not compared", "features.price"):
        assert said in text
    assert (tmp_path / "charts" / "changes-buy.svg").is_file()
    assert funnel("report", runs["first"], runs["few"], "--data", folder)[1] == f"report: {runs['first'] / 'comparison.html'}\n"
    code, _, error = funnel("report", runs["first"], runs["first"], "--data", folder)
    assert code == 1
    assert "is given twice" in error


def test_the_command_judges_other_rows(
    folder: Path, runs: dict[str, Path], funnel: Callable[..., Answer], tmp_path: Path
) -> None:
    other = shop.write(tmp_path / "other")
    pl.read_parquet(folder / "test.parquet").head(200).write_parquet(other / "test.parquet")
    page = tmp_path / "page.html"
    assert funnel("report", runs["first"], "--data", other, "--slice", "city", "--out", page)[0] == 0
    text = page.read_text()
    assert "By city" in text
    assert str(other) in text
    scores = Run.load(runs["first"]).evaluate(other).cumulative["click"]
    assert f"{scores.rows} impression rows" in text
    assert funnel("report", runs["first"], "--data", folder, "--split", "train", "--out", page)[0] == 0
    assert "training rows" in page.read_text()
    assert funnel("report", runs["first"], "--split", "tset")[0] == 2
    metrics = json.loads((runs["first"] / "metrics.json").read_text())
    assert metrics["splits"]["test"]["rows"] == 300  # the run itself is as it was
