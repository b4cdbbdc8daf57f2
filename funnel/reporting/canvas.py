"""What all charts are drawn on: a sheet measured in inches from its upper left corner, as wide as a phone shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from funnel.reporting.figures import cells, shorten
from funnel.reporting.palette import LIGHT

WIDTH = 3.4  # inches: on a phone of 360 pixels its letters of 8 points are 11 pixels high
SMALL, USUAL, LARGE = 7.2, 8.0, 9.2  # points
BOLD = 1.13  # how much wider bold letters are
LETTER = 0.6 / 72  # inches for each point of its size: the width of a letter in the widest of the fonts that it may be shown in


@dataclass(frozen=True)
class Chart:
    """A chart, drawn.

    Attributes:
        name: What its files are called; of no other chart of the page.
        label: What it shows, in a sentence.
        figure: The drawing.
        wide: Whether it needs more room than a phone's: the page then lets it be moved.
    """

    name: str
    label: str
    figure: Figure
    wide: bool = False


class Sheet:
    """A blank chart.

    Args:
        height: Inches.
        title: Above all else.
        below: What stands under the title: counts, mostly.
        width: Inches.
    """

    def __init__(self, height: float, title: str = "", below: str = "", width: float = WIDTH) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), facecolor=LIGHT["paper"])
        FigureCanvasAgg(self.figure)
        if title:
            most = int(room(width - 0.1, LARGE) / BOLD)
            self.text(0.04, 0.14, shorten(title, most), size=LARGE, weight="bold")
        if below:
            self.text(0.04, 0.32, shorten(below, room(width - 0.1, SMALL)), size=SMALL, colour="muted")

    def text(self, left: float, top: float, text: str, *, size: float = USUAL, colour: str = "text", **more: Any) -> None:
        """Write at a place: its middle is at `top`."""
        self.figure.text(
            left / self.width, 1 - top / self.height, text, fontsize=size, color=LIGHT[colour],
            **({"va": "center"} | more),
        )  # fmt: skip

    def square(self, middle: float, top: float, colour: str) -> None:
        """A swatch for a legend."""
        x, y = middle / self.width, 1 - top / self.height
        self.figure.add_artist(Line2D([x], [y], marker="s", markersize=5.5, color=colour, linewidth=0))

    def line(self, x: list[float], y: list[float], **more: Any) -> None:
        """A line through places."""
        across, down = [one / self.width for one in x], [1 - one / self.height for one in y]
        self.figure.add_artist(Line2D(across, down, solid_joinstyle="round", **more))

    def head(self, left: float, top: float) -> None:
        """The head of an arrow that points down to a place."""
        corners = [(left, top), (left - 0.045, top - 0.09), (left + 0.045, top - 0.09)]
        spots = [(x / self.width, 1 - y / self.height) for x, y in corners]
        self.figure.add_artist(Polygon(spots, closed=True, color=LIGHT["line"], linewidth=0, transform=self.figure.transFigure))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """A panel, with no ink but what is read."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        panel = self.figure.add_axes(box, facecolor="none")
        panel.tick_params(labelsize=SMALL, length=2.5, width=0.6, color=LIGHT["line"], labelcolor=LIGHT["muted"], pad=2.5)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            panel.spines[side].set_color(LIGHT["line"])
            panel.spines[side].set_linewidth(0.7)
        panel.minorticks_off()
        return panel

    def rows(self, left: float, top: float, width: float, names: list[str], step: float) -> Axes:
        """A panel with a row for each name, the first on top; names stand left of it, and every other row has a band."""
        panel = self.axes(left, top, width, step * len(names))
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_yticks([])
        panel.spines["left"].set_visible(False)
        for row in range(1, len(names), 2):
            panel.axhspan(row - 0.5, row + 0.5, color=LIGHT["band"], linewidth=0, zorder=0)
        for row, name in enumerate(names):
            if name:
                self.text(left - 0.08, top + step * (row + 0.5), name, ha="right")
        return panel


def dot(
    panel: Axes, row: int, value: float, interval: Sequence[float] | None, *, colour: str, ends: tuple[float, float]
) -> None:
    """A figure with its interval, in a row of a panel; an arrow where it lies beyond the axis.

    Args:
        panel: Of rows.
        row: Which.
        value: The figure.
        interval: Its ends.
        colour: A name of the palette.
        ends: Where the axis begins and ends.
    """
    low, high = ends
    if interval is not None:
        inside = [min(max(end, low), high) for end in interval]
        panel.plot(inside, [row, row], color=LIGHT[colour], linewidth=1.7, solid_capstyle="round", zorder=2)
    mark = "o" if low <= value <= high else ">" if value > high else "<"
    panel.plot([min(max(value, low), high)], [row], mark, color=LIGHT[colour], markersize=4.6, clip_on=False,
               markeredgecolor=LIGHT["paper"], markeredgewidth=0.7, zorder=3)  # fmt: skip


def undefined(panel: Axes, row: int) -> None:
    """In place of a figure."""
    panel.text(
        0.5, row, "undefined", transform=panel.get_yaxis_transform(), ha="center", va="center", fontsize=SMALL,
        color=LIGHT["muted"], bbox={"facecolor": LIGHT["paper"], "linewidth": 0, "pad": 0.8},
    )  # fmt: skip


def room(inches: float, size: float) -> int:
    """How many letters fit."""
    return int(inches / (LETTER * size))


def gutter(names: list[str], most: float = 1.15) -> tuple[float, list[str]]:
    """The room that names take to the left of a panel, in inches, and the names as they fit into it."""
    fitting = [shorten(name, room(most - 0.14, USUAL)) for name in names]
    widest = max((cells(name) for name in fitting), default=0)
    return min(most, widest * LETTER * USUAL + 0.18), fitting


def grid(panel: Axes, axis: Any = "both") -> None:
    """Faint lines at the ticks."""
    panel.grid(axis=axis, color=LIGHT["grid"], linewidth=0.6, zorder=0)


def labels(panel: Axes, x: str = "", y: str = "") -> None:
    """What the axes show, with units."""
    panel.set_xlabel(x, fontsize=SMALL, color=LIGHT["muted"], labelpad=3)
    if y:
        panel.set_ylabel(y, fontsize=SMALL, color=LIGHT["muted"], labelpad=3)


def ticks(low: float, high: float) -> list[float]:
    """Two or three, whose labels do not reach over the ends."""
    edge = 0.14 * (high - low)
    for most in (3, 4, 6):
        inside = [tick for tick in MaxNLocator(most).tick_values(low, high) if low + edge <= tick <= high - edge]
        if len(inside) > 1:
            return inside
    return [(low + high) / 2]
