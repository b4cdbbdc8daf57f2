"""What a store says about its rows: how much is missing, unknown, or long, in each feature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.columns import OFFSETS
from funnel.data.shards import uses_of
from funnel.data.star import Star
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import MISSING, OOV

QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass
class FeatureSummary:
    """Of one feature, over the facts: a dimension row counts as often as it is used.

    Attributes:
        rows: Facts.
        entries: Ids (or numbers) that they have.
        missing: Facts without any.
        oov: Entries without a row of their own.
        lengths: By length of the list: facts.
    """

    rows: int = 0
    entries: int = 0
    missing: int = 0
    oov: int = 0
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def add(self, other: FeatureSummary) -> None:
        """Those of other facts."""
        self.rows += other.rows
        self.entries += other.entries
        self.missing += other.missing
        self.oov += other.oov
        size = max(len(self.lengths), len(other.lengths))
        self.lengths = np.pad(self.lengths, (0, size - len(self.lengths))) + np.pad(
            other.lengths, (0, size - len(other.lengths))
        )

    def as_dict(self, feature: Any) -> dict[str, Any]:
        """For the manifest: shares of the facts, or of their entries, and for bags the quantiles of their lengths."""
        found: dict[str, Any] = {"missing": self.missing / max(1, self.rows)}
        if not isinstance(feature, Numeric):
            found["oov"] = self.oov / max(1, self.entries)
        if isinstance(feature, Bag):
            below = np.cumsum(self.lengths)
            found["entries"] = self.entries
            found["lengths"] = {f"p{100 * q:g}": int(np.searchsorted(below, q * below[-1], side="left")) for q in QUANTILES}
        return found


def summarise(schema: FunnelSchema, star: Star) -> dict[str, FeatureSummary]:
    """By feature: what there is in a star."""
    found = {}
    for feature in schema.features:
        source = schema.source_of(feature)
        columns, uses = star.sources[source], uses_of(star, source)
        column = columns[feature.name]
        if isinstance(feature, Bag):
            lengths = np.diff(columns[feature.name + OFFSETS])
            unknown = np.flatnonzero(column == OOV)
            owner = np.searchsorted(columns[feature.name + OFFSETS], unknown, side="right") - 1
            found[feature.name] = FeatureSummary(
                star.rows,
                int(lengths.sum(dtype=np.int64) if uses is None else (lengths.astype(np.int64) * uses).sum()),
                _count(lengths == 0, uses),
                len(unknown) if uses is None else int(uses[owner].sum()),
                np.bincount(lengths, weights=uses).astype(np.int64),
            )
            continue
        missing = np.isnan(column) if isinstance(feature, Numeric) else column == MISSING
        lost = _count(missing, uses)
        unknown_rows = 0 if isinstance(feature, Numeric) else _count(column == OOV, uses)
        found[feature.name] = FeatureSummary(star.rows, star.rows - lost, lost, unknown_rows)
    return found


def _count(mask: NDArray[np.bool_], uses: NDArray[np.int64] | None) -> int:
    return int(mask.sum() if uses is None else uses[mask].sum())
