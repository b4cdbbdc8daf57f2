"""Tables on a terminal: whatever its width, no figure is cut."""

import pytest
from rich.console import Console

from funnel import screen_table
from funnel.screen_table import add_figures, new_table, plain, show_table

HEADS = ("rows", "AUC", "95 %", "pred/observed")


def drawn(monkeypatch, capsys, width, rows, feet=()):
    monkeypatch.setattr(screen_table, "_console", lambda _: Console(width=width))
    table = new_table("test [rows]", footer=bool(feet))
    table.add_column("probability", "all" if feet else "", overflow="fold")
    add_figures(table, HEADS, feet)
    for name in rows:
        table.add_row(plain(name), "1,234,567", "0.6453", "0.630-0.660", "1.046")
    show_table(table)
    return capsys.readouterr().out


def test_as_it_is_where_there_is_room(monkeypatch, capsys):
    text = drawn(monkeypatch, capsys, 100, ["click", "buy"])
    assert "test [rows]" in text
    line = next(line for line in text.splitlines() if "click" in line)
    assert line.split() == ["click", "1,234,567", "0.6453", "0.630-0.660", "1.046"]


def test_turned_where_it_is_narrow(monkeypatch, capsys):
    text = drawn(monkeypatch, capsys, 50, ["click", "buy"])
    assert ["probability", "click", "buy"] in [line.split() for line in text.splitlines()]
    assert ["95", "%", "0.630-0.660", "0.630-0.660"] in [line.split() for line in text.splitlines()]


def test_feet_are_turned_with_it(monkeypatch, capsys):
    text = drawn(monkeypatch, capsys, 50, ["click", "buy"], feet=("7", "", "", "8"))
    assert ["rows", "1,234,567", "1,234,567", "7"] in [line.split() for line in text.splitlines()]


def test_rows_are_lines_of_their_own_where_that_is_too_wide(monkeypatch, capsys):
    text = drawn(monkeypatch, capsys, 40, ["click", "", "cart", "buy", "pay"], feet=("7", "", "", "8"))
    lines = [line.split() for line in text.splitlines()]
    assert lines.count(["95", "%", "0.630-0.660"]) == 5
    assert [line[1] for line in lines if line[:1] == ["probability"]] == ["click", "cart", "buy", "pay", "all"]
    assert ["pred/observed", "8"] in lines


@pytest.mark.parametrize("width", range(36, 120))
@pytest.mark.parametrize(
    "rows", [["click"], ["click", "[bold]", "a_stage_with_a_name_that_is_long"], [f"stage_{n}" for n in range(12)]]
)
def test_no_figure_is_cut(monkeypatch, capsys, width, rows):
    text = drawn(monkeypatch, capsys, width, rows)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for figure in ("1,234,567", "0.6453", "0.630-0.660", "1.046"):
        assert text.count(figure) == len(rows)


@pytest.mark.parametrize("width", [36, 40, 50, 60])
def test_words_are_not_broken_letter_by_letter(monkeypatch, capsys, width):
    monkeypatch.setattr(screen_table, "_console", lambda _: Console(width=width))
    table = new_table()
    table.add_column("column", overflow="fold", max_width=28)
    table.add_column("becomes", no_wrap=True)
    table.add_column("what it holds, or why it is left out", overflow="fold")
    table.add_row("conversion", "stage conversion", "reached by 578 of 64,000 rows")
    show_table(table)
    said = capsys.readouterr().out.split()
    for word in ("conversion", "reached", "578", "64,000", "rows"):
        assert word in said
