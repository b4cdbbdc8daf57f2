"""What the command line shows of a report: the same tables as in `metrics.json`, in short."""

from __future__ import annotations

from typing import Any

from funnel.screen_table import add_figures, new_table, plain, show_table
from funnel.terminal import collapsed

RATIO = "predicted_over_observed"
SAID = 5  # of the worst parts


def show_report(report: dict[str, Any], title: str) -> None:
    """A report, from its `as_dict`: every probability, its parts where there are some, and the truth where it is known."""
    _show_table(report, title)
    for column, parts in report["slices"].items():
        _show_parts(column, parts)
    for worst in report["worst"][:SAID]:
        print(f"worse: {_worse(worst)}")
    if len(report["worst"]) > SAID:
        print(f"  and {len(report['worst']) - SAID} more, in --json")
    if report["truth"] is not None:
        _show_truth(report["truth"], report["space"])


def show_importance(found: dict[str, Any]) -> None:
    """What is lost without each feature, from `importance.json`: of each probability the log loss, and the AUC."""
    print(f"what is lost without each feature, on {found['rows']:,} of {found['of']:,} {found['split']} rows")
    for one in found["probabilities"]:
        print(f"\n{one['name']}: on {one['rows']:,} rows of {one['space']} with {one['positives']:,} positives")
        table = new_table()
        table.add_column("feature", overflow="fold", max_width=32)
        add_figures(table, ("log loss", "95 %", "AUC", "95 %"))
        for name in found["order"]:
            lost = one["lost"][name]
            table.add_row(plain(name), *_lost(lost.get("log_loss"), 5), *_lost(lost.get("auc"), 4))
        show_table(table)
    if found["unneeded"]:
        print(f"of no use that is sure: {', '.join(found['unneeded'])}")


def _lost(change: dict[str, float] | None, digits: int) -> tuple[str, str]:
    if change is None:
        return "undefined", ""
    value, low, high = (f"{change[key]:+.{digits}f}" for key in ("value", "low", "high"))
    return value, f"{low} to {high}"


def _show_table(metrics: dict[str, Any], title: str) -> None:
    """Each cumulative, and under it the conditional where that is another probability."""
    table = new_table(title)
    grouped = any(scores["group_auc"] is not None for scores in metrics["cumulative"].values())
    heads = ["AUC", "95 %", *(["group AUC"] if grouped else []), "log loss", "NE", "pred/obs", "95 %"]
    table.add_column("probability", no_wrap=True)
    table.add_column("on rows of", no_wrap=True)
    add_figures(table, ("rows", "positives", *heads))
    for scores in _probabilities(metrics):
        of_group = [_number(scores["group_auc"], 4)] if grouped else []
        table.add_row(
            plain(scores["name"]),
            plain(scores["space"]),
            f"{scores['rows']:,}",
            f"{scores['positives']:,}",
            _number(scores["auc"], 4),
            _interval(scores, "auc", 3),
            *of_group,
            _number(scores["log_loss"], 5),
            _number(scores["normalized_entropy"], 4),
            _number(scores[RATIO], 3),
            _interval(scores, RATIO, 2),
        )
    show_table(table)
    for stage in metrics.get("constant", ()):
        print(f"warning: {collapsed(stage)}")


def _show_parts(column: str, parts: list[dict[str, Any]]) -> None:
    table = new_table(f"by {column}")
    table.add_column(column, overflow="fold", max_width=24)
    for head in ("probability", "on rows of"):
        table.add_column(head, no_wrap=True)
    add_figures(table, ("rows", "positives", "rate", "AUC", "95 %", "pred/obs", "95 %"))
    for part in parts:
        for place, scores in enumerate(_probabilities(part)):
            rate = scores["positives"] / scores["rows"] if scores["rows"] else None
            table.add_row(
                plain(part["value"] if place == 0 else ""),
                plain(scores["name"]),
                plain(scores["space"]),
                f"{scores['rows']:,}",
                f"{scores['positives']:,}",
                "undefined" if rate is None else f"{rate:.3%}",
                _number(scores["auc"], 4),
                _interval(scores, "auc", 3),
                _number(scores[RATIO], 3),
                _interval(scores, RATIO, 2),
                end_section=place == len(part["cumulative"]),
            )
    show_table(table)


def _show_truth(truth: dict[str, Any], space: str) -> None:
    table = new_table(f"against the truth, over all rows of {space}")
    table.add_column("probability", no_wrap=True)
    add_figures(table, ("rows", "AUC", "95 %", "best AUC", "pred/true", "95 %", "mean error", "correlation"))
    for one in truth.values():
        table.add_row(
            plain(one["name"]),
            f"{one['rows']:,}",
            _number(one["auc"], 4),
            _interval(one, "auc", 3),
            _number(one["auc_of_truth"], 4),
            _number(one["predicted_over_true"], 3),
            _interval(one, "predicted_over_true", 2),
            _number(one["mean_absolute_error"], 5),
            _number(one["correlation"], 3),
        )
    show_table(table)


def _worse(worst: dict[str, Any]) -> str:
    figure = "AUC" if worst["measure"] == "auc" else "pred/obs"
    return (
        f"{worst['column']} = {worst['value']}: {figure} of {worst['probability']} {worst['score']:.3f} "
        f"({worst['low']:.3f}-{worst['high']:.3f}), {worst['whole']:.3f} over all rows; {worst['rows']:,} rows, "
        f"{worst['positives']:,} positives"
    )


def _probabilities(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Each once: the conditional of a stage that nothing precedes is its cumulative."""
    found = []
    for stage, cumulative in metrics["cumulative"].items():
        conditional = metrics["conditional"][stage]
        found.extend([cumulative] if conditional["name"] == cumulative["name"] else [cumulative, conditional])
    return found


def _number(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _interval(scores: dict[str, Any], key: str, digits: int) -> str:
    ends = scores["intervals"].get(key)
    return "" if ends is None else f"{ends[0]:.{digits}f}-{ends[1]:.{digits}f}"
