"""What funnel learns of the rows that the peers learn from: `funnel.fit`, then `predict`. `train_funnel.py` measures its speed.

    python benchmarks/peers_funnel.py TASK PREDICTIONS

The rows come from the store, encoded already.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peers_task import predicted, probabilities, read_flags, said

import funnel
from funnel.data.store import Store
from funnel.training.process import tune_allocator, tune_threads


def main() -> None:
    """Fit for each number of epochs, and predict the test rows."""
    flags = read_flags("What funnel learns.", speed=False)
    task = flags.task
    schema = funnel.load_schema(task.schema)
    tune_allocator()  # as the command line does
    tune_threads(schema)
    after = []
    for epochs in range(1, task.epochs + 1):
        run = funnel.fit(funnel.load_schema(task.schema, [f"train.epochs={epochs}"]), Store(task.store, schema))
        found = run.predict(schema.data.root)
        after.append(probabilities(found["click"], found["buy"], found["buy_given_click"]))
    predicted(flags.predictions, after)
    said({})


if __name__ == "__main__":
    main()
