"""Several runs on the same rows: each predicts them, and the first says what happened, to whom, and what counts how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.origin import Origin, Split, files_of, origin_of
from funnel.data.sampling import is_sampled
from funnel.errors import DataError, RunError, listed
from funnel.evaluation.comparison import Comparison, compare_probabilities, compare_slices, compare_truth
from funnel.evaluation.cumulative import cumulative
from funnel.evaluation.gather import Gathered
from funnel.evaluation.outcomes import Floats, Outcomes
from funnel.evaluation.predict import columns
from funnel.evaluation.slices import require_sliceable
from funnel.evaluation.truth import read_truth
from funnel.locations.location import location
from funnel.run import Run
from funnel.run_files import names_of_runs
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema


def compare(
    runs: Sequence[str | Path | Run],
    data: Any = None,
    split: Split = "test",
    *,
    slices: Sequence[str] = (),
    truth: str | Path | None = None,
) -> Comparison:
    """Judge runs on the same rows, and say by how much each differs from the first, with paired 95 % intervals.

    Labels, groups and weights are read as the first run declares; each run predicts the rows in its own way. Funnels may
    differ: what is compared are the probabilities that all runs have under one name, of the same sample space.

    Args:
        runs: Two or more: folders, or runs.
        data: A folder, or frames; None for the folder of the first run's schema.
        split: Which rows of a folder.
        slices: Features of the first run by whose values the rows are parted, beside those of its `evaluate.slices`.
        truth: A Parquet file with the true probability of every conditional for every row, as `funnel simulate` writes it.

    Raises:
        RunError: There are fewer than two, one is missing or not whole, or they have no probability in common.
        DataError: The data are not what the schemas say, or the runs would read other files of them.
    """
    names = _names(runs)
    loaded = [run if isinstance(run, Run) else Run.load(run) for run in runs]
    first = loaded[0]
    features = require_sliceable(first.schema, [*first.schema.slices, *slices])
    origin = origin_of(first.schema, data)
    _require_same_files(names, [run.schema for run in loaded], origin, split)
    shared = _shared([run.schema for run in loaded])
    if not shared:
        theirs = [name for run in loaded[1:] for name in run.schema.stage_names]
        raise RunError(
            f"{names[0]}: got no probability that the other runs have too, expected stages of one name (have: "
            f"{listed(first.schema.stage_names)}; they have: {listed(dict.fromkeys(theirs))}). Compare runs of one funnel."
        )
    store = first.store(origin, split, labels=True)
    read = store.manifest["splits"][split]["read"]
    found = first.gathered(store.shards(split), sampled=is_sampled(first.schema, split, store.manifest), features=features)
    others = [_predicted(run, name, origin, split, read) for run, name in zip(loaded[1:], names[1:], strict=True)]
    kept = np.flatnonzero(np.all([~np.isnan(logits[found.position]).any(axis=1) for logits in others], axis=0))
    mine = _only(found, kept)
    outcomes = [mine.outcomes]
    outcomes += [_as(mine.outcomes, run, logits[mine.position]) for run, logits in zip(loaded[1:], others, strict=True)]
    true = None if truth is None else read_truth(truth, first.schema.conditional_names, mine.position, read)
    return Comparison(
        runs=tuple(names),
        data=str(origin),
        split=split,
        space=first.schema.space,
        rows=len(kept),
        left_out=len(found.position) - len(kept),
        alone=_alone([run.schema for run in loaded], shared),
        probabilities=compare_probabilities(outcomes, shared),
        slices={parts.column: compare_slices(outcomes, shared, parts) for parts in first.cuts(mine)},
        truth=None if true is None else compare_truth(outcomes, shared, true),
        group_by=first.schema.evaluate.group_by,
        drawn=mine.outcomes.drawn,
        weighted=mine.outcomes.weights is not None,
    )


def _names(runs: Sequence[str | Path | Run]) -> list[str]:
    if len(runs) < 2:
        raise RunError(f"compare: got {len(runs)} run, expected two or more. Give another one.")
    paths = [run.path if isinstance(run, Run) else location(run) for run in runs]
    return names_of_runs([path or Path(f"run {number}") for number, path in enumerate(paths, start=1)])


def _require_same_files(names: Sequence[str], schemas: Sequence[FunnelSchema], origin: Origin, split: Split) -> None:
    """Runs whose schemas name other files would predict other rows, in silence where these are as many."""
    if origin.root is None:
        return
    first, *others = (_fact_files(name, schema, origin, split) for name, schema in zip(names, schemas, strict=True))
    for name, files in zip(names[1:], others, strict=True):
        if files != first:
            got, expected = (", ".join(sorted(location(path).name for path in one.values())[:3]) for one in (files, first))
            raise RunError(
                f"{name}: reads {got} in {origin}, expected {expected} as {names[0]} does: they would be of other rows. "
                "Compare runs whose schemas name the same files of facts."
            )


def _fact_files(name: str, schema: FunnelSchema, origin: Origin, split: Split) -> dict[str, str]:
    head = f"{split} {FACTS} "
    try:
        files = files_of(schema, {split: origin})
    except DataError as error:
        raise RunError(f"{name}: {error}") from None
    return {file: found["path"] for file, found in files.items() if file.startswith(head)}


def _shared(schemas: Sequence[FunnelSchema]) -> set[str]:
    """The probabilities that all have: of one name and sample space."""
    return {name for name, _ in set.intersection(*(_probabilities(schema) for schema in schemas))}


def _alone(schemas: Sequence[FunnelSchema], shared: set[str]) -> tuple[str, ...]:
    every = [
        name for schema in schemas for stage in zip(schema.stage_names, schema.conditional_names, strict=True) for name in stage
    ]
    return tuple(dict.fromkeys(name for name in every if name not in shared))


def _probabilities(schema: FunnelSchema) -> set[tuple[str, str]]:
    given = zip(schema.conditional_names, schema.conditional_spaces, strict=True)
    return {(name, schema.space) for name in schema.stage_names} | {
        (name, space) for name, space in given if name not in schema.stage_names
    }


def _predicted(run: Run, name: str, origin: Origin, split: Split, read: int) -> NDArray[np.float32]:
    """A run's conditional logits in the order of the files, NaN where it could not use a row: [read, stages]."""
    store = run.store(origin, split, labels=False)
    own = store.manifest["splits"][split]["read"]
    if own != read:
        raise RunError(
            f"{name}: reads {own:,} rows of {origin}, expected {read:,} as the first run does. Compare runs of one log."
        )
    found = np.full([read, len(run.schema.stages)], np.nan, np.float32)
    for star in store.shards(split).once():
        found[star.position] = run.logits(star)
    return found


def _only(found: Gathered, rows: NDArray[np.int64]) -> Gathered:
    if len(rows) == len(found.position):
        return found
    kept = {name: column[rows] for name, column in found.columns.items()}
    return Gathered(found.outcomes.only(rows), found.position[rows], kept)


def _as(first: Outcomes, run: Run, logits: NDArray[np.float32]) -> Outcomes:
    """The first run's rows as another run predicts them."""
    schema, names = run.schema, first.names
    chances = columns(run.model, logits)
    to_cumulative = partial(cumulative, schema.topology)
    if (schema.stage_names, schema.topology) == (names.stages, names.topology):
        return replace(first, logits=logits, chances=chances, to_cumulative=to_cumulative)
    # Of another funnel: by name, with its own logits behind, which its cumulatives are made of.
    place = {stage: schema.stage_names.index(name) for stage, name in enumerate(names.stages) if name in schema.stage_names}
    width = len(names.stages)

    def by_name(block: NDArray[Any], stage: int) -> Floats:
        return to_cumulative(block[:, width:], place[stage])

    given = {name: stage for stage, name in enumerate(schema.conditional_names)}
    own = [given.get(name, 0) for name in names.conditionals]
    return replace(first, logits=np.concatenate([logits[:, own], logits], axis=1), chances=chances, to_cumulative=by_name)
