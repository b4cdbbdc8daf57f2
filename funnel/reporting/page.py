"""The page: its sections put together from a record, and made into HTML."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup

from funnel.reporting import tables, words
from funnel.reporting.canvas import Chart
from funnel.reporting.curves import calibration, roc
from funnel.reporting.diagram import diagram
from funnel.reporting.figures import count, plain_percent
from funnel.reporting.importance import Importance, importance
from funnel.reporting.learning import learning_curves
from funnel.reporting.parts import dots, lost
from funnel.reporting.passage import passages
from funnel.reporting.picture import picture
from funnel.reporting.record import Probability, Record
from funnel.reporting.tables import Table
from funnel.reporting.template import render

HELD = {"test": "test rows", "validation": "validation rows, held out of the training rows", "train": "training rows"}


@dataclass(frozen=True)
class Stage:
    """What there is to say about one stage."""

    name: str
    formulas: list[str]
    sentences: list[tuple[str, str]]
    figures: Table
    charts: list[Chart]
    collapsed: bool


@dataclass(frozen=True)
class Column:
    """What there is to say about the slices by one column."""

    name: str
    slices: int
    tables: list[Table]
    charts: list[Chart]
    losses: list[str]
    loss_charts: list[Chart]


@dataclass(frozen=True)
class Content:
    """All that the template shows.

    Attributes:
        record: What the run folder says.
        facts: Title and value of what stands at the top.
        declared: The picture of the funnel.
        network: The picture of the funnel and its network: an SVG element, all of it ours or escaped.
        objective: What was minimised, and over which rows by stage.
        split: What the rows are called that the figures are of; None where there are no figures.
        passages: The charts of the funnel as it was passed through.
        passage: The same as a table.
        stages: By stage.
        others: By other split: its figures.
        learning: The curves of the fit.
        columns: Slices by column.
        worst: The worst slices, in sentences, and how many more there are.
        truth: Predictions against the truth.
        health: The share of missing and unknown ids.
        importance: How much each feature matters; None where that was not measured.
        cannot: What no figure can tell.
    """

    record: Record
    facts: list[tuple[str, str]]
    declared: Chart
    network: Markup
    objective: tuple[str, list[str]]
    cannot: str
    split: str | None = None
    passages: list[Chart] = field(default_factory=list)
    passage: Table | None = None
    stages: list[Stage] = field(default_factory=list)
    others: list[tuple[str, Table]] = field(default_factory=list)
    learning: list[Chart] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    worst: tuple[list[str], int] = field(default_factory=lambda: ([], 0))
    truth: Table | None = None
    health: Table | None = None
    importance: Importance | None = None

    def charts(self) -> list[Chart]:
        """All charts, in the order of the page."""
        found = [self.declared, *self.passages]
        for stage in self.stages:
            found += stage.charts
        found += self.learning
        for column in self.columns:
            found += [*column.charts, *column.loss_charts]
        return found + (self.importance.charts if self.importance is not None else [])


def content(record: Record) -> Content:
    """Draw and word all that a record has to say.

    Args:
        record: A run folder, read.
    """
    report = record.report
    found = Content(
        record=record,
        facts=_facts(record),
        declared=diagram(record.schema, record.learnt),
        network=Markup(picture(record.schema, record.learnt, inline=True)),  # noqa: S704
        objective=words.objective(record),
        cannot=words.unobservable(record),
        learning=learning_curves(record.schema, record.history),
        health=tables.health_table(record.health["features"]) if record.health and record.health.get("features") else None,
        importance=importance(record, record.importance) if record.importance is not None else None,
    )
    if not report:
        return found
    entries = [words.worst(record, entry) for entry in report["worst"]]
    others = [(HELD.get(split, f"{split} rows"), other) for split, other in record.splits.items() if split != record.split]
    return replace(
        found,
        split=HELD.get(record.split or "", f"{record.split} rows"),
        passages=passages(report["space"], report["funnel"], record.steps()),
        passage=tables.passage_table(report["space"], report["funnel"], report["rows"]),
        stages=[_stage(record, name) for name in record.schema.stage_names],
        others=[(title, tables.overview_table(record, other)) for title, other in others],
        columns=[_column(record, place, name) for place, name in enumerate(report["slices"], start=1)],
        worst=(entries[: words.MOST], max(0, len(entries) - words.MOST)),
        truth=tables.truth_table(record, report["truth"]) if report.get("truth") else None,
    )


def _facts(record: Record) -> list[tuple[str, str]]:
    manifest, report = record.manifest, record.report
    held = manifest.get("validation_rows")
    rows = f"{count(manifest.get('training_rows'))} training"
    rows += f", {count(held)} validation" if held else ""
    rows += f", {count(record.splits['test']['rows'])} test" if "test" in record.splits and record.data is None else ""
    found = [
        ("data", f"{manifest.get('data', 'not noted')}{' (simulated)' if record.simulated else ''}"),
        ("rows", rows),
        *([("judged on", f"{count(report['rows'])} {HELD[record.split or 'test']} of {record.data}")] if record.data else []),
        ("date", _date(manifest)),
        ("features", f"{len(record.schema.features)}"),
    ]
    if report:
        drawn = report["drawn"]
        unit = f"{count(drawn['count'])} {drawn['unit']} values" if report["group_by"] else f"{count(drawn['count'])} rows"
        found.append(("intervals", f"{plain_percent(report['level'])}, bootstrap over {unit}"))
    return found


def _date(manifest: dict[str, Any]) -> str:
    try:
        return f"{datetime.fromisoformat(manifest['ended']):%d %B %Y, %H:%M %Z}".lstrip("0").strip()
    except (KeyError, TypeError, ValueError):
        return "not noted"


def _of(record: Record, stage: str) -> list[Probability]:
    return [probability for probability in record.probabilities if probability.stage == stage]


def _stage(record: Record, name: str) -> Stage:
    report = record.report
    probabilities = _of(record, name)
    scores = [report[p.kind][name] for p in probabilities]
    charts = []
    for probability, one in zip(probabilities, scores, strict=True):
        curves = report["curves"].get(probability.kind, {}).get(name) or {}
        if curves.get("roc"):
            charts.append(roc(probability, one, curves["roc"]))
        if curves.get("calibration"):
            charts.append(calibration(probability, curves["calibration"], report["level"]))
    return Stage(
        name=name,
        formulas=[p.formula for p in probabilities],
        sentences=[(p.formula, words.headline(p, one)) for p, one in zip(probabilities, scores, strict=True)],
        figures=tables.figures_table(probabilities, scores, report["drawn"]["unit"]),
        charts=charts,
        collapsed=name in report["constant"],
    )


def _column(record: Record, place: int, name: str) -> Column:
    report, ends = record.report, record.ends()
    slices = report["slices"][name]
    # The steps, and what they lead to: what lies between follows from these.
    judged = list(record.steps())
    judged += [p for p in record.probabilities if p.stage in ends and p.kind == "cumulative" and p not in judged]
    whole = {step["stage"]: step for step in report["funnel"]}
    charts = (
        [dots(place, name, p, slices, whole=report[p.kind][p.stage], level=report["level"]) for p in judged] if slices else []
    )
    drawn = [lost(place, name, stage, slices) for stage in ends]
    return Column(
        name=name,
        slices=len(slices),
        tables=[tables.slices_table(name, probability, slices) for probability in judged],
        charts=charts,
        losses=[said for stage in ends for said in words.losses(name, stage, slices, whole[stage])],
        loss_charts=[chart for chart in drawn if chart is not None],
    )


def html(found: Content) -> str:
    """The page as text."""
    version = found.record.manifest.get("versions", {}).get("funnel", "")
    return render("page.html.j2", found.charts(), version, content=found, record=found.record, report=found.record.report)
