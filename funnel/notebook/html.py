"""Schemas, runs, reports and checkups as HTML, without anything from elsewhere."""

from __future__ import annotations

from typing import Any

from funnel.doctor.checkup import Checkup
from funnel.evaluation.report import Report
from funnel.notebook.curves import curves, image
from funnel.notebook.tables import figures, table, text
from funnel.reporting.figures import UNDEFINED, count, counted, percent
from funnel.reporting.picture import picture, told
from funnel.reporting.picture_words import conditional
from funnel.schema.funnel_schema import FunnelSchema


def html(value: Any) -> str:
    """What a notebook shows of a schema, a report, a checkup, or a run."""
    match value:
        case FunnelSchema():
            return of_schema(value)
        case Report():
            return of_report(value)
        case Checkup():
            return of_checkup(value)
        case _:
            return of_run(value)


def of_schema(schema: FunnelSchema) -> str:
    """The picture, and a row for each stage."""
    rows = []
    for stage, (declared, place) in enumerate(zip(schema.stages, schema.topology, strict=True)):
        loss = schema.loss_spaces.get(declared.name, "none of its own")
        probability = f"P({declared.name})" if place.is_join else conditional(schema, stage)
        rows.append((declared.name, declared.label or UNDEFINED, probability, loss))
    stages = table(("stage", "label", "probability", "loss over"), rows, left=4)
    return f"<div>{image(picture(schema), told(schema))}{stages}</div>"


def of_report(report: Report) -> str:
    """The figures."""
    collapsed = f"<p>Collapsed: {text(', '.join(report.constant))}: the same for every row.</p>" if report.constant else ""
    return f"<div><p>{counted(report.rows, 'row')}</p>{figures(report.as_dict())}{collapsed}</div>"


def of_checkup(found: Checkup) -> str:
    """How much was found, the stages' rows, and each finding."""
    counts = ", ".join(counted(found.count(level), level) for level in ("error", "warning", "note"))
    stages = [
        (name, one.given, count(one.rows), count(one.positives), percent(one.rate), f"{one.per_batch:,.1f}", count(one.unknown))
        for name, one in found.by_stage.items()
    ]
    heads = ("stage", "on rows of", "rows", "positives", "rate", "per batch", "unknown")
    findings = [(one.level, one.about, one.message) for one in found.findings]
    parts = [f"<p><b>{counts}</b>: {text(found.data)}, {counted(found.rows, 'training row')}</p>"]
    parts += [table(heads, stages, left=2)] if stages else []
    parts += [table(("level", "about", "message"), findings, left=3)] if findings else []
    return f"<div>{''.join(parts)}</div>"


def of_run(run: Any) -> str:
    """Its name, the figures of each split, and the course of the fit."""
    where = f" in <code>{text(str(run.path))}</code>" if run.path is not None else ", not saved"
    stages = " → ".join((run.schema.space, *run.schema.stage_names))
    parts = [f"<p><b>{text(run.schema.name)}</b>{where}: {text(stages)}</p>"]
    for split, report in run.metrics.items():
        parts.append(f"<p>{text(split)} rows</p>{figures(report)}")
    drawn = curves(run.history)
    return f"<div>{''.join(parts)}{drawn or ''}</div>"
