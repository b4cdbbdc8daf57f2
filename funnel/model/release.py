"""Models that are let go of, in a process that makes many."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops

from funnel.model._keras import keras

PREFIX = "CustomGradient-"  # of the names that tf.custom_gradient registers


@contextmanager
def released() -> Iterator[None]:
    """Frees, at the end, the memory of models that were made within and are no longer held.

    TensorFlow keeps each custom gradient of a graph by its name for as long as the process lives, and with it the whole graph:
    some 10 MB a fit. The names that are new at the end are forgotten: a graph that was traced within can be run afterwards, but
    not differentiated.
    """
    # No part of TensorFlow's interface: where it is not there, memory grows, and nothing else happens.
    registry = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    before = set(registry)
    try:
        yield
    finally:
        for name in [name for name in registry if name.startswith(PREFIX) and name not in before]:
            del registry[name]
        keras.backend.clear_session()
        gc.collect()
