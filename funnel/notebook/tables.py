"""Tables as a notebook shows them, in its own fonts and colours, whether they are light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from funnel.reporting.figures import UNDEFINED, count, score, shown, span

LEFT, RIGHT = 'style="text-align: left"', 'style="text-align: right"'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """An HTML table.

    Args:
        heads: What stands above each column.
        rows: Of texts, which are escaped.
        left: How many columns are words; those after them are numbers.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        sides = (LEFT if place < left else RIGHT for place in range(len(cells)))
        return "".join(f"<{tag} {side}>{text(cell)}</{tag}>" for side, cell in zip(sides, cells, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(heads, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def text(said: str) -> str:
    """A text that is no markup, without letters that cannot be seen."""
    return escape(shown(said))


def figures(report: Mapping[str, Any]) -> str:
    """The figures of a report, a row for each probability.

    Args:
        report: As `Report.as_dict` has it.
    """
    rows: dict[str, list[str]] = {}
    for kind in ("cumulative", "conditional"):
        for one in report[kind].values():
            rows.setdefault(one["name"], _row(one))
    heads = ["probability", "on rows of", "rows", "positives", "AUC", "95 %", "log loss", "NE", "pred/obs", "95 %"]
    level = f"{100 * report['level']:g} %"
    return table([level if head == "95 %" else head for head in heads], rows.values(), left=2)


def _row(one: Mapping[str, Any]) -> list[str]:
    figure = {key: _known(one[key]) for key in ("auc", "log_loss", "normalized_entropy", "predicted_over_observed")}
    return [
        one["name"], one["space"], count(one["rows"]), count(one["positives"]), score(figure["auc"], 4),
        _interval(one, "auc"), score(figure["log_loss"], 5), score(figure["normalized_entropy"], 4),
        score(figure["predicted_over_observed"], 3), _interval(one, "predicted_over_observed", 2),
    ]  # fmt: skip


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _interval(one: Mapping[str, Any], key: str, places: int = 3) -> str:
    interval = one["intervals"].get(key)
    return span(interval, places) if interval is not None else UNDEFINED
