"""Numbers that are written as people write them, and as no program reads them: `22,026`, `0,35`, `$45.20`, `12%`."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.proposal.columns import Column
from funnel.proposal.tables import Table

MOST = 0.95  # of the values
PLAIN = r"[-+]?\d+(?:\.\d+)?"
WITH_SIGN = r"[-+]?\s?[$€£¥]\s?[-+]?\d[\d.,]*|[-+]?\d[\d.,]*\s?[%$€£¥]"
THOUSANDS = r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
COMMA = r"[-+]?\d+,\d+"


def written_otherwise(table: Table, column: Column) -> str | None:
    """Why texts that are numbers to a reader are none here, and how to write them; None where they are no such texts."""
    if column.kind != "text" or column.numeric:
        return None
    values = table.sample[column.name].drop_nulls().str.strip_chars()
    if not len(values):
        return None
    plain = _are(values, PLAIN)
    for form, example, fits in (
        (WITH_SIGN, "without the sign", True),
        # Lists of ids of three digits look alike, but for their first one.
        (THOUSANDS, "without commas", _are(values.str.extract(r"^[-+]?(\d+)", 1).fill_null(""), r"\d{1,2}").any()),
        # So do lists with entries now and then, and pairs in a file whose columns have commas between them.
        (COMMA, "with a point", not plain.any() or table.files[0].separator != ","),
    ):
        found = _are(values, form)
        if fits and found.any() and (found | plain).mean() >= MOST and found.sum() > (plain.sum() if form == COMMA else 0):
            return f"numbers that are written as {values[int(found.argmax())]!r}: write them {example}"
    return None


def _are(values: pl.Series, form: str) -> NDArray[np.bool_]:
    return values.str.contains(f"^(?:{form})$").to_numpy()
