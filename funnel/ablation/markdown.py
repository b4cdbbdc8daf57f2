"""The table for people to keep: Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from funnel.ablation.columns import Column
from funnel.ablation.table import Ablation, Cell, Row


def markdown(ablation: Ablation, picture: str) -> str:
    """All of an ablation as Markdown.

    Args:
        ablation: The comparison.
        picture: Where the plot is, from the page.
    """
    first = ablation.rows[0]
    count = len(ablation.seeds)
    fits = f"{count} seeds ({seeds_of(ablation)})" if count > 1 else f"seed {ablation.seeds[0]}"
    parts = [
        f"# Objectives on {ablation.name}\n",
        f"Rows: {ablation.data}. {ablation.test_rows:,} test rows; each variant fitted with {fits}, all on the same rows. "
        f"{'Mean ± standard deviation over the seeds' if count > 1 else 'The score of the one fit'}.\n",
        _grid(["", *(column.title for column in ablation.columns)], [_means(row) for row in ablation.rows]),
        f"## Less {first.title}\n",
        f"The difference to the first row, and its 95 % interval: paired bootstrap over {ablation.drawn}"
        f"{' and seeds together' if count > 1 else ' (one seed: what another would change is not in it)'}. **Bold** where the "
        "interval leaves 0 out. For pred/obs (and pred/true) neither more nor less is better: 1 is calibrated.\n",
    ]
    if len(ablation.rows) > 1:
        rows = [[row.title, *map(difference, row.cells)] for row in ablation.rows[1:]]
        parts += [_grid(["", *(column.title for column in ablation.columns)], rows), f"![The differences]({picture})\n"]
    parts += ["## Judged on\n", _grid(["", "rows of", "rows", "positives"], list(map(_space, ablation.columns[::2])), "lrrr")]
    parts += ["## The variants\n", _grid(["", "objective", "embeddings"], [_options(row) for row in ablation.rows], "lll")]
    if ablation.left_out:
        parts += ["## Left out\n", "".join(f"- {name}: {reason}\n" for name, reason in ablation.left_out.items())]
    if told := remarks_of(ablation):
        parts += ["## To know\n", "".join(f"- {line}\n" for line in told)]
    parts.append("Made with " + ", ".join(f"{name} {version}" for name, version in ablation.versions.items()) + ".\n")
    return "\n".join(parts)


def remarks_of(ablation: Ablation) -> list[str]:
    """What else there is to know: remarks on the data, and stages that collapsed."""
    told = list(ablation.remarks)
    for row in ablation.rows:
        for seed, stages in row.collapsed.items():
            told.append(f"{row.name}, seed {seed}: {', '.join(stages)} collapsed: its predictions are the same for every row.")
    return told


def seeds_of(ablation: Ablation) -> str:
    """`0 to 9`."""
    return f"{ablation.seeds[0]} to {ablation.seeds[-1]}"


def mean(cell: Cell) -> str:
    """`0.6825 ± 0.0021`."""
    if math.isnan(cell.mean):
        return "undefined"
    return f"{cell.mean:.4f}" + ("" if math.isnan(cell.deviation) else f" ± {cell.deviation:.4f}")


def difference(cell: Cell, *, plain: bool = False) -> str:
    """`**+0.0100** [+0.0050, +0.0150]`."""
    if cell.difference is None:
        return ""
    if math.isnan(cell.difference):
        return "undefined"
    text = f"{cell.difference:+.4f}"
    return (f"**{text}**" if cell.differs and not plain else text) + f" [{cell.low:+.4f}, {cell.high:+.4f}]"


def _means(row: Row) -> list[str]:
    return [row.title, *map(mean, row.cells)]


def _space(column: Column) -> list[str]:
    expected = " (expected)" if column.truth else ""
    return [column.about, column.space, f"{column.rows:,}", f"{column.positives:,.0f}{expected}"]


def _options(row: Row) -> list[str]:
    options = ", ".join(f"{key}: {value}" for key, value in row.objective.items() if key != "kind" and value != {})
    return [
        row.title,
        f"`{row.objective['kind']}`" + (f" ({options})" if options else ""),
        "shared" if row.share_embeddings else "own",
    ]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    marks = {"l": "---", "r": "---:"}
    rule = [marks[mark] for mark in align or "l" + "r" * (len(head) - 1)]
    lines = [head, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
