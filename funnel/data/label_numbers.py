"""What the values of a label column say, as numbers."""

from __future__ import annotations

import polars as pl

TRUTHS = {"true": "1", "false": "0"}


def label_numbers(series: pl.Series) -> pl.Series:
    """Numbers, null for what is none: float64 [n].

    In text, true and false (of any case) are 1 and 0: that is how data frames write columns of truth values as CSV, and the
    same rows as Parquet have them as such.
    """
    if series.dtype == pl.String:
        series = series.str.strip_chars()
        lowered = series.str.to_lowercase()
        series = pl.select(pl.when(lowered.is_in(list(TRUTHS))).then(lowered.replace(TRUTHS)).otherwise(series)).to_series()
    return series.cast(pl.Float64, strict=False)
