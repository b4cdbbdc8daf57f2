"""What the figures say, in sentences: a stage's scores, the worst slices, and where rows are lost."""

from __future__ import annotations

import inspect
import math
from typing import Any

from funnel.reporting.figures import FIGURES, NBSP, TIMES, count, counted, digits, percent, ratio, score, span, with_interval
from funnel.reporting.record import Probability, Record

MOST = 8  # sentences about slices
EACH = 3  # sentences about losses, and about gains, of one stage by one column
SURE = 2.0  # standard errors of a count of positives that a loss must come to


def headline(probability: Probability, scores: dict[str, Any]) -> str:
    """One sentence: how well it ranks, on which rows, and whether it is calibrated."""
    over = f"{count(scores['rows'])} {probability.space} rows"
    positives = counted(scores["positives"], "positive")
    if scores["auc"] is None:
        return f"On {over} with {positives}, no AUC is defined{_calibrated(scores, prefix='; ')}."
    interval = scores["intervals"].get("auc")
    found = f"AUC {with_interval(scores['auc'], interval, 3)} on {over} with {positives}"
    if interval is not None and interval[0] <= 0.5 <= interval[1]:
        found += ", not surely better than chance"
    return f"{found}{_calibrated(scores, prefix='; ')}."


def _calibrated(scores: dict[str, Any], prefix: str) -> str:
    value, interval = scores["predicted_over_observed"], scores["intervals"].get("predicted_over_observed")
    if value is None:
        return ""
    found = f"{prefix}predicted / observed {with_interval(value, interval, 2)}"
    verdict = calibrated(scores)
    return f"{found}: {verdict}" if verdict else found


def calibrated(scores: dict[str, Any]) -> str:
    """Whether a probability is calibrated, in words; empty where that cannot be said."""
    value, interval = scores["predicted_over_observed"], scores["intervals"].get("predicted_over_observed")
    if value is None or interval is None:
        return ""
    off = percent(abs(value - 1), 2)
    if interval[0] > 1:
        return f"too high, by {off}"
    if interval[1] < 1:
        return f"too low, by {off}"
    error, chance = scores.get("calibration_error"), scores.get("calibration_error_by_chance")
    ends = scores["intervals"].get("calibration_error")
    if None not in (error, chance) and ends is not None and ends[0] > chance:
        return (
            f"calibrated on the whole, but not evenly (off by {percent(error, 2)} on average, {percent(chance, 2)} by chance)"
        )
    return "calibrated, as far as so many positives can tell"


def worst(record: Record, entry: dict[str, Any]) -> str:
    """A slice on which a probability is surely worse: its figure, and that of all rows."""
    probability = next(p for p in record.probabilities if p.stage == entry["stage"] and _same(p, entry["kind"], record))
    interval = None if entry["low"] is None or entry["high"] is None else [entry["low"], entry["high"]]
    places = digits(interval)
    about = f" ({span(interval, places)})" if interval is not None else ""
    measure = FIGURES[entry["measure"]][0]
    return (
        f"{entry['column']} = {entry['value']}: {measure} of {probability.words} {score(entry['score'], places)}{about}, "
        f"{score(entry['whole'], places)} over all rows; {counted(entry['rows'], 'row')}, "
        f"{counted(entry['positives'], 'positive')}"
    )


def _same(probability: Probability, kind: str, record: Record) -> bool:
    """A stage given the space has one probability, of both kinds."""
    alone = sum(other.stage == probability.stage for other in record.probabilities) == 1
    return alone or probability.kind == kind


def losses(column: str, stage: str, slices: list[dict[str, Any]], whole: dict[str, Any]) -> list[str]:
    """The slices that cost the most rows of a stage, then those that bring the most, each with the steps that it comes from.

    Args:
        column: What the rows are sliced by.
        stage: The stage that they are lost on the way to.
        slices: All of the column.
        whole: What was observed of the stage on all rows: an entry of `funnel`.
    """
    found = []
    for one in slices:
        steps = one["lost"].get(stage) or []
        values = [step["observed"] for step in steps]
        mean = whole["observed_rate"]
        if not steps or not mean:
            continue
        expected = one["rows"] * mean
        factor = 0.0 if None in values else math.exp(sum(values))
        gain = expected * (factor - 1)
        if abs(gain) > SURE * math.sqrt(expected):
            found.append((gain, _loss(f"{column} = {one['value']}", stage, steps, factor, gain)))
    found.sort(key=lambda pair: pair[0])
    return [said for gain, said in found if gain < 0][:EACH] + [said for gain, said in found[::-1] if gain > 0][:EACH]


def _loss(where: str, stage: str, steps: list[dict[str, Any]], factor: float, gain: float) -> str:
    about = f"about {count(round(abs(gain)))} {'fewer' if gain < 0 else 'more'} than at the rate of all rows"
    if any(step["observed"] is None for step in steps):
        none = next(step["stage"] for step in steps if step["observed"] is None)
        return f"{where}: none of its rows reached {none}, so P({stage}) is 0; {about}"
    found = f"{where}: P({stage}) is {ratio(factor)} times that of all rows, {about}"
    return found if len(steps) == 1 else f"{found}; {apart(steps)}"


def apart(steps: list[dict[str, Any]]) -> str:
    """From which steps a gain or a loss comes: as shares where all go one way, else as the factor of each."""
    moved = [step for step in steps if abs(step["observed"]) > 1e-9]
    total = sum(step["observed"] for step in moved)
    verb = "gained" if total > 0 else "lost"
    if all((step["observed"] > 0) == (total > 0) for step in moved):
        shares = [(step["stage"], step["observed"] / total) for step in moved]
        return f"of that, {_listed(shares, verb)}"
    ups = [f"{step['stage']} ({TIMES} {ratio(math.exp(step['observed']))})" for step in moved if step["observed"] > 0]
    downs = [f"{step['stage']} ({TIMES} {ratio(math.exp(step['observed']))})" for step in moved if step["observed"] < 0]
    gains, losses_ = f"gained at {_and(ups)}", f"lost at {_and(downs)}"
    return f"it is {losses_}, but {gains}" if total < 0 else f"it is {gains}, but {losses_}"


def _listed(shares: list[tuple[str, float]], verb: str) -> str:
    """Shares one after the other; what is said of the first is not said again."""
    said = [
        f"{100 * share:.0f}{NBSP}%{'' if number else f' is {verb}'} at {name}" for number, (name, share) in enumerate(shares)
    ]
    return ", ".join(said)


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def objective(record: Record) -> tuple[str, list[str]]:
    """What was minimised: the objective's own description, and the rows that each stage's loss is about."""
    schema = record.schema
    described = (inspect.getdoc(type(schema.objective)) or "").splitlines()[0]
    losses_ = [f"{name}: over {space}" for name, space in schema.loss_spaces.items()]
    return f"{schema.objective.kind}: {described}", losses_


def unobservable(record: Record) -> str:
    """What no figure of the page can tell."""
    first = next((probability for probability in record.steps() if probability.kind == "conditional"), None)
    if first is None:
        return "The figures are of the rows that were logged: of others, they tell nothing."
    place = record.schema.topology[record.schema.stage_names.index(first.stage)]
    parent = record.schema.space if place.parent < 0 else record.schema.stage_names[place.parent]
    known = " These rows are simulated, so that it is known all the same: see the truth." if record.report.get("truth") else ""
    return (
        f"What the figures cannot tell: {first.formula} is judged on {first.space} rows alone; how many of the others would "
        f"have gone on to {first.stage}, had they got as far as {parent}, no log can show.{known}"
    )
