"""The tables of the page: rows of cells, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from funnel.reporting.figures import FIGURES, NBSP, UNDEFINED, below, count, digits, percent, score, small
from funnel.reporting.record import Probability, Record


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        heads: Of the columns.
        rows: Of cells; the first of each is the row's head.
        notes: By row: what stands under its head.
        marks: By row and column: a class for its looks.
        groups: What stands above the heads, and over how many columns; empty where nothing does.
        title: Above all; empty where the page says it.
    """

    heads: list[str]
    rows: list[list[str]]
    notes: list[str]
    marks: dict[tuple[int, int], str]
    groups: list[tuple[str, int]]
    title: str


def table(heads: list[str], rows: list[list[str]], notes: list[str] | None = None, **more: Any) -> Table:
    """A table, without notes, marks, groups and a title where none are given."""
    return Table(heads, rows, notes or [""] * len(rows), more.get("marks", {}), more.get("groups", []), more.get("title", ""))


def passage_table(space: str, steps: list[dict[str, Any]], rows: float) -> Table:
    """The funnel: how many reached each stage, and the rates; predicted ones stand below those observed."""
    heads = ["", "rows", f"of all {space} rows", "of the stage before"]
    found = [[space, count(rows), "", ""]]
    for step in steps:
        numbers = f"{count(step['observed'])}\n{count(step['predicted'])}"
        rates = [f"{percent(step[f'observed_{of}'])}\n{percent(step[f'predicted_{of}'])}" for of in ("rate", "step")]
        found.append([step["stage"], numbers, *rates])
    return table(heads, found)


def figures_table(probabilities: list[Probability], scores: list[dict[str, Any]], unit: str) -> Table:
    """All figures of a stage: a row each, with a column for each of its probabilities."""
    rows = [
        ["rows judged", *(f"{count(one['rows'])}\n{p.space}" for p, one in zip(probabilities, scores, strict=True))],
        ["positives", *(count(one["positives"]) for one in scores)],
    ]
    notes = ["those whose label is known", ""]
    for measure, (title, meaning) in FIGURES.items():
        if measure == "group_auc" and all(one["group_auc"] is None for one in scores):
            continue
        rows.append([title, *(_figure(one, measure) for one in scores)])
        notes.append(meaning.format(unit=unit))
    return table(["", *(p.formula for p in probabilities)], rows, notes)


def _figure(scores: dict[str, Any], measure: str) -> str:
    value, interval = scores[measure], scores["intervals"].get(measure)
    if value is None:
        return UNDEFINED
    if measure == "calibration_error":
        ends = f"\n{percent(interval[0], 2)} to {percent(interval[1], 2)}" if interval is not None else ""
        chance = scores.get("calibration_error_by_chance")
        return percent(value, 2) + ends + (f"\n{percent(chance, 2)} by chance" if chance is not None else "")
    places = digits(interval, 5 if measure == "log_loss" else 3)
    if measure == "group_auc" and scores.get("groups") is not None:
        return f"{below(value, interval, places)}\n{count(scores['groups'])} with both"
    if measure == "pr_auc" and interval is None:
        return small(value)
    return below(value, interval, places)


def overview_table(record: Record, report: dict[str, Any]) -> Table:
    """All probabilities of a split, a row each."""
    heads = ["", "rows", "positives", "AUC", "log loss", "NE", "pred. / obs."]
    rows = []
    for probability in record.probabilities:
        one = report[probability.kind][probability.stage]
        ends = one["intervals"]
        rows.append(
            [
                probability.formula, count(one["rows"]), count(one["positives"]),
                below(one["auc"], ends.get("auc"), 3), score(one["log_loss"], 5), score(one["normalized_entropy"]),
                below(one["predicted_over_observed"], ends.get("predicted_over_observed"), 2),
            ]
        )  # fmt: skip
    return table(heads, rows)


def slices_table(column: str, probability: Probability, slices: list[dict[str, Any]]) -> Table:
    """The slices of a column: AUC, and predicted over observed, of a probability; positives stand below rows."""
    rows, notes = [], []
    for one in slices:
        scores = one[probability.kind][probability.stage]
        area, over = (
            below(scores[measure], scores["intervals"].get(measure), 2) for measure in ("auc", "predicted_over_observed")
        )
        rows.append([one["value"], f"{count(scores['rows'])}\n{count(scores['positives'])}", area, over])
        notes.append(percent(one["share"]))
    return table([column, "rows, positives", "AUC", "pred. / obs."], rows, notes, title=probability.formula)


def truth_table(record: Record, truth: dict[str, Any]) -> Table:
    """Predictions against the true probabilities, over all rows."""
    heads = ["", "rows", "AUC", "AUC of the truth", "predicted / true", "mean error", "correlation"]
    rows = []
    named = {probability.stage: probability for probability in record.steps()}
    for stage, one in truth.items():
        ends = one.get("intervals") or {}
        formula = named[stage].formula if stage in named else one["name"]
        rows.append(
            [
                formula, count(one["rows"]), below(one["auc"], ends.get("auc"), 3), score(one["auc_of_truth"]),
                below(one["predicted_over_true"], ends.get("predicted_over_true"), 2),
                percent(one["mean_absolute_error"], 2), score(one["correlation"], 2),
            ]
        )  # fmt: skip
    return table(heads, rows)


DRIFTED = 0.1  # more of a feature that is missing, or unknown, than in the training rows


def health_table(features: dict[str, Any]) -> Table:
    """By feature: what share is missing, and unknown, in each split; marked where it is much more than in the training rows."""
    splits = list(features)
    heads = ["feature", *splits, *splits]
    groups = [("", 1), ("missing", len(splits)), ("unknown ids", len(splits))]
    names = list(dict.fromkeys(name for split in splits for name in features[split]))
    rows, marks = [], {}
    for number, name in enumerate(names):
        row = [name]
        for key in ("missing", "oov"):
            usual = features.get("train", {}).get(name, {}).get(key)
            for split in splits:
                share = features[split].get(name, {}).get(key)
                if share is not None and usual is not None and share - usual > DRIFTED:
                    marks[number, len(row)] = "drifted"
                row.append("" if share is None else f"{100 * share:.1f}{NBSP}%")
        rows.append(row)
    return table(heads, rows, marks=marks, groups=groups)
