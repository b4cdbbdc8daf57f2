"""What happens in a fit, as its caller hears of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from funnel.locations.location import Location


@dataclass(frozen=True)
class Step:
    """Some steps were made.

    Attributes:
        epoch: From 1.
        step: Steps of all epochs so far.
        rows: Rows of this epoch seen so far.
        losses: Means since the epoch began: the total as `loss`, each stage's as `<stage>_loss`.
        rows_per_second: Since the last Step; the wait for the rows is part of it.
        seconds_left: Of training, at most, at the mean rate so far.
    """

    epoch: int
    step: int
    rows: int
    losses: dict[str, float]
    rows_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Epoch:
    """An epoch ended.

    Attributes:
        epoch: From 1.
        step: Steps of all epochs so far.
        losses: Means over its rows.
        scores: The metric of early stopping by stage, on the validation rows; empty without any.
        best: Whether its weights are the best so far.
        seconds: Of training, without validation.
        rows: How many rows were seen.
        constant: Stages whose conditional predictions were the same for all rows of the last whole batch: they have collapsed.
    """

    epoch: int
    step: int
    losses: dict[str, float]
    scores: dict[str, float]
    best: bool
    seconds: float
    rows: int
    constant: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"constant": list(self.constant)}


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written.

    Attributes:
        path: Its folder.
        epoch: The epoch that it stands in, from 1.
        step: Steps of all epochs before it.
    """

    path: Location
    epoch: int
    step: int


@dataclass(frozen=True)
class Resumed:
    """The fit goes on from a checkpoint, or starts where none could be read.

    Attributes:
        path: The checkpoint; None where the fit starts anew.
        epoch: The epoch that it stands in, from 1.
        step: Steps of all epochs before it.
        skipped: Checkpoints that could not be read, each with the reason.
    """

    path: Location | None
    epoch: int
    step: int
    skipped: tuple[str, ...]
