"""One line in a notebook while a fit goes on, changed in place; what is left of it says what came out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

from funnel.data.progress import Progress
from funnel.fitting import Prepared
from funnel.notebook.tables import text
from funnel.training.events import Epoch, Step

Watcher = Callable[[Any], None]
AGAIN = 0.2  # seconds between two changes of the line, at least


@contextmanager
def watching(watch: Watcher | Literal["auto"] | None, epochs: int) -> Iterator[Watcher | None]:
    """Who is told of a fit's events: whoever was named; for `auto`, in a notebook a line, else nobody.

    Args:
        watch: As `funnel.fit` has it.
        epochs: How many there are at most.
    """
    if not isinstance(watch, str):
        yield watch
        return
    if not in_notebook():
        yield None
        return
    line = Line(epochs)
    try:
        yield line.watch
    except BaseException:
        line.remove()
        raise
    line.finish()


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this, which can change what it has shown."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class Line:
    """The line.

    Args:
        epochs: How many there are at most.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs, self._rows, self._last = epochs, 0, ""
        self._shown = 0.0
        self._display = import_module("IPython.display")
        self._handle = self._display.display(self._html("starting"), display_id=True)

    def watch(self, event: Any) -> None:
        """Show an event."""
        match event:
            case Progress(what=what, done=done, total=total) if total:
                self._say(f"{what}: {done / total:.0%}")
            case Prepared(rows=rows):
                self._rows = rows
                self._say(f"{rows:,} training rows", at_once=True)
            case Step():
                share = min(1.0, event.rows / self._rows) if self._rows else 0.0
                said = f"loss {event.losses['loss']:.4f}, {event.rows_per_second:,.0f} rows/s, {event.seconds_left:,.0f} s left"
                self._say(f"epoch {event.epoch}/{self._epochs}, {share:.0%}: {said}")
            case Epoch():
                scores = ", ".join(f"{name} {value:.4f}" for name, value in event.scores.items())
                self._last = f"epoch {event.epoch}/{self._epochs}: loss {event.losses['loss']:.4f}"
                self._last += f"; validation {scores}" if scores else ""
                self._say(self._last, at_once=True)

    def finish(self) -> None:
        """Leave what the last epoch came to."""
        self._handle.update(self._html(self._last or "nothing was left to train"))

    def remove(self) -> None:
        """Leave nothing to be seen."""
        self._handle.update(self._display.HTML(""))

    def _say(self, said: str, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._shown >= AGAIN:
            self._shown = now
            self._handle.update(self._html(said))

    def _html(self, said: str) -> Any:
        return self._display.HTML(f"<code>{text(said)}</code>")
