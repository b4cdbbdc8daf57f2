"""How the fit went: the training loss and the validation score of each stage by epoch."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

from funnel.reporting.canvas import SMALL, Chart, Sheet, grid, labels
from funnel.reporting.palette import LIGHT
from funnel.schema.funnel_schema import FunnelSchema

LEFT, TOP, HEIGHT, GAP = 0.62, 0.5, 0.95, 0.28


def learning_curves(schema: FunnelSchema, history: list[dict[str, Any]]) -> list[Chart]:
    """By stage, and first of all losses together: a panel for the training loss, and one for the validation score.

    Args:
        schema: The declaration.
        history: By epoch: losses, and scores.
    """
    stopping = schema.train.early_stopping
    metric = (stopping.metric if stopping is not None else "log_loss").replace("_", " ")
    charts = []
    series = [("all losses together", "loss", "")] if len(schema.stages) > 1 else []
    for title, loss, stage in [*series, *((name, f"{name}_loss", name) for name in schema.stage_names)]:
        lines = [
            ("training loss", "predicted", [epoch.get("losses", {}).get(loss) for epoch in history]),
            (f"validation {metric}", "text", [epoch.get("scores", {}).get(stage) for epoch in history]),
        ]
        drawn = [line for line in lines if any(value is not None for value in line[2])]
        if drawn:
            charts.append(_chart(title, stage or "loss", history, drawn))
    return charts


def _chart(title: str, name: str, history: list[dict[str, Any]], lines: list[tuple[str, str, list[Any]]]) -> Chart:
    best = [epoch["epoch"] for epoch in history if epoch.get("best") and epoch.get("scores")]
    height = TOP + len(lines) * HEIGHT + (len(lines) - 1) * GAP + 0.5
    sheet = Sheet(height, title, f"best epoch {best[-1]}, dotted" if best else "no validation rows: the last epoch is kept")
    epochs = [epoch["epoch"] for epoch in history]
    for place, (what, colour, values) in enumerate(lines):
        panel = sheet.axes(LEFT, TOP + place * (HEIGHT + GAP), sheet.width - LEFT - 0.14, HEIGHT)
        grid(panel, "y")
        if best:
            panel.axvline(best[-1], color=LIGHT["line"], linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        there = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None]
        x, y = zip(*there, strict=True)
        panel.plot(x, y, "o-", color=LIGHT[colour], linewidth=1.5, markersize=3.2 if len(x) < 30 else 0, zorder=3)
        for epoch, value in there:
            if best and epoch == best[-1]:
                panel.plot([epoch], [value], "o", color=LIGHT[colour], markersize=6, zorder=4)
        panel.text(1, 1.04, what, transform=panel.transAxes, ha="right", va="bottom", fontsize=SMALL, color=LIGHT["muted"])
        panel.set_xlim(min(epochs) - 0.3, max(epochs) + 0.3)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        panel.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        panel.margins(y=0.15)
        if place < len(lines) - 1:
            panel.tick_params(axis="x", labelbottom=False)
        else:
            labels(panel, "epoch")
    what = " and ".join(line[0] for line in lines)
    return Chart(f"learning-{name}", f"{what.capitalize()} of {title} by epoch.", sheet.figure)
