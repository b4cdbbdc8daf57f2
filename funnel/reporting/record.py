"""What a report is made of: all that a run folder says, with its text made fit to be shown."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from funnel.errors import RunError
from funnel.locations.location import Location, location
from funnel.locations.transfer import called, fetch_file
from funnel.reporting.figures import shown
from funnel.run_files import (
    HEALTH,
    HISTORY,
    IMPORTANCE,
    IMPORTANCE_FORMAT,
    LEARNT,
    MANIFEST,
    METRICS,
    METRICS_FORMAT,
    SCHEMA,
    require_files,
    unreadable,
)
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.reader import load_schema


@dataclass(frozen=True)
class Probability:
    """One of the probabilities that a funnel predicts.

    Attributes:
        stage: The stage.
        kind: `conditional` or `cumulative`.
        name: Its name in predictions: `buy_given_click`.
        formula: As a formula: `P(buy | click)`.
        words: In a sentence: `buy given click`.
        space: What the rows are that it is judged on: `click`.
    """

    stage: str
    kind: str
    name: str
    formula: str
    words: str
    space: str


@dataclass(frozen=True)
class Record:
    """A run folder, read.

    Attributes:
        path: The folder.
        schema: The declaration.
        yaml: Its text.
        learnt: What the training rows added to it.
        history: By epoch: losses, validation scores.
        splits: By split: the report, as `metrics.json` has it.
        manifest: Versions, seed, data, counts.
        health: What the doctor said; None where the fit kept nothing.
        data: Where the rows are from that the figures are of, where they are others than those of the fit.
        importance: How much each feature matters; None where that was not measured.
    """

    path: Location
    schema: FunnelSchema
    yaml: str
    learnt: Learnt
    history: list[dict[str, Any]]
    splits: dict[str, Any]
    manifest: dict[str, Any]
    health: dict[str, Any] | None
    data: str | None = None
    importance: dict[str, Any] | None = None

    def judged(self, split: str, report: dict[str, Any], data: str) -> Record:
        """The same run with the figures of other rows.

        Args:
            split: Which rows of the data.
            report: As `metrics.json` has it.
            data: Where the rows are from.
        """
        return replace(self, splits={split: fit_to_show(report)}, data=shown(data))

    @property
    def split(self) -> str | None:
        """The split that the page is about: the test rows, or else those held out; None where nothing was evaluated."""
        return next((split for split in ("test", "validation", *self.splits) if split in self.splits), None)

    @property
    def report(self) -> dict[str, Any]:
        """The figures of that split."""
        return self.splits[self.split] if self.split is not None else {}

    @property
    def simulated(self) -> bool:
        """Whether the rows were drawn from a known truth."""
        return bool(self.manifest.get("simulated")) or any(report.get("truth") for report in self.splits.values())

    @property
    def path_in_words(self) -> str:
        """The space and the stages: one after the other where each is given the one before."""
        names = self.schema.stage_names
        chain = all(place.parent == stage - 1 and not place.excluded for stage, place in enumerate(self.schema.topology))
        return " → ".join((self.schema.space, *names)) if chain else f"{self.schema.space} → {', '.join(names)}"

    @cached_property
    def probabilities(self) -> tuple[Probability, ...]:
        """Every probability once: by stage its cumulative, then its conditional where that is another one."""
        schema, found = self.schema, []
        for stage, (name, place) in enumerate(zip(schema.stage_names, schema.topology, strict=True)):
            found.append(Probability(name, "cumulative", name, f"P({name})", name, schema.space))
            if place.is_partial:
                given = [] if place.parent < 0 else [schema.stage_names[place.parent]]
                given += [f"not {schema.stage_names[other]}" for other in place.excluded]
                space = schema.conditional_spaces[stage]
                formula, words = f"P({name} | {', '.join(given)})", f"{name} given {' and '.join(given)}"
                found.append(Probability(name, "conditional", schema.conditional_names[stage], formula, words, space))
        return tuple(found)

    def steps(self) -> tuple[Probability, ...]:
        """By stage: its conditional; of a stage given the space, that is the cumulative."""
        last = {probability.stage: probability for probability in self.probabilities}
        return tuple(last[name] for name in self.schema.stage_names)

    def ends(self) -> tuple[str, ...]:
        """The stages that nothing comes after."""
        before = {other for place in self.schema.topology for other in (place.parent, *place.branches)}
        return tuple(name for stage, name in enumerate(self.schema.stage_names) if stage not in before)


def read_record(path: str | Path) -> Record:
    """Read a run folder.

    Raises:
        RunError: It is missing, not whole, or its figures are of another format.
    """
    place = location(path)
    needed = (SCHEMA, LEARNT, HISTORY, METRICS, MANIFEST)
    require_files(place, needed)
    if isinstance(place, Path):
        return _read_folder(place, place)
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder, called(Path(folder), place) as copy:
        for name in (*needed, HEALTH, IMPORTANCE):
            if (place / name).is_file():
                fetch_file(place / name, copy / name)
        return _read_folder(copy, place)


def _read_folder(path: Path, place: Location) -> Record:
    schema = load_schema(path / SCHEMA, layers=False)
    try:
        yaml = (path / SCHEMA).read_text(encoding="utf-8")
        learnt = Learnt.model_validate_json((path / LEARNT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path / LEARNT, error) from None
    history, metrics, manifest = (_read(path / name) for name in (HISTORY, METRICS, MANIFEST))
    health, importance = (_read(path / name) if (path / name).is_file() else None for name in (HEALTH, IMPORTANCE))
    if importance is not None and importance.get("format") != IMPORTANCE_FORMAT:
        importance = None  # of another version: it can be measured again
    splits = _splits(path / METRICS, metrics)
    lines = "\n".join(map(shown, yaml.splitlines()))
    return Record(place, schema, lines, learnt, history, splits, manifest, health, importance=importance)


def _splits(where: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    if not metrics:
        return {}
    if metrics.get("format") != METRICS_FORMAT or not isinstance(metrics.get("splits"), dict):
        got = repr(metrics["format"]) if "format" in metrics else "none"
        raise RunError(
            f"{where}: format: got {got}, expected {METRICS_FORMAT}: it was written by another version of funnel. Fit again "
            "with this one, or make the report with that one."
        )
    return dict(metrics["splits"])


def _read(path: Path) -> Any:
    try:
        return fit_to_show(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def fit_to_show(value: Any) -> Any:
    """All texts of a tree, the keys among them."""
    match value:
        case dict():
            return {shown(str(key)): fit_to_show(inner) for key, inner in value.items()}
        case list():
            return [fit_to_show(inner) for inner in value]
        case str():
            return shown(value)
    return value
