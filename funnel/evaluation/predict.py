"""Predictions for the rows of a star: one path, for evaluating, predicting and early stopping alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import in_order
from funnel.data.star import Star
from funnel.errors import DivergedError, SchemaError
from funnel.evaluation.cumulative import all_cumulative
from funnel.evaluation.tiles import tiled, tiled_batch
from funnel.model.funnel_model import FunnelModel, named
from funnel.model.likelihood import probabilities
from funnel.model.stored import Tables
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.scores import Functions

Floats = NDArray[Any]

LOGIT = "_logit"  # after the name of what it is the logit of


class Predictor:
    """A model's forward pass, traced once for any number of calls.

    Args:
        model: The model.
        tables: What it reads in the place of its own tables.
    """

    def __init__(self, model: FunnelModel, tables: Tables | None = None) -> None:
        from funnel.model._keras import tf  # noqa: PLC0415  # the metrics beside this module do without TensorFlow

        self.model, self._tables, self._tf = model, tables, tf
        self._forward: Any = None

    def logits(self, star: Star, batch_size: int) -> Floats:
        """Conditional logits of all facts, in their order: float32 [rows, stages]; the same bits for any batch size.

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
        for begin, own in zip(range(0, star.rows, batch_size), in_order(star, batch_size), strict=True):
            batch = tiled_batch(own)
            if self._forward is None:
                spec = {key: self._tf.TensorSpec([None, *array.shape[1:]], array.dtype) for key, array in batch.items()}
                self._forward = self._tf.function(self._conditional, input_signature=[spec], autograph=False)
            yield self._forward(batch).numpy()[: min(batch_size, star.rows - begin)]

    def _conditional(self, batch: Mapping[str, Any]) -> Any:
        return self.model.conditional(batch, self._tables)


def columns(model: FunnelModel, conditional: Floats, absent: NDArray[np.bool_] | None = None) -> dict[str, Floats]:
    """Every probability by name: float32 [rows], NaN where the row's domain lacks the stage.

    Args:
        model: The model.
        conditional: Conditional logits: [rows, stages].
        absent: As `absent_stages` has it.
    """
    both = [array.numpy()[: len(conditional)] for array in probabilities(tiled(conditional), model.schema.topology)]
    if absent is not None:
        both = [np.where(absent, np.float32(np.nan), one) for one in both]
    return named(model.schema, *both)


def absent_stages(model: FunnelModel, star: Star) -> NDArray[np.bool_] | None:
    """Which stages the domain of each fact of a star lacks: [rows, stages]; None where all domains have all."""
    schema = model.schema
    if not schema.has_absent_stages:
        return None
    row = np.asarray(star.sources[FACTS][schema.domain_feature])
    return np.stack(
        [~np.isin(row, _rows(model, domains)) if domains else np.zeros(len(row), bool) for domains in schema.domains], axis=1
    )


def _rows(model: FunnelModel, domains: Iterable[str]) -> list[int]:
    return [model.learnt.domains[name] for name in domains]


NUMPY = Functions(np.float32, {"log": np.log, "exp": np.exp, "sqrt": np.sqrt}, {"min": np.minimum, "max": np.maximum})


def score_columns(schema: FunnelSchema, star: Star, probability: Mapping[str, Floats]) -> dict[str, Floats]:
    """The declared scores of all facts of a star, in their order: float32 [rows].

    NaN where a number that they need is missing, or the row's domain lacks a stage that they need.

    Args:
        schema: The declaration.
        star: The facts, and their numbers.
        probability: Every probability by name: float32 [rows].
    """
    values = dict(probability)
    found: dict[str, Floats] = {}
    for score, expression in schema.expressions.items():
        lacking = np.zeros(star.rows, bool)
        for name in expression.names:
            if name not in probability:
                values[name] = _numbers(schema, star, name)
            lacking |= np.isnan(values[name])
        with np.errstate(all="ignore"):
            found[score] = np.where(lacking, np.float32(np.nan), expression(values, NUMPY)).astype(np.float32)
    return found


def _numbers(schema: FunnelSchema, star: Star, name: str) -> Floats:
    """A numeric feature of each fact, in its unit: float32 [rows]."""
    source = schema.source_of(schema.feature(name))
    numbers = np.asarray(star.sources[source][name], np.float32)
    return numbers if source == FACTS else numbers[star.index[source]]


def logit_columns(model: FunnelModel, conditional: Floats, absent: NDArray[np.bool_] | None = None) -> dict[str, Floats]:
    """What the report's log losses are of: float64 `buy_logit`, cumulative, and float32 `buy_given_click_logit`; each [rows].

    Raises:
        SchemaError: A probability is called so already.
    """
    schema = model.schema
    probability = {*schema.stage_names, *schema.conditional_names}
    found: dict[str, Floats] = {}
    reached = all_cumulative(schema.topology, conditional)
    if absent is not None:
        reached, conditional = (np.where(absent, one.dtype.type(np.nan), one) for one in (reached, conditional))
    for position, (stage, given) in enumerate(zip(schema.stage_names, schema.conditional_names, strict=True)):
        found[f"{stage}{LOGIT}"] = reached[:, position]
        if given != stage:
            found[f"{given}{LOGIT}"] = conditional[:, position]
    if taken := [name for name in found if name in probability]:
        raise SchemaError(
            f"predict: got logits=True and a stage called {taken[0]!r}, expected that name to be free for a logit. "
            "Predict without logits, or rename the stage."
        )
    return found
