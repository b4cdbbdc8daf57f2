"""The page about the speed of serving: its tables and its plot, from what `serving.py` measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markdown import table
from serving_requests import IDS, entries

CANDIDATES = 1, 100, 1000
WAYS = "rank", "predict"
PERCENTILES = 50, 90, 99
TIMES_GOAL = 5.0  # times as fast as `predict` with the user's inputs repeated
P99_GOAL = 25.0  # ms, on one core
NAMES = {"rank": "`rank`", "predict": "`predict`, the user's inputs repeated"}


@dataclass
class Measured:
    """All processes of one export and number of threads."""

    kind: str
    threads: int
    runs: list[dict[str, Any]] = field(default_factory=list)

    def at(self, way: str, candidates: int, percentile: float, what: str = "clock") -> float:
        """The median of the processes' percentiles, in ms."""
        return statistics.median(float(np.percentile(one, percentile)) for one in self._each(way, candidates, what))

    def requests(self, way: str, candidates: int) -> int:
        """How many there were, in all processes."""
        return sum(len(one) for one in self._each(way, candidates, "clock"))

    def median(self, key: str) -> float:
        """Of the processes: `loading`, or `peak`."""
        return statistics.median(run[key] for run in self.runs)

    def _each(self, way: str, candidates: int, what: str) -> list[list[float]]:
        every = [one for run in self.runs for one in run["runs"]]
        return [one[what] for one in every if (one["way"], one["candidates"]) == (way, candidates)]


def of(found: list[Measured], kind: str, threads: int) -> Measured:
    """The one of a kind and number of threads."""
    (one,) = (one for one in found if (one.kind, one.threads) == (kind, threads))
    return one


def latencies(found: list[Measured], threads: int) -> str:
    """By way and candidates: percentiles, processor time and requests."""
    one = of(found, "float32", threads)
    rows = []
    for way in WAYS:
        for count in CANDIDATES:
            shown = [f"{one.at(way, count, percentile):.1f}" for percentile in PERCENTILES]
            used = [f"{one.at(way, count, percentile, 'processor'):.1f}" for percentile in (50, 99)]
            cells = [*shown, *used, f"{one.requests(way, count):,}"]
            rows.append([f"{NAMES[way]}, {count:,}", *cells])
    head = ["candidates", *(f"p{percentile}, ms" for percentile in PERCENTILES), "CPU p50", "CPU p99", "requests"]
    return table(head, rows)


def goals(found: list[Measured]) -> str:
    """How many times as fast, and whether that was wanted."""
    rows = []
    for threads in (1, 2):
        one = of(found, "float32", threads)
        times = one.at("predict", 1000, 50) / one.at("rank", 1000, 50)
        name = f"1,000 candidates, {_cores(threads)}: times as fast as `predict` with the user's inputs repeated, p50"
        rows.append([name, f"{times:.1f}", f">= {TIMES_GOAL:g}", _verdict(times >= TIMES_GOAL)])
    slow = of(found, "float32", 1).at("rank", 1000, 99)
    rows.append(
        ["1,000 candidates, one core: p99 of `rank`, ms", f"{slow:.1f}", f"<= {P99_GOAL:g}", _verdict(slow <= P99_GOAL)]
    )
    return table(["what", "measured", "goal", "verdict"], rows)


def kinds(found: list[Measured], work: Path) -> str:
    """What smaller tables gain and cost."""
    rows = []
    for kind in dict.fromkeys(one.kind for one in found):
        one, folder = of(found, kind, 1), work / kind / "1"
        disk = [
            f"{sum(file.stat().st_size for file in (folder / part).iterdir()) / 1e6:,.0f}" for part in ("variables", "assets")
        ]
        taken = [f"{one.median('loading'):.1f}", f"{one.median('peak') / 1e9:.2f}"]
        rows.append([kind, *disk, *taken, *(f"{one.at('rank', count, 50):.1f}" for count in CANDIDATES)])
    ranks = [f"`rank` {count:,}, p50 ms" for count in CANDIDATES]
    return table(["tables", "variables, MB", "vocabularies, MB", "loading, s", "peak, GB", *ranks], rows)


def report(found: list[Measured], work: Path, *, picture: str) -> str:
    """All figures as markdown."""
    ids = sum(IDS.values()) / 1e6
    parts = [
        "# Speed of serving\n",
        f"The schema of Ali-CCP at its real size: {len(IDS)} fields, vocabularies of {ids:.1f} million ids, as many table rows "
        f"of width 18, towers of 200-80, and {entries()} weighted list entries of the user in a request. First weights, "
        "without a fit, which cost as much as learnt ones. Requests are tensors in the process that has loaded the export with "
        "TensorFlow; what a server adds for reading them from the wire is not in it. Warm, each way in turns; medians of "
        f"{len(found[0].runs)} processes for each number of threads, which take turns, each held to as many cores. No GPU. "
        "Other work may run on the machine: the time on its processors stands beside that of the clock.\n",
        f"![Latencies by way and candidates]({picture})\n",
        "## One core\n",
        latencies(found, 1),
        "## Two cores\n",
        latencies(found, 2),
        "`rank` looks up, pools and multiplies once what is the user's; `predict` does it for each row. `requests` are of all "
        "processes; each process has its own percentiles.\n",
        "## Goals\n",
        goals(found),
        "## Smaller tables\n",
        kinds(found, work),
        "On one core. The peak is that of a process, with TensorFlow and the requests; vocabularies are as large for either.\n",
    ]
    return "\n".join(parts)


def plot(found: list[Measured], path: Path) -> None:
    """Draw p50, with whiskers to p99, by way and candidates."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed to measure
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for axis, threads in zip(axes, (1, 2), strict=True):
        one = of(found, "float32", threads)
        for place, way in enumerate(WAYS):
            middle = [one.at(way, count, 50) for count in CANDIDATES]
            above = [one.at(way, count, 99) - p50 for count, p50 in zip(CANDIDATES, middle, strict=True)]
            spots = [x + 0.4 * place - 0.2 for x in range(len(CANDIDATES))]
            whiskers = [[0.0] * len(above), above]
            bars = axis.bar(spots, middle, 0.38, yerr=whiskers, capsize=3, label=NAMES[way].replace("`", ""), color=f"C{place}")
            axis.bar_label(bars, labels=[f"{value:.1f}" for value in middle], label_type="center", fontsize=8, color="white")
        axis.set_xticks(range(len(CANDIDATES)), [f"{count:,}" for count in CANDIDATES])
        axis.set(xlabel="candidates", title=_cores(threads), yscale="log")
    axes[0].axhline(P99_GOAL, color="gray", linestyle=":", linewidth=1)
    axes[0].set(ylabel="ms a request: p50, whiskers to p99")
    axes[0].legend(fontsize=8, loc="upper left")
    figure.savefig(path)
    print(f"plot: {path}")


def _cores(threads: int) -> str:
    return "one core" if threads == 1 else "two cores"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
