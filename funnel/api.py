"""The calls of the library: each delegates. Wherever one takes a path or a folder, it takes a URL: `s3://bucket/logs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl

from funnel.data.batches import dataset as star_dataset
from funnel.data.origin import is_simulated, origin_of
from funnel.data.prepare import SchemaLike, prepare, schema_file
from funnel.data.store import Store
from funnel.distribution.rendezvous import PATIENCE
from funnel.distribution.strategy import engaged
from funnel.doctor.health import health
from funnel.errors import DataError, FunnelError, RunError, SchemaError
from funnel.evaluation.importance import REPEATS, ROWS, Importance
from funnel.evaluation.report import Report
from funnel.fitting import Start, fit_events, model_of
from funnel.folders import whole_file
from funnel.locations.location import Location, location
from funnel.model.funnel_model import FunnelModel, build_model
from funnel.model.stored import Kind
from funnel.notebook.line import watching
from funnel.run import Run
from funnel.run_files import IMPORTANCE
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import declared_only
from funnel.schema.reader import load_schema
from funnel.training.workspace import opened


def _rows(declared: FunnelSchema, data: Any, schema: SchemaLike) -> Any:
    """What was given as data, or the schema's own folder, which is looked for near the schema's file."""
    return data if data is not None else origin_of(declared, None, schema_file(schema))


def build(schema: SchemaLike, data: Any = None) -> FunnelModel:
    """A compiled `tfrs.Model`, not fitted.

    Args:
        schema: A file, a mapping, or a schema.
        data: What vocabularies and scales are learnt from: a folder, frames, or a store. Not needed where the schema declares
            all sizes (`buckets`, and the mean and std, or boundaries, of numbers).

    Raises:
        SchemaError: The schema is not right, or something must be learnt and there are no data.
        DataError: The data are not what the schema says.
    """
    declared = load_schema(schema)
    if data is not None:
        return model_of(declared, prepare(declared, data))
    learnt, unknown = declared_only(declared)
    if learnt is None:
        raise SchemaError(f"build: got no data, expected some to learn from: {', '.join(unknown)}. Give data, or declare them.")
    return build_model(declared, learnt, {})


def dataset(
    schema: SchemaLike,
    data: Any = None,
    *,
    first_epoch: int = 0,
    first_step: int = 0,
    worker: int = 0,
    workers: int = 1,
) -> Any:
    """The training rows as a `tf.data.Dataset` of `(star batch, labels)`, shuffled anew at each pass as `train.shuffle` says.

    The order of an epoch is a pure function of seed, epoch and worker, and starts at any step at once.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder, frames, or a store; None for the schema's own.
        first_epoch: Of the first pass, from 0.
        first_step: Of the first pass, from 0; later passes begin at the beginning.
        worker: Which of the workers this is, from 0.
        workers: How many share out the rows: each takes shards of its own, but for those at its ends.

    Raises:
        SchemaError: The schema is not right.
        DataError: The data are not what the schema says.
    """
    declared = load_schema(schema)
    store = prepare(declared, _rows(declared, data, schema))
    return star_dataset(
        declared,
        store.shards("train"),
        batch_size=declared.train.batch_size,
        shuffle=declared.train.shuffle,
        first_epoch=first_epoch,
        first_step=first_step,
        worker=worker,
        workers=workers,
    )


def fit(
    schema: SchemaLike,
    data: Any = None,
    *,
    test: Any = None,
    out: str | Location | None = None,
    store: str | Location | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    warm_start: str | Path | Run | None = None,
    watch: Callable[[Any], None] | Literal["auto"] | None = "auto",
    patience: float = PATIENCE,
) -> Run:
    """Fit a funnel, and judge it.

    Where the environment's `TF_CONFIG` describes a cluster, each of its processes calls this, before it does anything else with
    TensorFlow; `train.strategy` says how they work together. Only the leading one writes the run. Parameter servers and their
    workers call `funnel.serve` instead.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder; a pandas or polars frame of facts; a mapping of frames by source; a store; or None for the schema's own
            folder.
        test: The test rows, given likewise. Default: those of the folder, where the schema names some.
        out: Where to save the run, a path or a URL; None does not. While the fit goes on, `OUT.unfinished` holds its
            checkpoints and logs.
        store: Where to keep the encoded rows, for the next fit to find. Default: nowhere.
        overrides: `path=value` texts, such as `train.epochs=3`.
        resume: Go on from the newest checkpoint in `OUT.unfinished`, or in the run `out` where `train.epochs` has grown; start
            where there is none. What comes out is what the fit would have come to without a stop, bit for bit (on CPUs).
        warm_start: A run whose weights are taken over, table rows by their ids. Its ids and scales stay, new ids come after.
        watch: Called with each event: Progress, Prepared, WarmStart, Resumed, Step, Epoch, Saved, Run; and with a sentence
            where other processes have to be waited for. `auto` shows one line in a notebook, which is changed in place and
            gone where the fit fails or is interrupted, and nothing elsewhere; None shows nothing anywhere.
        patience: Seconds to wait for other processes.

    Returns:
        The run; in a process that does not lead, without metrics.

    Raises:
        FunnelError: The schema or the data are not right, or another process is gone; nothing is left behind but the
            checkpoints of a fit that had begun.
    """
    declared = load_schema(schema, overrides)
    if resume and out is None:
        raise RunError("fit: got resume=True and no `out`, expected the folder to go on in. Give it.")
    if isinstance(watch, str):
        with watching(watch, declared.train.epochs) as told:
            return fit(
                declared, _rows(declared, data, schema), test=test, out=out, store=store, resume=resume,
                warm_start=warm_start, watch=told, patience=patience,
            )  # fmt: skip
    engine = engaged(declared.train, patience, watch)
    leads = engine.team.leads
    workspace = opened(out, resume=resume) if out is not None and leads else None
    warm = load(warm_start) if isinstance(warm_start, str | Path) else warm_start
    base = None if warm is None else warm.base_for(declared)
    rows = engine.team.in_turn(
        lambda: prepare(declared, _rows(declared, data, schema), store, test=test, base=base, watch=watch)
    )
    run: Run | None = None
    # Closed also where `watch` fails or is interrupted: the fit then writes a checkpoint.
    with closing(fit_events(declared, rows, Start(workspace, resume, warm, engine=engine))) as events:
        for event in events:
            if watch is not None:
                watch(event)
            if isinstance(event, Run):
                run = event
                if workspace is not None:
                    run.manifest |= _occasion(rows)
                    run.health = health(declared, rows, watch or (lambda _: None))
                    run.save(workspace.run, workspace)
    # Those that do not lead stay until it is written: what launched them may take their end for that of the fit.
    engine.team.wait()
    if run is None:
        raise FunnelError("fit: ended without a model.")
    if workspace is not None:
        workspace.remove()
    return run


def _occasion(store: Store) -> dict[str, Any]:
    """When a fit ended, and whether its rows were simulated: a report says so, wherever the run has got to."""
    return {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "simulated": is_simulated(store.manifest["data"]),
    }


def load(run: str | Path) -> Run:
    """A run that was saved.

    Raises:
        RunError: The folder is missing or not whole.
    """
    return Run.load(run)


def evaluate(
    run: str | Path,
    data: Any = None,
    split: Literal["train", "test"] = "test",
    *,
    slices: Sequence[str] = (),
    truth: str | Path | None = None,
) -> Report:
    """Judge a saved run on a split of a folder, or on frames; see `Run.evaluate`."""
    return load(run).evaluate(data, split, slices=slices, truth=truth)


def importance(
    run: str | Path | Run,
    data: Any = None,
    split: Literal["train", "test"] = "test",
    *,
    rows: int = ROWS,
    repeats: int = REPEATS,
    watch: Callable[[Any], None] = lambda _: None,
) -> Importance:
    """How much each feature matters to a run, kept in its folder as `importance.json`, so that its report shows it.

    Args:
        run: A run, or its folder. That of one that was never saved is not there, and nothing is kept.
        data: A folder, or frames; None for the schema's own.
        split: Which rows of the folder.
        rows: How many of them, at most; drawn at random.
        repeats: How often the values of each feature are dealt out.
        watch: Called with each Progress.

    Raises:
        FunnelError: The run or the data are not right, or the folder cannot be written.
    """
    loaded = run if isinstance(run, Run) else load(run)
    found = loaded.importance(data, split, rows=rows, repeats=repeats, watch=watch)
    if loaded.path is not None:
        with whole_file(loaded.path / IMPORTANCE, RunError, "Make room, or make the folder writable.") as part:
            part.write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
    return found


def predict(
    run: str | Path | Run, data: Any = None, split: Literal["train", "test"] | None = None, *, logits: bool = False
) -> Any:
    """Every probability for every row, as a frame: polars where polars was given, else pandas.

    Args:
        run: A run, or its folder.
        data: A folder, or frames; None for the schema's own.
        split: Which rows of the folder. Default: those of the test files; where there are none, or `data.test` parts the files,
            every row of the training files.
        logits: Adds the logits, cumulative and conditional: `buy_logit`, `buy_given_click_logit`.

    Raises:
        FunnelError: The run or the data are not right.
    """
    loaded = run if isinstance(run, Run) else load(run)
    found = loaded.predict(data, split, logits=logits)
    frames = list(data.values()) if isinstance(data, Mapping) else [data]
    return (
        pl.DataFrame(found) if any(isinstance(frame, pl.DataFrame | pl.LazyFrame) for frame in frames) else pd.DataFrame(found)
    )


def write_predictions(columns: Mapping[str, np.ndarray], out: str | Path) -> Location:
    """Write predictions as Parquet or CSV, by the name's ending; the file appears when it is whole.

    Raises:
        DataError: Another ending, or the folder cannot be written.
        RemoteError: It cannot be copied to a URL.
    """
    path = location(out)
    if path.suffix not in (".parquet", ".csv"):
        raise DataError(f"{path}: got the ending {path.suffix!r}, expected .parquet or .csv. Rename it.")
    frame = pl.DataFrame(dict(columns))
    with whole_file(path, DataError, "Nothing was left behind.") as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(part) if path.suffix == ".parquet" else frame.write_csv(part)
    return path


def export(
    run: str | Path,
    out: str | Path,
    *,
    tables: Kind = "float32",
    min_count: int | None = None,
    data: Any = None,
    split: Literal["train", "test"] = "test",
) -> Location:
    """Write a saved run as a SavedModel that takes raw values: `DIR/3`, or the next version in `DIR`; gives its folder.

    See `Run.export` for smaller tables, and what they cost.
    """
    return load(run).export(out, tables=tables, min_count=min_count, data=data, split=split)
