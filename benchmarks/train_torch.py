"""How fast PyTorch trains the network of a schema: what `funnel train` is measured against.

    python benchmarks/train_torch.py joined|star SCHEMA STORE [--batch-size 4096] [--seconds 12] [--warm-up 3]

`joined` is what is done today: each impression carries the whole of its dimension rows. The join is made ahead of the steps, by
a thread of its own. `star` is the same network over what the store holds: a dimension row is looked up and pooled once a batch.

Prints JSON: samples a second over the wall time of the measured steps, reading and joining included; how many steps; the peak
of resident memory in bytes; and the mean loss of each tenth of the steps.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import queue
import resource
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD = -3, -1, -2


def keep_memory() -> None:
    """Have freed memory kept for the next step: fresh pages cost more than some of the sums made in them."""
    libc = ctypes.CDLL(None)
    for option, value in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 << 20)):
        libc.mallopt(option, value)


if not os.environ.get("NO_MALLOPT"):
    keep_memory()  # before PyTorch asks for any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import nn

import funnel
from funnel.data.batches import Batch, batches
from funnel.data.order import Epoch
from funnel.data.store import Store
from funnel.schema.features import Bag, Categorical
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.learnt import FIRST, Learnt, dim_of
from funnel.schema.training import Adagrad, Adam

AHEAD = 3  # batches that wait for their step


def per_sample_weights(schema: FunnelSchema, batch: Batch) -> Batch:
    """The batch with the pooling of its bags in their weights, so that all bags are sums: once for each dimension row."""
    found = dict(batch)
    for feature in schema.features:
        if isinstance(feature, Bag) and (feature.pooling != "sum" or feature.weighted):
            key = f"{schema.source_of(feature)}/{feature.name}"
            offsets = batch[f"{key}/offsets"]
            weights = batch.get(f"{key}/weights")
            if weights is None:
                weights = np.ones(len(batch[key]), np.float32)
            if feature.pooling != "sum":
                lengths = np.diff(offsets)
                totals = np.zeros(len(lengths), np.float32)
                totals[lengths > 0] = np.add.reduceat(weights, offsets[:-1][lengths > 0]) if len(weights) else 0
                scales = np.divide(1, totals, out=np.zeros_like(totals), where=totals != 0)
                weights = weights * np.repeat(scales, lengths)
            found[f"{key}/weights"] = weights
    return found


def joined(batch: Batch) -> Batch:
    """The batch with each dimension row copied to all of its facts."""
    found = {}
    for key, array in batch.items():
        source, name, *part = key.split("/")
        if source == "index" or part:
            continue
        index = batch.get(f"index/{source}")
        offsets, weights = batch.get(f"{key}/offsets"), batch.get(f"{key}/weights")
        if index is None:
            columns = {key: array, f"{key}/offsets": offsets, f"{key}/weights": weights}
        elif offsets is None:
            columns = {key: array[index]}
        else:
            # One copy of each list is faster than a gather of its entries.
            lengths = np.diff(offsets)[index]
            columns = {key: _lists(array, offsets, index), f"{key}/offsets": np.concatenate([[0], np.cumsum(lengths)])}
            columns[f"{key}/weights"] = None if weights is None else _lists(weights, offsets, index)
            columns[f"{key}/offsets"] = columns[f"{key}/offsets"].astype(np.int32)
        found |= {name: column for name, column in columns.items() if column is not None}
    return found


def _lists(entries: Any, offsets: Any, index: Any) -> Any:
    lists = np.split(entries, offsets[1:-1])
    return np.concatenate([lists[row] for row in index])


Element = tuple[dict[str, torch.Tensor], torch.Tensor]
LONG = bool(os.environ.get("LONG"))


def stream(schema: FunnelSchema, store: Store, batch_size: int, *, join: bool) -> Iterator[Element]:
    """Batches without end, epoch after epoch, as tensors."""
    for number in count():
        for batch, labels in batches(Epoch(store.shards("train"), batch_size, schema.train.shuffle, schema.train.seed, number)):
            ready = per_sample_weights(schema, batch)
            ready = joined(ready) if join else ready
            if LONG:
                ready = {k: v.astype(np.int64) if v.dtype == np.int32 else v for k, v in ready.items()}
            yield {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in ready.items()}, torch.from_numpy(labels)


def ahead(elements: Iterator[Element]) -> Iterator[Element]:
    """The elements, made by a thread while others are used."""
    made: queue.Queue[Element | BaseException] = queue.Queue(AHEAD)

    def make() -> None:
        try:
            for element in elements:
                made.put(element)
        except BaseException as error:  # noqa: BLE001  # raised again where it is seen
            made.put(error)

    threading.Thread(target=make, daemon=True).start()
    while True:
        element = made.get()
        if isinstance(element, BaseException):
            raise element
        yield element


class P(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a):
        ctx.save_for_backward(x, a)
        return torch.where(x > 0, x, x * a)

    @staticmethod
    def backward(ctx, g):
        x, a = ctx.saved_tensors
        return torch.where(x > 0, g, g * a), (g * x.clamp(max=0)).sum(0)


def prelu(x, a):
    return P.apply(x, a) if os.environ.get("MYP") else F.prelu(x, a)


class MyPReLU(nn.PReLU):
    def forward(self, x):
        return prelu(x, self.weight)


if os.environ.get("COAL"):
    import sys

    sys.modules["torch.optim.adagrad"]._make_sparse = lambda grad, i, v: torch.sparse_coo_tensor(i, v, grad.size(), is_coalesced=True)


class Network(nn.Module):
    """Embeddings, and a tower per stage; the first layers of the towers are one matrix product.

    Args:
        schema: The declaration.
        learnt: Rows of the tables, and the stages' rates.

    Raises:
        ValueError: The schema has something that these measurements do not cover.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, batch: dict[str, torch.Tensor]) -> None:
        super().__init__()
        _require_supported(schema)
        self.features = [(schema.source_of(feature), feature) for feature in schema.features]
        self.sources = [source for source in schema.sources if any(source == other for other, _ in self.features)]
        torch.manual_seed(schema.train.seed)
        tables = dict.fromkeys(feature.table_name for feature in schema.features)
        entries = dict.fromkeys(tables, 0)
        for source, feature in self.features:
            entries[feature.table_name] += len(batch[f"{source}/{feature.name}"])
        self.dense = {table for table, number in entries.items() if learnt.rows[table] <= DENSE * number}
        self.tables = nn.ParameterDict({name: torch.zeros(learnt.rows[name], dim_of(schema, name)) for name in tables})
        with torch.no_grad():
            for table in self.tables.values():
                table[FIRST:].normal_(std=schema.model.embedding_scale)
        self.widths = [
            sum(dim_of(schema, feature.table_name) for source, feature in self.features if source == wanted)
            for wanted in self.sources
        ]
        stages, (first, *units) = len(schema.stages), schema.model.tower.units
        prelu = schema.model.tower.activation == "prelu"
        self.first = nn.Linear(sum(self.widths), stages * first)
        self.first_slopes = nn.Parameter(torch.full([stages * first], 0.25)) if prelu else None
        self.towers = nn.ModuleList()
        for prior in learnt.priors:
            layers: list[nn.Module] = []
            for before, after in zip([first, *units], units, strict=False):
                layers += [nn.Linear(before, after), MyPReLU(after) if prelu else nn.ReLU()]
            logit = nn.Linear(units[-1] if units else first, 1)
            nn.init.constant_(logit.bias, float(np.log(prior / (1 - prior))))
            self.towers.append(nn.Sequential(*layers, logit))

    def pooled(self, batch: dict[str, torch.Tensor], wanted: str) -> torch.Tensor:
        """The embeddings of a source's rows: [rows, width]."""
        found = []
        for source, feature in self.features:
            if source != wanted:
                continue
            key, table = f"{source}/{feature.name}", self.tables[feature.table_name]
            if isinstance(feature, Categorical):
                found.append(F.embedding(batch[key], table, sparse=feature.table_name not in self.dense))
                continue
            found.append(
                F.embedding_bag(
                    batch[key],
                    table,
                    batch[f"{key}/offsets"],
                    mode="sum",
                    sparse=feature.table_name not in self.dense,
                    per_sample_weights=batch.get(f"{key}/weights"),
                    include_last_offset=True,
                )
            )
        return torch.cat(found, dim=1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The conditional logit of each stage: [facts, stages]."""
        parts = [self.pooled(batch, source) for source in self.sources]
        index = [batch.get(f"index/{source}") for source in self.sources]
        return self.dense_part(parts, index)

    def dense_part(self, parts, index):
        if SPLIT and any(i is not None for i in index):
            weights = torch.split(self.first.weight, self.widths, dim=1)
            hidden = self.first.bias
            for part, of_fact, weight in zip(parts, index, weights, strict=True):
                share = part @ weight.t()
                hidden = hidden + (share if of_fact is None else select(share, of_fact))
        else:
            parts = [part if of_fact is None else select(part, of_fact) for part, of_fact in zip(parts, index, strict=True)]
            hidden = self.first(torch.cat(parts, dim=1))
        hidden = F.relu(hidden) if self.first_slopes is None else prelu(hidden, self.first_slopes)
        towers = zip(self.towers, hidden.chunk(len(self.towers), dim=1), strict=True)
        return torch.cat([tower(part) for tower, part in towers], dim=1)


DENSE = float(os.environ.get("DENSE", 4))
SPLIT = not os.environ.get("NOSPLIT")
SELECT = os.environ.get("SELECT", "embedding")


def select(rows, index):
    if SELECT == "embedding":
        return F.embedding(index, rows)
    return rows.index_select(0, index)


def _require_supported(schema: FunnelSchema) -> None:
    for feature in schema.features:
        if not isinstance(feature, Categorical | Bag) or (isinstance(feature, Bag) and feature.pooling == "sqrtn"):
            raise ValueError(
                f"feature {feature.name!r}: got kind {feature.kind!r}, expected categorical features, and bags pooled by sum or mean."
            )
    if schema.model.body.units or not schema.model.tower.units or schema.model.tower.activation not in {"relu", "prelu"}:
        raise ValueError("got another network, expected towers of one layer or more, with relu or prelu, and no shared layers.")


def esmm(logits_BS: torch.Tensor, labels_BS: torch.Tensor, parents: tuple[int, ...]) -> torch.Tensor:
    """Cross-entropy of cumulative labels (Ma et al., 2018), summed over stages, in log space."""
    cumulative: list[torch.Tensor] = []
    for z, parent in zip(logits_BS.unbind(1), parents, strict=True):
        above = None if parent < 0 else -cumulative[parent]
        cumulative.append(z if above is None else -torch.logaddexp(above, F.softplus(above) - z))
    losses = F.binary_cross_entropy_with_logits(torch.stack(cumulative, dim=1), labels_BS, reduction="sum")
    return losses / len(labels_BS)


class Training:
    """The network and its optimisers.

    Args:
        schema: The declaration.
        learnt: What the training rows add to it.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, batch: dict[str, torch.Tensor]) -> None:
        self.network, self.parents = Network(schema, learnt, batch), schema.parents
        tables, rest = schema.train.optimizer.embedding, schema.train.optimizer.dense
        if not isinstance(tables, Adagrad) or not isinstance(rest, Adam):
            raise ValueError("got another optimizer, expected adagrad for embeddings and adam for the rest.")
        embeddings = [t for n, t in self.network.tables.items() if n not in self.network.dense]
        small = [t for n, t in self.network.tables.items() if n in self.network.dense]
        others = [weight for name, weight in self.network.named_parameters() if not name.startswith("tables.")]
        if os.environ.get("COMPILE"):
            self.network.dense_part = torch.compile(self.network.dense_part, dynamic=True)
        self.optimizers = [
            torch.optim.Adagrad(embeddings, tables.learning_rate, initial_accumulator_value=tables.initial_accumulator),
            *([torch.optim.Adagrad(small, tables.learning_rate, initial_accumulator_value=tables.initial_accumulator, fused=True)] if small else []),
            torch.optim.Adam(others, rest.learning_rate, (rest.beta_1, rest.beta_2), fused=True),
        ]

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
    parser = argparse.ArgumentParser(description="How fast PyTorch trains the network of a schema.")
    parser.add_argument("way", choices=["joined", "star"])
    parser.add_argument("schema", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=12.0, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds before")
    flags = parser.parse_args()
    if os.environ.get("THREADS"):
        torch.set_num_threads(int(os.environ["THREADS"]))
    torch.set_flush_denormal(True)
    schema = funnel.load_schema(flags.schema)
    store = Store(flags.store, schema)
    elements = ahead(stream(schema, store, flags.batch_size, join=flags.way == "joined"))
    training = Training(schema, store.learnt, next(elements)[0])
    begun = time.perf_counter()
    while time.perf_counter() - begun < flags.warm_up:
        training.step(next(elements))
    losses, samples = [], 0
    begun = time.perf_counter()
    while (took := time.perf_counter() - begun) < flags.seconds:
        element = next(elements)
        losses.append(training.step(element))
        samples += len(element[1])
    tenths = [float(part.mean()) for part in torch.stack(losses).tensor_split(10) if len(part)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rate": samples / took, "steps": len(losses), "peak": peak, "losses": tenths}))


if __name__ == "__main__":
    main()
