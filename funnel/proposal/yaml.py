"""A proposal as YAML: one feature a line, with what its column holds; and what was left out, with the reason."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from funnel.locations.location import Location, below
from funnel.proposal.features import LeftOut
from funnel.proposal.proposal import Named, Proposal
from funnel.proposal.star import Joined
from funnel.proposal.tables import Table
from funnel.schema.data import FACTS

MODELINE = "# yaml-language-server: $schema=./funnel.schema.json"
PLAIN = re.compile(r"(?:\.{0,2}/)*[A-Za-z_][A-Za-z0-9_]*(?:[./*-][A-Za-z0-9_.*/-]*)?")
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # of YAML 1.1 and 1.2


def as_yaml(proposal: Proposal) -> str:
    """The text of a schema file."""
    parts = [_head(proposal), _stages(proposal), _data(proposal), _features(proposal), _end(proposal)]
    return "\n".join("\n".join(part) + "\n" for part in parts if part)


def _head(proposal: Proposal) -> list[str]:
    facts = proposal.star.facts
    joined = "".join(f", {one.table.rows:,} of {one.name}" for one in proposal.star.dimensions)
    return [
        MODELINE,
        "#",
        f"# Proposed by `funnel init` from {facts.rows:,} training rows{_shown(joined)}.",
        "# Read it through: it knows the values, not what they mean. Features must be known before the first stage.",
        "#",
        "#   funnel check THIS_FILE && funnel fit THIS_FILE",
        "#   funnel schema > funnel.schema.json     # beside this file, so that an editor completes and explains its keys",
        "",
        f"name: {scalar(proposal.name)}",
        "space: impression  # what one row is; call it as you do",
    ]


def _stages(proposal: Proposal) -> list[str]:
    lines = ["# Each stage is given the one before it, unless `given` names another one above it.", "stages:"]
    before, facts = "", proposal.star.facts
    for name, label in zip(proposal.stages, proposal.star.labels, strict=True):
        column = facts.columns[label]
        given = f"{facts.columns[before].ones:,} of {before}" if before else f"{column.known:,} rows"
        unknown = f", {column.missing:,} unknown" if column.missing else ""
        lines.append(f"  - {_flow({'name': name, 'label': label})}  # {column.ones:,} of {_shown(given)}{unknown}")
        before = label
    if proposal.alone:
        lines.append("")
    for after, earlier, share in proposal.alone:
        lines += [f"# {share:.2%} of the rows have {_shown(after)} without {_shown(earlier)}."]
    if proposal.alone:
        lines.append("inconsistent_labels: drop  # or `and` (they lose the later one), `promote` (they gain the earlier one)")
    return lines


def _data(proposal: Proposal) -> list[str]:
    facts = proposal.star.facts
    lines = ["data:", f"  root: {scalar(str(proposal.root))}", "  facts:"]
    lines += [f"    {line}" for line in _files(proposal, facts, facts=True)]
    if proposal.star.dimensions:
        lines.append("  dimensions:")
    for joined in proposal.star.dimensions:
        lines += [f"    {'- ' if not place else '  '}{line}" for place, line in enumerate(_dimension(proposal, joined))]
    if proposal.validation is None:
        lines.append("  validation: null  # too few rows to hold some out")
    else:
        lines += [f"  # {_why_held(proposal)}", f"  validation: {_flow(_validation(proposal))}"]
    if not facts.splits.test and proposal.validation is not None:
        lines += [f"  # {_why_tested(proposal)}", f"  {'# ' * (not _by_share(proposal))}test: {_flow(_tested(proposal))}"]
    if proposal.skip is not None:
        lines.append(
            f"  bad_rows: {_flow({'kind': 'skip', 'max_share': proposal.skip})}  # some cannot be used; see `funnel check`"
        )
    for path, reason in proposal.star.left_out:
        lines.append(f"  # left out: {_shown(path)}: {_shown(reason)}.")
    return lines


def _by_share(proposal: Proposal) -> bool:
    """Whether test rows may be drawn from all: not where rows have a time, which those to come are after."""
    return (proposal.validation or {})["kind"] == "fraction"


def _tested(proposal: Proposal) -> Mapping[str, Any]:
    held = proposal.validation or {}
    return {"fraction": 0.2} | ({"by": held["by"]} if _by_share(proposal) else {})


def _why_tested(proposal: Proposal) -> str:
    if _by_share(proposal):
        return "And a fifth is what reports judge on; better are later rows, in files of their own (`facts.test`)."
    return "Without test rows a report knows only the rows held out. A share of all rows is not later, but it is apart."


def _why_held(proposal: Proposal) -> str:
    validation = proposal.validation or {}
    match validation["kind"]:
        case "time":
            return "The latest rows are held out, as those to come will be later still."
        case "file":
            return "Held out by the files' names."
    who = "rows" if validation["by"] == "row" else f"of {validation['by']}, each with all its rows,"
    return f"A tenth {who} is held out." if validation["by"] != "row" else "A tenth of the rows is held out."


def _validation(proposal: Proposal) -> Mapping[str, Any]:
    validation = proposal.validation or {}
    if validation["kind"] != "file":
        return validation
    return {"kind": "file", "files": _patterns(proposal.root, proposal.star.facts.splits.validation)}


def _files(proposal: Proposal, table: Table, *, facts: bool) -> Iterator[str]:
    yield f"format: {table.format}"
    if table.format == "csv" and table.files[0].separator != ",":
        yield f"separator: {scalar(table.files[0].separator)}"
    splits = table.splits
    train, test = (_flowed(_patterns(proposal.root, paths)) for paths in (splits.train, splits.test or splits.train))
    if not facts and not splits.test:
        yield f"files: {train}"
        return
    yield f"train: {train}"
    if splits.test:
        yield f"test: {test}  # {_shown(splits.reason)}"
    else:
        yield "# test: FILES  # of later rows, to judge by, if there are some"


def _dimension(proposal: Proposal, joined: Joined) -> Iterator[str]:
    yield f"name: {scalar(joined.name)}"
    yield f"key: {scalar(joined.key)}"
    if joined.fact_key != joined.key:
        yield f"fact_key: {scalar(joined.fact_key)}"
    yield from _files(proposal, joined.table, facts=False)


def _patterns(root: Location, paths: Sequence[Location]) -> str | list[str]:
    """Names from the root: brackets in them are letters."""
    names = [glob.escape(below(path, root)) for path in paths]
    return names[0] if len(names) == 1 else names


def _features(proposal: Proposal) -> list[str]:
    lines = ["features:"]
    for source in (FACTS, *(one.name for one in proposal.star.dimensions)):
        lines.append(f"  # {'of the row' if source == FACTS else f'of {source}'}")
        lines += [_feature(one) for one in proposal.features if one.source == source]
        lines += [_left_out(one) for one in proposal.left_out[source]]
    return lines


def _feature(one: Named) -> str:
    keys: dict[str, Any] = {"name": one.name, "kind": one.feature.kind}
    if one.source != FACTS:
        keys["source"] = one.source
    if one.feature.column != one.name:
        keys["column"] = one.feature.column
    return f"  - {_flow({**keys, **one.feature.keys})}  # {_shown(one.feature.about)}"


def _left_out(one: LeftOut) -> str:
    return f"  # - {_shown(one.column)}: {_shown(one.reason)}"


def _end(proposal: Proposal) -> list[str]:
    lines = []
    if proposal.group_by is not None:
        lines += [f"evaluate: {_flow({'group_by': proposal.group_by})}  # also the mean AUC within the rows of each"]
    return lines


def _flow(keys: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_flowed(value)}" for key, value in keys.items()) + "}"


def _flowed(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(scalar(one) for one in value) + "]"
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def scalar(text: str) -> str:
    """A text as YAML has it, quoted where it must be."""
    if PLAIN.fullmatch(text) and text.casefold() not in WORDS and not text.endswith(("-", "/")) and "*" not in text:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else _escaped(one) for one in quoted)


def _escaped(letter: str) -> str:
    return f"\\U{ord(letter):08x}"


def _shown(text: str) -> str:
    """A text within a comment, which ends where its line does."""
    return "".join(one if one.isprintable() else _escaped(one) for one in text)
