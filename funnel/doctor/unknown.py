"""Stages whose labels are not all known, and what that does to their rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from funnel.doctor.checkup import StageRows
from funnel.doctor.finding import Finding
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.stages import Stage

YOUNG = 0.01


def unknown_findings(
    schema: FunnelSchema, stage: Stage, rows: StageRows, of: int, young: Mapping[str, int] | None
) -> Iterator[Finding]:
    """What is not known of a stage.

    Args:
        schema: The declaration.
        stage: The stage.
        rows: Its training rows.
        of: All training rows.
        young: Rows of its conditional whose label was read too early, and those of them that had reached it all the same.
    """
    about = f"stage {stage.name}"
    if rows.unknown:
        too_young = young["rows"] - young["positives"] if young is not None else 0
        cause = f", {too_young:,} of them since they were read too early (matures_after)" if too_young else ""
        message = (
            f"its label is not known of {rows.unknown / of:.2%} of the rows, {rows.unknown:,} of {of:,}{cause}. It is learnt, "
            f"and judged, on the others; make sure that these are alike. Where a null means that no {schema.space} got there, "
            "write 0."
        )
        yield Finding("note", about, message)
    if stage.matures_after is not None and stage.matures_after.positives == "known" and young is not None:
        yield from _too_many_positives(about, rows, young)


def _too_many_positives(about: str, rows: StageRows, young: Mapping[str, int]) -> Iterator[Finding]:
    """Of young rows only those that reached the stage are known."""
    mature, early = rows.rows - young["positives"], young["positives"]
    share = young["rows"] / max(1, mature + young["rows"])
    if share <= YOUNG or not early or not mature:
        return
    rate, of_mature = rows.positives / rows.rows, (rows.positives - early) / mature
    message = (
        f"{share:.1%} of its rows ({rows.given}) were read too early (matures_after), and of these only positives count: "
        f"{rate:.4g} of the {rows.rows:,} known labels are 1, but {of_mature:.4g} of the {mature:,} that are final; expected "
        "the same. Probabilities will be too high: declare `positives: unknown`, or leave out the rows that are too young."
    )
    yield Finding("warning", about, message)
