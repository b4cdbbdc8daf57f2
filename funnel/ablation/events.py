"""What happens in an ablation, as its caller hears of it, beside what happens in each fit."""

from __future__ import annotations

from dataclasses import dataclass

from funnel.locations.location import Location


@dataclass(frozen=True)
class Planned:
    """What will be done.

    Attributes:
        out: The folder.
        store: Where the encoded rows are.
        variants: The rows of the table.
        repeats: Fits of each, with a seed of its own.
        there: Fits that are in the folder already.
        left_out: Variants that do not go with the schema, with the reason.
    """

    out: Location
    store: Location
    variants: tuple[str, ...]
    repeats: int
    there: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class FitBegun:
    """A fit begins.

    Attributes:
        number: Which fit of the ablation this is, from 1, those that were there already included.
        total: Of how many.
        variant: Which row of the table.
        seed: Its seed.
    """

    number: int
    total: int
    variant: str
    seed: int


@dataclass(frozen=True)
class FitEnded:
    """A fit is in the folder.

    Attributes:
        done: Fits that are in the folder.
        total: Of how many.
        variant: Which row of the table.
        seed: Its seed.
        seconds: That it took.
        seconds_left: Of all the fits to come, at the mean pace of those made now.
        failed: Why it has no scores; None where it has.
    """

    done: int
    total: int
    variant: str
    seed: int
    seconds: float
    seconds_left: float
    failed: str | None = None
