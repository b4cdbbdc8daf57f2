"""All charts of all kinds of runs: nothing is cut off, and what they show is what was given."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from funnel.reporting.canvas import Chart
from funnel.reporting.curves import calibration, roc
from funnel.reporting.ink import drawing
from funnel.reporting.learning import learning_curves
from funnel.reporting.page import content
from funnel.reporting.parts import MOST, dots, lost
from funnel.reporting.passage import passages
from funnel.reporting.record import Probability, read_record
from tests.reporting import made

BUY = Probability("buy", "conditional", "buy_given_click", "P(buy | click)", "buy given click", "click")
WHOLE = {"rows": 1000, "positives": 9, "auc": 0.6, "predicted_over_observed": 1.1, "intervals": {"auc": [0.5, 0.7]}}


def bins(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"rows": 100, "predicted": x, "observed": y, "low": 0.8 * y, "high": min(1.0, 1.2 * y + 0.2 * x)} for x, y in pairs]


def texts(chart: Chart) -> list[Text]:
    """All that can be seen: no ticks beyond the ends of their axis."""
    found = [*chart.figure.texts]
    for panel in chart.figure.axes:
        if panel.axison:
            found += [panel.xaxis.label, panel.yaxis.label]
            for axis, ends in ((panel.xaxis, sorted(panel.get_xlim())), (panel.yaxis, sorted(panel.get_ylim()))):
                found += [t.label1 for t in axis.get_major_ticks() if ends[0] <= t.get_loc() <= ends[1]]
        found += panel.texts
    return [text for text in found if text.get_text() and text.get_visible()]


def require_whole(chart: Chart) -> None:
    chart.figure.draw_without_rendering()
    renderer, sheet = chart.figure.canvas.get_renderer(), chart.figure.bbox
    for text in texts(chart):
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= sheet.x0 - 1, (chart.name, text.get_text())
        assert extent.x1 <= sheet.x1 + 1, (chart.name, text.get_text())
        assert extent.y0 >= sheet.y0 - 1, (chart.name, text.get_text())
        assert extent.y1 <= sheet.y1 + 1, (chart.name, text.get_text())


LONG = [{"name": "Click_" + "W" * 90, "label": "c"}, {"name": "buy", "label": "b"}]
RUNS = {
    "two stages": (made.shipped("aliccp"), 0.15),
    "four stages": (made.shipped("ecommerce"), None),
    "branches": (made.shipped("esm2"), None),
    "one rare stage": (made.small([{"name": "buy", "label": "b", "prior": 0.002}]), None),
    "long names": (made.small(LONG), 0.2),
}


@pytest.mark.parametrize(("schema", "rate"), RUNS.values(), ids=RUNS)
def test_nothing_is_cut_off(tmp_path: Path, schema: Any, rate: float | None) -> None:
    with drawing():
        charts = content(read_record(made.run(tmp_path / "run", schema, 2000, rate=rate))).charts()
        assert len({chart.name for chart in charts}) == len(charts) > 5
        for chart in charts:
            require_whole(chart)


def test_the_roc_has_its_points_and_its_area() -> None:
    with drawing():
        chart = roc(BUY, WHOLE, [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]])
    (panel,) = chart.figure.axes
    assert panel.lines[1].get_xydata().tolist() == [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]]
    assert {"AUC 0.600", "0.500 to 0.700"} == {text.get_text() for text in panel.texts}
    assert "9 positives of 1,000 click rows" in {text.get_text() for text in chart.figure.texts}


def test_calibration_of_rare_events_is_logarithmic_and_an_empty_bin_is_hollow() -> None:
    with drawing():
        chart = calibration(BUY, bins((0.0001, 0.0), (0.001, 0.0012), (0.01, 0.008)), 0.95)
        require_whole(chart)
    (panel,) = chart.figure.axes
    assert panel.get_xscale() == panel.get_yscale() == "log"
    assert panel.get_xlim() == panel.get_ylim()
    dots_ = [line for line in panel.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots_] == [0.0001, 0.001, 0.01]
    assert dots_[0].get_ydata()[0] == panel.get_ylim()[0], "what has no logarithm stands on the edge"
    assert dots_[0].get_markerfacecolor() != dots_[1].get_markerfacecolor()


def test_calibration_fills_its_panel() -> None:
    with drawing():
        rare = calibration(BUY, bins((0.0008, 0.0007), (0.001, 0.0012), (0.0013, 0.0014)), 0.9)
        high = calibration(BUY, bins((0.8, 0.79), (0.9, 0.91)), 0.95)
        nothing = calibration(BUY, bins((0.0, 0.0)), 0.95)
        for chart in (rare, high, nothing):
            require_whole(chart)
    assert rare.figure.axes[0].get_xlim()[1] < 0.003
    assert high.figure.axes[0].get_xlim()[0] > 0.5
    assert nothing.figure.axes[0].get_xlim() == (0.0, 1.0)
    assert "90\u00a0% intervals" in rare.figure.texts[1].get_text()


def step(stage: str, observed: float | None, predicted: float | None) -> dict[str, Any]:
    found = {"stage": stage, "given": None}
    return found | {
        f"{k}{of}": v for k, v in (("observed", observed), ("predicted", predicted)) for of in ("", "_rate", "_step")
    }


@pytest.mark.parametrize(
    "steps", [[step("a", 0.5, 0.4)], [step("a", 0.5, 0.4), step("b", 0.001, 0.002)], [step("a", 0.0, None)]]
)
def test_the_funnel_as_it_was_passed_through(steps: list[dict[str, Any]]) -> None:
    with drawing():
        reached, steps_ = passages("impression", steps, (BUY,) * len(steps))
        require_whole(reached)
        require_whole(steps_)
    assert reached.figure.axes[0].get_xscale() == ("log" if len(steps) == 2 else "linear")
    assert len(steps_.figure.axes[0].patches) >= len(steps)


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_learning_curves(epochs: int) -> None:
    schema = made.shipped("aliccp")
    with drawing():
        charts = learning_curves(schema, made.history(schema, epochs))
        for chart in charts:
            require_whole(chart)
    assert [chart.name for chart in charts] == ["learning-loss", "learning-click", "learning-buy"]
    assert [len(chart.figure.axes) for chart in charts] == [1, 2, 2]
    assert charts[1].label == "Training loss and validation log loss of click by epoch."


def test_learning_without_validation_and_without_epochs() -> None:
    schema = made.shipped("aliccp")
    history = [epoch | {"scores": {}} for epoch in made.history(schema)]
    with drawing():
        charts = learning_curves(schema, history)
        assert [len(chart.figure.axes) for chart in charts] == [1, 1, 1]
        assert "no validation rows: the last epoch is kept" in {text.get_text() for text in charts[0].figure.texts}
        assert learning_curves(schema, []) == []


def a_slice(value: str, auc: float | None, interval: Any = None, over: float | None = 1.0, lost: Any = None) -> dict[str, Any]:
    scores = {"auc": auc, "predicted_over_observed": over, "intervals": {"auc": interval}}
    return {"value": value, "rows": 10, "conditional": {"buy": scores}, "lost": {"buy": lost or []}}


def test_slices_are_told_apart_where_their_interval_does() -> None:
    slices = [a_slice("worse", 0.4, [0.3, 0.5]), a_slice("same", 0.6, [0.5, 0.7]), a_slice("none", None, over=None)]
    slices += [a_slice("better", 0.8, [0.7, 0.9], over=9.0)]
    with drawing():
        chart = dots(1, "tab", BUY, slices, whole=WHOLE, level=0.95)
        require_whole(chart)
    area, over = chart.figure.axes
    marks = [line.get_color() for line in area.lines if line.get_marker() == "o"]
    assert len(set(marks)) == 3
    assert [line.get_marker() for line in over.lines if line.get_marker() in ("o", ">")] == ["o", "o", ">"]
    assert "undefined" in {text.get_text() for text in area.texts}


def test_only_the_largest_slices_are_drawn() -> None:
    slices = [a_slice(str(n), 0.6, [0.5, 0.7]) for n in range(40)]
    with drawing():
        chart = dots(1, "tab", BUY, slices, whole=WHOLE, level=0.95)
    assert f"95\u00a0% intervals, {MOST} largest of 40; dashed: all rows" in {text.get_text() for text in chart.figure.texts}


def test_losses_are_left_and_gains_right() -> None:
    steps = [{"stage": "click", "observed": -0.5, "predicted": -0.4}, {"stage": "buy", "observed": 0.2, "predicted": 0.1}]
    none = [{"stage": "click", "observed": 0.1, "predicted": 0.1}, {"stage": "buy", "observed": None, "predicted": -3.0}]
    with drawing():
        chart = lost(1, "tab", "buy", [a_slice("1", 0.6, lost=steps), a_slice("2", 0.6, lost=none)])
        assert chart is not None
        require_whole(chart)
        assert lost(1, "tab", "buy", [a_slice("1", 0.6)]) is None
    bars = [(patch.get_x(), patch.get_width()) for patch in chart.figure.axes[0].containers for patch in patch.patches]
    assert bars == [(0.0, -0.5), (0.0, 0.2), (0.0, 0.1)]
    shown = {text.get_text() for text in chart.figure.texts}
    assert {"none", "\u00d7 0.74", "click", "buy"} <= shown
