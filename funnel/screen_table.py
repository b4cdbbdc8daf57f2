"""Tables on a terminal: as wide as they are, or turned where it is narrower. Rich is loaded when one is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FOLDED = 10  # letters that a column of words keeps, at least


def new_table(title: str = "", *, footer: bool = False) -> Table:
    """An empty table."""
    from rich import box
    from rich.table import Table

    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "show_footer": footer}
    return Table(title=plain(title) if title else None, title_justify="left", title_style="bold", **look)


def add_figures(table: Table, heads: Sequence[str], feet: Sequence[str] = ()) -> None:
    """Columns of figures: to the right, and never cut."""
    for head, foot in zip(heads, feet or [""] * len(heads), strict=True):
        table.add_column(head, foot, justify="right", no_wrap=True)


def plain(value: str, style: str = "") -> Any:
    """As it stands: a name, a path or a value may hold what rich takes for markup."""
    from rich.text import Text

    return Text(value, style)


def show_table(table: Table, width: int = 130) -> None:
    """Print it, whole.

    Where its figures do not fit beside one another, what was a row becomes a column; and where these do not fit, either, each
    row becomes lines of its own: a table whose figures are cut says nothing.

    Args:
        table: Of `new_table`.
        width: Letters of a line where nobody looks on: a file, a pipe.
    """
    console = _console(width)
    for column in table.columns:
        if not column.no_wrap:  # narrower, words are broken letter by letter
            column.min_width = min(FOLDED, max(console.measure(cell).maximum for cell in (column.header, *column.cells)))
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    if _needed(console, table) <= console.width or not rows:
        console.print(table)
        return
    few = len(rows) < len(table.columns)
    if table.show_footer:
        rows.append(tuple(column.footer for column in table.columns))
    turned = _turned(table, rows)
    if few and _needed(console, turned) <= console.width:
        console.print(turned)
        return
    if table.title:
        console.print(table.title, style="bold", end="\n\n")
    for row in rows:
        console.print(_lines(table, row, console.width // 2))


def width_of_screen(width: int) -> int:
    """Letters of a line; `width` where nobody looks on."""
    return _console(width).width


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width)


def _needed(console: Console, table: Table) -> int:
    """Letters of a line in which no figure is cut."""
    found = 0
    for column in table.columns:
        widest = max(console.measure(cell).maximum for cell in (column.header, column.footer, *column.cells))
        found += widest if column.no_wrap else min(widest, FOLDED, column.max_width or FOLDED)
    return found + 2 * len(table.columns) + 1  # what the look of a table takes


def _turned(table: Table, rows: list[tuple[Any, ...]]) -> Table:
    """The same with its columns as rows."""
    found = new_table()
    found.title = table.title
    first, *others = table.columns
    found.add_column(first.header, no_wrap=True)
    add_figures(found, [row[0] for row in rows])
    for place, column in enumerate(others, 1):
        found.add_row(column.header, *(row[place] for row in rows))
    return found


def _lines(table: Table, row: tuple[Any, ...], widest: int) -> Table:
    """One row: its first cell, and below it a line for each of the others; heads are at most so wide."""
    from rich.table import Table

    found = Table.grid(padding=(0, 2, 0, 0))
    found.add_column(max_width=widest)
    found.add_column(overflow="fold")
    if str(row[0]):  # else it goes on with the row above
        found.add_row(table.columns[0].header, row[0], style="bold")
    for column, cell in zip(table.columns[1:], row[1:], strict=True):
        if str(cell):
            found.add_row(column.header, cell)
    found.add_row()
    return found
