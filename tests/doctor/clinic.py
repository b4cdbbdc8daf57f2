"""Patients: a small shop's frames, healthy or with one thing wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

import funnel
from funnel.doctor.checkup import Checkup
from funnel.doctor.finding import Finding

ROWS, ITEMS = 6000, 40


def frame(seed: int = 0, rows: int = ROWS, **columns: Any) -> pl.DataFrame:
    """Facts: `click` on about one in four, `buy` on about one in three of these; both depend on the item."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, ITEMS, rows)
    click = rng.random(rows) < np.where(item % 2 == 0, 0.4, 0.1)
    buy = click & (rng.random(rows) < np.where(item % 3 == 0, 0.6, 0.2))
    made = pl.DataFrame({"item": item, "price": rng.lognormal(size=rows), "click": click.astype(int), "buy": buy.astype(int)})
    return made.with_columns(**columns)


def tree(*features: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A declaration with `item` and `price`, some other features, and other parts in place of the usual ones."""
    declared = {
        "name": "patient",
        "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
        "data": {"facts": {"format": "parquet", "train": "train.parquet"}, "validation": {"kind": "fraction", "by": "row"}},
        "features": [{"name": "item", "kind": "categorical"}, {"name": "price", "kind": "numeric"}, *features],
    }
    return declared | others


def check(rows: Any, *features: dict[str, Any], test: Any = None, **others: Any) -> Checkup:
    """A check of frames."""
    return funnel.check(tree(*features, **others), rows, test=test)


def about(found: Checkup, what: str, level: str | None = None) -> list[Finding]:
    """The findings about something, of a level."""
    return [finding for finding in found.findings if finding.about == what and level in (None, finding.level)]


def only(found: Checkup) -> Finding:
    """The finding, where there is just one."""
    assert len(found.findings) == 1, found.findings
    return found.findings[0]
