"""Whether there is enough of each stage to learn from and to judge by, and whether rows look as if they had been chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from funnel.data.one_sided import one_sided
from funnel.data.origin import Split
from funnel.data.store import Store
from funnel.doctor.checkup import StageRows
from funnel.doctor.finding import SIGNIFICANT, Finding
from funnel.doctor.unknown import unknown_findings
from funnel.schema.data import Held
from funnel.schema.funnel_schema import FunnelSchema

FEW, FEW_HELD = 100, 20
FACTOR = 2.0
MOST_RATIO, ROUND_FROM = 20, 1_000


def training_rows(schema: FunnelSchema, store: Store) -> int:
    """Training rows, with those held out for validation."""
    return sum(store.shards(split).rows for split in training_splits(schema))


def rows_by_stage(schema: FunnelSchema, store: Store) -> dict[str, StageRows]:
    """The training rows of each stage, with those held out for validation."""
    all_rows, by_stage = training_rows(schema, store), {}
    for name, given in zip(schema.stage_names, schema.conditional_spaces, strict=True):
        spaces = training_spaces(schema, store, name)
        rows, positives, unknown = (sum(space[key] for space in spaces) for key in ("rows", "positives", "unknown"))
        per_batch = schema.train.batch_size * positives / max(1, all_rows)
        by_stage[name] = StageRows(given, rows, positives, positives / rows if rows else None, per_batch, unknown)
    return by_stage


def training_spaces(schema: FunnelSchema, store: Store, stage: str) -> list[dict[str, Any]]:
    """What the manifest counts of a stage, in each split that training rows are in."""
    splits = [store.manifest["splits"].get(split) for split in training_splits(schema)]
    return [found["spaces"][stage] for found in splits if found and stage in found["spaces"]]


def training_splits(schema: FunnelSchema) -> tuple[Split, ...]:
    """The splits that the training rows are in: some may be held out, but validation rows in files of their own are none."""
    return ("train",) if isinstance(schema.data.validation, Held) else ("train", "validation")


def stage_findings(schema: FunnelSchema, store: Store, by_stage: dict[str, StageRows]) -> Iterator[Finding]:
    """What the stages' counts say."""
    learnt_from = store.manifest["splits"]["train"]
    nothing_learnt = one_sided(schema, learnt_from["spaces"])
    for stage, rows in zip(schema.stages, by_stage.values(), strict=True):
        about = f"stage {stage.name}"
        if stage.name in nothing_learnt:
            yield Finding("error", about, nothing_learnt[stage.name])
            continue
        yield from _enough(about, schema, rows, learnt_from["stages"][stage.name], learnt_from["rows"])
        yield from unknown_findings(schema, stage, rows, training_rows(schema, store), learnt_from["young"].get(stage.name))
        # Where it is declared how rows were sampled, their rates are not those of all.
        if stage.prior is not None and schema.sampling is None:
            yield from _prior(about, stage.prior, rows)
        if rows.given == schema.space and schema.sampling is None:
            yield from _round(about, rows, schema.space)
    yield from _validation(schema, store)


def _enough(about: str, schema: FunnelSchema, rows: StageRows, positives: int, of: int) -> Iterator[Finding]:
    if not positives:
        message = (
            f"none of the {of:,} rows trained on reaches it, expected some. Correct its label, add rows, or remove the stage."
        )
        yield Finding("error", about, message)
        return
    if positives < FEW:
        message = (
            f"{positives:,} of the {of:,} rows trained on reach it, expected {FEW} or more: what is learnt of it will mostly "
            "be chance. Add rows, or remove the stage."
        )
        yield Finding("warning", about, message)
    if rows.per_batch < 1:
        enough = math.ceil(schema.train.batch_size / rows.per_batch)
        message = (
            f"a batch of {schema.train.batch_size:,} rows has {rows.per_batch:.2g} of it on average, expected 1 or more: most "
            f"steps learn only that it does not happen. Declare a train.batch_size of {enough:,} or more."
        )
        yield Finding("warning", about, message)
    if rows.rate == 1 and rows.given == schema.space:
        message = f"every one of {rows.rows:,} rows reaches it, expected some that do not. Are rows without it missing?"
        yield Finding("warning", about, message)


def _prior(about: str, prior: float, rows: StageRows) -> Iterator[Finding]:
    if not rows.rows or rows.rate is None:
        return
    error = math.sqrt(prior * (1 - prior) / rows.rows)
    factor = max(rows.rate, 1e-12) / prior
    if abs(rows.rate - prior) <= SIGNIFICANT * error or 1 / FACTOR < factor < FACTOR:
        return
    kind = "rows without it" if factor > 1 else "rows with it"
    message = (
        f"{rows.rate:.4g} of {rows.rows:,} rows of {rows.given} reach it, expected about the declared prior of {prior:.4g}: it "
        f"looks sampled, as if {kind} had been left out. Probabilities will be those of these rows, and wrong elsewhere, "
        "unless it is undone. Take all rows, declare `sampling`, or mend `prior`."
    )
    yield Finding("warning", about, message)


def _round(about: str, rows: StageRows, space: str) -> Iterator[Finding]:
    ratio, rest = divmod(rows.rows - rows.positives, max(1, rows.positives))
    if rows.positives >= ROUND_FROM and not rest and 1 <= ratio <= MOST_RATIO:
        message = (
            f"there are exactly {ratio} rows without it for each of the {rows.positives:,} with it, which chance hardly ever "
            f"does: the former look sampled. Probabilities will be too high: train on every {space}, or declare `sampling`."
        )
        yield Finding("note", about, message)


def _validation(schema: FunnelSchema, store: Store) -> Iterator[Finding]:
    stopping = schema.train.early_stopping
    if stopping is None:
        return
    held = store.manifest["splits"].get("validation")
    if held is None:
        if "early_stopping" in schema.train.model_fields_set:
            message = (
                "no rows are held out, so that train.early_stopping, which is declared, has nothing to watch: all epochs are "
                "run. Declare data.validation, or `early_stopping: null`."
            )
            yield Finding("note", "data", message)
        return
    for name in stopping.stages or schema.stage_names:
        if held["stages"][name] < FEW_HELD:
            message = (
                f"{held['stages'][name]:,} of the {held['rows']:,} rows held out reach it, expected {FEW_HELD} or more, since "
                "early stopping watches it there. Hold out more rows (data.validation), or name other stages "
                "(train.early_stopping.stages)."
            )
            yield Finding("warning", f"stage {name}", message)
