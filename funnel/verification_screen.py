"""What the command line shows of a verification: each signature's largest difference, and what it comes to in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funnel.screen_table import add_figures, new_table, plain, show_table

if TYPE_CHECKING:
    from funnel.verification.verification import Difference, Verification


def show_verification(found: Verification) -> None:
    """By signature: rows compared, the largest difference, of which output and in which row."""
    table = new_table()
    table.add_column("signature", no_wrap=True)
    add_figures(table, ("rows", "largest difference"))
    table.add_column("of", overflow="fold")
    add_figures(table, ("in row",))
    for signature in dict.fromkeys(one.signature for one in found.differences):
        worst = max((one for one in found.differences if one.signature == signature), key=_size)
        where = (plain(worst.output), f"{worst.row:,}") if worst.largest else ("", "")
        table.add_row(signature, f"{worst.rows:,}", f"{worst.largest:.2g}", *where)
    show_table(table, 100)
    for reason, rows in found.left_out.items():
        print(f"  left out: {rows:,} rows: {reason}")
    print(sentence(found))


def sentence(found: Verification) -> str:
    """What it comes to."""
    outputs = len({one.output for one in found.differences})
    signatures = len({one.signature for one in found.differences})
    compared = f"{found.rows:,} {found.split} rows, {signatures} signatures, {outputs} outputs"
    if found.passed:
        return f"pass: {compared}: the largest difference is {found.largest:.2g}, at most {found.tolerance:g} is allowed"
    worst = max(found.differences, key=_size)
    wrong = sorted({one.output for one in found.differences if not one.largest <= found.tolerance})
    why = "the export is not what the run is"
    if found.smaller:
        why = f"the tables are smaller ({found.smaller}): say with `--tolerance` how much that may change"
    return (
        f"fail: {compared}: {', '.join(wrong)} differ; the largest difference is {worst.largest:.2g} ({worst.output} of "
        f"{worst.signature}, row {worst.row:,}), at most {found.tolerance:g} is allowed: {why}"
    )


def _size(one: Difference) -> float:
    return one.largest
