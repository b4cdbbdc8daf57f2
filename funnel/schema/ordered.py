"""Sequences whose order counts: which are pooled together, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Sequence
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import dim_of
from funnel.schema.pooling import Attention, Gru, Pooling
from funnel.schema.sequences import in_order


@dataclass(frozen=True)
class Ordered:
    """A sequence, and those beside it.

    Attributes:
        names: Of the sequences, the one that leads first.
        source: Whose rows they describe.
        dims: Numbers per embedding of each.
        queries: What each is compared with; None for what has no say in the weights.
        pooling: How they become vectors.
        times: Whether entries have times.
        positions: How many places have an embedding; 0 for none.
    """

    names: tuple[str, ...]
    source: str
    dims: tuple[int, ...]
    queries: tuple[str | None, ...]
    pooling: Pooling
    times: bool
    positions: int

    @property
    def key(self) -> str:
        """Of the one that leads, in a star batch: its offsets are those of all."""
        return f"{self.source}/{self.names[0]}"

    @property
    def owner(self) -> str:
        """Whose the vectors are: the facts', where these are what entries are compared with."""
        return FACTS if isinstance(self.pooling, Attention) else self.source

    @property
    def gives(self) -> dict[str, int]:
        """By sequence: the width of its vector. What a recurrent network remembers is of all of them, as of the first."""
        if isinstance(self.pooling, Gru):
            return {self.names[0]: self.pooling.units or sum(self.dims)}
        return dict(zip(self.names, self.dims, strict=True))


def beside(schema: FunnelSchema, feature: object) -> tuple[Sequence, ...]:
    """The sequences that say more of a feature's entries, in the order of the schema."""
    if not isinstance(feature, Sequence):
        return ()
    return tuple(other for other in schema.features if isinstance(other, Sequence) and other.beside == feature.name)


def leader_of(schema: FunnelSchema, feature: Bag) -> Bag:
    """The sequence that a feature's entries stand beside; else the feature itself."""
    leader = feature.beside if isinstance(feature, Sequence) else None
    found: Bag = feature if leader is None else schema.feature(leader)
    return found


def is_ordered(schema: FunnelSchema, feature: object) -> bool:
    """Whether the order of a feature's entries counts, or what stands beside them; else it is a bag."""
    return in_order(schema.features, feature)


def ordered(schema: FunnelSchema) -> tuple[Ordered, ...]:
    """The sequences of a schema whose order counts, in the order of those that lead."""
    found = []
    for leader in schema.features:
        if not isinstance(leader, Sequence) or leader.beside is not None or not is_ordered(schema, leader):
            continue
        members = (leader, *beside(schema, leader))
        own = leader.pooled.query if isinstance(leader.pooled, Attention) else None
        found.append(
            Ordered(
                names=tuple(member.name for member in members),
                source=schema.source_of(leader),
                dims=tuple(dim_of(schema, member.table_name) for member in members),
                queries=(own, *(member.query for member in members[1:])),
                pooling=leader.pooled,
                times=leader.times is not None,
                positions=leader.positions or 0,
            )
        )
    return tuple(found)
