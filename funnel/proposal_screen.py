"""What the command line shows of a proposal, and how it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from funnel.schema.data import FACTS
from funnel.screen_table import new_table, plain, show_table
from funnel.terminal import Screen

if TYPE_CHECKING:
    from funnel.proposal.asking import Ask, Question
    from funnel.proposal.features import Feature
    from funnel.proposal.init import Proposed


def asker(screen: Screen) -> Ask:
    """Asks on the terminal; an empty line takes what is proposed."""

    def ask(question: Question) -> str:
        with screen.aside():
            if question.problem:
                typer.echo(question.problem)
            typer.echo(question.text)
            answer = typer.prompt(question.about, default=question.proposed, show_default=bool(question.proposed))
        return str(answer)

    return ask


def show_proposal(found: Proposed) -> None:
    """What becomes of each column, and what the doctor has to say of it."""
    table = new_table()
    table.add_column("column", overflow="fold", max_width=28)
    table.add_column("becomes", no_wrap=True)
    table.add_column("what it holds, or why it is left out", overflow="fold")
    for row in _rows(found):
        style = "dim" if row[1] == "left out" else "bold" if row[1].startswith("stage") else ""
        table.add_row(*(plain(cell, style) for cell in row))
    show_table(table, 120)
    for finding in found.checkup.findings:
        print(f"{finding.level}: {finding.about}: {finding.message}")


def _rows(found: Proposed) -> Any:
    proposal = found.proposal
    facts = proposal.star.facts
    for stage, label in zip(proposal.stages, proposal.star.labels, strict=True):
        column = facts.columns[label]
        yield label, f"stage {stage}", f"reached by {column.ones:,} of {column.known:,} rows"
    for source in (FACTS, *(one.name for one in proposal.star.dimensions)):
        before = "" if source == FACTS else f"{source}: "
        for one in proposal.features:
            if one.source == source:
                yield f"{before}{one.feature.column}", _kind(one.feature), one.feature.about
        for left in proposal.left_out[source]:
            yield f"{before}{left.column}", "left out", left.reason
    for path, reason in proposal.star.left_out:
        yield path, "left out", reason


def _kind(feature: Feature) -> str:
    weighted = "weighted " if "weights" in feature.keys else ""
    return f"{weighted}{feature.kind} {feature.keys.get('transform', '')}".strip()
