"""Draw selection_bias.svg: impressions and clicked ones, by how likely a click of each is to be followed by a purchase.

    python docs/pictures/selection_bias.py

The rows are simulated, so that the truth of every impression is known, also of those that were not clicked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

import funnel

SVG = Path(__file__).with_suffix(".svg")
SCHEMA = {
    "name": "shop",
    "stages": [{"name": "click", "label": "clicked", "prior": 0.05}, {"name": "buy", "label": "bought", "prior": 0.05}],
    "data": {"facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"}, "validation": None},
    "features": [{"name": name, "kind": "categorical"} for name in ("user", "item", "brand", "hour")],
}
ROWS, SEED, SELECTION = 100_000, 0, 4.0
EDGES = np.linspace(0.0, 0.16, 17)
WIDTH, LEFT, TOP, HEIGHT, STEP = 500, 15, 40, 190, 29


class Selected(NamedTuple):
    """What is drawn.

    Attributes:
        impressions: Share of all impressions in each bin of P(buy | click); beyond the last edge in the last one.
        clicked: Likewise, of the clicked ones.
        mean_impressions: Mean of P(buy | click) over all impressions.
        mean_clicked: Likewise, over the clicked ones.
    """

    impressions: np.ndarray
    clicked: np.ndarray
    mean_impressions: float
    mean_clicked: float


def selected() -> Selected:
    """Simulate, and count."""
    with tempfile.TemporaryDirectory() as folder:
        funnel.simulate(SCHEMA, folder, ROWS, 1_000, SEED, selection=SELECTION)
        truth = pl.read_parquet(f"{folder}/truth/train.parquet")["buy_given_click"].to_numpy()
        clicked = pl.read_parquet(f"{folder}/train.parquet")["clicked"].to_numpy() == 1
    bins = np.minimum(np.searchsorted(EDGES, truth, side="right") - 1, len(EDGES) - 2)
    shares = [np.bincount(bins[rows], minlength=len(EDGES) - 1) / rows.sum() for rows in (np.ones_like(clicked), clicked)]
    return Selected(*shares, float(truth.mean()), float(truth[clicked].mean()))


def svg(found: Selected) -> str:
    """The picture, in the colours of the page that it stands in."""
    top = max(found.impressions.max(), found.clicked.max())
    floor = TOP + HEIGHT
    bars = [
        f'<rect x="{LEFT + STEP * place + 13 * which}" y="{floor - HEIGHT * share / top:.1f}" width="12" '
        f'height="{HEIGHT * share / top:.1f}" fill="{fill}"/>'
        for which, (shares, fill) in enumerate(((found.impressions, GREY), (found.clicked, BLUE)))
        for place, share in enumerate(shares)
    ]
    ticks = [
        f'<text x="{LEFT + STEP * place}" y="{floor + 20}" text-anchor="{_anchor(place)}">{EDGES[place]:.2f}</text>'
        for place in range(0, len(EDGES), 4)
    ]
    means = [
        f'<line x1="{_x(mean):.1f}" x2="{_x(mean):.1f}" y1="{height - 14}" y2="{floor}" stroke="{ink}" stroke-width="2" '
        f'stroke-dasharray="5 4"/><text x="{_x(mean) + 6:.1f}" y="{height}">{text} {mean:.3f}</text>'
        for mean, ink, height, text in (
            (found.mean_impressions, GREY, TOP - 12, "mean of all impressions"),
            (found.mean_clicked, BLUE, TOP + 14, "mean of the clicked"),
        )
    ]
    legend = [
        f'<rect x="{LEFT + 300}" y="{y - 11}" width="12" height="12" fill="{fill}"/>'
        f'<text x="{LEFT + 318}" y="{y}">{text}</text>'
        for y, fill, text in ((TOP + 60, GREY, "all impressions"), (TOP + 84, BLUE, "clicked ones"))
    ]
    title = (
        f"Share of rows by their true P(buy | click). The mean over all impressions is {found.mean_impressions:.3f}, over the "
        f"clicked ones {found.mean_clicked:.3f}."
    )
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {floor + 56}" role="img" aria-labelledby="selection-title" '
            'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="16" fill="currentColor">',
            f'<title id="selection-title">{title}</title>',
            *bars,
            *means,
            f'<line x1="{LEFT}" x2="{LEFT + STEP * (len(EDGES) - 1)}" y1="{floor}" y2="{floor}" stroke="currentColor"/>',
            *ticks,
            f'<text x="{WIDTH / 2:.0f}" y="{floor + 46}" text-anchor="middle">true P(buy | click) of a row</text>',
            *legend,
            "</svg>",
            "",
        ]
    )


BLUE, GREY = "var(--funnel-blue, #2563eb)", "var(--funnel-grey, #9ca3af)"


def _x(value: float) -> float:
    return LEFT + STEP * value / (EDGES[1] - EDGES[0])


def _anchor(place: int) -> str:
    return "start" if place == 0 else "end" if place == len(EDGES) - 1 else "middle"


if __name__ == "__main__":
    SVG.write_text(svg(selected()), encoding="utf-8")
