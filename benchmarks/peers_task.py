"""What every peer is given: the same arrays of ids, the same network; and what it hands back.

NumPy only: it is read in environments that have neither funnel nor each other's libraries.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

LABELS = "click", "conversion"
PADDING = 0  # the id of no id


@dataclass(frozen=True)
class Field:
    """One field of the joined rows.

    Attributes:
        name: Of the feature.
        column: Of the array.
        rows: Of its table.
        width: Of its padded list; 0 where each row has one id.
        source: `common` or `skeleton`: whether it is of a user or of an impression.
    """

    name: str
    column: str
    rows: int
    width: int
    source: str


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        arrays: The folder of the joined, padded arrays, of both splits.
        schema: Of the same rows, for what reads one.
        store: funnel's, of the same rows.
        fields: What is learnt from.
        dim: Of all embeddings.
        units: Of each tower's hidden layers, with ReLU.
        scale: Standard deviation of the embeddings' first values.
        learning_rate: Of Adam.
        batch_size: Impressions in a step.
        epochs: Passes over the training rows, at most, where quality is measured: after each the test rows are predicted.
        warm_up: Seconds that are not measured, where speed is.
        seconds: That are.
        seed: Of first weights and of orders.
    """

    arrays: str
    schema: str
    store: str
    fields: tuple[Field, ...]
    dim: int
    units: tuple[int, ...]
    scale: float
    learning_rate: float
    batch_size: int
    epochs: int
    warm_up: float
    seconds: float
    seed: int = 0

    def write(self, path: Path) -> Path:
        """Keep it for another process."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | Path) -> Task:
        """What `write` wrote."""
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        tree["fields"] = tuple(Field(**field) for field in tree["fields"])
        return cls(**tree | {"units": tuple(tree["units"])})

    def rows(self, split: str) -> tuple[Arrays, NDArray[np.float32]]:
        """The joined rows of a split, in the order of the raw file.

        Returns:
            By feature int32 [rows], or [rows, width] for lists, 0 where there is no id; and the labels, float32 [rows, 2].

        Raises:
            ValueError: An id has no row in its table.
        """
        folder = Path(self.arrays) / split
        found = {field.name: np.load(folder / f"{field.column}.npy") for field in self.fields}
        for field in self.fields:
            if (most := int(found[field.name].max())) >= field.rows:
                raise ValueError(f"{field.name}: got id {most:,}, expected one below {field.rows:,}. Make its table larger.")
        return found, np.stack([np.load(folder / f"{label}.npy") for label in LABELS], axis=1).astype(np.float32)


def peak() -> int:
    """The greatest resident memory of this process so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Timed:
    """Batches of a loader, pass after pass, until the time is up: what is timed is all that happens between them.

    Args:
        batches: One pass, each time it is asked for.
        warm_up: Seconds that are not measured, from the end of the first step.
        seconds: That are; at least two steps.
    """

    def __init__(self, batches: Iterable[Any], warm_up: float, seconds: float) -> None:
        self._batches, self._warm_up, self._seconds = batches, warm_up, seconds
        self.steps, self.took = 0, 0.0

    def __iter__(self) -> Iterator[Any]:
        first = begun = 0.0
        number = 0
        while True:
            for batch in self._batches:
                now = time.perf_counter()
                if number == 1:
                    first = now
                if begun:
                    self.steps, self.took = self.steps + 1, now - begun
                elif number and now - first >= self._warm_up:
                    begun = now
                if begun and self.took >= self._seconds and self.steps > 1:
                    return
                number += 1
                yield batch


def said(result: dict[str, Any]) -> None:
    """Hand back what was measured: JSON, in a line of its own."""
    print("\n" + json.dumps(result | {"peak": peak()}), flush=True)


def probabilities(click: NDArray[Any], buy: NDArray[Any], conditional: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Of the test rows: [rows, 3], click, buy given click (if it is not given, the quotient), buy; NaN where a row has none."""
    click, buy = (np.asarray(values, np.float64).reshape(-1) for values in (click, buy))
    if conditional is None:
        given = np.divide(buy, click, out=np.zeros_like(buy), where=click > 0)
    else:
        given = np.asarray(conditional, np.float64).reshape(-1)
    return np.stack([click, given, buy], axis=1)


def predicted(path: str | Path, after: list[NDArray[np.float64]]) -> None:
    """Keep the probabilities of the test rows after each epoch: float64 [epochs, rows, 3]."""
    np.save(path, np.stack(after))


def read_flags(description: str, *, speed: bool = True, documented: bool = False) -> argparse.Namespace:
    """The command line of a peer: `what` it measures, the file of its task, and where its predictions go.

    Args:
        description: Of the peer.
        speed: Whether this script measures its speed, too; if not, there is no `what`.
        documented: Whether it can be as its package has it by default.
    """
    parser = argparse.ArgumentParser(description=description)
    if speed:
        parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("task", type=Task.read)
    parser.add_argument("predictions", nargs="?" if speed else None)
    if documented:
        parser.add_argument("--documented", action="store_true")
    return parser.parse_args()
