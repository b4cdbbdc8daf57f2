"""All that a check has to say, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from funnel.doctor.finding import LEVELS, Finding, Level
from funnel.doctor.memory import Memory
from funnel.showing import html_of


@dataclass(frozen=True)
class StageRows:
    """The training rows of a stage, those held out among them.

    Attributes:
        given: What the rows are called that its conditional is about: the parent, `click without direct`, or the space.
        rows: How many these are, with a known label.
        positives: Those of them that reached the stage.
        rate: The share of the former that did: the conditional; None where there are none.
        per_batch: Positives to expect in a batch of `train.batch_size` rows.
        unknown: Rows of all of which it is not known whether they reached it.
    """

    given: str
    rows: int
    positives: int
    rate: float | None
    per_batch: float
    unknown: int = 0


@dataclass(frozen=True)
class Checkup:
    """What `funnel check` found.

    Attributes:
        space: What one row is.
        stages: The stages' names.
        features: How many.
        data: Where the rows are.
        rows: Training rows that can be used, those held out among them; 0 where the data cannot be read.
        policy: What becomes of labels that contradict the order of the stages: `inconsistent_labels`.
        inconsistent: By stage: training rows that had it without the one before.
        by_stage: By stage: its training rows; empty where the data cannot be read.
        examined: Training rows in which leaks and drift were looked for.
        findings: Errors first.
        memory: What the embedding tables take; None where the data cannot be read.
    """

    space: str
    stages: tuple[str, ...]
    features: int
    data: str
    rows: int
    policy: str
    inconsistent: dict[str, int]
    by_stage: dict[str, StageRows]
    examined: int
    findings: tuple[Finding, ...]
    memory: Memory | None = None

    def __repr__(self) -> str:
        found = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level in LEVELS if (n := self.count(level)) or level != "note")
        return f"<Checkup of {self.data}: {self.rows:,} training rows, {found}>"

    def _repr_html_(self) -> str:
        return html_of(self)

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return not self.count("error")

    def count(self, level: Level) -> int:
        """How many findings have a level."""
        return sum(finding.level == level for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "space": self.space,
            "stages": list(self.stages),
            "features": self.features,
            "data": self.data,
            "rows": self.rows,
            "positives": {name: stage.positives for name, stage in self.by_stage.items()},
            "inconsistent_labels": {"policy": self.policy, "rows": dict(self.inconsistent)},
            "by_stage": {name: asdict(stage) for name, stage in self.by_stage.items()},
            "examined": self.examined,
            "ok": self.ok,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [asdict(finding) for finding in self.findings],
            "memory": None if self.memory is None else self.memory.as_dict(),
        }
