"""ESMM as torch-rechub has it, over joined and padded rows, called as its documentation shows.

    python benchmarks/peers_rechub.py speed|quality TASK [PREDICTIONS] [--documented]

`SparseFeature` and `SequenceFeature` describe the fields, `DataGenerator` makes the loaders, `MTLTrainer` trains
`torch_rechub.models.multi_task.ESMM`. The embeddings start as wide as everybody's, and no weight decays, so that it is the same
model, but for the batch normalisation of its towers, which cannot be left out; with --documented both are as torch-rechub has
them by default (1e-4, and a decay of 1e-5). Runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

import numpy as np
import torch
from peers_task import PADDING, Task, Timed, predicted, probabilities, read_flags, said
from torch.utils.data import DataLoader
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.basic.initializers import RandomNormal
from torch_rechub.models.multi_task import ESMM
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator, PredictDataset


def main() -> None:
    """Measure."""
    flags = read_flags("torch-rechub's ESMM.", documented=True)
    with contextlib.redirect_stdout(sys.stderr):  # the trainer prints
        found = measured(flags.task, flags)
    said(found)


def measured(task: Task, flags: argparse.Namespace) -> dict[str, float]:
    """Train; samples a second, or nothing but predictions after each epoch."""
    torch.manual_seed(task.seed)
    start = {} if flags.documented else {"initializer": RandomNormal(0, task.scale)}
    by_source: dict[str, list[SparseFeature | SequenceFeature]] = {"common": [], "skeleton": []}
    for field in task.fields:
        described = (
            SequenceFeature(field.name, field.rows, embed_dim=task.dim, pooling="mean", padding_idx=PADDING, **start)
            if field.width
            else SparseFeature(field.name, field.rows, embed_dim=task.dim, **start)
        )
        by_source[field.source].append(described)
    towers = [{"dims": list(task.units), "activation": "relu"} for _ in range(2)]
    model = ESMM(by_source["common"], by_source["skeleton"], cvr_params=towers[0], ctr_params=towers[1])
    arrays, labels = task.rows("train")
    # In the order of the model's outputs; the first is not among the losses.
    targets = np.stack([labels[:, 1], labels[:, 0], labels[:, 1]], axis=1)
    few = {name: array[:1] for name, array in arrays.items()}
    loader, _, _ = DataGenerator(arrays, targets).generate_dataloader(
        x_val=few, y_val=targets[:1], x_test=few, y_test=targets[:1], batch_size=task.batch_size
    )
    optimizer = {} if flags.documented else {"optimizer_params": {"lr": task.learning_rate}}
    trainer = MTLTrainer(model, task_types=["classification"] * 3, n_epoch=task.epochs, **optimizer)
    if flags.what == "speed":
        timed = Timed(loader, task.warm_up, task.seconds)
        trainer.train_one_epoch(timed)
        return {"rate": timed.steps * task.batch_size / timed.took, "steps": timed.steps}
    tests, _ = task.rows("test")
    after = []
    for _ in range(task.epochs):  # what `fit` does, less the validation that would stop it
        trainer.train_one_epoch(loader)
        given = np.array(trainer.predict(model, DataLoader(PredictDataset(tests), batch_size=4096)))
        after.append(probabilities(given[:, 1], given[:, 2], given[:, 0]))
    predicted(flags.predictions, after)
    return {}


if __name__ == "__main__":
    main()
