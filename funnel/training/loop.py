"""The training loop: a generator of events, without any output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from funnel.errors import DivergedError
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.schema.training import EarlyStopping


@dataclass(frozen=True)
class Step:
    """Some steps were made.

    Attributes:
        epoch: From 1.
        rows: Rows of this epoch seen so far.
        losses: Means since the epoch began: the total as `loss`, each stage's as `<stage>_loss`.
    """

    epoch: int
    rows: int
    losses: dict[str, float]


@dataclass(frozen=True)
class Epoch:
    """An epoch ended.

    Attributes:
        epoch: From 1.
        losses: Means over its rows.
        scores: The metric of early stopping by stage, on the validation rows; empty without any.
        best: Whether its weights are the best so far.
        seconds: Of training, without validation.
        rows: How many rows were seen.
    """

    epoch: int
    losses: dict[str, float]
    scores: dict[str, float]
    best: bool
    seconds: float
    rows: int


@dataclass
class _Best:
    stopping: EarlyStopping | None
    value: float = -np.inf
    epoch: int = 0
    weights: list[Any] = field(default_factory=list)

    def sees(self, model: FunnelModel, epoch: int, scores: dict[str, float]) -> bool:
        """Keep the weights if they are the best; without validation the last ones are."""
        if self.stopping is None or not scores:
            return True
        mean = float(np.mean([scores[name] for name in self.stopping.stages or model.schema.stage_names]))
        value = mean if self.stopping.metric == "auc" else -mean
        # The first epoch is the best so far even where a stage without positives has no score.
        if value > self.value or not self.weights:
            self.value, self.epoch = (value if np.isfinite(value) else -np.inf), epoch
            self.weights = [variable.numpy() for variable in model.network.variables]
            return True
        return False

    def is_over(self, epoch: int) -> bool:
        """Whether patience has run out."""
        return self.stopping is not None and bool(self.weights) and epoch - self.epoch > self.stopping.patience

    def restore(self, model: FunnelModel) -> None:
        """Put the best weights back."""
        for variable, value in zip(model.network.variables, self.weights, strict=False):
            variable.assign(value)


def train(model: FunnelModel, data: Any, validate: Callable[[], dict[str, float]] | None) -> Iterator[Step | Epoch]:
    """Fit a compiled model; at the end it has the best epoch's weights.

    Args:
        model: From `build_model`.
        data: A `tf.data.Dataset` of `(batch, labels)`; one pass is an epoch.
        validate: Gives the metric of early stopping by stage, or None without validation rows.

    Yields:
        A Step now and then (several a second), and an Epoch after each.

    Raises:
        DivergedError: The loss is not a number.
    """
    declared = model.schema.train
    best = _Best(declared.early_stopping if validate is not None else None)
    step = tf.function(model.train_step, input_signature=[data.element_spec], autograph=False)
    for epoch in range(1, declared.epochs + 1):
        model.reset_metrics()
        begun = shown = time.perf_counter()
        rows, losses = 0, {}
        for element in data:
            losses = step(element)
            rows += int(element[1].shape[0])
            if (now := time.perf_counter()) - shown > 0.2:
                shown = now
                yield Step(epoch, rows, _numbers(losses, epoch))
        seconds = time.perf_counter() - begun
        means = _numbers(losses, epoch)
        scores = validate() if validate is not None else {}
        yield Epoch(epoch, means, scores, best.sees(model, epoch, scores), seconds, rows)
        if best.is_over(epoch):
            break
    best.restore(model)


def _numbers(losses: dict[str, Any], epoch: int) -> dict[str, float]:
    numbers = {name: float(value) for name, value in losses.items()}
    if not np.isfinite(numbers["loss"]):
        raise DivergedError(
            f"epoch {epoch}: the loss is {numbers['loss']}, expected a number. Lower train.optimizer's learning rates, or look "
            "for extreme values (transform: log1p)."
        )
    return numbers
