"""ESMM as one writes it at home in Keras, over joined and padded rows: the network of `train_keras.py`, from arrays in memory.

    python benchmarks/peers_keras.py speed|quality TASK [PREDICTIONS]

The product of two sigmoids, Adam for everything, and the mask of each list beside it.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from keras_clock import Clock
from peers_task import PADDING, Arrays, Task, predicted, said
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
    parser = argparse.ArgumentParser(description="ESMM in plain Keras.")
    parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("task")
    parser.add_argument("predictions", nargs="?")
    flags = parser.parse_args()
    task = Task.read(flags.task)
    tf.keras.utils.set_random_seed(task.seed)
    schema = funnel.load_schema(task.schema)
    arrays, labels = task.rows("train")
    inputs = masked(arrays, task)
    targets = {"click": labels[:, :1], "buy": labels[:, 1:]}
    model = network(schema, Store(task.store, schema).learnt, inputs)  # compiled, with Adam at its own rate: 1e-3
    if flags.what == "speed":
        clock = Clock(task.warm_up, task.seconds)
        model.fit(inputs, targets, batch_size=task.batch_size, epochs=1_000_000, verbose=0, callbacks=[clock])
        found = clock.measured(task.batch_size)
        said({"rate": found["rate"], "steps": found["steps"]})
        return
    model.fit(inputs, targets, batch_size=task.batch_size, epochs=task.epochs, verbose=0)
    tests, _ = task.rows("test")
    given = model.predict(masked(tests, task), batch_size=4096, verbose=0)
    predicted(flags.predictions, given["click"], given["buy"])
    said({})


if __name__ == "__main__":
    main()
