"""What is proposed: stages, tables, features with their names, and what was left out, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from funnel.locations.location import Location
from funnel.proposal.after import known_after
from funnel.proposal.features import Feature, LeftOut, copies, features_of
from funnel.proposal.stages import contradictions
from funnel.proposal.star import Joined, Star
from funnel.proposal.tables import Table
from funnel.proposal.times import clock, is_moment
from funnel.proposal.words import is_person, plain_name, stage_name
from funnel.schema.data import FACTS

AGAIN = 2  # facts of each key, at least, for it to be a feature
HELD = 0.1


@dataclass(frozen=True)
class Named:
    """A feature in its place.

    Attributes:
        name: What it is called.
        source: `facts`, or a dimension's name.
        feature: What it is.
    """

    name: str
    source: str
    feature: Feature


@dataclass(frozen=True)
class Proposal:
    """A schema, and why it is as it is.

    Attributes:
        name: What the funnel is called.
        star: The tables.
        stages: The names of the stages, in order.
        root: The folder that holds all files.
        features: Those proposed.
        left_out: By source: the columns that are not.
        validation: What is held out, as a schema has it; None for nothing.
        group_by: The feature by whose values the report groups rows; None for none.
        alone: Stages that some rows have without the one before: it, that one, and the share of rows.
        skip: The share of rows that may be left out, where some cannot be used; None where all can.
    """

    name: str
    star: Star
    stages: tuple[str, ...]
    root: Location
    features: tuple[Named, ...]
    left_out: Mapping[str, tuple[LeftOut, ...]]
    validation: Mapping[str, Any] | None
    group_by: str | None
    alone: tuple[tuple[str, str, float], ...]
    skip: float | None = None

    def table(self, source: str) -> Table:
        """The table of a source."""
        return self.star.facts if source == FACTS else self.joined(source).table

    def joined(self, name: str) -> Joined:
        """A dimension by its name."""
        return next(one for one in self.star.dimensions if one.name == name)

    def without(self, reasons: Mapping[str, str]) -> Proposal:
        """The same, with some features left out, for reasons by their names."""
        left = dict(self.left_out)
        for one in self.features:
            if one.name in reasons:
                left[one.source] = (*left[one.source], LeftOut(one.feature.column, reasons[one.name]))
        kept = tuple(one for one in self.features if one.name not in reasons)
        group = self.group_by if self.group_by not in reasons else None
        return replace(self, features=kept, left_out=left, group_by=group)


def propose(star: Star, name: str, root: Location) -> Proposal:
    """Decide what becomes of each column of each table."""
    stages: list[str] = []
    for label in star.labels:
        stages.append(stage_name(label, stages))
    taken = [*stages, *(f"{name}_given_{other}" for name in stages for other in stages)]
    features: list[Named] = []
    left_out: dict[str, tuple[LeftOut, ...]] = {}
    for source, found in _by_source(star).items():
        left_out[source] = tuple(one for one in found if isinstance(one, LeftOut))
        for feature in (one for one in found if isinstance(one, Feature)):
            called = plain_name(_called(star, source, feature), taken, "" if source == FACTS else source)
            taken += [called, f"{called}_weights"]
            features.append(Named(called, source, feature))
    afterwards = known_after(star.facts, star.labels)
    moments = [name for name, column in star.facts.columns.items() if name not in afterwards and is_moment(star.facts, column)]
    return Proposal(
        name=name,
        star=star,
        stages=tuple(stages),
        root=root,
        features=tuple(features),
        left_out=left_out,
        validation=_validation(star, moments),
        group_by=_group(star, features),
        alone=tuple(contradictions(star.facts, star.labels)),
    )


def _called(star: Star, source: str, feature: Feature) -> str:
    """A key is called as the facts call it."""
    joined = next((one for one in star.dimensions if one.name == source), None)
    return joined.fact_key if joined is not None and feature.column == joined.key else feature.column


def _by_source(star: Star) -> dict[str, list[Feature | LeftOut]]:
    facts = star.facts
    without = dict.fromkeys(star.labels, "")
    for joined in star.dimensions:
        repeated = copies(facts, joined.table, joined.key, joined.fact_key)
        without |= dict.fromkeys(repeated, f"the same as that of {joined.name}")
        without[joined.fact_key] = ""
    without = known_after(facts, star.labels) | without
    found = {FACTS: features_of(facts, _times(facts) | without, facts=True)}
    for joined in star.dimensions:
        table = joined.table
        distinct = facts.columns[joined.fact_key].distinct
        own = features_of(table, {joined.key: ""} | _times(table), facts=False)
        if facts.rows >= AGAIN * distinct:
            about = f"{table.rows:,} ids, {facts.rows / max(1, distinct):.3g} rows each"
            own.insert(0, Feature(joined.key, "categorical", {}, about))
        else:
            own.insert(0, LeftOut(joined.key, f"{facts.rows / max(1, distinct):.2g} rows of each: too few to learn from"))
        found[joined.name] = own
    return found


def _times(table: Table) -> dict[str, str]:
    """Columns of moments: no day to come was ever seen."""
    reason = "a time, and later ones are still to come: make a column of what it says of a row (hour, weekday, age)"
    return {column.name: reason for column in table.columns.values() if column.known and is_moment(table, column)}


def _validation(star: Star, moments: Sequence[str]) -> dict[str, Any] | None:
    if star.facts.splits.validation:
        return {"kind": "file", "files": [path.name for path in star.facts.splits.validation]}
    if (column := clock(star.facts, list(moments))) is not None:
        return {"kind": "time", "column": column, "fraction": HELD}
    if star.facts.rows < 2:
        return None
    people = [one.name for one in star.dimensions if is_person(one.name) or is_person(one.fact_key)]
    by = next(iter(people or [one.name for one in star.dimensions]), "row")
    return {"kind": "fraction", "fraction": HELD, "by": by}


def _group(star: Star, features: Sequence[Named]) -> str | None:
    """Whose rows are compared with each other: a person's, where one has several."""
    keys = {one.name: one.key for one in star.dimensions}
    candidates = [
        one.name
        for one in features
        if one.feature.kind == "categorical"
        and is_person(one.name)
        and (keys.get(one.source) == one.feature.column or _identifies(star.facts, one))
    ]
    return next(iter(candidates), None)


def _identifies(facts: Table, one: Named) -> bool:
    """Whether a column of the facts names a person, rather than a kind of person."""
    if one.source != FACTS:
        return False
    column = facts.columns[one.feature.column]
    return column.distinct >= 20 and AGAIN * column.distinct <= facts.rows


def root_of(paths: Sequence[Location]) -> Location:
    """The folder that holds all files, as they were named."""
    folders = [path.parent for path in paths]
    if len(set(folders)) == 1:
        return folders[0]
    texts = [str(folder) for folder in folders]
    if "://" in texts[0]:
        return min(folders, key=lambda one: len(str(one)))
    common = os.path.commonpath([os.path.abspath(text) for text in texts])  # noqa: PTH100  # a Path would follow links
    shared = os.path.commonpath(texts) if len({os.path.isabs(text) for text in texts}) == 1 else common  # noqa: PTH117
    return type(folders[0])(shared or ".")
