"""What the command line shows of an ablation: how far its fits are, and its tables."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from funnel.screen_table import add_figures, new_table, plain, show_table, width_of_screen
from funnel.terminal import Screen

if TYPE_CHECKING:
    from funnel.ablation.events import FitBegun, FitEnded, Planned
    from funnel.ablation.table import Ablation, Cell
    from funnel.training.events import Step

WIDTH = 120  # of the tables where nobody looks on


class AblationScreen(Screen):
    """One bar for all fits on a terminal; elsewhere a line for each fit."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._fit: FitBegun | None = None
        self._fits_begun = self._fit_begun = 0.0
        self._fits_made = 0

    def watch(self, event: Any) -> None:
        """Show one event."""
        match type(event).__name__:
            case "Progress":
                self._progress(event)
            case "Planned":
                self._planned(event)
            case "FitBegun":
                self._begin(event)
            case "FitEnded":
                self._ended(event)
            case "Resumed" if event.path is not None:
                self.say(f"going on from {event.path}: epoch {event.epoch}, {event.step:,} steps made")
            case "Step":
                self._step(event)

    def _planned(self, event: Planned) -> None:
        fits = len(event.variants) * event.repeats
        self.say(f"store: {event.store}")
        there = f", {event.there:,} of them are in {event.out}" if event.there else ""
        self.say(f"{_count(len(event.variants), 'variant')} with {_count(event.repeats, 'seed')}: {_count(fits, 'fit')}{there}")
        for name, reason in event.left_out.items():
            self.say(f"  left out: {name}: {reason}")
        self._fits_begun = time.monotonic()

    def _begin(self, event: FitBegun) -> None:
        self._fit, self._fit_begun = event, time.monotonic()
        self._show(self._text(), event.number - 1, event.total, new=self._what != "fits")
        self._what = "fits"

    def _step(self, event: Step) -> None:
        if self._fit is None:
            return
        rate = f"{event.rows_per_second:,.0f} rows/s"
        if self._bar is not None:
            # A fit is a part of the bar: else nothing could be said of the time before the second one.
            gone = time.monotonic() - self._fit_begun
            part = min(0.99, gone / max(gone + event.seconds_left, 1e-9))
            self._show(f"{self._text()}  {rate}", self._fit.number - 1 + part, self._fit.total)
        elif time.monotonic() - self._said > 30:
            self._said = time.monotonic()
            self.say(f"{self._text()}: epoch {event.epoch}, {event.rows:,} rows, {rate}")

    def _ended(self, event: FitEnded) -> None:
        self._said = time.monotonic()
        self._fits_made += 1
        pace = (time.monotonic() - self._fits_begun) / self._fits_made
        rate = f"{60 / pace:,.1f} fits/min" if pace < 60 else f"{pace / 60:,.1f} min a fit"
        if event.failed is not None:
            self.say(f"left out: {event.variant}, seed {event.seed}: {event.failed}")
        self.say(
            f"{event.done:,} of {event.total:,} fits: {event.variant}, seed {event.seed} took {_time(event.seconds)}; {rate}, "
            f"{_time(event.seconds_left)} left"
        )
        self._show(self._text(), event.done, event.total)

    def _text(self) -> str:
        return (
            "" if self._fit is None else f"fit {self._fit.number}/{self._fit.total}: {self._fit.variant}, seed {self._fit.seed}"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _time(seconds: float) -> str:
    """`41 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def show_ablation(made: Ablation) -> None:
    """A table for each probability: its AUC, its calibration, and how far both are from the first row's."""
    from funnel.ablation.markdown import remarks_of

    beside = 2 if width_of_screen(WIDTH) >= 100 else 1
    for place in range(0, len(made.columns), beside):
        column, several = made.columns[place], range(place, place + beside)
        expected = "expected " if column.truth else ""
        title = f"{column.about}: {column.rows:,} {column.space} rows, {column.positives:,.0f} {expected}positives"
        table = new_table(title)
        table.add_column("", no_wrap=True)
        for one in several:
            add_figures(table, (made.columns[one].measure, "± s.d.", "to first", "95 % interval"))
        for row in made.rows:
            table.add_row(plain(row.name), *(text for one in several for text in _cells(row.cells[one], 3 + (one % 2 == 0))))
        show_table(table, WIDTH)
    for name, reason in made.left_out.items():
        print(f"left out: {name}: {reason}")
    for line in remarks_of(made):
        print(f"note: {line}")


def _cells(cell: Cell, digits: int) -> list[str]:
    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else "undefined" if value != value else f"{value:{sign}.{digits}f}"  # noqa: PLR0124  # NaN

    deviation = "" if len(cell.values) == 1 else number(cell.deviation)
    between = "" if cell.low is None else f"{number(cell.low, '+')} {number(cell.high, '+')}"
    difference = number(cell.difference, "+")
    return [number(cell.mean), deviation, f"[bold]{difference}[/]" if cell.differs else difference, between]
