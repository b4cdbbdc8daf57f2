"""All rows of a split, each checked, and put where its shard will find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.columns import Columns
from funnel.data.faults import Faults
from funnel.data.holdout import HoldOut
from funnel.data.keyed import Keyed, require_injective
from funnel.data.origin import Origin, Split
from funnel.data.spill import DimensionSpill, FactSpill
from funnel.errors import DataError
from funnel.schema.data import SkipBadRows, Validation
from funnel.schema.funnel_schema import FunnelSchema

POSITION, LABELS = "fact position", "fact labels"  # no feature has a space in its name


def row_role(dimension: str) -> str:
    """The column of the facts that holds each one's row of a dimension."""
    return f"row {dimension}"


@dataclass
class Reading:
    """All rows of a split, each checked.

    Attributes:
        facts: The facts: features, `row <dimension>`, `position`, and, where they were wanted, `labels` uint8 [n, stages], and
            `weight` float32 [n].
        dimensions: By name.
        texts: By table or key: ids that are not their own codes.
        rows: Facts in the files, with those left out.
        apart: Facts in the files that are of another split (`data.test`).
        violations: By stage: facts that had it without its parent.
        elsewhere: By stage that domains lack: facts of these that had it.
        young: By stage that matures: facts of its conditional whose label was read too early, and those of them that had it.
        faults: By source: the rows left out.
        held: Whether facts are held out, in the order in which they were read, or by dimension row; None where none are.
        held_by: The dimension that says so.
    """

    facts: FactSpill
    dimensions: dict[str, DimensionSpill]
    texts: dict[str, Keyed]
    rows: int = 0
    apart: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    elsewhere: dict[str, int] = field(default_factory=dict)
    young: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, Faults] = field(default_factory=dict)
    held: NDArray[np.bool_] | None = None
    held_by: str | None = None

    def held_out(self, facts: Columns) -> NDArray[np.bool_]:
        """Whether some facts are held out: bool [n]."""
        if self.held is None:
            return np.zeros(len(facts[POSITION]), bool)
        return np.asarray(self.held[facts[POSITION if self.held_by is None else row_role(self.held_by)]])

    def hold_out(self, by: HoldOut, group: str | None, places: list[NDArray[np.int64]]) -> None:
        """Settle which facts are held out.

        Args:
            by: Has seen all facts.
            group: The dimension whose rows stay together; None for single rows.
            places: The positions of what was compared, where validation goes by time.
        """
        by_time = by.decide()
        if by_time is not None:
            self.held = np.zeros(self.rows, bool)
            self.held[np.concatenate(places)] = by_time
        elif by.validation is not None:
            self.held_by = group
            self.held = by.held(self.dimensions[group].keys_by_row() if group else np.arange(self.rows))

    def require_injective(self, known: Mapping[str, pl.DataFrame]) -> None:
        """Make sure that no two texts have one code.

        Args:
            known: By table: `code` and `text` of a vocabulary learnt elsewhere.

        Raises:
            CollisionError: Two do.
        """
        for name, gathered in self.texts.items():
            if name in known:
                gathered.add(known[name])
            require_injective(gathered)


def validation_of(schema: FunnelSchema, split: Split, *, labels: bool) -> Validation | None:
    """How rows of a split are held out: only training rows are, and those alone that are learnt from."""
    return schema.data.validation if split == "train" and labels else None


def no_rows(what: str) -> DataError:
    """Of files or a frame."""
    return DataError(f"{what}: got no rows, expected some. Is the file whole?")


def require_facts(reading: Reading, origin: Origin, split: Split) -> None:
    """Refuse a split none of whose facts can be used."""
    if not reading.facts.rows and reading.apart:
        raise DataError(
            f"data.test: none of {reading.rows:,} rows are {split} rows, expected some on each side. Change the fraction, or "
            "what it goes by."
        )
    if not reading.facts.rows:
        raise DataError(f"{origin} ({split} rows): no row can be used, expected some. Correct the data.")


def require_few(reading: Reading, schema: FunnelSchema, origin: Origin, source: str) -> None:
    """Refuse a source of which more rows were left out than the schema allows."""
    if isinstance(schema.data.bad_rows, SkipBadRows):
        reading.faults[source].require_few(f"{origin} ({source})", schema.data.bad_rows.max_share)
