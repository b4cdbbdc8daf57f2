"""Evaluation as a whole: slices, truth, and that what `predict` gives leads to the same figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel as library
from funnel.data.prepare import prepare
from funnel.errors import DataError, SchemaError
from funnel.evaluation.metrics import (
    auc,
    average_precision,
    expected_calibration_error,
    group_auc,
    predicted_over_observed,
)
from funnel.run import Run
from tests import shop
from tests.conftest import Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    tree = shop.tree() | {"evaluate": {"group_by": "user_id", "slices": ["city"]}}
    return library.fit(tree, folder, out=folder / "run")


@pytest.fixture(scope="module")
def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "test.parquet").join(pl.read_parquet(folder / "users.parquet"), on="user_id", how="left")


def test_what_is_predicted_leads_to_the_same_figures(run: Run, folder: Path, rows: pl.DataFrame) -> None:
    report, found = run.evaluate(folder), run.predict(folder)
    users = rows["user_id"].rank("dense").to_numpy().astype(np.int64)
    clicked = rows["click"].to_numpy() == 1
    for scores, inside in (
        (report.cumulative["click"], np.ones(300, bool)),
        (report.cumulative["buy"], np.ones(300, bool)),
        (report.conditional["buy"], clicked),
    ):
        label = rows["click" if scores.name == "click" else "buy"].to_numpy()[inside]
        chance = found[scores.name][inside]
        assert scores.auc == auc(label, chance)
        assert scores.pr_auc == average_precision(label, chance)
        assert scores.predicted_over_observed == pytest.approx(predicted_over_observed(label, chance), rel=1e-14)
        assert scores.calibration_error == pytest.approx(expected_calibration_error(label, chance), rel=1e-14)
        assert scores.group_auc == pytest.approx(group_auc(label, chance, users[inside])[0], rel=1e-14)


def test_the_declared_slices_are_in_the_fits_report(run: Run, folder: Path) -> None:
    for split in ("validation", "test"):
        if split in run.metrics:
            assert list(run.metrics[split]["slices"]) == ["city"]
    assert run.metrics["test"] == run.evaluate(folder).as_dict()


def test_a_slice_is_judged_as_its_rows_alone_are(run: Run, folder: Path, rows: pl.DataFrame) -> None:
    report = run.evaluate(folder, slices=["age", "hour", "city"])
    assert list(report.slices) == ["city", "age", "hour"]
    by_city = {part.value: part for part in report.slices["city"]}
    # "" and null are missing ids; of a city that may be missing, `oov` makes them unknown.
    assert set(by_city) == {"rome", "oslo", "(unknown)"}
    facts = pl.read_parquet(folder / "test.parquet")
    for city, part in by_city.items():
        inside = (rows["city"] == city) if city != "(unknown)" else (rows["city"].is_null() | (rows["city"] == ""))
        alone = run.evaluate(
            {"facts": facts.filter(inside.fill_null(False)), "user": pl.read_parquet(folder / "users.parquet")}
        )
        assert part.rows == alone.rows
        for kind in ("cumulative", "conditional"):
            for stage, scores in getattr(part, kind).items():
                other = getattr(alone, kind)[stage]
                assert (scores.auc, scores.positives, scores.groups) == (other.auc, other.positives, other.groups)
                assert scores.log_loss == pytest.approx(other.log_loss, rel=1e-12)
        assert [step.observed for step in part.funnel] == pytest.approx([step.observed for step in alone.funnel])
    assert sum(part.share for part in report.slices["city"]) == pytest.approx(1)
    assert sum(part.rows for part in report.slices["age"]) == 300
    assert [part.value for part in report.slices["age"]][-1] == "(missing)"
    assert len(report.slices["hour"]) <= 15
    assert all(part.value.startswith("#") for part in report.slices["hour"])


def test_where_a_slice_is_lost_adds_up(run: Run, folder: Path) -> None:
    report = run.evaluate(folder)
    whole = {step.stage: step for step in report.funnel}
    for part in report.slices["city"]:
        for step in part.funnel:
            for kind in ("observed", "predicted"):
                rate, of_all = (getattr(one, f"{kind}_rate") for one in (step, whole[step.stage]))
                lost = sum(getattr(one, kind) for one in part.lost[step.stage])
                assert lost == pytest.approx(np.log(rate / of_all), rel=1e-12)


def test_what_is_no_slice_is_said_with_what_there_is(run: Run, folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"slice 'citi': is no feature, expected a categorical or numeric feature .*mean 'city'"
    ):
        run.evaluate(folder, slices=["citi"])
    with pytest.raises(DataError, match="slice 'liked': is a bag, expected a categorical or numeric feature"):
        run.evaluate(folder, slices=["liked"])
    with pytest.raises(SchemaError, match=r"evaluate.slices\[0\]: .*'citi'.*Did you mean 'city'"):
        library.load_schema(shop.tree() | {"evaluate": {"slices": ["citi"]}})
    with pytest.raises(SchemaError, match=r"evaluate.slices\[0\]: .*'seen'"):
        library.load_schema(shop.tree() | {"evaluate": {"slices": ["seen"]}})


def test_a_truth_is_of_all_rows(run: Run, folder: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    true = {name: random.random(300) for name in ("click", "buy_given_click")}
    pl.DataFrame(true).write_parquet(tmp_path / "truth.parquet")
    report, found = run.evaluate(folder, truth=tmp_path / "truth.parquet"), run.predict(folder)
    assert report.truth is not None
    for stage, name in (("click", "click"), ("buy", "buy_given_click")):
        one = report.truth[stage]
        chances = found[name].astype(np.float64)
        assert (one.name, one.rows) == (name, 300)
        assert one.predicted_over_true == pytest.approx(chances.sum() / true[name].sum(), rel=1e-12)
        assert one.mean_absolute_error == pytest.approx(np.abs(chances - true[name]).mean(), rel=1e-12)
        assert one.correlation == pytest.approx(np.corrcoef(chances, true[name])[0, 1], rel=1e-9)
        # Labels drawn with these chances, in the mean: pairs of a row that is drawn and one that is not.
        won = (chances[:, None] > chances[None, :]) + 0.5 * (chances[:, None] == chances[None, :])
        pairs = true[name][:, None] * (1 - true[name])[None, :]
        assert one.auc == pytest.approx((won * pairs).sum() / pairs.sum(), rel=1e-9)
        assert one.auc < one.auc_of_truth
        low, high = one.intervals["auc"]
        assert low < one.auc < high


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"click": [0.1] * 300}, "has no column 'buy_given_click'"),
        ({"click": [0.1] * 9, "buy_given_click": [0.1] * 9}, "has 9 rows for 300 rows of data"),
        ({"click": [0.1] * 300, "buy_given_click": [2.0] * 300}, "has values that are not between 0 and 1"),
        (None, "cannot be read"),
    ],
)
def test_another_truth_is_refused(run: Run, folder: Path, tmp_path: Path, content, message: str) -> None:
    if content is not None:
        pl.DataFrame(content).write_parquet(tmp_path / "truth.parquet")
    with pytest.raises(DataError, match=f"truth.parquet: {message}"):
        run.evaluate(folder, truth=tmp_path / "truth.parquet")


def test_the_command_shows_slices_and_truth(run: Run, folder: Path, funnel: Callable[..., Answer], tmp_path: Path) -> None:
    pl.DataFrame({"click": [0.3] * 300, "buy_given_click": [0.2] * 300}).write_parquet(tmp_path / "truth.parquet")
    code, out, error = funnel(
        "evaluate", folder / "run", "--data", folder, "--slice", "price", "--truth", tmp_path / "truth.parquet"
    )
    assert code == 0, error
    assert "by city" in out
    assert "by price" in out
    assert "rome" in out
    assert "against the truth, over all rows of impression" in out
    code, out, _ = funnel("evaluate", folder / "run", "--data", folder, "--slice", "price", "--json")
    assert list(json.loads(out)["slices"]) == ["city", "price"]
    code, _, error = funnel("evaluate", folder / "run", "--data", folder, "--slice", "no")
    assert code == 1
    assert error.startswith("error: slice 'no': is no feature")


def test_a_run_whose_report_is_of_another_version_can_be_evaluated(run: Run, folder: Path, tmp_path: Path) -> None:
    run.save(tmp_path / "old")
    (tmp_path / "old" / "metrics.json").write_text('{"test": {}}')
    loaded = library.load(tmp_path / "old")
    assert loaded.metrics == {}
    assert loaded.evaluate(folder).as_dict() == run.metrics["test"]


def test_a_brief_report_has_the_same_figures(run: Run, folder: Path) -> None:
    shards = prepare(run.schema, folder).shards("test")
    brief, whole = run.judge(shards, brief=True), run.judge(shards)
    assert whole.curves
    assert not brief.curves
    for kind in ("cumulative", "conditional"):
        for stage, scores in getattr(brief, kind).items():
            assert scores.intervals == {}
            other = getattr(whole, kind)[stage]
            assert (scores.log_loss, scores.auc, scores.calibration_error) == (
                other.log_loss,
                other.auc,
                other.calibration_error,
            )
