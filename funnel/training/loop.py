"""The training loop: a generator of events, without any output but its checkpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.data.store import Shards
from funnel.distribution.engine import Engine, Made
from funnel.distribution.rendezvous import GONE
from funnel.model.funnel_model import FunnelModel
from funnel.model.likelihood import constant_stages
from funnel.schema.learnt import Learnt, cumulative_rates
from funnel.schema.training import Checkpoints as Saving
from funnel.schema.training import EarlyStopping
from funnel.training.checkpoint import Checkpoints, State
from funnel.training.events import Epoch, Saved, Step
from funnel.training.feed import Feed
from funnel.training.health import Watchdog
from funnel.training.interrupts import held_back
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
        engine: What makes the steps.
    """

    model: FunnelModel
    learnt: Learnt
    shards: Shards
    checkpoints: Checkpoints
    validate: Callable[[], dict[str, float]] | None
    state: State = field(default_factory=State)
    saving: Saving | None = None
    profile: Profile | None = None
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        schema = self.model.schema
        self._declared = schema.train
        self._feed = Feed(Packer(schema, self.learnt), self.engine.own, self.engine.threads)
        self.engine.begin(self.model)
        rates = cumulative_rates(self.learnt.priors, schema.topology)
        self._watchdog = Watchdog(schema.stage_names, rates, self.state.total_steps)
        self._conditional: Any = None  # logits of this epoch's last whole batch
        self._asked = 0  # steps of this process
        self._saved_step, self._saved_at = self.state.total_steps, time.monotonic()

    @property
    def traces(self) -> int:
        """How often the step was traced: once, whatever the batches."""
        return self.engine.traces

    def run(self) -> Generator[Event, None, None]:
        """Train to the end; the model then has the best epoch's weights.

        Yields:
            A Step now and then (several a second), an Epoch after each, and Saved where a checkpoint was written.

        Raises:
            DivergedError: The loss is not a number, or grew beyond any reason.
            RunError: A checkpoint cannot be written.
        """
        while not self.state.is_over(self._declared):
            if self.state.step == 0:
                lanes = self._declared.lanes or self.engine.replicas
                self.state = replace(self.state, sums=(), lanes=lanes)
            order = self._order(self.state.epoch)
            try:
                yield from self._steps(order)
                yield self._end_epoch(order)
                if self.saving is not None:
                    yield self._save()
            except (KeyboardInterrupt, GeneratorExit):
                self._gather(order, _Clock(self.state.seconds, self._rows(order)), patience=GONE)
                if self.saving is not None and self.state.total_steps > self._saved_step:
                    self._save()
                raise
            finally:
                if self.profile is not None:
                    self.profile.stop()
        if self.state.best_epoch and self.state.best_epoch != len(self.state.history):
            if self.engine.team.leads:
                self.checkpoints.restore_best(self.state.best_epoch)
            self.engine.team.take_over(self.model.network.variables)

    def _order(self, epoch: int) -> Lanes:
        return Lanes.of(self.shards, self._declared, epoch - 1, self.state.lanes or 1, self.engine.replicas)

    def _steps(self, order: Lanes) -> Iterator[Event]:
        """The rest of an epoch."""
        clock = _Clock(self.state.seconds, self._rows(order))
        for elements in self._feed(order, self.state.step):
            if self.profile is not None:
                self.profile.before_step(self._asked)
            self._asked += 1
            with held_back():
                self.engine.make(elements)
            self._gather(order, clock, self.engine.ahead)
            if (event := self._shown(order, clock)) is not None:
                yield event
            # One that is due at the end of the epoch comes after it.
            if self._is_due() and self.state.step < order.steps:
                self._gather(order, clock)
                yield self._save()
        self._gather(order, clock)

    def _gather(self, order: Lanes, clock: _Clock, most: int = 0, patience: float | None = None) -> None:
        """Count steps as they are made, until this many at most are under way."""
        while len(self.engine.under_way) > most:
            self.engine.wait(patience)
            # One that was made is counted, whatever interrupts it.
            with held_back():
                self._count(order, self.engine.next(), clock)

    def _count(self, order: Lanes, made: Made, clock: _Clock) -> None:
        """What was made becomes a part of the state."""
        labels, learned = made
        step, now = self.state.step + 1, time.perf_counter()
        rows, means = order.rows_of(step - 1), np.asarray(learned.means, np.float64)
        sums = np.array(self.state.sums or np.zeros(len(means))) + rows * means
        self.state = replace(
            self.state,
            step=step,
            total_steps=self.state.total_steps + 1,
            seconds=clock.earlier + now - clock.begun,
            sums=tuple(sums.tolist()),
        )
        where = f"epoch {self.state.epoch}, step {step}"
        self._watchdog.see(float(learned.loss), learned.losses, labels, where, self._rows_before)
        if step == 1 or rows == self._declared.batch_size:
            self._conditional = learned.conditional

    def _shown(self, order: Lanes, clock: _Clock) -> Step | None:
        """What there is to tell now and then."""
        now, state, rows = time.perf_counter(), self.state, self._rows(order)
        if now - clock.shown <= SHOWN or rows == clock.rows:
            return None
        rate = (rows - clock.rows) / (now - clock.shown)
        clock.shown, clock.rows = now, rows
        whole = sum(epoch["rows"] for epoch in state.history) + rows
        spent = sum(epoch["seconds"] for epoch in state.history) + state.seconds
        left = (self._declared.epochs * order.rows - whole) * spent / whole
        return Step(state.epoch, state.total_steps, rows, self._losses(rows), rate, left)

    def _end_epoch(self, order: Lanes) -> Epoch:
        state = self.state
        scores = self.validate() if self.validate is not None else {}
        value = _value(self._declared.early_stopping, scores, self.model.schema.stage_names)
        best = value is None or state.best_value is None or value > state.best_value
        event = Epoch(
            epoch=state.epoch,
            step=state.total_steps,
            losses=self._losses(self._rows(order)),
            scores=scores,
            best=best,
            seconds=state.seconds,
            rows=self._rows(order),
            constant=self._constant(),
        )
        if best and value is not None:
            state = replace(state, best_epoch=state.epoch, best_value=value)
            if self.engine.team.leads:
                self.checkpoints.save_best(state.epoch)
        history = (*state.history, event.as_dict())
        self._conditional = None
        self.state = replace(state, epoch=state.epoch + 1, step=0, seconds=0.0, history=history, constant=())
        return event

    def _constant(self) -> tuple[str, ...]:
        """The stages that have collapsed, as far as this epoch has shown."""
        if self._conditional is None:
            return self.state.constant
        return constant_stages(self.model.schema.stage_names, np.asarray(self._conditional))

    def _losses(self, rows: int) -> dict[str, float]:
        """Of this epoch, the means over the rows that were seen."""
        sums = self.state.sums or np.zeros(len(self.model.shown))
        return {name: float(total / max(rows, 1)) for name, total in zip(self.model.shown, sums, strict=True)}

    def _rows(self, order: Lanes) -> int:
        """Rows of this epoch that were seen."""
        return min(sum(epoch.rows_before(self.state.step) for epoch in order.epochs), order.rows)

    def _rows_before(self, back: int) -> NDArray[np.int64]:
        """Positions of this process' rows of the last step (0), or of the one before it (1)."""
        epoch, step = self.state.epoch, self.state.step - 1 - back
        if step < 0 and epoch > 1:
            epoch, step = epoch - 1, self._order(epoch - 1).steps - 1
        order = self._order(epoch)
        places = [place for replica in self.engine.own for place in order.step(max(step, 0), replica)]
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


class _Clock:
    """When a part of an epoch began, and when something was last shown of it."""

    def __init__(self, earlier: float, rows: int) -> None:
        self.begun = self.shown = time.perf_counter()
        self.earlier, self.rows = earlier, rows


def _value(stopping: EarlyStopping | None, scores: dict[str, float], names: Sequence[str]) -> float | None:
    """The mean score that decides, the greater the better; None where nothing decides, and the last epoch is the best."""
    if stopping is None or not scores:
        return None
    mean = float(np.mean([scores[name] for name in stopping.stages or names]))
    value = mean if stopping.metric == "auc" else -mean
    # An epoch without a score, as where a stage has no positives, still is better than none.
    return value if np.isfinite(value) else -sys.float_info.max
