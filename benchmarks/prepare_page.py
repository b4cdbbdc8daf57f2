"""The page about `funnel prepare`: its tables and its plot, from what `prepare.py` measured."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from markdown import table
from prepare_measured import FULL_BYTES, FULL_IMPRESSIONS, GOALS, NAMES, Feed, Series


def ratios(baselines: dict[str, Series], middle: Series, head: Series) -> str:
    """How many times as fast as the baselines, beside the goals."""
    rows = []
    for way, series in baselines.items():
        times = middle.rate / series.rate
        goal = GOALS.get(way)
        verdict = "none" if goal is None else f"{goal:g}x, {'reached' if times >= goal else 'missed'}"
        rows.append([NAMES[way], f"{times:.1f}x", verdict, f"{head.rate / series.rate:.1f}x"])
    at_middle, at_head = (f"{series.raw / 1e6:,.1f} MB" for series in (middle, head))
    return table(["against", f"funnel prepare on {at_middle}", "goal", f"funnel prepare on {at_head} too"], rows)


def projection(sizes: list[Series]) -> str:
    """Time and peak memory of the full data set, by the least-squares line through the measured sizes."""
    raw = [series.raw / 1e9 for series in sizes]
    measured = {"time, s": [series.seconds for series in sizes], "peak memory, GB": [series.peak / 1e9 for series in sizes]}
    rows = []
    for label, values in measured.items():
        slope, intercept = statistics.linear_regression(raw, values)
        residual = max(abs(intercept + slope * x - y) for x, y in zip(raw, values, strict=True))
        figures = intercept + slope * FULL_BYTES / 1e9, intercept, slope, residual
        rows.append([label, *(f"{figure:,.2f}" for figure in figures)])
    return table(["of the full train split", "projected", "at size 0", "per GB of raw text", "greatest residual"], rows)


def report(
    baselines: dict[str, Series], sizes: list[Series], head: Series, feeds: list[Feed], *, repeats: int, picture: str
) -> str:
    """All figures as markdown."""
    middle = sizes[len(sizes) // 2]
    columns = ["way", "raw MB", "seconds", "from .. to", "MB/s", "peak MB", "stored / raw"]
    parts = [
        "# Speed of `funnel prepare`\n",
        f"Simulated Ali-CCP text at real list lengths, {os.cpu_count()} cores, medians of {repeats} interleaved runs, each a "
        "process of its own from start to end. Raw is the text of train and of a test split of about 1 MB, all of it read; "
        "1 MB is 10^6 bytes. The baselines run in one thread, as they are usually written.\n",
        table(columns, [series.row() for series in (*baselines.values(), head, *sizes)]),
        f"![The rates; time and peak memory over size]({picture})\n",
        f"The baselines are slow, so they get a head of the data ({head.raw / 1e6:,.1f} MB). The goals are for the rate of "
        f"`funnel prepare` at {middle.raw / 1e6:,.1f} MB; on the head itself its fixed costs weigh more.\n",
        ratios(baselines, middle, head),
    ]
    if len({series.raw for series in sizes}) > 1:
        beyond = FULL_BYTES / max(series.raw for series in sizes)
        parts += [
            f"The full train split ({FULL_BYTES / 1e9:g} GB, {FULL_IMPRESSIONS:,} impressions) by a straight line through the "
            f"sizes measured; it is {beyond:.1f} times the largest of them.\n",
            projection(sizes),
        ]
    columns = ["shuffle", "impressions per common row", "raw MB", "of a batch share one", "impressions/s", "goal"]
    parts += [
        "## Feeding\n",
        "Star batches of 4,096 with all 23 fields and every list entry, as `tf.data` gives them to training; nothing is "
        "trained. The store is prepared anew for each run; its first pass, which compares checksums, is not counted.\n",
        table(columns, [row for feed in feeds for row in feed.rows()]),
    ]
    return "\n".join(parts)


def plot(baselines: dict[str, Series], sizes: list[Series], path: Path) -> None:
    """Draw the rates, and time and peak memory over size with the lines of the projection."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed to measure, and measuring wants a small parent
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (rates, *others) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", width_ratios=[1.3, 1, 1])
    everything = [*reversed(sizes), *baselines.values()]
    bars = rates.barh(
        [f"{series.label}\n{series.raw / 1e6:,.0f} MB" for series in everything],
        [series.rate / 1e6 for series in everything],
        color=["C0"] * len(sizes) + ["gray"] * len(baselines),
    )
    rates.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    rates.tick_params(axis="y", labelsize=8)
    rates.set_xlabel("raw text, MB/s")
    rates.margins(x=0.15)
    raw = [series.raw / 1e9 for series in sizes]
    panels = ("seconds", [series.seconds for series in sizes]), ("peak memory, GB", [series.peak / 1e9 for series in sizes])
    for axis, (label, values) in zip(others, panels, strict=True):
        axis.plot(raw, values, "o")
        if len(set(raw)) > 1:
            slope, intercept = statistics.linear_regression(raw, values)
            axis.axline((0, intercept), slope=slope, linewidth=1, alpha=0.5)
        axis.set(xlabel="raw text, GB", ylabel=label, xlim=(0, 1.1 * max(raw)), ylim=(0, 1.15 * max(values)))
    figure.suptitle("funnel prepare on simulated Ali-CCP text", fontsize=10)
    figure.savefig(path)
    print(f"plot: {path}")
