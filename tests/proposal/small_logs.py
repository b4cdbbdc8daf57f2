"""Small logs with a known shape, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import funnel
from funnel.proposal.features import Feature
from funnel.proposal.files import files_in
from funnel.proposal.init import Proposed
from funnel.proposal.tables import Table, tables_of


def log(rows: int = 4000, seed: int = 0, **columns: Any) -> pl.DataFrame:
    """Visits on about a third, sign-ups on about a third of these; both depend on the city."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 6, rows)
    visit = rng.random(rows) < np.where(city % 2 == 0, 0.5, 0.2)
    signup = visit & (rng.random(rows) < np.where(city % 3 == 0, 0.5, 0.25))
    frame = pl.DataFrame({"city": [f"c{one}" for one in city], "visit": visit.astype(int), "signup": signup.astype(int)})
    return frame.with_columns(**columns)


def written(frame: pl.DataFrame, path: Path) -> Path:
    """As a file, by its ending."""
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


def table(frame: pl.DataFrame, path: Path) -> Table:
    """As `funnel init` sees it."""
    (found,) = tables_of(files_in([written(frame, path)]), lambda _: None)
    return found


def features(found: Proposed) -> dict[str, Feature]:
    """By name."""
    return {one.name: one.feature for one in found.proposal.features}


def left_out(found: Proposed, source: str = "facts") -> dict[str, str]:
    """Reasons, by column."""
    return {one.column: one.reason for one in found.proposal.left_out[source]}


def refusal(*given: Any, **others: Any) -> str:
    """The message with which rows are refused."""
    try:
        funnel.init(*given, **others)
    except funnel.FunnelError as error:
        return str(error)
    raise AssertionError("it was not refused")
