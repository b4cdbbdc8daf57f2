"""Predictions for the rows of a star: one path, for evaluating, predicting and early stopping alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import in_order
from funnel.data.star import Star
from funnel.errors import DivergedError
from funnel.model.funnel_model import FunnelModel, named
from funnel.model.likelihood import cumulative_logits, probabilities

Floats = NDArray[Any]


class Predictor:
    """A model's forward pass, traced once for any number of calls."""

    def __init__(self, model: FunnelModel) -> None:
        from funnel.model._keras import tf  # noqa: PLC0415  # the metrics beside this module do without TensorFlow

        self.model, self._tf = model, tf
        self._forward: Any = None

    def logits(self, star: Star, batch_size: int) -> Floats:
        """Conditional logits of all facts, in their order: float32 [rows, stages].

        Raises:
            DivergedError: The model gives something that is not a number.
        """
        parts = list(self._logits(star, batch_size))
        logits = np.concatenate(parts) if parts else np.zeros([0, len(self.model.schema.stages)], np.float32)
        if np.isnan(logits).any():
            raise DivergedError(
                "model: gives logits that are not numbers, expected numbers. Lower the learning rates, or look for "
                "extreme values (transform: log1p)."
            )
        return logits

    def _logits(self, star: Star, batch_size: int) -> Iterator[Floats]:
        for batch in in_order(star, batch_size):
            if self._forward is None:
                spec = {key: self._tf.TensorSpec([None, *array.shape[1:]], array.dtype) for key, array in batch.items()}
                self._forward = self._tf.function(self.model.logits, input_signature=[spec], autograph=False)
            yield self._forward(batch).numpy()


def cumulative(model: FunnelModel, conditional: Floats) -> NDArray[np.float64]:
    """Cumulative logits, in float64, of conditional ones: [rows, stages]."""
    return np.asarray(cumulative_logits(conditional.astype(np.float64), model.schema.topology))


def columns(model: FunnelModel, conditional: Floats) -> dict[str, Floats]:
    """Every probability by name, from conditional logits [rows, stages]: float32 [rows]."""
    given, reached = probabilities(conditional, model.schema.topology)
    return named(model.schema, given.numpy(), reached.numpy())
