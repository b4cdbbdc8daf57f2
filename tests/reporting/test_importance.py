from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from funnel.reporting.importance import bars, importance, lost_table, verdict
from funnel.reporting.ink import drawing
from funnel.reporting.record import Record, read_record
from funnel.reports import report
from tests.reporting import made


def run_of(folder: Path, name: str = "aliccp", **parts: Any) -> Path:
    return made.run(folder / "run", made.shipped(name), 500, rate=0.2, by=(), truth=False, **parts)


def record_of(folder: Path, name: str = "aliccp", **more: Any) -> Record:
    return read_record(run_of(folder, name, importance=made.importance(made.shipped(name), **more)))


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    path = run_of(tmp_path, importance=made.importance(made.shipped("aliccp")))
    page = report(path).read_text()
    measured_on, of_none = "20,000 of 90,000 test rows of data/shop, dealt out 3 times; 95", "for any probability: feature 4"
    for said in (measured_on, of_none, "feature 0: with cross", "All features in numbers"):
        assert said in page, said
    assert "was not measured" not in page
    assert report(path).read_text() == page


def test_without_it_the_page_says_how_to_measure_it(tmp_path: Path) -> None:
    for folder, parts in (("none", {}), ("other", {"importance": {"format": 99}})):
        page = report(run_of(tmp_path / folder, **parts)).read_text()
        assert "<code>funnel importance RUN</code>" in page


@pytest.mark.parametrize("name", ["aliccp", "esm2", "full_chain"])
def test_a_chart_for_each_step_and_each_end(tmp_path: Path, name: str) -> None:
    record = record_of(tmp_path, name)
    assert record.importance is not None
    with drawing():
        found = importance(record, record.importance)
    names = [chart.name for chart in found.charts]
    assert set(names) == {f"importance-{p.name}" for p in record.steps()} | {f"importance-{end}" for end in record.ends()}
    assert len(set(names)) == len(names)
    assert len(found.tables) == len(record.probabilities)


def test_bars_are_as_long_as_what_is_lost_and_grey_where_that_may_be_nothing(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    assert record.importance is not None
    (one,) = [one for one in record.importance["probabilities"] if one["name"] == "buy_given_click"]
    (probability,) = [p for p in record.probabilities if p.name == "buy_given_click"]
    with drawing():
        chart = bars(probability, record.importance["order"], one, 0.95)
    loss, area = chart.figure.axes
    lost = sorted(one["lost"].values(), key=lambda lost: -lost["log_loss"]["value"])
    assert [bar.get_width() for bar in loss.patches if bar.get_height() < 0.6] == pytest.approx(
        [each["log_loss"]["value"] / 0.15 for each in lost]
    )
    assert [bar.get_width() for bar in area.patches if bar.get_height() < 0.6] == pytest.approx(
        [each["auc"]["value"] for each in lost]
    )


def test_colours() -> None:
    assert verdict({"low": 0.1, "value": 0.2, "high": 0.3}) == "predicted"
    assert verdict({"low": -0.1, "value": 0.2, "high": 0.3}) == "unsure"
    assert verdict({"low": -0.3, "value": -0.2, "high": -0.1}) == "worse"


def test_many_features_and_areas_that_are_not_defined(tmp_path: Path) -> None:
    record = record_of(tmp_path, features=40, undefined="buy")
    assert record.importance is not None
    with drawing():
        found = importance(record, record.importance)
    texts = [text.get_text() for chart in found.charts for text in chart.figure.texts]
    assert any("the first 16 of 40 features" in text for text in texts)
    assert all(len(one.rows) == 40 for one in found.tables)
    by_title = {one.title.partition(",")[0]: one for one in found.tables}
    assert by_title["P(buy)"].rows[0][2] == "–"  # noqa: RUF001  # a dash
    assert math.isclose(float(by_title["P(buy)"].rows[0][1].partition("\n")[0]), 0.02, abs_tol=0.005)


def test_harm_is_marked(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    assert record.importance is not None
    one = record.importance["probabilities"][0]
    found = lost_table(record.probabilities[0], record.importance["order"], one)
    assert found.marks == {(3, 1): "drifted", (3, 2): "drifted"}
    assert found.rows[3][1].startswith("−")  # noqa: RUF001  # a minus
