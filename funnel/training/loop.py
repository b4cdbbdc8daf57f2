"""The training loop: a generator of events, without any output but its checkpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.order import Epoch as Order
from funnel.data.packing import Packer
from funnel.data.store import Shards
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.model.likelihood import constant_stages
from funnel.schema.learnt import Learnt, cumulative_rates
from funnel.schema.training import Checkpoints as Saving
from funnel.schema.training import EarlyStopping
from funnel.training.checkpoint import Checkpoints, State
from funnel.training.events import Epoch, Saved, Step
from funnel.training.feed import Feed, specification
from funnel.training.health import Watchdog
from funnel.training.profile import Profile

SHOWN = 0.2  # seconds between two Steps

Event = Step | Epoch | Saved


@dataclass
class Fit:
    """One fit, from the state it stands in to its end.

    Attributes:
        model: Compiled.
        learnt: Sizes, scales and priors.
        shards: The training rows.
        checkpoints: Where the best weights are kept, and the states to go on from.
        validate: Gives the metric of early stopping by stage; None without validation rows.
        state: Where it stands.
        saving: When a state is written; None writes none.
        profile: What records some steps; None records none.
    """

    model: FunnelModel
    learnt: Learnt
    shards: Shards
    checkpoints: Checkpoints
    validate: Callable[[], dict[str, float]] | None
    state: State = field(default_factory=State)
    saving: Saving | None = None
    profile: Profile | None = None

    def __post_init__(self) -> None:
        schema = self.model.schema
        self._declared = schema.train
        self._feed = Feed(Packer(schema, self.learnt))
        rates = cumulative_rates(self.learnt.priors, schema.topology)
        self._watchdog = Watchdog(schema.stage_names, rates, self.state.total_steps)
        self._step: Any = None
        self._conditional: Any = None  # logits of this epoch's last whole batch
        self._made = 0  # steps of this process
        self._saved_step, self._saved_at = self.state.total_steps, time.monotonic()

    @property
    def traces(self) -> int:
        """How often the step was traced: once, whatever the batches."""
        return int(self._step.experimental_get_tracing_count()) if self._step is not None else 0

    def run(self) -> Generator[Event, None, None]:
        """Train to the end; the model then has the best epoch's weights.

        Yields:
            A Step now and then (several a second), an Epoch after each, and Saved where a checkpoint was written.

        Raises:
            DivergedError: The loss is not a number, or grew beyond any reason.
            RunError: A checkpoint cannot be written.
        """
        while not self.state.is_over(self._declared):
            order = self._order(self.state.epoch)
            if self.state.step == 0:
                self.model.reset_metrics()
            try:
                yield from self._steps(order)
                yield self._end_epoch(order)
                if self.saving is not None:
                    yield self._save()
            except (KeyboardInterrupt, GeneratorExit):
                # It may have come between a step and its being counted here; the optimiser has counted it.
                more = self.model.steps - self.state.total_steps
                self.state = replace(self.state, step=self.state.step + more, total_steps=self.state.total_steps + more)
                if self.saving is not None and self.state.total_steps > self._saved_step:
                    self._save()
                raise
            finally:
                if self.profile is not None:
                    self.profile.stop()
        if self.state.best_epoch and self.state.best_epoch != len(self.state.history):
            self.checkpoints.restore_best(self.state.best_epoch)

    def _order(self, epoch: int) -> Order:
        return Order(self.shards, self._declared.batch_size, self._declared.shuffle, self._declared.seed, epoch - 1)

    def _steps(self, order: Order) -> Iterator[Event]:
        """The rest of an epoch."""
        size = self._declared.batch_size
        shown = begun = time.perf_counter()
        earlier, shown_step = self.state.seconds, self.state.step
        for element in self._feed(order, self.state.step):
            if self._step is None:
                self._step = tf.function(self.model.learn, input_signature=[specification(element)], autograph=False)
            if self.profile is not None:
                self.profile.before_step(self._made)
            learned = self._step(element)
            now = time.perf_counter()
            step = self.state.step + 1
            self.state = replace(self.state, step=step, total_steps=self.state.total_steps + 1, seconds=earlier + now - begun)
            self._made += 1
            where = f"epoch {self.state.epoch}, step {step}"
            self._watchdog.see(float(learned.loss), learned.losses, element[1], where, self._rows_before)
            if step == 1 or len(element[1]) == size:
                self._conditional = learned.conditional
            if now - shown > SHOWN:
                yield self._shown(order, (step - shown_step) * size / (now - shown))
                shown, shown_step = now, step
            if self._is_due() and step < order.steps:
                yield self._save()

    def _shown(self, order: Order, rate: float) -> Step:
        state, rows = self.state, self._rows(order)
        whole = sum(epoch["rows"] for epoch in state.history) + rows
        spent = sum(epoch["seconds"] for epoch in state.history) + state.seconds
        left = (self._declared.epochs * order.rows - whole) * spent / whole
        return Step(state.epoch, state.total_steps, rows, self._losses(), rate, left)

    def _end_epoch(self, order: Order) -> Epoch:
        state = self.state
        scores = self.validate() if self.validate is not None else {}
        value = _value(self._declared.early_stopping, scores, self.model.schema.stage_names)
        best = value is None or state.best_value is None or value > state.best_value
        event = Epoch(
            epoch=state.epoch,
            step=state.total_steps,
            losses=self._losses(),
            scores=scores,
            best=best,
            seconds=state.seconds,
            rows=self._rows(order),
            constant=self._constant(),
        )
        if best and value is not None:
            state = replace(state, best_epoch=state.epoch, best_value=value)
            self.checkpoints.save_best(state.epoch)
        history = (*state.history, event.as_dict())
        self._conditional = None
        self.state = replace(state, epoch=state.epoch + 1, step=0, seconds=0.0, history=history, constant=())
        return event

    def _constant(self) -> tuple[str, ...]:
        """The stages that have collapsed, as far as this epoch has shown."""
        if self._conditional is None:
            return self.state.constant
        return constant_stages(self.model.schema.stage_names, self._conditional.numpy())

    def _losses(self) -> dict[str, float]:
        return {mean.name: float(mean.result()) for mean in self.model.metrics}

    def _rows(self, order: Order) -> int:
        """Rows of this epoch that were seen."""
        return min(self.state.step * self._declared.batch_size, order.rows)

    def _rows_before(self, back: int) -> NDArray[np.int64]:
        """Positions of the rows of the last step (0), or of the one before it (1)."""
        epoch, step = self.state.epoch, self.state.step - 1 - back
        if step < 0 and epoch > 1:
            epoch, step = epoch - 1, self._order(epoch - 1).steps - 1
        # An order of its own: the one that feeds is used by another thread.
        places = self._order(epoch).step(max(step, 0))
        return np.concatenate([self.shards[shard].position[rows] for shard, rows in places])

    def _is_due(self) -> bool:
        if self.saving is None:
            return False
        steps, seconds = self.state.total_steps - self._saved_step, time.monotonic() - self._saved_at
        return (self.saving.steps is not None and steps >= self.saving.steps) or (
            self.saving.minutes is not None and seconds >= self.saving.minutes * 60
        )

    def _save(self) -> Saved:
        self.state = replace(self.state, constant=self._constant())
        path = self.checkpoints.save(self.state)
        self._saved_step, self._saved_at = self.state.total_steps, time.monotonic()
        return Saved(path, self.state.epoch, self.state.total_steps)


def _value(stopping: EarlyStopping | None, scores: dict[str, float], names: Sequence[str]) -> float | None:
    """The mean score that decides, the greater the better; None where nothing decides, and the last epoch is the best."""
    if stopping is None or not scores:
        return None
    mean = float(np.mean([scores[name] for name in stopping.stages or names]))
    value = mean if stopping.metric == "auc" else -mean
    # An epoch without a score, as where a stage has no positives, still is better than none.
    return value if np.isfinite(value) else -sys.float_info.max
