"""A fit from a store to a run: trains and judges, telling its caller what happens."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from funnel.data.one_sided import one_sided
from funnel.data.origin import Split
from funnel.data.sampling import is_sampled
from funnel.data.store import Shards, Store
from funnel.distribution.engine import Engine
from funnel.distribution.team import Team
from funnel.errors import DataError, RunError
from funnel.locations.remote import Remote
from funnel.model.funnel_model import FunnelModel, build_model
from funnel.run import Run, versions
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.recorded import sources
from funnel.training.board import board
from funnel.training.checkpoint import Checkpoints, State, state_of
from funnel.training.events import Resumed
from funnel.training.loop import Fit
from funnel.training.process import peak_memory
from funnel.training.profile import Profile
from funnel.training.warm_start import take_over
from funnel.training.workspace import Workspace


@dataclass(frozen=True)
class Prepared:
    """Training data, ready for the network.

    Attributes:
        store: Where they are.
        rows: Training rows.
        validation_rows: Rows held out.
        violations: By stage: rows that had it without its parent.
        positives: By stage: training rows that reached it.
        unknown: By stage with a label: training rows of which it is not known.
        skipped: Rows that could not be used, of all sources.
    """

    store: Store
    rows: int
    validation_rows: int
    violations: dict[str, int]
    positives: dict[str, int]
    unknown: dict[str, int]
    skipped: int


def prepared(store: Store) -> Prepared:
    """What a store has to train with.

    Raises:
        DataError: It has no training rows, or only one kind of known label of a stage, while others are not known.
    """
    if not store.shards("train").rows:
        raise DataError(f"{store}: has no training rows (have: {', '.join(store.splits)}). Prepare a store with them.")
    found = store.manifest["splits"]["train"]
    skipped = sum(source["rows"] for source in found["skipped"].values())
    for name, message in one_sided(store.schema, found["spaces"]).items():
        raise DataError(f"stage {name!r}: {message}")
    return Prepared(
        store=store,
        rows=found["rows"],
        validation_rows=store.shards("validation").rows,
        violations=found["inconsistent_labels"]["rows"],
        positives=found["stages"],
        unknown={stage.name: found["spaces"][stage.name]["unknown"] for stage in store.schema.stages if stage.any_of is None},
        skipped=skipped,
    )


def model_of(schema: FunnelSchema, store: Store) -> FunnelModel:
    """A compiled model for the rows of a store."""
    return build_model(schema, store.learnt, store.vocabulary_files())


@dataclass(frozen=True)
class Start:
    """What a fit begins from.

    Attributes:
        workspace: Where it keeps what it goes on from when it is stopped; None keeps nothing. Of several processes that fit
            together, the leading one has it.
        resume: Whether it goes on from there.
        warm: A run whose weights it takes over.
        brief: Whether it is judged by the figures alone: no intervals, curves or slices.
        engine: What makes the steps.
    """

    workspace: Workspace | None = None
    resume: bool = False
    warm: Run | None = None
    brief: bool = False
    engine: Engine = field(default_factory=Engine)


def fit_events(schema: FunnelSchema, store: Store, start: Start = Start()) -> Generator[Any, None, None]:
    """Fit, and judge on the validation and test rows that the store has.

    Args:
        schema: The declaration.
        store: The rows.
        start: What to begin from.

    Yields:
        Prepared once; a WarmStart or a Resumed; Steps, Epochs, and Saved for each checkpoint; and at the end the Run, not yet
        saved. Of several processes that fit together, only the leading one's Run is judged.

    Raises:
        FunnelError: The rows are not what the schema says, or the loss diverged, or the fit cannot be gone on with.
    """
    ready = prepared(store)
    yield ready
    with ExitStack() as stack:
        workspace = start.workspace
        if workspace is None:
            # For the best weights: they are never in memory twice.
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="funnel-", ignore_cleanup_errors=True)))
        else:
            folder = workspace.checkpoints
            stack.enter_context(workspace.held())
        fit, events, warm = _begun(schema, store, start, folder)
        yield from events
        run = Run(schema, store.learnt, store.vocabulary, fit.model, [], {}, _manifest(schema, ready))
        held = store.shards("validation")
        if held.rows:
            fit.validate = partial(_scores, run, held, start.engine.team)
        scalars = board(workspace.logs) if workspace is not None else None
        if scalars is not None:
            stack.callback(scalars.close)
        # Closed before the workspace is left: it may write a checkpoint then.
        for event in stack.enter_context(closing(fit.run())):
            if scalars is not None:
                scalars.watch(event)
            yield event
        run.history = list(fit.state.history)
        run.manifest |= {"steps": fit.state.total_steps, "peak_memory_bytes": peak_memory()}
        run.manifest |= warm
        others: tuple[tuple[Split, Shards], ...] = (("validation", held), ("test", store.shards("test")))
        for split, rows in others:
            if rows.rows:
                logits = logits_of(run, rows, start.engine.team)
                if start.engine.team.leads:
                    sampled = is_sampled(schema, split, store.manifest)
                    run.metrics[split] = run.judge(
                        rows, sampled=sampled, slices=schema.slices, brief=start.brief, logits=logits
                    ).as_dict()
        yield run


def logits_of(run: Run, shards: Shards, team: Team) -> list[NDArray[Any]]:
    """Of each shard the conditional logits of all facts, float32 [rows, stages]; processes share the shards out."""
    return team.shared_out(len(shards), lambda number: run.logits(shards[number]))


def _begun(schema: FunnelSchema, store: Store, start: Start, folder: Path) -> tuple[Fit, list[Any], dict[str, Any]]:
    """The fit in the state that it starts in, what there is to tell about that, and what of it the manifest keeps."""
    engine, keep = start.engine, schema.train.checkpoint.keep if schema.train.checkpoint is not None else 1
    content = {"rows": store.digest, "schema": schema.model_dump(mode="json"), "versions": versions()}
    if schema.model.custom:
        content["layers"] = sources(schema)
    engine.team.require_same("rows, schema and versions", json.dumps(content, sort_keys=True))

    # Parameter servers see what is in a folder of the user's, and no other.
    here = engine.ahead > 0 and (start.workspace is None or isinstance(start.workspace.path, Remote))

    def made() -> Checkpoints:
        with engine.scope():
            return Checkpoints(folder, keep, model_of(schema, store), here=here)

    checkpoints = made()
    events: list[Any] = []
    warm: dict[str, Any] = {}
    state, workspace = State(), start.workspace
    begun = workspace.begun if start.resume and workspace is not None else None
    content |= {"from": str(start.warm.path)} if start.warm is not None else {}
    if workspace is not None and begun is not None:
        workspace.require_same(begun, content)
        found, path, skipped = checkpoints.restore()
        if found is None and skipped:
            # What could not be read may have been read in part.
            checkpoints = made()
        state = State() if found is None else found
        # Another number of epochs may be wanted now.
        so_far = state.epoch if state.step else len(state.history)
        if so_far > schema.train.epochs:
            raise RunError(
                f"{workspace.path}: cannot go on: train.epochs: got {schema.train.epochs}, expected {so_far} or more: so many "
                "have begun. Give them, or remove the folder and fit again."
            )
        events.append(Resumed(path and workspace.called(path), state.epoch, state.total_steps, skipped))
        warm = {"warm_start": begun["warm_start"]} if "warm_start" in begun else {}
    model = checkpoints.model
    if start.warm is not None and state == State() and engine.team.leads:
        accumulators = start.warm.read_optimizer_state()
        events.append(take_over(model, store.vocabulary, start.warm.model, start.warm.vocabulary, accumulators=accumulators))
        warm = {"warm_start": events[-1].as_dict()}
    state = state_of(json.loads(engine.team.told(json.dumps(asdict(state)))))
    engine.team.take_over([*model.network.variables, *model.objective.variables, *model.optimizer.weights])
    if workspace is not None and begun is None:
        workspace.begin(content | warm)
    if workspace is not None:
        checkpoints.saved = workspace.saved
    profile = Profile(workspace.logs) if schema.train.profile and workspace is not None else None
    saving = schema.train.checkpoint if workspace is not None else None
    fit = Fit(model, store.learnt, store.shards("train"), checkpoints, None, state, saving, profile, engine)
    return fit, events, warm


def _scores(run: Run, held: Shards, team: Team) -> dict[str, float]:
    """The metric of early stopping by stage, on the validation rows."""
    stopping = run.schema.train.early_stopping
    metric = stopping.metric if stopping is not None else "log_loss"
    report = run.judge(held, sampled=is_sampled(run.schema, "validation"), brief=True, logits=logits_of(run, held, team))
    return {name: getattr(scores, metric) for name, scores in report.cumulative.items()}


def _manifest(schema: FunnelSchema, ready: Prepared) -> dict[str, Any]:
    store = ready.store
    return {
        "versions": versions(),
        "seed": schema.train.seed,
        "data": store.manifest["data"],
        "data_fingerprint": store.manifest["fingerprint"],
        "training_rows": ready.rows,
        "validation_rows": ready.validation_rows,
        "positives": ready.positives,
        "unknown_labels": ready.unknown,
        "inconsistent_labels": {"policy": schema.inconsistent_labels, "rows": ready.violations},
        "skipped": store.manifest["splits"]["train"]["skipped"],
    }
