"""How much each feature matters: a chart and a table for each probability, from `importance.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from funnel.reporting.canvas import SMALL, Chart, Sheet, grid, gutter, ticks, undefined
from funnel.reporting.figures import UNDEFINED, count, counted, plain_percent, score, signed, small
from funnel.reporting.palette import LIGHT
from funnel.reporting.record import Probability, Record
from funnel.reporting.tables import Table, table

MOST = 16  # features in a chart
ROW = 0.25  # inches


@dataclass(frozen=True)
class Importance:
    """What the page says of the features.

    Attributes:
        rows: Which rows it was measured on, in words.
        unneeded: In words: the features that are surely of use for nothing.
        together: In words: whose values were dealt out along with those of others.
        charts: One for each step, and for what the steps lead to.
        tables: By probability.
    """

    rows: str
    unneeded: str
    together: list[str]
    charts: list[Chart]
    tables: list[Table]


def importance(record: Record, found: dict[str, Any]) -> Importance:
    """Word and draw it.

    Args:
        record: The run.
        found: As `importance.json` has it.
    """
    by_name = {one["name"]: one for one in found["probabilities"]}
    ends = record.ends()
    shown = [p for p in record.probabilities if p in record.steps() or (p.stage in ends and p.kind == "cumulative")]
    drawn = found["drawn"]
    unit = f"{count(drawn['count'])} {drawn['unit']} values" if found["group_by"] else f"{count(drawn['count'])} rows"
    rows = f"{count(found['rows'])} of {counted(found['of'], found['split'] + ' row')} of {found['data']}"
    return Importance(
        rows=f"{rows}, dealt out {counted(found['repeats'], 'time')}; {plain_percent(found['level'])} intervals over {unit}",
        unneeded=", ".join(found["unneeded"]),
        together=[f"{name}: with {', '.join(others)}" for name, others in found["together"].items() if others],
        charts=[bars(p, found["order"], by_name[p.name], found["level"]) for p in shown if p.name in by_name],
        tables=[lost_table(p, found["order"], by_name[p.name]) for p in record.probabilities if p.name in by_name],
    )


def bars(probability: Probability, order: list[str], one: dict[str, Any], level: float) -> Chart:
    """What a probability loses without each feature: log loss as a share of itself, and AUC; the most first.

    Args:
        probability: What is judged.
        order: The features.
        one: Its figures, and what it loses by feature.
        level: Of the intervals.
    """
    size = {name: (one["lost"][name].get("log_loss") or {"value": float("-inf")})["value"] for name in order}
    names = sorted(order, key=lambda name: -size[name])[:MOST]
    left, fitting = gutter(names, 1.2)
    of = f", the first {MOST} of {len(order)} features" if len(order) > MOST else ""
    sheet = Sheet(
        0.78 + ROW * len(names) + 0.3, f"{probability.formula} without a feature", f"{plain_percent(level)} intervals{of}"
    )
    width = (sheet.width - left - 0.22) / 2
    panels = (("log loss grows by", "log_loss", one["figures"]["log_loss"]), ("AUC falls by", "auc", 1.0))
    for number, (what, measure, unit) in enumerate(panels):
        panel = sheet.rows(left + number * (width + 0.14), 0.66, width, fitting if number == 0 else [""] * len(names), ROW)
        panel.text(0, 1.03, what, transform=panel.transAxes, fontsize=SMALL, color=LIGHT["muted"], va="bottom")
        _bars(panel, [one["lost"][name].get(measure) if unit else None for name in names], unit or 1.0)
        if measure == "log_loss":
            panel.xaxis.set_major_formatter(lambda value, _: plain_percent(round(value, 9)))
    label = f"How much worse log loss and AUC of {probability.formula} are without each feature, with intervals."
    return Chart(f"importance-{probability.name}", label, sheet.figure)


def _bars(panel: Axes, losses: list[dict[str, float] | None], unit: float) -> None:
    """A bar and its interval in each row."""
    ends = [0.0]
    for row, loss in enumerate(losses):
        if loss is None:
            undefined(panel, row)
            continue
        value, low, high = (loss[key] / unit for key in ("value", "low", "high"))
        panel.barh([row], [value], height=0.56, color=LIGHT[verdict(loss)], linewidth=0, zorder=2)
        panel.plot([low, high], [row, row], color=LIGHT["text"], linewidth=1.1, solid_capstyle="butt", zorder=3)
        ends += [value, low, high]
    panel.axvline(0, color=LIGHT["muted"], linewidth=0.9, zorder=4)
    room = max(0.05 * (max(ends) - min(ends)), 1e-9)
    low, high = min(ends) - room, max(ends) + room
    panel.set_xlim(low, high)
    panel.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    grid(panel, "x")


def verdict(loss: dict[str, float]) -> str:
    """The colour of a loss: of use, or of harm, where that is sure."""
    return "predicted" if loss["low"] > 0 else "worse" if loss["high"] < 0 else "unsure"


def lost_table(probability: Probability, order: list[str], one: dict[str, Any]) -> Table:
    """All features: log loss and AUC that are lost without each, with their intervals below."""
    figures, rows = one["figures"], []
    marks: dict[tuple[int, int], str] = {}
    places = {"log_loss": _digits(figures["log_loss"]), "auc": 3}
    for number, name in enumerate(order):
        losses = {measure: one["lost"][name].get(measure) for measure in places}
        rows.append([name, *(_lost(loss, places[measure]) for measure, loss in losses.items())])
        marks |= {(number, at): "drifted" for at, loss in enumerate(losses.values(), start=1) if loss and loss["high"] < 0}
    heads = ["feature", f"log loss {small(figures['log_loss'])}", f"AUC {score(figures['auc'])}"]
    on = f"{probability.formula}, on {count(one['rows'])} {one['space']} rows with {counted(one['positives'], 'positive')}"
    return table(heads, rows, marks=marks, title=on)


def _digits(loss: float | None) -> int:
    """After the point, so that a thousandth of a log loss is seen."""
    return 3 if not loss else min(7, max(3, 3 - math.floor(math.log10(loss))))


def _lost(loss: dict[str, float] | None, places: int) -> str:
    if loss is None:
        return UNDEFINED
    value, low, high = (signed(loss[key], places) for key in ("value", "low", "high"))
    return f"{value}\n{low} to {high}"
