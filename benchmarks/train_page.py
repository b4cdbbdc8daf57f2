"""The page about training speed: its tables and its plot, from what `train_speed.py` measured."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

from markdown import table
from train_measured import (
    FULL,
    FULL_WIDE,
    FUNNEL,
    GOALS,
    JOINED,
    JOINED_DENSE,
    KERAS,
    KERAS_FIT,
    LARGE,
    MEMORY_GOAL,
    NOTEBOOK_GOALS,
    NOTEBOOK_SHAPE,
    PLAIN_ALLOCATOR,
    PLAIN_THREADS,
    PRODUCTS,
    PRODUCTS_GOAL,
    SMALL,
    STAR,
    VOCABULARY_GOAL,
    Series,
    of,
)

BATCH = 4096
STAGES = "click", "buy"


def verdict(reached: bool) -> str:
    """Of a goal."""
    return "reached" if reached else "missed"


def full(series: list[Series]) -> str:
    """All fields: the rates, and how many times as fast funnel is."""
    ways = [FUNNEL, STAR, JOINED_DENSE, JOINED, PLAIN_THREADS, PLAIN_ALLOCATOR, KERAS_FIT, KERAS]
    rows = []
    for way in ways:
        cells = [[one for one in series if one.shape == shape and one.label == way] for shape in FULL.values()]
        rows.append([way, *(f"{found[0].rate:,.0f}" if found else "" for found in cells)])
    head = [f"{shared:g} a row" for shared in FULL]
    text = table(["samples/s", *head], rows)
    rows = []
    for way in GOALS:
        cells = []
        for shared, shape in FULL.items():
            times = of(series, shape, FUNNEL).rate / of(series, shape, way).rate
            goal = GOALS[way][shared]
            cells.append(f"{times:.2f}x (goal {goal:g}x, {verdict(times >= goal)})")
        rows.append([way, *cells])
    return text + "\n" + table(["funnel, times as fast as", *head], rows)


def others(series: list[Series]) -> str:
    """The towers' products, the notebooks' shape, and the size of the vocabulary."""
    rows = []

    def compared(what: str, value: float, goal: float, *, least: bool) -> None:
        rows.append(
            [what, f"{value:.2f}", f"{'>=' if least else '<='} {goal:g}", verdict(value >= goal if least else value <= goal)]
        )

    wide, products = of(series, FULL_WIDE, FUNNEL), of(series, FULL_WIDE, PRODUCTS)
    name = "all fields, towers 360-200-80, 57.9 a row: rate over that of the matrix products alone, "
    compared(f"{name}dimension rows repeated for each impression", wide.rate / products.rate, PRODUCTS_GOAL, least=True)
    rows.append([f"{name}dimension rows once", f"{wide.rate / products.median('split_rate'):.2f}", "none", ""])
    ours = of(series, NOTEBOOK_SHAPE, FUNNEL).rate
    for way, goal in NOTEBOOK_GOALS.items():
        times = ours / of(series, NOTEBOOK_SHAPE, way).rate
        compared(f"12 fields, towers 360-200-80, 10 a row: times as fast as {way}", times, goal, least=True)
    slower = of(series, SMALL, FUNNEL).rate / of(series, LARGE, FUNNEL).rate
    name = "12 fields: time of a step with 10,000,000 rows of tables over that with 10,000"
    compared(name, slower, VOCABULARY_GOAL, least=False)
    for shared, shape in FULL.items():
        one = of(series, shape, FUNNEL)
        beyond = (one.median("peak") - one.median("state")) / 1e9
        compared(f"peak memory beyond tables and optimiser state, GB, {shared:g} a row", beyond, MEMORY_GOAL / 1e9, least=False)
    return table(["what", "measured", "goal", "verdict"], rows)


def everything(series: list[Series]) -> str:
    """A line for all that was measured."""
    rows = []
    for one in series:
        peak = f"{one.median('peak') / 1e9:.2f}" if "peak" in one.runs[0] else ""
        rows.append([f"{one.shape.name}: {one.label}", f"{one.rate:,.0f}", one.spread(), f"{BATCH / one.rate * 1e3:.1f}", peak])
    return table(["shape: way", "samples/s", "from .. to", "ms a step", "peak GB"], rows)


def learning(learnt: list[dict[str, Any]]) -> str:
    """The AUC of the plain network and of the engine, by seed."""
    rows = []
    for seed, found in enumerate(learnt):
        for way, scores in found["auc"].items():
            losses = found["losses"][way]
            last = statistics.mean(losses[-len(losses) // 10 :])
            rows.append([f"{way}, seed {seed}", *(f"{score:.4f}" for score in scores), f"{last:.5f}"])
    return table(["way", *(f"test AUC, {stage}" for stage in STAGES), "loss, last tenth of the steps"], rows)


def report(series: list[Series], learnt: list[dict[str, Any]], *, repeats: int, picture: str) -> str:
    """All figures as markdown."""
    rows = {shared: of(series, shape, FUNNEL).runs[0] for shared, shape in FULL.items()}
    state = next(iter(rows.values()))["state"] / 1e9
    curves = learnt[0]["losses"]
    apart = max(abs(one - other) for one, other in zip(curves["engine"], curves["plain"], strict=True))
    parts = [
        "# Speed of training\n",
        f"Simulated Ali-CCP at real list lengths: 23 fields, 629 weighted entries an impression, dim 18, batches of {BATCH:,}; "
        "two towers of 200-80 with PReLU; hashed tables of 8.07 M rows (tables and Adagrad's accumulators: "
        f"{state:.2f} GB). {os.cpu_count()} cores, no GPU; medians of {repeats} interleaved runs, each a process of its own; "
        "reading, joining and padding ahead of the step included, but for naive Keras, whose arrays lie padded in memory. "
        "A row is a common row, a user at one moment; 57.9 impressions share one in the real data.\n",
        f"![The rates; the losses beside those of a plain network]({picture})\n",
        full(series),
        f"*{JOINED}* is what is usually written: `EmbeddingBag(sparse=True)`, a table a field, and Adagrad, each impression "
        f"with the whole of its common row. *{JOINED_DENSE}* has dense gradients for tables that are small for what a batch "
        "asks of them. Both, and *star batches*, have faster matrix products than PyTorch's own, a thread that joins ahead, "
        "huge pages and funnel's allocator settings (`benchmarks/train_torch.py` lists what was tried). "
        f"*{KERAS}* is the public ESMM notebooks' way: lists padded to 100, Adam on whole tables.\n",
        "## Limits\n",
        others(series),
        "The matrix products are those of each layer, forward and back, without biases, activations, losses and optimisers. "
        "TensorFlow itself takes 0.64 GB when it is imported; at 2.3 a row a batch uses 500,000 rows of the tables, and its "
        "embeddings, their accumulators and gradients take 37 MB each. What glibc's settings gain is noise here, where "
        "TensorFlow's allocator for oneDNN keeps large blocks itself.\n",
        "## What is learnt\n",
        "The same batches, the same first weights, and the plain network of the tests: joined rows, a variable a table, a "
        f"lookup an entry, dense gradients, stock optimisers. Over {len(curves['engine'])} steps of {BATCH:,} the losses "
        f"differ by {apart:.1e} at most, and in the end no weight by more than {learnt[0]['apart']:.1e}. Other seeds show "
        "how much is noise.\n",
        learning(learnt),
        "## All measurements\n",
        "`full` has all fields; `full-wide` and `notebook` have towers of 360-200-80, `notebook` 12 fields with about 210 "
        "entries of lists; the numbers after it are the rows of all its tables together.\n",
        everything(series),
    ]
    return "\n".join(parts)


def plot(series: list[Series], learnt: list[dict[str, Any]], path: Path) -> None:
    """Draw the rates, and the losses of the two networks."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed to measure, and measuring wants a small parent
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (rates, losses) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", width_ratios=[1.5, 1])
    ways = [FUNNEL, STAR, JOINED_DENSE, JOINED]
    for place, way in enumerate(ways):
        values = [of(series, shape, way).rate / 1e3 for shape in FULL.values()]
        bars = rates.bar([x + 0.2 * place - 0.3 for x in range(len(FULL))], values, 0.19, label=way, color=f"C{place}")
        rates.bar_label(bars, fmt="%.0f", padding=1, fontsize=8)
    rates.set_xticks(range(len(FULL)), [f"{shared:g} impressions\na common row" for shared in FULL])
    rates.set(ylabel="thousand samples a second", title="Training all 23 fields, towers 200-80")
    rates.legend(fontsize=8)
    rates.margins(y=0.12)
    curves = learnt[0]["losses"]
    losses.plot(curves["plain"], label="plain network", linewidth=3, color="lightgray")
    losses.plot(curves["engine"], label="funnel", linewidth=0.8, color="C0")
    losses.set(xlabel="step", ylabel="loss", title="The same batches, the same loss")
    losses.legend(fontsize=8)
    figure.savefig(path)
    print(f"plot: {path}")
