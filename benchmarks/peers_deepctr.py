"""ESMM as DeepCTR has it, over joined and padded rows, called as its documentation shows.

    python benchmarks/peers_deepctr.py speed|quality TASK [PREDICTIONS] [--documented]

`SparseFeat` and `VarLenSparseFeat` describe the fields, `deepctr.models.multitask.ESMM` is the model, Keras compiles and fits
it from arrays in memory. The embeddings start as wide as everybody's, and are not regularised, so that it is the same model;
with --documented both are as DeepCTR has them by default (1e-4, and L2 of 1e-5 over whole tables). Runs in an environment of
its own, with tf-keras unless TF_USE_LEGACY_KERAS is 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
from deepctr.feature_column import SparseFeat, VarLenSparseFeat, get_feature_names
from deepctr.models.multitask import ESMM
from peers_fit import measure
from peers_task import Arrays, read_flags


def main() -> None:
    """Measure."""
    flags = read_flags("DeepCTR's ESMM.", documented=True)
    task = flags.task
    tf.keras.utils.set_random_seed(task.seed)
    columns = []
    for field in task.fields:
        start = {} if flags.documented else {"embeddings_initializer": tf.keras.initializers.RandomNormal(stddev=task.scale)}
        column = SparseFeat(field.name, field.rows, embedding_dim=task.dim, **start)
        columns.append(VarLenSparseFeat(column, maxlen=field.width, combiner="mean") if field.width else column)
    options = {} if flags.documented else {"l2_reg_embedding": 0}
    model = ESMM(columns, tower_dnn_hidden_units=task.units, task_names=("click", "buy"), **options)
    model.compile(tf.keras.optimizers.Adam(task.learning_rate), loss=["binary_crossentropy", "binary_crossentropy"])
    arrays, labels = task.rows("train")

    def taken(rows: Arrays) -> Arrays:
        # Ids that pad lists are 0, which DeepCTR masks.
        return {name: rows[name] for name in get_feature_names(columns)}

    targets = [labels[:, 0], labels[:, 1]]
    measure(model, flags, inputs=taken(arrays), targets=targets, tests=lambda: taken(task.rows("test")[0]), outputs=(0, 1))


if __name__ == "__main__":
    main()
