"""What the command line shows of a fit: its progress, and its report. Rich is loaded when something is drawn."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from funnel.screen_table import add_figures, new_table, plain, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table

    from funnel.data.progress import Progress
    from funnel.doctor.checkup import Checkup
    from funnel.doctor.memory import Memory
    from funnel.fitting import Prepared
    from funnel.training.events import Epoch, Resumed, Step
    from funnel.training.warm_start import WarmStart

WIDTH = 100  # of a checkup where nobody looks on


class Screen:
    """What long work says: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool, epochs: int = 0) -> None:
        self._quiet, self._epochs, self._rows = quiet, epochs, 0
        self._begun = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._said = time.monotonic()
        self._what = ""
        self._last = self._best = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}")
            self._bar = Progress(text, BarColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without the bar, while somebody is asked."""
        if self._bar is not None:
            self._bar.stop()
        yield
        if self._bar is not None:
            self._bar.start()

    def say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if not self._quiet:
            print(line, flush=True)

    def watch(self, event: Any) -> None:
        """Show one event of the fit."""
        match type(event).__name__:
            case "str":
                self.say(event)
            case "Progress":
                self._progress(event)
            case "Prepared":
                self._prepared(event)
            case "WarmStart":
                self._warm(event)
            case "Resumed":
                self._resumed(event)
            case "Step":
                self._step(event)
            case "Epoch":
                self._epoch(event)

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        if event.what != self._what:
            self._what, self._begun = event.what, now
            self._show(event.what, 0, event.total or event.done, new=True)
        # In the first moment, a rate is none.
        rate = event.done / max(now - self._begun, 0.2)
        amount = f"  {rate / 1e6:,.0f} MB/s" if event.unit == "B" else f"  {event.done:,} of {event.total:,} {event.unit}"
        if self._bar is not None:
            self._show(event.what + amount, event.done, event.total or event.done)
        elif now - self._said > 10 and event.total:
            self._said = now
            left = (event.total - event.done) / max(rate, 1e-9)
            self.say(f"{event.what}:{amount}, {left:,.0f} s left")

    def _show(self, text: str, done: float, total: float, *, new: bool = False) -> None:
        """One bar at a time; each kind of work has one of its own, so that its time left is not another's."""
        if self._bar is None:
            return
        if new or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(text, total=total)
        self._bar.update(self._task, description=text, completed=done, total=total)

    def _prepared(self, event: Prepared) -> None:
        self._rows, self._begun = event.rows, time.monotonic()
        held = f", {event.validation_rows:,} held out for validation" if event.validation_rows else ""
        self.say(f"store: {event.store}")
        self.say(f"{self._rows:,} training rows{held}; " + ", ".join(f"{n:,} {s}" for s, n in event.positives.items()))
        if event.skipped:
            self.say(f"  {event.skipped:,} rows could not be used and were left out")
        if not self._quiet:
            say_unknown(event.unknown)
            say_violations("inconsistent labels", event.violations)

    def _warm(self, event: WarmStart) -> None:
        known, rows = (sum(counts[place] for counts in event.rows.values()) for place in (1, 0))
        self.say(f"warm start: {known:,} of {rows:,} table rows were known")
        for table, (of_table, of_those) in event.rows.items():
            self.say(f"  {table}: {of_those:,} of {of_table:,}")
        if event.fresh:
            self.say(f"  new layers: {', '.join(event.fresh)}")

    def _resumed(self, event: Resumed) -> None:
        for line in event.skipped:
            self.say(f"warning: skipped a checkpoint that cannot be read: {line}")
        if event.path is None:
            self.say("no checkpoint to go on from: the fit starts anew")
        else:
            self.say(f"going on from {event.path}: epoch {event.epoch}, {event.step:,} steps made")

    def _step(self, event: Step) -> None:
        of = f"epoch {event.epoch}/{self._epochs}"
        if self._bar is not None:
            text = f"{of}  {event.rows_per_second:>9,.0f} rows/s  loss {event.losses['loss']:.4f}  {_peak()}"
            done = (event.epoch - 1) * self._rows + event.rows
            self._show(text, done, self._epochs * self._rows, new=self._what != "fit")
            self._what = "fit"
        elif time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            rate, left = f"{event.rows_per_second:,.0f} rows/s", f"{event.seconds_left:,.0f} s left"
            self.say(f"{of}: {event.rows:,} rows, loss {event.losses['loss']:.4f}, {rate}, {left}, {_peak()}")

    def _epoch(self, event: Epoch) -> None:
        losses = ", ".join(f"{name} {value:.4f}" for name, value in event.losses.items())
        scores = "; validation " + ", ".join(f"{n} {v:.4f}" for n, v in event.scores.items()) if event.scores else ""
        best = " (best)" if event.best and event.scores else ""
        rate = event.rows / max(event.seconds, 1e-9)
        self.say(f"epoch {event.epoch}/{self._epochs}: {losses}{scores}{best}, {rate:,.0f} rows/s, {_peak()}")
        for stage in event.constant:
            self.say(f"  warning: {collapsed(stage)}")
        self._last = event.epoch
        if best:
            self._best = event.epoch

    def conclude(self) -> None:
        """Say which epoch is kept, and why there was no further one; nothing where no rows were held out."""
        if not self._best:
            return
        if self._best == self._last == self._epochs:
            self.say(f"epoch {self._best} is kept; it was the last, and the best: more of them (`train.epochs`) may do better")
        elif self._last == self._epochs:
            self.say(f"epoch {self._best} is kept, the best by the rows held out")
        else:
            self.say(f"epoch {self._best} is kept; those after it were no better (`train.early_stopping`)")


def _peak() -> str:
    from funnel.training.process import peak_memory

    return f"peak {peak_memory() / 1e9:.2f} GB"


def collapsed(stage: str) -> str:
    """What there is to say of a stage that predicts the same for every row."""
    return (
        f"{stage}: its conditional predictions are the same for every row: it has collapsed. Lower the learning rates, or look "
        "at its labels with `funnel check`."
    )


def say_violations(policy: str, rows: dict[str, int]) -> None:
    """How many rows contradict the order of the stages, where any do."""
    for stage, count in rows.items():
        if count:
            print(f"  {policy}: {count:,} rows have {stage} without the stage before it")


def say_unknown(rows: dict[str, int]) -> None:
    """Of how many rows a stage's label is not known, where there are any."""
    if any(rows.values()):
        print(f"  unknown labels: {', '.join(f'{count:,} of {stage}' for stage, count in rows.items() if count)}")


def show_store(manifest: dict[str, Any]) -> None:
    """What a store holds, from its manifest."""
    for split, found in manifest["splits"].items():
        stages = ", ".join(f"{count:,} {stage}" for stage, count in found["stages"].items())
        size = sum(shard["bytes"] for shard in found["shards"])
        print(
            f"{split}: {found['rows']:,} rows in {len(found['shards'])} shards, {size / 1e6:,.1f} MB"
            + (f"; {stages}" if stages else "")
        )
        say_unknown({stage: space["unknown"] for stage, space in found["spaces"].items()})
        if split == "validation":
            continue  # held out of the training rows, of which all else was said
        for source, skipped in found["skipped"].items():
            for reason, rows in skipped["reasons"].items():
                print(f"  left out of {source}: {rows:,} rows: {reason}, such as {skipped['examples'][reason][0]}")
        say_violations("inconsistent labels", found["inconsistent_labels"]["rows"])


def show_part(manifest: Mapping[str, Any]) -> None:
    """What a part of a store holds, from its manifest."""
    number, of = manifest["portion"]
    rows = ", ".join(f"{said['facts']:,} {split}" for split, said in manifest["splits"].items())
    print(f"part {number} of {of}: {rows} rows")


def show_checkup(found: Checkup) -> None:
    """The stages' counts, what was found, and how much of it."""
    stages = new_table()
    stages.add_column("stage", no_wrap=True)
    stages.add_column("on rows of", no_wrap=True)
    unknown = any(stage.unknown for stage in found.by_stage.values())
    add_figures(stages, ("rows", "positives", "rate", "per batch", *(["unknown"] if unknown else [])))
    for name, stage in found.by_stage.items():
        rate = "undefined" if stage.rate is None else f"{stage.rate:.3%}"
        cells = (f"{stage.rows:,}", f"{stage.positives:,}", rate, f"{stage.per_batch:,.1f}")
        stages.add_row(plain(name), plain(stage.given), *cells, *([f"{stage.unknown:,}"] if unknown else []))
    if found.by_stage:
        show_table(stages, WIDTH)
    if found.memory is not None and found.memory.tables:
        show_table(_memory(found.memory), WIDTH)
        if (step := found.memory.step) is not None:
            held = f"{step.bytes / 1e6:,.2f} MB with their gradients and state"
            print(f"a step of {step.facts:,} rows reads {step.rows:,} rows of tables by {step.entries:,} lookups: {held}\n")
    findings = new_table()
    findings.add_column("level", no_wrap=True)
    findings.add_column("about", max_width=24, overflow="fold")
    findings.add_column("message", overflow="fold")
    colours = {"error": "bold red", "warning": "yellow", "note": "cyan"}
    for finding in found.findings:
        findings.add_row(plain(finding.level, colours[finding.level]), plain(finding.about), plain(finding.message))
    if found.findings:
        show_table(findings, WIDTH)
    counts = [(found.count(level), level) for level in ("error", "warning", "note")]
    print(", ".join(f"{count} {level}{'s' * (count != 1)}" for count, level in counts if count or level != "note"))


def _memory(found: Memory) -> Table:
    """What each table takes, and all of them."""
    shown = new_table(footer=True)
    shown.add_column("table", "all tables", overflow="fold")
    total = (f"{found.weights / 1e6:,.2f}", f"{found.state / 1e6:,.2f}", f"{(found.weights + found.state) / 1e6:,.2f}")
    add_figures(shown, ("ids", "rows", "dim", "MB", "MB of state", "MB in all"), ("", "", "", *total))
    for name, table in found.tables.items():
        sizes = (table.weights, table.state, table.weights + table.state)
        shown.add_row(
            plain(name), f"{table.ids:,}", f"{table.rows:,}", str(table.dim), *(f"{size / 1e6:,.2f}" for size in sizes)
        )
    return shown


def show_cost(found: dict[str, Any]) -> None:
    """How large an export's tables are, and what that costs, from its `export.json`."""
    size, tables = found["bytes"], found["by_table"].values()
    learnt, rows = (sum(one[key] for one in tables) for key in ("learnt", "rows"))
    share = f", {size['share']:.3f} of what was learnt" if size["share"] is not None else ""
    print(f"tables: {found['tables']}, {rows:,} of {learnt:,} rows, {size['tables'] / 1e6:,.2f} MB{share}")
    if found["effect"] is None:
        print(f"  what that costs was not measured: {found['no_effect_because']}")
        return
    print(f"  on {found['effect']['rows']:,} {found['effect']['split']} rows of {found['effect']['data']}:")
    for one in found["effect"]["probabilities"]:
        change = one["change"]["auc"]
        ends = f" ({change['low']:+.5f} to {change['high']:+.5f})" if change else ""
        before, after = (one[key]["auc"] for key in ("before", "after"))
        known = before is not None and after is not None
        difference = f"{before:.5f} -> {after:.5f}, {after - before:+.5f}{ends}" if known else "undefined"
        print(f"  {one['name']}: AUC {difference}")
