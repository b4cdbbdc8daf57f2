"""The tables and the plot of the comparison with other packages, from what `peers.py` measured."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markdown import table
from matplotlib.figure import Figure
from peers_rows import BATCH, DIM, EPOCHS, FIELDS, UNITS
from peers_ways import DEEPCTR, FUNNEL, KERAS, PACKAGES, RECHUB, TORCH

GOALS = (5.0, 25.0)  # times as fast as the packages, at least, by size
PLOTTED = FUNNEL, TORCH, KERAS, DEEPCTR, RECHUB
ENOUGH = 100_000  # rows, to learn from
TRIAL = "**A trial, on few rows or in one round: its figures say that all of it runs, and nothing else.**\n"
TITLES = {"click": "P(click)", "buy_given_click": "P(buy given click)", "buy": "P(buy)"}
INK, OWN, OTHERS = "#808080", "#2f81c4", "#9aa0a6"  # legible on white and on black


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Attributes:
        rows: Impressions to train on.
        tests: To test with.
        ids: Of the training rows.
        raw: Bytes of text.
        rounds: How often all was measured.
        preparation: By way, each round's `seconds`, `peak` and `stored`.
        speed: By size and way, each round's `rate` and `peak`.
        quality: By way, and by probability or `epochs`: see `peers_scored.judged`.
        versions: By environment and package.
    """

    rows: int
    tests: int
    ids: int
    raw: int
    rounds: int
    preparation: dict[str, list[dict[str, Any]]]
    speed: dict[str, dict[str, list[dict[str, Any]]]]
    quality: dict[str, dict[str, Any]]
    versions: dict[str, dict[str, str]]

    def rate(self, size: str, way: str) -> float | None:
        """The median of samples a second; None where it was not measured."""
        runs = self.speed[size].get(way)
        return statistics.median(run["rate"] for run in runs) if runs else None


def page(found: Found) -> str:
    """All tables, in Markdown."""
    parts = [TRIAL] if found.rows < ENOUGH or found.rounds < 2 else []
    parts += [
        f"{found.rows:,} training and {found.tests:,} test impressions, {found.raw / 1e6:,.0f} MB of text, {len(FIELDS)} "
        f"fields, {found.ids:,} ids; dim {DIM}, two towers of {'-'.join(map(str, UNITS))} with ReLU, batches of {BATCH:,}. "
        f"{os.cpu_count()} cores, no GPU; medians of {found.rounds} interleaved runs, each a process of its own.\n",
        "## Training speed\n",
        _speed(found),
        "## Funnel, times as fast as\n",
        _times(found),
        "## Preparation\n",
        _preparation(found),
        "## Quality\n",
        f"For each way after the best of 1 to {EPOCHS} epochs, by its log loss on the first half of the test impressions; "
        "judged on the other half.\n",
        *[part for name, title in TITLES.items() for part in (f"{title}, over that half:\n", _quality(found, name))],
        "## Versions\n",
        _versions(found),
    ]
    return "\n".join(parts)


def _speed(found: Found) -> str:
    head, lines = ["", *(f"{what}, {size}" for size in found.speed for what in ("samples/s", "from .. to", "peak GB"))], []
    for way in next(iter(found.speed.values())):
        cells = []
        for runs in (by_way.get(way) for by_way in found.speed.values()):
            if not runs:
                cells += [""] * 3
                continue
            rates = [run["rate"] for run in runs]
            peak = statistics.median(run["peak"] for run in runs) / 1e9
            spread = f"{min(rates):,.0f} to {max(rates):,.0f}" if len(rates) > 1 else "once"
            cells += [f"{statistics.median(rates):,.0f}", spread, f"{peak:.2f}"]
        lines.append([way, *cells])
    return table(head, lines)


def _times(found: Found) -> str:
    lines = []
    for way in next(iter(found.speed.values())):
        cells = []
        for size, goal in zip(found.speed, GOALS, strict=True):
            ours, theirs = found.rate(size, FUNNEL), found.rate(size, way)
            if ours is None or theirs is None or way == FUNNEL:
                cells.append("")
                continue
            verdict = f" (goal {goal:g}x, {'reached' if ours / theirs >= goal else 'missed'})" if way in PACKAGES else ""
            cells.append(f"{ours / theirs:.1f}x{verdict}")
        lines += [[way, *cells]] if any(cells) else []
    return table(["", *found.speed], lines)


def _preparation(found: Found) -> str:
    names = {"funnel": "`funnel prepare`", "pandas": "pandas, joined and padded: for Keras, DeepCTR and torch-rechub"}
    lines = []
    for way, runs in found.preparation.items():
        seconds, peak, stored = (statistics.median(run[key] for run in runs) for key in ("seconds", "peak", "stored"))
        lines.append([names[way], f"{seconds:.1f}", f"{peak / 1e6:,.0f}", f"{stored / 1e6:,.0f}"])
    return table(["", "seconds", "peak MB", "MB written"], lines)


def _quality(found: Found, name: str) -> str:
    lines = [
        [way, str(one["epochs"]), f"{one[name]['auc']:.4f}", f"{one[name]['ratio']:.3f}", f"{1e3 * one[name]['excess']:.1f}"]
        for way, one in found.quality.items()
    ]
    best = next(iter(found.quality.values()))[name]["best_auc"]
    head = ["", "epochs", "AUC", "predicted / observed", "log loss above the truth's, mnat"]
    return table(head, [*lines, ["*the truth*", "", f"{best:.4f}", "", "0"]])


def _versions(found: Found) -> str:
    names = {place: "funnel, tuned PyTorch, naive Keras" if place == FUNNEL else place for place in found.versions}
    told = {place: ", ".join(f"{name} {number}" for name, number in one.items()) for place, one in found.versions.items()}
    return table(["environment of", "versions"], [[names[place], text] for place, text in told.items()])


def plot(found: Found, path: Path) -> None:
    """Samples a second at both sizes, and the AUC of P(buy), beside the truth's."""
    ways = [way for way in PLOTTED if way in found.quality]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(found.speed) + 1)
    colours = [OWN if way == FUNNEL else OTHERS for way in ways]
    for axis, size in zip(axes, found.speed, strict=False):
        rates = [found.rate(size, way) or 0.0 for way in ways]
        bars = axis.barh(ways, rates, color=colours)
        axis.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, color=INK, fontsize=9)
        axis.set(title=f"samples/s, tables of {size}", xlim=(0, 1.3 * max(rates)), xticks=[])
    names = list(TITLES)
    last = axes[-1]
    for place, name in enumerate(names):
        last.plot([place] * 2, [0.5, found.quality[ways[0]][name]["best_auc"]], color=OTHERS, linewidth=1)
        last.plot(place, found.quality[ways[0]][name]["best_auc"], "_", color=INK, markersize=24)
        for number, way in enumerate(ways):
            mark = {"color": OWN, "zorder": 3} if way == FUNNEL else {"color": OTHERS}
            last.plot(place + 0.08 * (number - len(ways) / 2), found.quality[way][name]["auc"], "o", markersize=5, **mark)
    last.set_xticks(range(len(names)), [TITLES[name] for name in names])
    last.set_xlim(-0.6, len(names) - 0.4)
    last.set_title("AUC, in the order of the bars; dash: the truth's")
    for number, axis in enumerate(axes):
        axis.invert_yaxis() if number < len(found.speed) else None
        axis.tick_params(colors=INK, length=0, labelleft=number in {0, len(found.speed)})
        axis.title.set(color=INK, fontsize=10)
        axis.spines[:].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "funnel", "svg.fonttype": "path"}):
        figure.savefig(path, metadata={"Date": None}, transparent=True)
