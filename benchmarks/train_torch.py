"""How fast PyTorch trains the network of a schema: what the library's training is measured against.

    python benchmarks/train_torch.py joined|star SCHEMA STORE [--sparse] [--batch-size 4096] [--seconds 12] [--warm-up 3]

`joined` is what is done today: each impression carries the whole of its dimension rows. The join is made ahead of the steps, by
a thread of its own. `star` is the same network over what the store holds: a dimension row is looked up, pooled and multiplied
by its share of the first layers once a batch. With --sparse the gradients of all tables are sparse, as is usual; without, those
of tables that are small for what a batch asks of them are dense, which is faster here.

Prints JSON: samples a second over the wall time of the measured steps, reading and joining included; how many steps; the peak
of resident memory in bytes; and the mean loss of each tenth of the steps.

What was tried, in milliseconds a step of 4,096 on batches that come again (two cores of an AMD EPYC with AVX-512, PyTorch 2.13,
Ali-CCP at 58 or 2.3 impressions a dimension row; a program varies by up to a third from one process to the next):

- All gradients sparse: 263 joined, 40 star (58), 232 star (2.3): `coalesce` has one thread. Dense, which is the same function,
  for tables of up to 16 rows an entry: 128, 36, 106. Kept.
- Products by oneDNN: 34 against 39 star (58), 109 against 113 (2.3), 153 against 161 joined. Kept.
- The first layer of `star` split: 35-39 against 48 (58), 113 against 120 (2.3). Kept.
- Freed memory kept: 170 against 225 joined, 42 against 47 star. Huge pages: 37 against 41 star, joined alike. Both kept.
- Indices: int32 122-155 joined, int64 166-169. One thread, not two: 221 for 145 (2.3 joined). PReLU by hand: 7 for 4.
- Alike, left out: `torch.compile` of all but the lookups (40 star, 130 joined, 10 s to compile), `is_coalesced` in Adagrad, a
  lookup for `index_select`, GOMP_SPINCOUNT, OMP_WAIT_POLICY, sys.setswitchinterval.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages, where PyTorch asks for memory

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from numpy.typing import NDArray
from torch import nn
from train_flags import train_parser

import funnel
from funnel.data.batches import Batch, batches
from funnel.data.order import Epoch
from funnel.data.store import Store
from funnel.schema.features import Bag, Categorical
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import FIRST, Learnt, dim_of
from funnel.schema.training import Adagrad, Adam
from funnel.training.process import peak_memory, tune_allocator

Tensors = dict[str, torch.Tensor]
Element = tuple[Tensors, torch.Tensor]

AHEAD = 3  # batches that wait for their step
ROWS_PER_ENTRY = 16  # of a table, beyond which its gradient is sparse


def require_supported(schema: FunnelSchema) -> None:
    """Refuse what these measurements do not cover.

    Raises:
        ValueError: There is such a thing.
    """
    for feature in schema.features:
        if not isinstance(feature, Categorical | Bag) or (isinstance(feature, Bag) and feature.pooling == "sqrtn"):
            what = getattr(feature, "pooling", feature.kind)
            raise ValueError(f"feature {feature.name!r}: got {what}, expected categorical ones, and bags by sum or mean.")
    tower, optimizer = schema.model.tower, schema.train.optimizer
    if schema.model.body.units or not tower.units or tower.activation not in {"relu", "prelu"} or tower.dropout:
        raise ValueError("got another network, expected towers of relu or prelu layers without dropout, and no shared layers.")
    if not isinstance(optimizer.embedding, Adagrad) or not isinstance(optimizer.dense, Adam) or schema.objective.weights:
        raise ValueError("got another fit, expected adagrad for embeddings, adam for the rest, and stages of one weight.")


def pooling_as_weights(schema: FunnelSchema, batch: Batch) -> Batch:
    """The batch with means made sums by their weights: once for each dimension row."""
    found = dict(batch)
    for feature in schema.features:
        if not isinstance(feature, Bag) or feature.pooling == "sum":
            continue
        key = f"{schema.source_of(feature)}/{feature.name}"
        offsets = batch[f"{key}/offsets"]
        weights = batch.get(f"{key}/weights", np.ones(len(batch[key]), np.float32))
        lengths = np.diff(offsets)
        totals = np.zeros(len(lengths), np.float32)
        if len(weights):
            totals[lengths > 0] = np.add.reduceat(weights, offsets[:-1][lengths > 0])
        found[f"{key}/weights"] = weights / np.repeat(np.where(totals == 0, np.inf, totals), lengths)
    return found


def joined(batch: Batch) -> Batch:
    """The batch with each dimension row copied to all of its facts."""
    found: Batch = {}
    for key, array in batch.items():
        source = key.split("/")[0]
        index, offsets = batch.get(f"index/{source}"), batch.get(f"{key.removesuffix('/weights')}/offsets")
        if source == "index":
            continue
        if index is None:
            found[key] = array
        elif key.endswith("/offsets"):
            found[key] = np.concatenate([[0], np.cumsum(np.diff(array)[index])]).astype(np.int32)
        else:
            found[key] = array[index] if offsets is None else _lists(array, offsets, index)
    return found


def _lists(entries: NDArray[Any], offsets: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    # One copy of each list is faster than a gather of its entries.
    lists = np.split(entries, offsets[1:-1])
    return np.concatenate([lists[row] for row in index])


def stream(schema: FunnelSchema, store: Store, batch_size: int, *, join: bool) -> Iterator[Element]:
    """Batches without end, epoch after epoch, as tensors."""
    for number in count():
        for batch, labels in batches(Epoch(store.shards("train"), batch_size, schema.train.shuffle, schema.train.seed, number)):
            ready = pooling_as_weights(schema, batch)
            ready = joined(ready) if join else ready
            yield {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in ready.items()}, torch.from_numpy(labels)


def ahead(elements: Iterator[Element]) -> Iterator[Element]:
    """The elements, made by a thread while others are used."""
    thread = ThreadPoolExecutor(1)
    made = deque(thread.submit(next, elements) for _ in range(AHEAD))
    while True:
        made.append(thread.submit(next, elements))
        yield made.popleft().result()


def onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.linear` by oneDNN: MKL, which `F.linear` calls, is half as fast on AMD. Parts of other tensors take seconds here."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Product(torch.autograd.Function):
    """`F.linear`, forward and back, by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:  # noqa: D102
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        return onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        (x, weight), g = ctx.saved_tensors, g.contiguous()
        return onednn(g, weight.t()), onednn(g.t(), x.t()), g.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """The usual layer, by the faster product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return Product.apply(x, self.weight, self.bias)


class Network(nn.Module):
    """Embeddings, and a tower per stage; the first layers of the towers are one matrix product.

    Args:
        schema: The declaration.
        learnt: Rows of the tables, and the stages' rates.
        batch: Some batch: how many entries a table is asked for.
        sparse: Whether all gradients of tables are sparse, and not only those of large ones.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, batch: Tensors, *, sparse: bool) -> None:
        super().__init__()
        self.features = [(schema.source_of(feature), feature) for feature in schema.features]
        self.sources = [wanted for wanted in schema.sources if any(source == wanted for source, _ in self.features)]
        torch.manual_seed(schema.train.seed)
        entries: Counter[str] = Counter()
        for source, feature in self.features:
            entries[feature.table_name] += len(batch[f"{source}/{feature.name}"])
        small = {table for table, number in entries.items() if learnt.rows[table] <= ROWS_PER_ENTRY * number}
        self.dense = set() if sparse else small
        self.tables = nn.ParameterDict({name: torch.zeros(learnt.rows[name], dim_of(schema, name)) for name in entries})
        for table in self.tables.values():
            table.data[FIRST:].normal_(std=schema.model.embedding_scale)
        dims = [(source, dim_of(schema, feature.table_name)) for source, feature in self.features]
        self.widths = [sum(dim for source, dim in dims if source == wanted) for wanted in self.sources]
        (first, *units), prelu = schema.model.tower.units, schema.model.tower.activation == "prelu"
        self.first = Linear(sum(self.widths), len(learnt.priors) * first)
        self.activation = nn.PReLU(len(learnt.priors) * first) if prelu else nn.ReLU()
        self.towers = nn.ModuleList()
        for prior in learnt.priors:
            layers: list[nn.Module] = []
            for before, after in zip([first, *units], units, strict=False):
                layers += [Linear(before, after), nn.PReLU(after) if prelu else nn.ReLU()]
            logit = Linear(units[-1] if units else first, 1)
            nn.init.constant_(logit.bias, float(np.log(prior / (1 - prior))))
            self.towers.append(nn.Sequential(*layers, logit))

    def pooled(self, batch: Tensors, wanted: str) -> torch.Tensor:
        """The embeddings of a source's rows: [rows, width]."""
        found = []
        for feature in [feature for source, feature in self.features if source == wanted]:
            key, name = f"{wanted}/{feature.name}", feature.table_name
            kind: dict[str, Any] = {"sparse": name not in self.dense}
            if isinstance(feature, Categorical):
                found.append(F.embedding(batch[key], self.tables[name], **kind))
                continue
            kind |= {"mode": "sum", "include_last_offset": True, "per_sample_weights": batch.get(f"{key}/weights")}
            found.append(F.embedding_bag(batch[key], self.tables[name], batch[f"{key}/offsets"], **kind))
        return torch.cat(found, dim=1)

    def forward(self, batch: Tensors) -> torch.Tensor:
        """The conditional logit of each stage: [facts, stages]."""
        parts = [self.pooled(batch, source) for source in self.sources]
        index = [batch.get(f"index/{source}") for source in self.sources]
        if all(of_fact is None for of_fact in index):
            hidden = self.first(torch.cat(parts, dim=1))
        else:
            hidden = self.first.bias
            for part, of_fact, weight in zip(parts, index, self.first.weight.split(self.widths, dim=1), strict=True):
                share = Product.apply(part, weight, None)
                hidden = hidden + (share if of_fact is None else share.index_select(0, of_fact))
        towers = zip(self.towers, self.activation(hidden).chunk(len(self.towers), dim=1), strict=True)
        return torch.cat([tower(part) for tower, part in towers], dim=1)


def esmm(logits_BS: torch.Tensor, labels_BS: torch.Tensor, parents: tuple[int, ...]) -> torch.Tensor:
    """Cross-entropy of cumulative labels (Ma et al., 2018), summed over stages, in log space."""
    cumulative: list[torch.Tensor] = []
    for z, parent in zip(logits_BS.unbind(1), parents, strict=True):
        above = None if parent < 0 else -cumulative[parent]
        cumulative.append(z if above is None else -torch.logaddexp(above, F.softplus(above) - z))
    return F.binary_cross_entropy_with_logits(torch.stack(cumulative, 1), labels_BS, reduction="sum") / len(labels_BS)


class Training:
    """The network and its optimisers; takes what the network does."""

    def __init__(self, schema: FunnelSchema, learnt: Learnt, batch: Tensors, *, sparse: bool) -> None:
        require_supported(schema)
        self.network = Network(schema, learnt, batch, sparse=sparse)
        self.parents = tuple(place.parent for place in schema.topology)
        tables, rest = schema.train.optimizer.embedding, schema.train.optimizer.dense
        others = [weight for name, weight in self.network.named_parameters() if not name.startswith("tables.")]
        self.optimizers = [torch.optim.Adam(others, rest.learning_rate, (rest.beta_1, rest.beta_2), fused=True)]
        for dense in (True, False):
            if some := [table for name, table in self.network.tables.items() if (name in self.network.dense) == dense]:
                kind = {"initial_accumulator_value": tables.initial_accumulator, "fused": dense or None}
                self.optimizers.append(torch.optim.Adagrad(some, tables.learning_rate, **kind))

    def step(self, element: Element) -> torch.Tensor:
        """Learn from a batch; gives its loss."""
        batch, labels = element
        loss = esmm(self.network(batch), labels, self.parents)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()


def main() -> None:
    """Measure."""
    parser = train_parser("How fast PyTorch trains the network of a schema.", ["joined", "star"])
    parser.add_argument("--sparse", action="store_true", help="sparse gradients for all tables")
    flags = parser.parse_args()
    tune_allocator()  # fresh pages cost more than some of the sums made in them
    torch.set_flush_denormal(True)
    torch.sparse.check_sparse_tensor_invariants.disable()  # as it is anyhow, without the warning
    schema = funnel.load_schema(flags.schema)
    store = Store(flags.store, schema)
    elements = ahead(stream(schema, store, flags.batch_size, join=flags.way == "joined"))
    training = Training(schema, store.learnt, next(elements)[0], sparse=flags.sparse)
    for seconds in (flags.warm_up, flags.seconds):
        losses, samples, begun = [], 0, time.perf_counter()
        while (took := time.perf_counter() - begun) < seconds or not losses:
            element = next(elements)
            losses.append(training.step(element))
            samples += len(element[1])
    tenths = [float(part.mean()) for part in torch.stack(losses).tensor_split(10) if len(part)]
    print(json.dumps({"rate": samples / took, "steps": len(losses), "peak": peak_memory(), "losses": tenths}))


if __name__ == "__main__":
    main()
