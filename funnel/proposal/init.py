"""The call behind `funnel init`: from files with rows to a schema that fits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from funnel.data.progress import Watch
from funnel.doctor.checkup import Checkup
from funnel.errors import SchemaError
from funnel.folders import whole_file
from funnel.locations.location import Location, location
from funnel.proposal.asking import Ask, silent
from funnel.proposal.files import files_in
from funnel.proposal.proposal import Proposal, propose, root_of
from funnel.proposal.star import star_of
from funnel.proposal.tables import Table, tables_of
from funnel.proposal.trial import parsed, tried
from funnel.proposal.words import plain_name
from funnel.proposal.yaml import as_yaml
from funnel.schema.funnel_schema import FunnelSchema

Given = str | Path | Location


@dataclass(frozen=True)
class Proposed:
    """What was proposed.

    Attributes:
        text: The schema, as YAML; also `str()` of this.
        schema: The same, read.
        proposal: The same, and why.
        checkup: What `funnel check` says of it, on the same rows.
    """

    text: str
    schema: FunnelSchema
    proposal: Proposal
    checkup: Checkup

    def __str__(self) -> str:
        return self.text


def init(
    data: Given | Sequence[Given],
    stages: Sequence[str] | None = None,
    *,
    name: str | None = None,
    out: str | Path | Location | None = None,
    force: bool = False,
    ask: Ask = silent,
    watch: Watch = lambda _: None,
) -> Proposed:
    """Propose a schema for rows, such that `funnel check` finds no error in them.

    All training rows are read once for what each column holds, and once or twice more to check what is proposed.

    Args:
        data: Files or folders, or a list of them: csv, tsv, txt (maybe packed) or parquet. Files of the same columns are one
            table; that with the stages has the facts, and others are joined to it by a key. Which rows are for testing is
            told by the files' names.
        stages: The columns of 0 and 1 that are the stages, in order. Default: those that look like it.
        name: What the funnel is called. Default: the name of the files.
        out: Where to write the schema. Default: nowhere.
        force: Whether what is there is replaced.
        ask: Called with each Question about what is not sure; by default what is proposed is taken.
        watch: Called with each Progress.

    Raises:
        DataError: Files that are missing or cannot be read; no columns of 0 and 1; nothing that could be a feature.
        SchemaError: `out` is there already, or cannot be written.
        RemoteError: A URL that cannot be looked at.
    """
    target = None if out is None else location(out)
    if target is not None:
        _require_free(target, force=force)
    files = files_in([data] if isinstance(data, str | Path) or not isinstance(data, Sequence) else data)
    tables = tables_of(files, watch)
    for table in tables:
        watch(_said(table))
    star = star_of(tables, stages, ask)
    used = [path for table in (star.facts, *(one.table for one in star.dimensions)) for path in _paths(table)]
    proposal = propose(star, plain_name(name or _stem(star.facts.name, used)), root_of(used))
    proposal, checkup = tried(proposal, watch)
    text = as_yaml(proposal)
    if target is not None:
        with whole_file(target, SchemaError, "Nothing was left behind.") as part:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
    return Proposed(text, parsed(text), proposal, checkup)


def _paths(table: Table) -> list[Location]:
    return [*table.splits.train, *table.splits.validation, *table.splits.test]


def _said(table: Table) -> str:
    others = [path.name for path in (*table.splits.validation, *table.splits.test)]
    held = f"; not looked at: {', '.join(others)}" if others else ""
    return f"{', '.join(path.name for path in table.splits.train)}: {table.rows:,} rows of {len(table.columns)} columns{held}"


def _stem(name: str, used: Sequence[Location]) -> str:
    """The files' name; that of their folder where it says nothing."""
    return name if name != "facts" else root_of(used).name or name


def _require_free(target: Location, *, force: bool) -> None:
    if target.is_dir():
        raise SchemaError(f"{target}: is a folder, expected a file to write. Give `--out {target}/schema.yaml`.")
    if target.exists() and not force:
        raise SchemaError(
            f"{target}: is there already, expected a new file. Name another (`--out`), or replace it (`--force`)."
        )
