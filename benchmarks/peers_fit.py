"""What is measured of a compiled model of Keras: of the one written at home, and of DeepCTR's."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from keras_clock import Clock
from numpy.typing import NDArray
from peers_task import Arrays, Task, predicted, probabilities, said


def measure(
    model: Any,
    flags: argparse.Namespace,
    *,
    inputs: Arrays,
    targets: Any,
    tests: Callable[[], Arrays],
    outputs: tuple[Any, Any],
) -> None:
    """Fit from arrays in memory, and hand back how fast that goes, or the predictions after each epoch.

    Args:
        model: Compiled.
        flags: See `peers_task.read_flags`; its task, too.
        inputs: Of the training rows.
        targets: Of the training rows, as the model takes them.
        tests: Gives the inputs of the test rows; not asked where speed is measured, whose peak they are no part of.
        outputs: Under which keys the model's predictions have P(click) and P(buy).
    """
    task: Task = flags.task
    if flags.what == "speed":
        clock = Clock(task.warm_up, task.seconds)
        model.fit(inputs, targets, batch_size=task.batch_size, epochs=1_000_000, verbose=0, callbacks=[clock])
        found = clock.measured(task.batch_size)
        said({"rate": found["rate"], "steps": found["steps"]})
        return
    given_tests = tests()
    after: list[NDArray[Any]] = []
    for _ in range(task.epochs):
        model.fit(inputs, targets, batch_size=task.batch_size, epochs=1, verbose=0)
        given = model.predict(given_tests, batch_size=4096, verbose=0)
        click, buy = (given[output] for output in outputs)
        after.append(probabilities(click, buy))
    predicted(flags.predictions, after)
    said({})
