"""The page about the speed of evaluation: its table and its plot, from what `metrics.py` measured."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown import table

NAMES = {
    "figures": "funnel: every figure",
    "intervals": "funnel: with intervals and curves",
    "sklearn": "scikit-learn: AUC, log loss, PR-AUC",
    "keras": "Keras: AUC of 200 thresholds",
}
GOALS = {"figures": (60.0, 4.0), "intervals": (300.0, None)}  # seconds, and GB, at most
SHOWN = "buy"


@dataclass
class Series:
    """All measurements of one way."""

    label: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    def median(self, what: str) -> float:
        """Of seconds, or of CPU seconds."""
        return statistics.median(run[what] for run in self.runs)

    @property
    def peak(self) -> float:
        """The greatest, in GB."""
        return max(run["peak"] for run in self.runs) / 1e9

    @property
    def span(self) -> str:
        """From the fastest to the slowest."""
        seconds = [run["seconds"] for run in self.runs]
        return f"{min(seconds):,.1f} to {max(seconds):,.1f}"


def summary(found: dict[str, Series]) -> str:
    """A row for each way."""
    rows = [
        [
            one.label,
            f"{one.median('seconds'):,.1f}",
            one.span,
            f"{one.median('cpu'):,.1f}",
            f"{one.peak:.2f}",
            f"{one.runs[0]['areas'][SHOWN]:.9f}",
        ]
        for one in found.values()
    ]
    return table(["way", "seconds", "from .. to", "CPU seconds", "peak GB", f"AUC of {SHOWN}"], rows)


def goals(found: dict[str, Series]) -> str:
    """What was to be reached."""
    rows = []
    for way, (seconds, peak) in GOALS.items():
        if way not in found:
            continue
        one = found[way]
        for what, value, most in (("seconds", one.median("seconds"), seconds), ("peak GB", one.peak, peak)):
            if most is not None:
                verdict = "reached" if value < most else "missed"
                rows.append([f"{one.label}, {what}", f"{value:,.2f}", f"below {most:g}", verdict])
    return table(["goal", "measured", "wanted", ""], rows)


def page(found: dict[str, Series], *, rows: int, users: int, repeats: int, picture: str) -> str:
    """All of it as markdown."""
    return "\n".join(
        [
            "# Speed of evaluation\n",
            f"Three stages over {rows:,} drawn rows of {users:,} users: five probabilities, each over its own sample space, as "
            f"`python benchmarks/metrics.py docs` draws them. {os.cpu_count()} cores; where other work shares them, CPU "
            f"seconds, those of all threads, say more than the clock's. Medians of {repeats} interleaved runs, each a process "
            "of its own. Drawing the rows and imports are not timed; the peak memory holds the rows themselves.\n",
            summary(found),
            f"![Seconds, and peak memory]({picture})\n",
            goals(found),
            "Every figure is AUC, GAUC, PR-AUC, log loss, normalised entropy, predicted over observed, the calibration error "
            "and what chance adds to it, and the funnel. The last column is what the ways make of one and the same AUC.\n",
            "## How\n",
            "No figure is approximated. Of each row, its score, its label and its cluster are packed into one whole number of "
            "64 bits, or its group, score and label; NumPy sorts such numbers with the processor's widest registers, and "
            "after the sort no row needs to be looked up. All sums then run along the sorted numbers in parts of 65,536 rows, "
            "which stay in a core's cache, so that memory holds little beside the rows. Rows with weights, and scores of 64 "
            "bits, are looked up, and take longer.\n",
        ]
    )


def plot(found: dict[str, Series], path: Path) -> None:
    """Draw seconds and peak memory."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed to measure, and measuring wants a small parent
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (times, memory) = plt.subplots(1, 2, figsize=(12, 3), layout="constrained", sharey=True, width_ratios=[1.5, 1])
    series = list(reversed(found.values()))
    colors = ["C0" if one.label.startswith("funnel") else "gray" for one in series]
    for what, above, alpha in (("seconds", 0.2, 0.5), ("cpu", -0.2, 1.0)):
        places = [place + above for place in range(len(series))]
        label = "CPU seconds" if what == "cpu" else "seconds by the clock"
        bars = times.barh(places, [one.median(what) for one in series], 0.38, color=colors, alpha=alpha, label=label)
        times.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    times.set(xlabel="seconds (above: by the clock; below: CPU)")
    bars = memory.barh(range(len(series)), [one.peak for one in series], 0.6, color=colors)
    memory.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    memory.set(xlabel="peak memory with the rows, GB")
    times.set_yticks(range(len(series)), [one.label for one in series])
    for axis in (times, memory):
        axis.margins(x=0.1)
    figure.savefig(path)
    print(f"plot: {path}")
