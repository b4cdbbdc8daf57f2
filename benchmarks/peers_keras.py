"""ESMM as one writes it at home in Keras, over joined and padded rows: the network of `train_keras.py`, from arrays in memory.

    python benchmarks/peers_keras.py speed|quality TASK [PREDICTIONS]

The product of two sigmoids, Adam for everything, and the mask of each list beside it.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from peers_fit import measure
from peers_task import PADDING, Arrays, Task, read_flags
from train_keras import network

import funnel
from funnel.data.store import Store


def masked(arrays: Arrays, task: Task) -> Arrays:
    """The arrays, and beside each list the mask of its entries: float32 [rows, width]."""
    masks = {
        f"{field.name}/weights": (arrays[field.name] != PADDING).astype(np.float32) for field in task.fields if field.width
    }
    return arrays | masks


def main() -> None:
    """Measure."""
    flags = read_flags("ESMM in plain Keras.")
    task = flags.task
    tf.keras.utils.set_random_seed(task.seed)
    schema = funnel.load_schema(task.schema)
    arrays, labels = task.rows("train")
    inputs = masked(arrays, task)
    model = network(schema, Store(task.store, schema).learnt, inputs)  # compiled, with Adam at its own rate: 1e-3
    targets = {"click": labels[:, :1], "buy": labels[:, 1:]}
    tests = lambda: masked(task.rows("test")[0], task)  # noqa: E731
    measure(model, flags, inputs=inputs, targets=targets, tests=tests, outputs=("click", "buy"))


if __name__ == "__main__":
    main()
