"""Rows that cannot be used, and labels that contradict the order of the stages: from the manifest of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from funnel.data.origin import patterns_of
from funnel.data.store import Store
from funnel.doctor.finding import Finding, Level
from funnel.schema.data import FACTS, Held, SkipBadRows
from funnel.schema.funnel_schema import FunnelSchema


def rows_findings(schema: FunnelSchema, store: Store) -> Iterator[Finding]:
    """What every row was checked for.

    Args:
        schema: As it was declared.
        store: The rows that were left, prepared leniently.
    """
    for split, found in read_splits(schema, store).items():
        for source, skipped in found["skipped"].items():
            if split == "train" or not _shared(schema, source, split):
                yield from _skipped(schema, split, source, skipped)
        yield from _contradictions(schema, split, found)
        yield from _elsewhere(schema, split, found)


def read_splits(schema: FunnelSchema, store: Store) -> dict[Any, dict[str, Any]]:
    """What the manifest says of each split that was read by itself: validation rows are mostly training rows held out."""
    alone = isinstance(schema.data.validation, Held)
    return {split: found for split, found in store.manifest["splits"].items() if split != "validation" or alone}


def _shared(schema: FunnelSchema, source: str, split: Any) -> bool:
    """Whether a split's files are those of the training rows, of which all was said."""
    return patterns_of(schema, source, split) == patterns_of(schema, source, "train")


def _skipped(schema: FunnelSchema, split: str, source: str, skipped: dict[str, Any]) -> Iterator[Finding]:
    bad_rows = schema.data.bad_rows
    level: Level = "error"
    if not isinstance(bad_rows, SkipBadRows):
        then = "A fit stops at the first (data.bad_rows: error)."
    elif skipped["rows"] > bad_rows.max_share * skipped["of"]:
        then = f"A fit stops: at most {bad_rows.max_share:.3%} may be left out (data.bad_rows.max_share)."
    else:
        level, then = "warning", "A fit leaves them out (data.bad_rows: skip)."
    for reason, rows in skipped["reasons"].items():
        example = skipped["examples"][reason][0]
        counted = f"{reason} ({rows:,})"
        whose = "rows, those to test on among them," if source == FACTS and schema.data.test is not None else f"{split} rows"
        message = f"{skipped['rows']:,} of {skipped['of']:,} {whose} cannot be used: {counted}. {then} For example: {example}"
        yield Finding(level, f"source {source}", message)


def _rows(found: dict[str, Any]) -> int:
    """How many were read of the split: in its files there may be those of another one."""
    return int(found["read"]) - int(found.get("apart", 0))


def _elsewhere(schema: FunnelSchema, split: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Labels of stages that a row's domain is said to lack."""
    for stage, domains in zip(schema.stages, schema.domains, strict=True):
        if domains is not None and (rows := found.get("elsewhere", {}).get(stage.name)):
            message = (
                f"{rows:,} of {_rows(found):,} {split} rows have {stage.label} = 1 where {schema.domain_feature} is not "
                f"{' or '.join(sorted(domains))}, expected none: the stage is not there, and these labels are not looked at. "
                "Name all its domains, or mend the labels."
            )
            yield Finding("warning", f"stage {stage.name}", message)


def _contradictions(schema: FunnelSchema, split: str, found: dict[str, Any]) -> Iterator[Finding]:
    policy = schema.inconsistent_labels
    then = {
        "error": "A fit refuses them. Mend the labels, or declare `inconsistent_labels: drop`, `and` or `promote`.",
        "drop": "They are left out (inconsistent_labels: drop).",
        "and": "The later label is taken away (inconsistent_labels: and).",
        "promote": "The earlier stage is added (inconsistent_labels: promote).",
    }[policy]
    level: Level = "error" if policy == "error" else "note"
    counted = found["inconsistent_labels"]["rows"]
    for stage, place in zip(schema.stages, schema.topology, strict=True):
        about = f"stage {stage.name}"
        if rows := counted.get(stage.name):
            before = schema.stages[place.parent]
            message = (
                f"{rows:,} of {_rows(found):,} {split} rows have {stage.label} = 1 with {before.label or before.name} = 0, "
                f"expected {stage.name} only after {before.name}. {then}"
            )
            yield Finding(level, about, message)
        for other in (schema.stages[place] for place in place.excluded):
            if rows := counted.get(f"{stage.name} unless {other.name}"):
                message = (
                    f"{rows:,} of {_rows(found):,} {split} rows have both {stage.label} = 1 and {other.label or other.name} = "
                    f"1, expected {stage.name} only without {other.name}. {then}"
                )
                yield Finding(level, about, message)
