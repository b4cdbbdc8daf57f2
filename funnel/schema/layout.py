"""Where embeddings stand: tables of one width are one variable, and a batch's lookups are the rows of one sparse matrix.

A packed batch is a star batch whose ids have become, for each width, the rows to gather and that matrix. Lookups are numbered
source by source, row by row, and by feature within a row, so that the product is the input of the network as it stands. Those
of sequences whose order counts are not in the matrix: each of their entries has its place among the rows that are gathered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Numeric, Sequence
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, Scale, dim_of, remainders_of, stored_rows, table_of
from funnel.schema.ordered import is_ordered

ONCE = "/once"  # after the key of a bag, where it is there: the list of the first row is that of all rows
SIZES = "sizes"  # key of a packed batch: how many rows each source has, int32 [sources]
TOTAL = "total"  # likewise, where several replicas learn in step: the facts of all of them in this step, int32 []
# A bag's weights cancel out where their sum is below this share of the sum of their sizes: no more is left of it than what
# float32 rounded away. Added up in float64, so that training and serving find the same.
CANCELLED = 2.0**-23


@dataclass(frozen=True)
class Lookup:
    """How one feature reads its table.

    Attributes:
        name: The feature.
        key: Its key in a star batch.
        offset: Where the table begins in its variable.
        pooling: How a bag's entries become one embedding; None for one id a row.
        scale: The boundaries of a number that is bucketized; None for ids.
        remainders: Of a compressed table: rows of its first part. An id is then two entries of the matrix, of equal weight: row
            `FIRST + n % remainders`, and row `FIRST + remainders + n // remainders`, with n its place behind the special rows;
            one of the special rows is that row, once with its weight and once with 0.
    """

    name: str
    key: str
    offset: int
    pooling: str | None
    scale: Scale | None
    remainders: int | None = None


@dataclass(frozen=True)
class Width:
    """All tables of one width, one under another in one variable.

    Attributes:
        dim: Numbers per row.
        tables: By table: its first row in the variable, and how many it has there.
        lookups: By source: its features' lookups, in the order of the schema.
        ordered: Those of sequences whose order counts, of all sources: their entries are not added up here.
    """

    dim: int
    tables: dict[str, tuple[int, int]]
    lookups: dict[str, tuple[Lookup, ...]]
    ordered: tuple[Lookup, ...] = ()

    @cached_property
    def rows(self) -> int:
        """Rows of the variable."""
        return sum(rows for _, rows in self.tables.values())

    @property
    def compressed(self) -> set[str]:
        """The tables of which ids are sums of two rows."""
        begins = {lookup.offset for found in self.lookups.values() for lookup in found if lookup.remainders is not None}
        return {table for table, (begin, _) in self.tables.items() if begin in begins}

    @property
    def unique_key(self) -> str:
        """Key of a packed batch: the rows of the variable that it uses, each once, int32 [Q]."""
        return f"lookups/{self.dim}/unique"

    @property
    def entries_key(self) -> str:
        """Key of a packed batch: which lookup uses which of them, int32 [E, 2]."""
        return f"lookups/{self.dim}/entries"

    @property
    def weights_key(self) -> str:
        """Key of a packed batch: with what weight, float32 [E]."""
        return f"lookups/{self.dim}/weights"

    @property
    def places_key(self) -> str:
        """Key of a packed batch: which of them each entry of an ordered lookup reads, one lookup after another, int32 [O]."""
        return f"lookups/{self.dim}/places"


def layout(schema: FunnelSchema, learnt: Learnt) -> tuple[Width, ...]:
    """The widths that a schema's tables have, in the order of their first features."""
    tables: dict[int, dict[str, tuple[int, int]]] = {}
    lookups: dict[int, dict[str, list[Lookup]]] = {}
    in_order: dict[int, list[Lookup]] = {}
    for feature in schema.features:
        table = table_of(feature)
        if table is None:
            continue
        dim, source = dim_of(schema, table), schema.source_of(feature)
        placed = tables.setdefault(dim, {})
        placed.setdefault(table, (sum(rows for _, rows in placed.values()), stored_rows(schema, table, learnt.rows[table])))
        lookup = Lookup(
            name=feature.name,
            key=f"{source}/{feature.name}",
            offset=placed[table][0],
            pooling=_pooling(feature),
            scale=learnt.scales[feature.name] if isinstance(feature, Numeric) else None,
            remainders=remainders_of(schema, table),
        )
        of_width = lookups.setdefault(dim, {name: [] for name in schema.sources})
        (in_order.setdefault(dim, []) if is_ordered(schema, feature) else of_width[source]).append(lookup)
    return tuple(
        Width(dim, placed, {source: tuple(found) for source, found in lookups[dim].items()}, tuple(in_order.get(dim, ())))
        for dim, placed in tables.items()
    )


def _pooling(feature: object) -> str | None:
    if isinstance(feature, Sequence):
        return feature.pooled.kind
    return feature.pooling if isinstance(feature, Bag) else None


def rows_key(schema: FunnelSchema, source: str) -> tuple[str, int] | None:
    """The key of a star batch whose length tells how many rows a source has, and by how many it is longer than these.

    None for a dimension that has no features, whose rows nothing asks for.
    """
    for feature in schema.features:
        if schema.source_of(feature) == source:
            key = f"{source}/{feature.name}"
            return (f"{key}/offsets", 1) if isinstance(feature, Bag) else (key, 0)
    return (f"index/{schema.sources[1]}", 0) if source == FACTS else None
