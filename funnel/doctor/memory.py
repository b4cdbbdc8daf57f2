"""What the embedding tables of a fit take: each by itself, all of them, and what one step holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from funnel.data.batches import star_batch
from funnel.data.order import Epoch
from funnel.data.packing import Packer
from funnel.data.store import Store
from funnel.doctor.finding import Finding
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import layout
from funnel.schema.learnt import FIRST, Learnt, remainders_of
from funnel.schema.topology import with_towers
from funnel.schema.training import Adagrad, Adam, RowWiseAdagrad, Sgd

NUMBER = 4  # bytes of a float32, and of an int32
ENTRY = 3 * NUMBER  # of a packed lookup: which sum, which row, what weight


@dataclass(frozen=True)
class TableMemory:
    """One table, or those of all stages where each has its own.

    Attributes:
        ids: Ids or buckets that are told apart.
        rows: Rows that are stored, those for missing and unknown ids among them; fewer than ids where it is compressed.
        dim: Numbers per row.
        weights: Bytes of the rows.
        state: Bytes that the optimiser keeps for them.
    """

    ids: int
    rows: int
    dim: int
    weights: int
    state: int


@dataclass(frozen=True)
class StepMemory:
    """The first step of the first epoch.

    Attributes:
        facts: Its rows.
        rows: Rows of tables that it reads, each once.
        entries: How often it looks one up.
        bytes: Of these rows, their gradients and their optimiser's state, and of the packed lookups. Layers come on top.
    """

    facts: int
    rows: int
    entries: int
    bytes: int


@dataclass(frozen=True)
class Memory:
    """All of them.

    Attributes:
        tables: By table.
        step: What a step holds of them; None where there are no rows.
    """

    tables: dict[str, TableMemory]
    step: StepMemory | None

    @property
    def weights(self) -> int:
        """Bytes of all rows."""
        return sum(table.weights for table in self.tables.values())

    @property
    def state(self) -> int:
        """Bytes that the optimiser keeps for them."""
        return sum(table.state for table in self.tables.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: bytes."""
        return asdict(self) | {"weights": self.weights, "state": self.state}


def memory_of(schema: FunnelSchema, learnt: Learnt, store: Store | None = None) -> Memory:
    """What a fit's tables take.

    Args:
        schema: The declaration.
        learnt: How many ids each table has.
        store: The rows; without them, nothing is known of a step.
    """
    copies = 1 if schema.model.share_embeddings else len(with_towers(schema.topology))
    tables = {}
    for width in layout(schema, learnt):
        for table, (_, rows) in width.tables.items():
            weights, state = (copies * rows * size for size in (width.dim * NUMBER, _state(schema, width.dim)))
            tables[table] = TableMemory(learnt.rows[table] - FIRST, rows, width.dim, weights, state)
    return Memory(tables, None if store is None else _step(schema, learnt, store, copies))


def memory_findings(schema: FunnelSchema, found: Memory) -> Iterator[Finding]:
    """Tables that are compressed for nothing."""
    for table, sizes in found.tables.items():
        if remainders_of(schema, table) is not None and sizes.rows >= FIRST + sizes.ids:
            message = (
                f"compressed, it stores {sizes.rows:,} rows for {sizes.ids:,} ids, expected fewer: sums are learnt for nothing."
                f" Remove `compress`, or lower `remainders`: {max(2, round(sizes.ids**0.5)):,} makes it smallest."
            )
            yield Finding("warning", f"table {table}", message)


def _state(schema: FunnelSchema, dim: int) -> int:
    """Bytes that the optimiser keeps for a row."""
    match schema.train.optimizer.embedding:
        case Adagrad():
            return dim * NUMBER
        case RowWiseAdagrad():
            return NUMBER
        case Adam():
            return 2 * dim * NUMBER
        case Sgd(momentum=momentum):
            return dim * NUMBER if momentum else 0


def _step(schema: FunnelSchema, learnt: Learnt, store: Store, copies: int) -> StepMemory:
    shards, declared = store.shards("train"), schema.train
    epoch = Epoch(shards, declared.batch_size, declared.shuffle, declared.seed)
    facts = epoch.step(0)
    packed = Packer(schema, learnt)(star_batch([(shards[shard], rows) for shard, rows in facts]))
    rows, entries, size = 0, 0, 0
    for width in layout(schema, learnt):
        read, uses = len(packed[width.unique_key]), len(packed[width.entries_key])
        each = 2 * width.dim * NUMBER + _state(schema, width.dim)
        rows, entries, size = rows + read, entries + uses, size + copies * read * each + read * NUMBER + uses * ENTRY
    return StepMemory(sum(len(some) for _, some in facts), rows, entries, size)
