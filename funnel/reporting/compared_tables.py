"""The tables of a comparison: a column for each run; below its figure stands how far that is from the first run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funnel.reporting.changes import verdict
from funnel.reporting.figures import FIGURES, UNDEFINED, below, count, difference, digits, percent, score, shown
from funnel.reporting.record import Probability, Record
from funnel.reporting.tables import Table, table

Marks = dict[tuple[int, int], str]


def runs_table(names: Sequence[str], records: Sequence[Record]) -> Table:
    """What the runs are."""
    rows = []
    for name, record in zip(names, records, strict=True):
        manifest = record.manifest
        rows.append(
            [
                name, record.path_in_words, record.schema.objective.kind, count(manifest.get("training_rows")),
                count(manifest.get("steps")), str(manifest.get("seed", UNDEFINED)), str(manifest.get("ended", UNDEFINED))[:10],
            ]
        )  # fmt: skip
    return table(
        ["run", "funnel", "objective", "training rows", "steps", "seed", "date"], rows, [shown(str(r.path)) for r in records]
    )


def declared_table(names: Sequence[str], differing: Sequence[tuple[str, list[str]]]) -> Table:
    """The keys of the schemas that have not one value in all runs."""
    return table(["key", *names], [[path, *values] for path, values in differing])


def figures_table(names: Sequence[str], one: Mapping[str, Any], unit: str) -> Table:
    """All figures of a probability."""
    first = one["scores"][0]
    rows = [["rows judged", *(count(scores["rows"]) for scores in one["scores"])]]
    rows.append(["positives", *(count(scores["positives"]) for scores in one["scores"])])
    notes = [f"{one['space']} rows whose label is known", ""]
    marks: Marks = {}
    for measure, (title, meaning) in FIGURES.items():
        if all(scores[measure] is None for scores in one["scores"]) and measure == "group_auc":
            continue
        cells = []
        for run, (scores, changes) in enumerate(zip(one["scores"], one["changes"], strict=True)):
            change = changes.get(measure)
            cells.append(_cell(measure, scores, change, first["intervals"].get(measure)))
            _mark(marks, len(rows), run + 1, measure, change)
        rows.append([title, *cells])
        notes.append(meaning.format(unit=unit))
    return table(["", *names], rows, notes, marks=marks)


def slices_table(
    column: str, names: Sequence[str], probability: Probability, slices: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> Table:
    """AUC by slice.

    Args:
        column: What the rows are sliced by.
        names: Of the runs.
        probability: What is judged.
        slices: Each with the entry of the probability.
    """
    rows: list[list[str]] = []
    notes: list[str] = []
    marks: Marks = {}
    for number, (part, one) in enumerate(slices):
        cells = []
        for run, (scores, changes) in enumerate(zip(one["scores"], one["changes"], strict=True)):
            cells.append(_cell("auc", scores, changes.get("auc"), None, brief=True))
            _mark(marks, number, run + 2, "auc", changes.get("auc"))
        counts = one["scores"][0]
        rows.append([part["value"], f"{count(counts['rows'])}\n{count(counts['positives'])}", *cells])
        notes.append(percent(part["share"]))
    title = f"AUC of {probability.formula}"
    return table([column, "rows, positives", *names], rows, notes, title=title, marks=marks)


def truth_table(names: Sequence[str], truth: Sequence[Mapping[str, Any]], by_name: Mapping[str, Probability]) -> Table:
    """Predictions against the true probabilities, over all rows."""
    rows: list[list[str]] = []
    notes: list[str] = []
    marks: Marks = {}
    for one in truth:
        formula = by_name[one["name"]].formula
        for measure, title in (("auc", "AUC"), ("predicted_over_true", "predicted / true")):
            cells = []
            for run, (scores, changes) in enumerate(zip(one["scores"], one["changes"], strict=True)):
                cells.append(_cell(measure, scores, changes.get(measure), scores["intervals"].get(measure)))
                _mark(marks, len(rows), run + 1, measure, changes.get(measure))
            rows.append([f"{formula}: {title}", *cells])
            best = f"; the truth itself: {score(one['scores'][0]['auc_of_truth'])}" if measure == "auc" else ""
            notes.append(f"{count(one['scores'][0]['rows'])} rows{best}")
        errors = [percent(scores["mean_absolute_error"], 2) for scores in one["scores"]]
        rows.append([f"{formula}: mean error", *errors])
        notes.append("mean distance of predicted and true")
    return table(["", *names], rows, notes, marks=marks)


def _cell(
    measure: str,
    scores: Mapping[str, Any],
    change: dict[str, Any] | None,
    usual: Sequence[float] | None,
    *,
    brief: bool = False,
) -> str:
    """A figure, its interval, and the difference."""
    value, interval = scores[measure], scores["intervals"].get(measure)
    if value is None:
        return UNDEFINED
    places = digits(interval or usual, 5 if measure in ("log_loss", "calibration_error") else 3)
    found = score(value, places) if brief else below(value, interval, places)
    return found if change is None else f"{found}\n{difference(change)}"


def _mark(marks: Marks, row: int, column: int, measure: str, change: dict[str, Any] | None) -> None:
    if change is not None:
        marks[row, column] = f"change {verdict(measure, change)}"
