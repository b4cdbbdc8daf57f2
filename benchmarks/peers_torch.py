"""What a tuned PyTorch program learns of the rows that the peers learn from; `train_torch.py`, whose it is, measures its speed.

    python benchmarks/peers_torch.py TASK PREDICTIONS

Joined rows without padding, `EmbeddingBag`, a table a field, sparse gradients where a table is large. The rows come from
funnel's store: of the peers it alone has no preparation of its own.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from peers_task import predicted, probabilities, read_flags, said
from train_torch import Tensors, Training, ahead, joined, pooling_as_weights, stream

import funnel
from funnel.data.batches import Batch, in_order
from funnel.data.store import Store
from funnel.schema.funnel_schema import FunnelSchema


def tensors(schema: FunnelSchema, batch: Batch) -> Tensors:
    """A star batch, joined."""
    ready = joined(pooling_as_weights(schema, batch))
    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in ready.items()}


def probabilities_of(training: Training, schema: FunnelSchema, store: Store) -> NDArray[np.float64]:
    """Of the test rows, in the order of the raw file."""
    found = np.full((store.manifest["splits"]["test"]["read"], 2), np.nan)
    with torch.no_grad():
        for star in store.shards("test"):
            parts = [training.network(tensors(schema, batch)) for batch in in_order(star, 4096)]
            found[star.position] = torch.sigmoid(torch.cat(parts).double()).numpy()
    return probabilities(found[:, 0], found.prod(axis=1), found[:, 1])


def main() -> None:
    """Fit, and predict the test rows after each epoch."""
    flags = read_flags("What a tuned PyTorch program learns.", speed=False)
    task = flags.task
    torch.set_flush_denormal(True)
    torch.sparse.check_sparse_tensor_invariants.disable()  # as it is anyhow, without the warning
    schema = funnel.load_schema(task.schema)
    store = Store(task.store, schema)
    elements = ahead(stream(schema, store, task.batch_size, join=True))
    element = next(elements)
    training = Training(schema, store.learnt, element[0], sparse=False)
    after, seen = [], 0
    while len(after) < task.epochs:
        training.step(element)
        seen += len(element[1])
        element = next(elements)
        if seen >= (len(after) + 1) * store.shards("train").rows:
            after.append(probabilities_of(training, schema, store))
    predicted(flags.predictions, after)
    said({})


if __name__ == "__main__":
    main()
