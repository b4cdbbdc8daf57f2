"""The plot: each variant's difference to the first one with its interval, one panel for each column of the table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from funnel.ablation.columns import Column
from funnel.ablation.table import Ablation, Cell
from funnel.errors import RunError
from funnel.folders import whole_file
from funnel.locations.location import Location

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches: 800 pixels at 100 to the inch
ACROSS = 2  # panels side by side: more could not be read at that width
BETTER, WORSE, UNSURE = "#1b7837", "#b2182b", "#8c8c8c"
DIFFERS = "#2166ac"  # where neither direction is better


def draw(ablation: Ablation, folder: Location) -> list[Location]:
    """Write `ablation.png` and `ablation.svg`.

    Args:
        ablation: With two variants or more.
        folder: Where to write.

    Raises:
        RunError: The disk is full, say.
    """
    import matplotlib as mpl  # noqa: PLC0415  # slow to import, and only needed here

    figure = _figure(ablation)
    written = []
    # The same table gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "funnel", "svg.fonttype": "path"}):
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            path = folder / f"ablation.{ending}"
            with whole_file(path, RunError, "Make room: the same command goes on.") as part:
                figure.savefig(part, format=ending, dpi=200, metadata=metadata)
            written.append(path)
    return written


def _figure(ablation: Ablation) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # as above
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415  # as above

    first, *rows = ablation.rows
    down = math.ceil(len(ablation.columns) / ACROSS)
    height = down * (0.85 + 0.22 * len(rows)) + 0.75
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, ACROSS, sharey=True, squeeze=False).reshape(-1)
    for place, (panel, column) in enumerate(zip(panels, ablation.columns, strict=False)):
        _panel(panel, column, [row.cells[place] for row in rows], ablation.rows[0].cells[place], name=first.paper or first.name)
    names = [f"{row.paper}" if row.paper else row.name for row in rows]
    panels[0].set_yticks(range(len(rows)), names)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    for panel in panels[len(ablation.columns) :]:
        panel.set_visible(False)
    count = len(ablation.seeds)
    figure.suptitle(
        f"{ablation.name}: difference to {first.paper or first.name}", fontsize=12, fontweight="bold", x=0.02, ha="left"
    )
    drawn = f"{ablation.drawn} and {count} seeds" if count > 1 else f"{ablation.drawn}, one seed"
    told = f"95 % intervals, paired bootstrap over {drawn}. Grey: 0 is inside. Dashed: where it would be calibrated."
    figure.supxlabel(told, fontsize=8, color="#555555", x=0.02, ha="left")
    return figure


def _panel(panel: Axes, column: Column, cells: list[Cell], first: Cell, *, name: str) -> None:
    calibration = column.measure != "AUC"
    where = "all rows, against the truth" if column.truth else f"{column.rows:,} {column.space} rows"
    title = f"{column.name}  {column.measure}"
    panel.set_title(title, fontsize=9 * min(1, 42 / len(title)), fontweight="bold", loc="left", pad=16)
    below = f"{where}; {name} has {first.mean:.4f}" if math.isfinite(first.mean) else f"{where}; undefined"
    panel.annotate(below, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=7.5, color="#666666")
    for place in range(1, len(cells), 2):
        panel.axhspan(place - 0.5, place + 0.5, color="#f5f5f5", linewidth=0, zorder=0)
    panel.axvline(0, color="#444444", linewidth=0.8, zorder=1)
    if calibration and math.isfinite(first.mean):
        panel.axvline(1 - first.mean, color=DIFFERS, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for place, cell in enumerate(cells):
        if cell.difference is None or cell.low is None or cell.high is None or math.isnan(cell.difference):
            continue
        colour = _colour(cell, calibration=calibration)
        panel.plot([cell.low, cell.high], [place, place], color=colour, linewidth=2, solid_capstyle="round", zorder=2)
        panel.plot(
            [cell.difference], [place], "o", color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.8, zorder=3
        )
    _plain(panel)


def _colour(cell: Cell, *, calibration: bool) -> str:
    if not cell.differs:
        return UNSURE
    if calibration:
        return DIFFERS
    return BETTER if (cell.difference or 0) > 0 else WORSE


def _plain(panel: Any) -> None:
    """No ink but what is read."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  # as above

    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(lambda x, _: "0" if abs(x) < 1e-12 else f"{x:+.3g}")
    panel.tick_params(axis="x", labelsize=8, length=3, color="#999999")
    panel.tick_params(axis="y", labelsize=8, length=0)
    panel.grid(axis="x", color="#e6e6e6", linewidth=0.7, zorder=0)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color("#999999")
