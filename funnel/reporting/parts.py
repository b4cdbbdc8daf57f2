"""Charts of the slices of one column: how well each is predicted, and at which step its rows are lost."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from funnel.reporting.canvas import LETTER, SMALL, Chart, Sheet, dot, grid, gutter, labels, room, undefined
from funnel.reporting.figures import TIMES, cells, plain_percent, ratio, shorten
from funnel.reporting.palette import LIGHT, STEPS
from funnel.reporting.record import Probability

MOST = 12  # slices in a chart: the largest
ROW = 0.25  # inches
FACTORS = (1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 30, 100, 1000)  # where an axis may have its ticks, and at the inverse of it


def dots(
    place: int, column: str, probability: Probability, slices: list[dict[str, Any]], *, whole: dict[str, Any], level: float
) -> Chart:
    """AUC, and predicted over observed, of each slice, with their intervals.

    Args:
        place: Of the column among the columns.
        column: What the rows are sliced by.
        probability: What is judged.
        slices: The largest first.
        whole: Its scores on all rows.
        level: Of the intervals.
    """
    shown = slices[:MOST]
    left, names = gutter([one["value"] for one in shown], 0.95)
    title = f"{probability.formula} by {column}"
    sheet = Sheet(0.78 + ROW * len(shown) + 0.3, title, f"{plain_percent(level)} intervals{_of(slices)}; dashed: all rows")
    width = (sheet.width - left - 0.22) / 2
    for number, (what, measure) in enumerate((("AUC", "auc"), ("predicted / observed", "predicted_over_observed"))):
        start = left + number * (width + 0.14)
        panel = sheet.rows(start, 0.66, width, names if number == 0 else [""] * len(names), ROW)
        figures = [one[probability.kind][probability.stage] for one in shown]
        _dots(panel, measure, figures, whole)
        panel.text(0, 1.03, what, transform=panel.transAxes, fontsize=SMALL, color=LIGHT["muted"], va="bottom")
    label = f"AUC, and predicted over observed, of {probability.formula} for each {column}, with intervals."
    return Chart(f"slices-{place}-{probability.name}", label, sheet.figure)


def _of(slices: list[dict[str, Any]]) -> str:
    return f", {MOST} largest of {len(slices)}" if len(slices) > MOST else ""


def _dots(panel: Axes, measure: str, figures: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    reference = whole[measure]
    if reference is not None:
        panel.axvline(reference, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if measure != "auc":
        panel.axvline(1, color=LIGHT["line"], linewidth=0.8, zorder=1)
    low, high = _ends(measure, figures, reference)
    for row, scores in enumerate(figures):
        value, interval = scores[measure], scores["intervals"].get(measure)
        if value is None:
            undefined(panel, row)
            continue
        dot(panel, row, value, interval, colour=_judged(measure, value, interval, reference), ends=(low, high))
    panel.set_xlim(low, high)
    panel.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    grid(panel, "x")


def _ends(measure: str, figures: list[dict[str, Any]], whole: float | None) -> tuple[float, float]:
    """Where the axis begins and ends: a slice with few rows does not squeeze all others."""
    values = [scores[measure] for scores in figures if scores[measure] is not None]
    values += [whole] if whole is not None else []
    ends = [end for scores in figures if scores["intervals"].get(measure) for end in scores["intervals"][measure]]
    if measure == "auc":
        low, high = min([0.5, *values, *ends], default=0.4), max([0.6, *values, *ends], default=1.0)
        return max(0.0, low - 0.02), min(1.0, high + 0.02)
    high = max([1.1, *values, *(end for end in ends if end <= 4)])
    low = min([0.9, *values, *ends])
    return max(0.0, low - 0.05), min(high, 4.0) + 0.05


def _judged(measure: str, value: float, interval: list[float] | None, whole: float | None) -> str:
    against = whole if measure == "auc" else 1.0
    if interval is None or against is None or interval[0] <= against <= interval[1]:
        return "unsure"
    if measure != "auc":
        return "predicted"
    return "better" if value > against else "worse"


def lost(place: int, column: str, stage: str, slices: list[dict[str, Any]]) -> Chart | None:
    """By how much each slice differs in P(stage) from all rows, and at which steps; None where no slice can be taken apart.

    Args:
        place: Of the column among the columns.
        column: What the rows are sliced by.
        stage: The stage that rows are lost on the way to.
        slices: The largest first.
    """
    shown = [one for one in slices[:MOST] if one["lost"].get(stage)]
    on_the_way = list(dict.fromkeys(step["stage"] for one in shown for step in one["lost"][stage]))
    if not shown:
        return None
    colours = {name: STEPS[number % len(STEPS)] for number, name in enumerate(on_the_way)}
    left, names = gutter([one["value"] for one in shown], 0.95)
    lines = _lines(on_the_way, 3.3)
    top = 0.5 + 0.2 * len(lines)
    below = f"by {shorten(column, 18)}, against all rows, step by step{_of(slices)}"
    sheet = Sheet(top + ROW * len(shown) + 0.42, f"Where P({stage}) is lost", below)
    _legend(sheet, lines, colours)
    panel = sheet.rows(left, top, sheet.width - left - 0.62, names, ROW)
    reach = max([0.1, *(_reach(one["lost"][stage]) for one in shown)]) * 1.06
    for row, one in enumerate(shown):
        _bar(panel, row, one["lost"][stage], colours)
        total = _total(one["lost"][stage], "observed")
        sheet.text(
            sheet.width - 0.04, top + ROW * (row + 0.5), "none" if total is None else f"{TIMES} {ratio(math.exp(total))}",
            ha="right", size=SMALL,
        )  # fmt: skip
    panel.axvline(0, color=LIGHT["muted"], linewidth=0.9, zorder=4)
    panel.set_xlim(-reach, reach)
    far = max([FACTORS[0], *(factor for factor in FACTORS if math.log(factor) <= reach)])
    panel.xaxis.set_major_locator(FixedLocator([-math.log(far), 0, math.log(far)]))
    panel.xaxis.set_major_formatter(lambda value, _: f"{TIMES} {round(math.exp(value), 4):g}")
    grid(panel, "x")
    labels(panel, "lost  ←   times the rate of all rows, log scale   →  gained")
    told = f"By {column}: how many times P({stage}) is that of all rows, and how much of it comes from each step."
    return Chart(f"lost-{place}-{stage}", told, sheet.figure)


def _bar(panel: Axes, row: int, steps: list[dict[str, Any]], colours: dict[str, str]) -> None:
    """Losses end to end to the left, gains to the right; a tick where they come to, a diamond where they were predicted to."""
    ends = {False: 0.0, True: 0.0}
    for step in steps:
        value = step["observed"]
        if value is None:
            continue
        panel.barh([row], [value], left=[ends[value > 0]], height=0.5, color=colours[step["stage"]], linewidth=0, zorder=2)
        ends[value > 0] += value
    total, predicted = _total(steps, "observed"), _total(steps, "predicted")
    if total is not None:
        panel.plot([total] * 2, [row - 0.4, row + 0.4], color=LIGHT["text"], linewidth=1.5, zorder=5)
    if predicted is not None:
        panel.plot([predicted], [row], "D", markersize=3.4, markerfacecolor=LIGHT["paper"], markeredgecolor=LIGHT["text"],
                   markeredgewidth=0.8, zorder=6)  # fmt: skip


def _total(steps: list[dict[str, Any]], key: str) -> float | None:
    """The sum over all steps; None where nothing got to the end."""
    values = [step[key] for step in steps]
    return None if any(value is None for value in values) else sum(values)


def _reach(steps: list[dict[str, Any]]) -> float:
    observed = [step["observed"] for step in steps if step["observed"] is not None]
    predicted = _total(steps, "predicted") or 0.0
    return max(abs(predicted), sum(v for v in observed if v > 0), -sum(v for v in observed if v < 0))


def _lines(names: list[str], width: float) -> list[list[str]]:
    """The legend's entries, as they fit into lines; what the marks mean comes last."""
    lines: list[list[str]] = [[]]
    used = 0.0
    for name in [*names, "| observed", "◇ predicted"]:
        fitting = shorten(name, 20)
        wide = cells(fitting) + 5
        if lines[-1] and used + wide > room(width, SMALL):
            lines.append([])
            used = 0
        lines[-1].append(name)
        used += wide
    return lines


def _legend(sheet: Sheet, lines: list[list[str]], colours: dict[str, str]) -> None:
    for number, line in enumerate(lines):
        left = 0.04
        for name in line:
            mark = colours.get(name)
            text = shorten(name, 20) if mark else name
            top = 0.52 + 0.2 * number
            if mark:
                sheet.square(left + 0.05, top, mark)
            sheet.text(left + (0.13 if mark else 0), top, text, size=SMALL, colour="muted")
            left += (0.13 if mark else 0) + (cells(text) + 2.4) * SMALL * LETTER
