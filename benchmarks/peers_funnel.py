"""What funnel learns of the rows that the peers learn from: `funnel.fit`, then `predict`. `train_funnel.py` measures its speed.

    python benchmarks/peers_funnel.py TASK PREDICTIONS

The rows come from the store, encoded already.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peers_task import Task, predicted, said

import funnel
from funnel.data.store import Store
from funnel.training.process import tune_allocator, tune_threads


def main(task: Task, predictions: str) -> None:
    """Fit, and predict the test rows."""
    schema = funnel.load_schema(task.schema)
    tune_allocator()  # as the command line does
    tune_threads(schema)
    run = funnel.fit(schema, Store(task.store, schema))
    found = run.predict(schema.data.root)
    predicted(predictions, found["click"], found["buy"], found["buy_given_click"])
    said({})


if __name__ == "__main__":
    main(Task.read(sys.argv[1]), sys.argv[2])
