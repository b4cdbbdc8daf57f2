"""Charts of a comparison: what the runs' figures are, and by how much each differs from that of the first."""

from __future__ import annotations

import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from funnel.reporting.canvas import SMALL, Chart, Sheet, dot, grid, gutter, ticks, undefined
from funnel.reporting.figures import plain_percent, signed
from funnel.reporting.palette import LIGHT
from funnel.reporting.record import Probability

MOST = 12  # rows of a chart
ROW = 0.25  # inches
FAR = 4  # times as far as the ends of most intervals, an axis of differences ends
HIGHER, LOWER = "higher", "lower"
# By figure: its title, and which way is better; of predicted over observed, neither.
BETTER = {
    "auc": HIGHER,
    "group_auc": HIGHER,
    "pr_auc": HIGHER,
    "log_loss": LOWER,
    "normalized_entropy": LOWER,
    "calibration_error": LOWER,
}
CHANGED = (("auc", "AUC"), ("normalized_entropy", "normalised entropy"))
LEVELS = (("auc", "AUC"), ("predicted_over_observed", "predicted / observed"))


def verdict(measure: str, change: dict[str, Any] | None) -> str:
    """`better` or `worse` where a difference is sure and its direction says so; else `unsure`."""
    if change is None or change["low"] <= 0 <= change["high"] or measure not in BETTER:
        return "unsure"
    return "better" if (change["value"] > 0) == (BETTER[measure] == HIGHER) else "worse"


def levels(probability: Probability, names: list[str], scores: list[dict[str, Any]], level: float) -> Chart:
    """AUC, and predicted over observed, of every run, each with its own interval.

    Args:
        probability: What is judged.
        names: Of the runs.
        scores: By run.
        level: Of the intervals.
    """
    sheet, panels = _panels(
        f"{probability.formula}", f"{plain_percent(level)} intervals of each by itself", names, [title for _, title in LEVELS]
    )
    for panel, (measure, _) in zip(panels, LEVELS, strict=True):
        pairs = [(one[measure], one["intervals"].get(measure)) for one in scores[:MOST]]
        reference = 1.0 if measure == "predicted_over_observed" else None
        _draw(panel, pairs, ["predicted"] * len(pairs), reference)
    label = f"AUC, and predicted over observed, of {probability.formula} for each run, with intervals."
    return Chart(f"levels-{probability.name}", label, sheet.figure)


def changed(
    name: str, title: str, rows: list[str], changes: list[dict[str, Any]], *, first: str, level: float, more: str = ""
) -> Chart:
    """AUC and normalised entropy, less those of the first run.

    Args:
        name: Of the chart.
        title: Above it.
        rows: What is compared: runs, or slices.
        changes: By row, by figure.
        first: The run that others are compared with.
        level: Of the intervals.
        more: What else stands below the title.
    """
    below = f"less {first}; paired {plain_percent(level)} intervals{more}"
    sheet, panels = _panels(title, below, rows, [title for _, title in CHANGED])
    for panel, (measure, _) in zip(panels, CHANGED, strict=True):
        found = [one.get(measure) for one in changes[:MOST]]
        pairs = [(None, None) if one is None else (one["value"], [one["low"], one["high"]]) for one in found]
        _draw(panel, pairs, [verdict(measure, one) for one in found], 0.0, signs=True)
    return Chart(name, f"{title}: differences of AUC and normalised entropy to {first}, with intervals.", sheet.figure)


def _panels(title: str, below: str, rows: list[str], titles: list[str]) -> tuple[Sheet, list[Axes]]:
    left, names = gutter(rows[:MOST], 0.95)
    sheet = Sheet(0.78 + ROW * len(names) + 0.3, title, below)
    width = (sheet.width - left - 0.22) / 2
    found = []
    for number, what in enumerate(titles):
        shown = names if number == 0 else [""] * len(names)
        panel = sheet.rows(left + number * (width + 0.14), 0.66, width, shown, ROW)
        panel.text(0, 1.03, what, transform=panel.transAxes, fontsize=SMALL, color=LIGHT["muted"], va="bottom")
        found.append(panel)
    return sheet, found


def _draw(
    panel: Axes, pairs: list[tuple[float | None, Any]], colours: list[str], reference: float | None, *, signs: bool = False
) -> None:
    """Figures with intervals, one a row."""
    there = [value for value, _ in pairs if value is not None] + ([reference] if reference is not None else [])
    there += [end for _, interval in pairs if interval is not None for end in interval]
    low, high = (min(there), max(there)) if there else (0.0, 1.0)
    if signs and there:  # a slice with few rows does not squeeze all others
        far = FAR * statistics.median(abs(one) for one in there if one) if any(there) else 0.0
        low, high = max(low, -far), min(high, far)
    room = max(0.08 * (high - low), 1e-6)
    ends = low - room, high + room
    if reference is not None:
        panel.axvline(reference, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for row, ((value, interval), colour) in enumerate(zip(pairs, colours, strict=True)):
        if value is None:
            undefined(panel, row)
        else:
            dot(panel, row, value, interval, colour=colour, ends=ends)
    panel.set_xlim(*ends)
    panel.xaxis.set_major_locator(FixedLocator(ticks(*ends)))
    panel.xaxis.set_major_formatter(lambda value, _: signed(value) if signs else f"{value:.3g}")
    grid(panel, "x")
