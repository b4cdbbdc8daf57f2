"""The call behind `funnel check`: reads the rows once, and says all that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funnel.data.origin import origin_of, splits_of
from funnel.data.prepare import SchemaLike, schema_file
from funnel.data.progress import Watch
from funnel.data.store import Store, store_of
from funnel.doctor.checkup import Checkup
from funnel.doctor.drift import drift_findings
from funnel.doctor.features import feature_findings
from funnel.doctor.finding import Finding, sort
from funnel.doctor.leaks import leak_findings
from funnel.doctor.memory import memory_findings, memory_of
from funnel.doctor.objective import objective_findings
from funnel.doctor.opening import open_rows
from funnel.doctor.rows import rows_findings
from funnel.doctor.sample import Sample
from funnel.doctor.stages import rows_by_stage, stage_findings, training_rows
from funnel.errors import DataError
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema


def check(
    schema: SchemaLike,
    data: Any = None,
    overrides: Sequence[str] = (),
    *,
    test: Any = None,
    watch: Watch = lambda _: None,
) -> Checkup:
    """Check a schema and its rows, and report all problems at once. Nothing is trained, and nothing is kept.

    Args:
        schema: A file, a mapping, or a schema.
        data: A folder; a pandas or polars frame of training facts; a mapping of frames by source; a store; or None for the
            schema's own folder.
        overrides: `path=value` texts, such as `train.batch_size=4096`.
        test: The test rows, given likewise. Default: those of the folder, where the schema names some.
        watch: Called with each Progress.

    Returns:
        The findings, and the stages' counts. `.ok` says whether there are no errors; `.as_dict()` is for JSON.

    Raises:
        SchemaError: The schema is not right. Whatever is wrong with the data is a finding.
    """
    declared = load_schema(schema, overrides)
    where = str(data) if isinstance(data, str | Path) else declared.data.root
    try:
        store = store_of(declared, data) if test is None else None
        if store is not None:
            return _examined(declared, store, store.manifest["data"], [], watch)
        origin = origin_of(declared, data, schema_file(schema))
        splits = splits_of(declared, origin)
        if test is not None:
            splits["test"] = origin_of(declared, test, schema_file(schema))
    except DataError as error:
        return _unread(declared, where, [Finding("error", "data", str(error))])
    store, problems = open_rows(declared, splits, watch)
    return (
        _unread(declared, str(origin), problems) if store is None else _examined(declared, store, str(origin), problems, watch)
    )


def _unread(schema: FunnelSchema, data: str, problems: list[Finding]) -> Checkup:
    stages, policy = schema.stage_names, schema.inconsistent_labels
    return Checkup(schema.space, stages, len(schema.features), data, 0, policy, {}, {}, 0, sort(problems))


def _examined(schema: FunnelSchema, store: Store, data: str, problems: list[Finding], watch: Watch) -> Checkup:
    if not store.shards("train").rows:
        message = f"{store}: has no training rows, expected some. Prepare a store with them."
        return _unread(schema, data, [Finding("error", "data", message)])
    sample = Sample(schema, store, "train")
    by_stage = rows_by_stage(schema, store)
    memory = memory_of(schema, store.learnt, store)
    findings = [
        *problems,
        *rows_findings(schema, store),
        *stage_findings(schema, store, by_stage),
        *objective_findings(schema, by_stage, training_rows(schema, store)),
        *leak_findings(sample, watch),
        *feature_findings(schema, store, sample),
        *memory_findings(schema, memory),
        *drift_findings(schema, store, sample, by_stage, watch),
    ]
    if sample.rows < sample.of:
        message = (
            f"leaks and drift were looked for in {sample.rows:,} of the {sample.of:,} rows trained on: the first shards, to "
            "which rows are assigned at random."
        )
        findings.append(Finding("note", "data", message))
    return Checkup(
        space=schema.space,
        stages=schema.stage_names,
        features=len(schema.features),
        data=data,
        rows=training_rows(schema, store),
        policy=schema.inconsistent_labels,
        inconsistent=store.manifest["splits"]["train"]["inconsistent_labels"]["rows"],
        by_stage=by_stage,
        examined=sample.rows,
        findings=sort(findings),
        memory=memory,
    )
