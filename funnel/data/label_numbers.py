"""What the values of a label column say, as numbers."""

from __future__ import annotations

import polars as pl

TRUTHS = {"true": "1", "false": "0"}


def label_numbers(series: pl.Series) -> pl.Series:
    """Numbers, null for what is none: float64 [n].

    In text, true and false (of any case) are 1 and 0: that is how data frames write columns of truth values as CSV, and the
    same rows as Parquet have them as such.
    """
    numbers = series.cast(pl.Float64, strict=False)
    if series.dtype != pl.String or numbers.null_count() == series.null_count():
        return numbers
    words = series.str.strip_chars().str.to_lowercase()
    return numbers.fill_null(words.replace(TRUTHS).cast(pl.Float64, strict=False))
