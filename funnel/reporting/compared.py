"""The page of a comparison: runs on the same rows, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from funnel.reporting.canvas import Chart
from funnel.reporting.changes import MOST, changed, levels, verdict
from funnel.reporting.compared_tables import declared_table, figures_table, runs_table, slices_table, truth_table
from funnel.reporting.figures import count, difference, plain_percent, shown
from funnel.reporting.page import HELD
from funnel.reporting.record import Probability, Record, fit_to_show
from funnel.reporting.tables import Table
from funnel.reporting.template import render
from funnel.reporting.words import unobservable
from funnel.schema.differences import differences


@dataclass(frozen=True)
class Subject:
    """What there is to say about one probability.

    Attributes:
        probability: The probability.
        sentences: Name and verdict of each run but the first.
        figures: All figures of all runs.
        charts: What they are, and by how much they differ.
    """

    probability: Probability
    sentences: list[tuple[str, str]]
    figures: Table
    charts: list[Chart]


@dataclass(frozen=True)
class Part:
    """What there is to say about the slices by one column."""

    name: str
    slices: int
    charts: list[Chart]
    tables: list[Table]


@dataclass(frozen=True)
class Compared:
    """All that the template shows.

    Attributes:
        comparison: As it is in JSON, its text made fit to be shown.
        names: Of the runs.
        title: Of the page.
        facts: What stands at the top.
        cannot: What no figure can tell.
        runs: What the runs are.
        declared: What their schemas differ in.
        subjects: By probability.
        parts: By column.
        truth: Predictions against the truth, where it is known.
        version: Of the library.
    """

    comparison: dict[str, Any]
    names: list[str]
    title: str
    facts: list[tuple[str, str]]
    cannot: str
    runs: Table
    declared: Table | None
    subjects: list[Subject]
    parts: list[Part]
    truth: Table | None
    version: str

    def charts(self) -> list[Chart]:
        """All charts, in the order of the page."""
        found = [chart for subject in self.subjects for chart in subject.charts]
        return found + [chart for part in self.parts for chart in part.charts]


def compared(comparison: Mapping[str, Any], records: Sequence[Record]) -> Compared:
    """Draw and word a comparison.

    Args:
        comparison: As `Comparison.as_dict` has it.
        records: The run folders, in the order of its runs.
    """
    # As `metrics.json` is read: lists for tuples, and texts that can be shown.
    tree: dict[str, Any] = fit_to_show(json.loads(json.dumps(comparison)))
    names, level, first = tree["runs"], tree["level"], records[0]
    by_name = {probability.name: probability for probability in first.probabilities}
    subjects = []
    for one in tree["probabilities"]:
        probability = by_name[one["name"]]
        others, changes = names[1:], one["changes"][1:]
        charts = [
            levels(probability, names, one["scores"], level),
            changed(
                f"changes-{probability.name}",
                f"{probability.formula}: differences",
                others,
                changes,
                first=names[0],
                level=level,
            ),
        ]
        sentences = [(name, _verdict(change)) for name, change in zip(others, changes, strict=True)]
        subjects.append(Subject(probability, sentences, figures_table(names, one, tree["drawn"]["unit"]), charts))
    differing = [(shown(path), [shown(value) for value in values]) for path, values in differences([r.schema for r in records])]
    return Compared(
        comparison=tree,
        names=names,
        title=first.schema.name,
        facts=_facts(tree),
        cannot=unobservable(first),
        runs=runs_table(names, records),
        declared=declared_table(names, differing) if differing else None,
        subjects=subjects,
        parts=[_part(place, name, tree, subjects) for place, name in enumerate(tree["slices"], start=1)],
        truth=truth_table(names, tree["truth"], by_name) if tree["truth"] else None,
        version=first.manifest.get("versions", {}).get("funnel", ""),
    )


def _facts(tree: dict[str, Any]) -> list[tuple[str, str]]:
    drawn = tree["drawn"]
    unit = f"{count(drawn['count'])} {drawn['unit']} values" if tree["group_by"] else f"{count(drawn['count'])} rows"
    left_out = f"; {count(tree['left_out'])} more that a run cannot use" if tree["left_out"] else ""
    return [
        ("data", tree["data"]),
        ("rows", f"{count(tree['rows'])} {HELD.get(tree['split'], tree['split'])}{left_out}"),
        ("intervals", f"{plain_percent(tree['level'])}, bootstrap over {unit}, drawn once for all runs"),
    ]


def _verdict(changes: dict[str, Any]) -> str:
    """Whether a run ranks and predicts better than the first, in words."""
    said = []
    for measure, title in (("auc", "AUC"), ("normalized_entropy", "normalised entropy")):
        change = changes.get(measure)
        if change is None:
            said.append(f"{title}: not known")
            continue
        found = verdict(measure, change)
        told = {"better": "surely better", "worse": "surely worse", "unsure": "no sure difference"}[found]
        said.append(f"{title} {difference(change)}: {told}")
    return f"{'; '.join(said)}."


def _part(place: int, column: str, tree: dict[str, Any], subjects: Sequence[Subject]) -> Part:
    slices, names, level = tree["slices"][column], tree["runs"], tree["level"]
    charts, tables = [], []
    more = f", {MOST} largest of {len(slices)}" if len(slices) > MOST else ""
    for number, subject in enumerate(subjects):
        probability = subject.probability
        values = [one["value"] for one in slices]
        for run, name in enumerate(names[1:], start=1):
            changes = [one["probabilities"][number]["changes"][run] for one in slices]
            title = f"{probability.formula} by {column}" + (f", {name}" if len(names) > 2 else "")
            key = f"slices-{place}-{probability.name}-{run}"
            charts.append(changed(key, title, values, changes, first=names[0], level=level, more=more))
        tables.append(slices_table(column, names, probability, [(one, one["probabilities"][number]) for one in slices]))
    return Part(column, len(slices), charts, tables)


def html(found: Compared) -> str:
    """The page as text."""
    return render("comparison.html.j2", found.charts(), found.version, content=found, comparison=found.comparison)
