"""A proposal is checked by the doctor on the same rows; what it finds is left out, until it finds no error."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from funnel.data.progress import Watch
from funnel.doctor.check import check
from funnel.doctor.checkup import Checkup
from funnel.doctor.finding import Finding
from funnel.errors import DataError
from funnel.proposal.proposal import Proposal
from funnel.proposal.yaml import as_yaml
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

ROUNDS = 4
SOME = 0.01  # of the rows may be left out, where they cannot be used
UNUSED = ("it is the same in all", "every training row lacks it")  # warnings for which a feature is left out, too
BY_ROW = {"kind": "fraction", "fraction": 0.1, "by": "row"}
SKIPPED = re.compile(r"([\d,]+) of ([\d,]+) [\w, ]+ cannot be used")


def tried(proposal: Proposal, watch: Watch) -> tuple[Proposal, Checkup]:
    """The proposal as far as it passes, and what the doctor says of it.

    Raises:
        DataError: The rows have what no schema mends; or no feature is left.
    """
    for _ in range(ROUNDS):
        if not proposal.features:
            raise DataError(_nothing(proposal))
        found = check(parsed(as_yaml(proposal)), str(proposal.root), watch=watch)
        changed = _mended(proposal, found)
        if changed is None:
            return proposal, found
        proposal = changed
    raise DataError(f"{proposal.root}: {_first(found)}")


def parsed(text: str) -> FunnelSchema:
    """A schema's text, read as its file will be."""
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        path = Path(folder, "schema.yaml")
        path.write_text(text, encoding="utf-8")
        return load_schema(path)


def _mended(proposal: Proposal, found: Checkup) -> Proposal | None:
    """What is proposed instead; None where nothing is to be mended."""
    reasons = {
        finding.about.removeprefix("feature "): _reason(finding)
        for finding in found.findings
        if finding.about.startswith("feature ") and (finding.level == "error" or finding.message.startswith(UNUSED))
    }
    if reasons:
        return proposal.without(reasons)
    errors = [finding for finding in found.findings if finding.level == "error"]
    if not errors:
        return None
    for finding in errors:
        by_time = proposal.validation is not None and proposal.validation["kind"] == "time"
        # The latest rows may be all of them that reach a stage.
        if by_time and finding.about.startswith("stage "):
            return replace(proposal, validation=BY_ROW)
        if finding.message.startswith("data.validation") and proposal.validation is not None:
            return replace(proposal, validation=BY_ROW if by_time else None)
        if (shares := SKIPPED.match(finding.message)) and proposal.skip is None:
            rows, of = (int(text.replace(",", "")) for text in shares.groups())
            if rows <= SOME * of:
                return replace(proposal, skip=SOME)
        if " only after " in finding.message and not proposal.alone:
            return replace(proposal, alone=_alone(proposal))
    raise DataError(f"{proposal.root}: {_first(found)}")


def _alone(proposal: Proposal) -> tuple[tuple[str, str, float], ...]:
    """Labels that contradict each other in rows that the sample has not: so few that their share is none."""
    return ((proposal.star.labels[-1], proposal.star.labels[0], 0.0),)


def _reason(finding: Finding) -> str:
    """The doctor's finding, without what is to be done about it."""
    first = finding.message.split("; expected")[0].split(", so that nothing")[0].split(", expected")[0].split(") and ")[0]
    first += ")" if first.count("(") > first.count(")") else ""
    return f"{first} (`funnel check`)"


def _first(found: Checkup) -> str:
    return next(f"{one.about}: {one.message}" for one in found.findings if one.level == "error")


def _nothing(proposal: Proposal) -> str:
    left = [f"{one.column} ({one.reason})" for some in proposal.left_out.values() for one in some]
    return (
        f"{proposal.root}: no column is left as a feature, expected one or more. Left out: {'; '.join(left[:6]) or 'none'}. "
        "Add columns that are known before the first step."
    )
