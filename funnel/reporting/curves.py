"""How one probability ranks and how it is calibrated, each as a curve."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from funnel.reporting.canvas import USUAL, Chart, Sheet, grid, labels
from funnel.reporting.figures import count, counted, plain_percent, span, with_interval
from funnel.reporting.palette import LIGHT
from funnel.reporting.record import Probability

SIDE = 2.54  # inches
LEFT, TOP = 0.64, 0.5
SPREAD = 15.0  # above this ratio of the largest to the smallest bin, axes are logarithmic


def roc(probability: Probability, scores: dict[str, Any], points: list[list[float]]) -> Chart:
    """The ROC curve, with the AUC.

    Args:
        probability: What it is of.
        scores: Its scores.
        points: False and true positive rates.
    """
    rows, positives = scores["rows"], scores["positives"]
    below = f"{counted(positives, 'positive')} of {count(rows)} {probability.space} rows"
    sheet = Sheet(TOP + SIDE + 0.5, f"ROC of {probability.formula}", below)
    panel = sheet.axes(LEFT, TOP, SIDE, SIDE)
    grid(panel)
    panel.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    if points:
        x, y = zip(*points, strict=True)
        panel.plot(x, y, color=LIGHT["predicted"], linewidth=1.7, solid_joinstyle="round", zorder=3)
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axis.set_major_formatter(lambda share, _: plain_percent(share))
    labels(panel, "false positives, of all negatives", "true positives, of all positives")
    interval = scores["intervals"].get("auc")
    told = "AUC " + with_interval(scores["auc"], None)
    panel.text(0.97, 0.13, told, ha="right", va="center", fontsize=USUAL + 1, fontweight="bold", color=LIGHT["text"])
    if interval is not None:
        panel.text(0.97, 0.055, span(interval, 3), ha="right", va="center", fontsize=USUAL, color=LIGHT["muted"])
    return Chart(
        f"roc-{probability.name}", f"ROC curve of {probability.formula}: {told}; the dashed line is chance.", sheet.figure
    )


def calibration(probability: Probability, bins: list[dict[str, Any]], level: float) -> Chart:
    """Observed against predicted, by bins with equally many rows.

    Args:
        probability: What it is of.
        bins: What was predicted and observed in each.
        level: Of the intervals.
    """
    sizes = sorted(one["rows"] for one in bins)
    about = f" of about {count(sizes[len(sizes) // 2])} rows" if sizes else ""
    below = f"{counted(len(bins), 'bin')}{about}, {plain_percent(level)} intervals"
    sheet = Sheet(TOP + SIDE + 0.5, f"Calibration of {probability.formula}", below)
    panel = sheet.axes(LEFT, TOP, SIDE, SIDE)
    low, high, logarithmic = _scale(bins)
    if logarithmic:
        panel.set_xscale("log")
        panel.set_yscale("log")
    panel.set_xlim(low, high)
    panel.set_ylim(low, high)
    grid(panel)
    panel.plot([low, high], [low, high], color=LIGHT["line"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    for one in bins:
        _bin(panel, one, low, high)
    for axis in (panel.xaxis, panel.yaxis):
        if logarithmic:
            decades = math.log10(high / low)
            axis.set_major_locator(
                LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0,) if decades > 2.4 else (1.0, 3.0))
            )
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda share, _: plain_percent(share))
    scale = ", log scale" if logarithmic else ""
    labels(panel, f"predicted: mean of the bin{scale}", f"observed{scale}")
    label = f"Calibration of {probability.formula}: observed rate by predicted rate; on the dashed line both are equal."
    return Chart(f"calibration-{probability.name}", label, sheet.figure)


def _bin(panel: Axes, one: dict[str, Any], low: float, high: float) -> None:
    """A dot with its interval; a hollow one on the edge where nothing was observed and a logarithm has no place for it."""
    x, y = one["predicted"], one["observed"]
    if x is None or y is None:
        return
    bottom, top = (y if end is None else end for end in (one["low"], one["high"]))
    off = y < low
    colour = LIGHT["predicted"]
    panel.plot([x, x], [max(bottom, low), min(top, high)], color=colour, linewidth=1.1, alpha=0.75, zorder=3)
    face = LIGHT["paper"] if off else colour
    panel.plot(
        [x], [max(y, low)], "o", markersize=4.2, markerfacecolor=face, markeredgecolor=colour if off else LIGHT["paper"],
        markeredgewidth=0.9 if off else 0.6, zorder=4, clip_on=False,
    )  # fmt: skip


def _scale(bins: list[dict[str, Any]]) -> tuple[float, float, bool]:
    """The ends of both axes, and whether they are logarithmic."""
    predicted = [one["predicted"] for one in bins if one["predicted"]]
    if not predicted:
        return 0.0, 1.0, False
    observed = [one["observed"] for one in bins if one["observed"]]
    tops = [one["high"] for one in bins if one["high"]]
    high = max([*predicted, *observed])
    if max(predicted) / min(predicted) > SPREAD:
        return min([*predicted, *observed]) / 1.6, min(1.0, max([high, *tops]) * 1.25), True
    low = min([*predicted, *(one["observed"] for one in bins if one["observed"] is not None)])
    top = max([high, *tops])
    bottom = min([low, *(one["low"] for one in bins if one["low"] is not None)])
    # Far from zero, zero is not shown: what there is to see are differences.
    floor = bottom if bottom > top / 2 else 0.0
    return floor, min(1.0, top + 0.04 * (top - floor)) if top > floor else floor + 1e-6, False
