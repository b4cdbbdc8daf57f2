"""The funnel as it was passed through, observed beside predicted: how many got where, and what share went on at each step."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from funnel.reporting.canvas import SMALL, Chart, Sheet, grid, gutter, labels
from funnel.reporting.figures import percent, plain_percent
from funnel.reporting.palette import LIGHT
from funnel.reporting.record import Probability

ROW = 0.34  # inches
NUMBERS = 0.62  # inches to the right of the panels, for numbers
SPREAD = 20.0  # above this ratio of the largest to the smallest share, the axis is logarithmic


def passages(space: str, steps: list[dict[str, Any]], probabilities: tuple[Probability, ...]) -> list[Chart]:
    """Two charts: shares of all rows, and shares of the step before.

    Args:
        space: What a row is.
        steps: By stage, what was observed and predicted.
        probabilities: By stage, its conditional.
    """
    return [_of_all(space, steps), _of_parents(steps, probabilities)]


def _of_all(space: str, steps: list[dict[str, Any]]) -> Chart:
    pairs = [(step["observed_rate"], step["predicted_rate"]) for step in steps]
    left, names = gutter([step["stage"] for step in steps])
    sheet = Sheet(0.72 + ROW * len(steps) + 0.42, "How far they get")
    panel = sheet.rows(left, 0.72, sheet.width - left - NUMBERS, names, ROW)
    known = [rate for pair in pairs for rate in pair if rate]
    logarithmic = bool(known) and max(known) / min(known) > SPREAD
    if logarithmic:
        panel.set_xscale("log")
        panel.set_xlim(min(known) / 2, min(1.0, max(known) * 2))
        panel.xaxis.set_major_locator(LogLocator(numticks=6))
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        panel.set_xlim(0, min(1.0, 1.12 * max(known, default=0.5)))
        panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.xaxis.set_major_formatter(lambda share, _: plain_percent(share))
    grid(panel, "x")
    for row, (observed, predicted) in enumerate(pairs):
        if observed and predicted:
            panel.plot([observed, predicted], [row, row], color=LIGHT["line"], linewidth=1.2, zorder=2)
        if observed or (observed is not None and not logarithmic):
            panel.plot([observed], [row], "o", color=LIGHT["observed"], markersize=6.5, zorder=3, clip_on=False)
        if predicted or (predicted is not None and not logarithmic):
            panel.plot(
                [predicted], [row], "D", markerfacecolor=LIGHT["paper"], markeredgecolor=LIGHT["predicted"],
                markersize=4.2, markeredgewidth=1.4, zorder=4, clip_on=False,
            )  # fmt: skip
        _number(sheet, row, observed)
    _legend(sheet, "o", "D")
    labels(panel, f"share of all {space} rows{', log scale' if logarithmic else ''}")
    label = f"Share of all {space} rows that reach each stage, observed and predicted; the table below has the numbers."
    return Chart("funnel-reached", label, sheet.figure)


def _of_parents(steps: list[dict[str, Any]], probabilities: tuple[Probability, ...]) -> Chart:
    left, names = gutter([step["stage"] for step in steps])
    sheet = Sheet(0.72 + ROW * len(steps) + 0.42, "Who goes on")
    panel = sheet.rows(left, 0.72, sheet.width - left - NUMBERS, names, ROW)
    pairs = [(step["observed_step"], step["predicted_step"]) for step in steps]
    panel.set_xlim(0, min(1.0, 1.08 * max((rate for pair in pairs for rate in pair if rate), default=0.5)))
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.xaxis.set_major_formatter(lambda share, _: plain_percent(share))
    grid(panel, "x")
    for row, (observed, predicted) in enumerate(pairs):
        if observed is not None:
            panel.barh([row], [observed], height=0.5, color=LIGHT["observed"], zorder=2)
        if predicted is not None:
            panel.plot([predicted] * 2, [row - 0.38, row + 0.38], color=LIGHT["predicted"], linewidth=2.2, zorder=3)
        _number(sheet, row, observed)
    _legend(sheet, "s", "|")
    labels(panel, "share of the stage before")
    listed = ", ".join(probability.formula for probability in probabilities)
    return Chart("funnel-steps", f"Observed and predicted share that goes on at each step: {listed}.", sheet.figure)


def _number(sheet: Sheet, row: int, share: float | None) -> None:
    sheet.text(sheet.width - 0.04, 0.72 + ROW * (row + 0.5), percent(share), ha="right", size=SMALL)


def _legend(sheet: Sheet, observed: str, predicted: str) -> None:
    """Above the rows, where no data can be."""
    panel = sheet.axes(0.04, 0.36, sheet.width - 0.08, 0.24)
    panel.set_axis_off()
    panel.set_xlim(0, sheet.width - 0.08)
    panel.set_ylim(0, 1)
    hollow = predicted == "D"
    panel.plot([0.07], [0.5], observed, color=LIGHT["observed"], markersize=5.5)
    panel.plot(
        [1.0], [0.5], predicted, markerfacecolor=LIGHT["paper" if hollow else "predicted"],
        markeredgecolor=LIGHT["predicted"], markersize=4.5 if hollow else 8, markeredgewidth=1.5 if hollow else 2.2,
    )  # fmt: skip
    for x, text in ((0.17, "observed"), (1.1, "predicted")):
        panel.text(x, 0.47, text, va="center", fontsize=SMALL, color=LIGHT["muted"])
