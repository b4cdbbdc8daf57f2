"""What `train_speed.py` measures: ways to train, on shapes of data and network, and what is wanted of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from train_shapes import NOTEBOOK, Shape

WIDE = (360, 200, 80)
FULL = {shared: Shape(f"full-{shared:g}", shared) for shared in (57.9, 10.0, 2.3)}
FULL_WIDE = Shape("full-wide", 57.9, WIDE)
NOTEBOOK_SHAPE = Shape("notebook", 10.0, WIDE, NOTEBOOK)
SMALL, LARGE = (Shape(f"notebook-{rows}", 10.0, WIDE, NOTEBOOK, rows=rows) for rows in (10_000, 10_000_000))
# Small tables, since the plain network has dense gradients; and enough test rows for an AUC.
LEARNING = Shape("learning", 57.9, most=20_000, impressions=400_000, test=100_000)

FUNNEL, KERAS_FIT = "funnel", "funnel's model by Keras `fit`"
PLAIN_ALLOCATOR, PLAIN_THREADS = "funnel, glibc's allocator as it is", "funnel, TensorFlow's threads as they are"
JOINED, JOINED_DENSE, STAR = "PyTorch, joined rows", "PyTorch, joined rows, tuned further", "PyTorch, star batches"
KERAS, PRODUCTS = "naive Keras", "matrix products alone"
COMMANDS = {
    FUNNEL: ["train_funnel.py"],
    PLAIN_ALLOCATOR: ["train_funnel.py", "--plain-allocator"],
    PLAIN_THREADS: ["train_funnel.py", "--plain-threads"],
    KERAS_FIT: ["train_funnel.py", "--keras-fit"],
    JOINED: ["train_torch.py", "joined", "--sparse"],
    JOINED_DENSE: ["train_torch.py", "joined"],
    STAR: ["train_torch.py", "star"],
    KERAS: ["train_keras.py"],
    PRODUCTS: ["train_matmul.py"],
}
# How many times as fast as these, at least, by impressions for each common row.
OF_JOINED = {57.9: 5.2, 10.0: 4.2, 2.3: 2.5}
GOALS = {JOINED: OF_JOINED, JOINED_DENSE: OF_JOINED, STAR: {57.9: 1.2, 10.0: 1.2, 2.3: 1.2}}
NOTEBOOK_GOALS = {JOINED: 2.0, JOINED_DENSE: 2.0, KERAS: 8.0}
PRODUCTS_GOAL = 0.8  # of their rate
VOCABULARY_GOAL = 1.35  # times the time of a step at the fewest rows
MEMORY_GOAL = 1e9  # bytes beyond tables and state


@dataclass
class Series:
    """All measurements of one way on one shape."""

    shape: Shape
    label: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        """The script beside this one, and its first arguments."""
        return COMMANDS[self.label]

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.median("rate")

    def median(self, key: str) -> float:
        """Of what was measured under this key."""
        return statistics.median(run[key] for run in self.runs)

    def spread(self) -> str:
        """The least and the greatest rate."""
        rates = [run["rate"] for run in self.runs]
        return f"{min(rates):,.0f} to {max(rates):,.0f}"


def all_series() -> list[Series]:
    """What is measured, in turn."""
    found = []
    for shared, shape in FULL.items():
        ways = [FUNNEL, JOINED, JOINED_DENSE, STAR, PLAIN_ALLOCATOR, PLAIN_THREADS]
        if shared == max(FULL):
            ways += [KERAS_FIT, KERAS]
        found += [Series(shape, way) for way in ways]
    found += [Series(FULL_WIDE, way) for way in (FUNNEL, PRODUCTS)]
    found += [Series(NOTEBOOK_SHAPE, way) for way in (FUNNEL, JOINED, JOINED_DENSE, KERAS)]
    return found + [Series(shape, FUNNEL) for shape in (SMALL, LARGE)]


def of(series: list[Series], shape: Shape, label: str) -> Series:
    """The one of a shape and a way."""
    (found,) = (one for one in series if one.shape == shape and one.label == label)
    return found
