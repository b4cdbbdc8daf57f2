"""Files of the same columns -> a table, read once: what each column holds, and a sample of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from funnel.data.progress import Progress, Watch
from funnel.data.readers import read_files
from funnel.errors import DataError, listed
from funnel.locations.location import Location, size_of
from funnel.proposal.columns import Column, bare, kind_of
from funnel.proposal.files import DataFile
from funnel.proposal.splits import Splits, splits_of
from funnel.schema.data import Csv, Parquet, RefuseBadRows

SAMPLED = 100_000  # rows kept, at least, where there are so many; at most twice as many


@dataclass
class Table:
    """Files of the same columns.

    Attributes:
        name: A name of the files.
        files: All of them.
        splits: Which hold training, validation and test rows.
        columns: By name, of the training rows.
        rows: How many there are.
        sample: Some training rows, evenly from all; columns as a schema reads them.
    """

    name: str
    files: list[DataFile]
    splits: Splits
    columns: dict[str, Column] = field(default_factory=dict)
    rows: int = 0
    sample: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def format(self) -> str:
        """`csv` or `parquet`."""
        return self.files[0].format

    @property
    def source(self) -> Csv | Parquet:
        """How the files are read."""
        return Parquet(format="parquet") if self.format == "parquet" else Csv(format="csv", separator=self.files[0].separator)

    @property
    def keys(self) -> list[Column]:
        """Columns whose value stands once and may be an id."""
        return [one for one in self.columns.values() if one.unique and one.kind in ("text", "whole") and (one.whole or one.odd)]

    def values(self, column: str, paths: Sequence[Location] | None = None) -> pl.Series:
        """The different values of a column, as text; null among them where some are missing."""
        found = [
            bare(load().frame[column]).cast(pl.String).unique()
            for load in read_files(self.source, paths or self.splits.train, [(column, "id")], RefuseBadRows(kind="error"))
        ]
        return pl.concat(found).unique()


def tables_of(files: Sequence[DataFile], watch: Watch) -> list[Table]:
    """Group files by their columns, and read them.

    Raises:
        DataError: Two formats for the same columns, or files without rows, or that cannot be read.
    """
    groups: dict[frozenset[str], list[DataFile]] = {}
    for file in files:
        groups.setdefault(frozenset(file.columns), []).append(file)
    found = []
    for group in groups.values():
        kinds = {f"{file.format} {file.separator}" for file in group}
        if len(kinds) > 1:
            paths = listed((file.path for file in group), 4)
            message = f"{paths}: got the same columns in several formats, expected one for each table. Name the files of one."
            raise DataError(message)
        splits = splits_of([file.path for file in group])
        found.append(_read(Table(splits.name, group, splits), watch))
    return found


def _read(table: Table, watch: Watch) -> Table:
    names = table.files[0].columns
    total, before, step, kept = sum(size_of(path) or 0 for path in table.splits.train), 0, 1, []
    loads = read_files(table.source, table.splits.train, [(name, "id") for name in names], RefuseBadRows(kind="error"))
    where, done = "", 0
    for load in loads:
        piece = load()
        before, where, done = (before, where, piece.done) if piece.where == where else (before + done, piece.where, piece.done)
        if not table.columns:
            typed = table.format == "parquet"
            table.columns = {name: Column(name, kind_of(piece.frame[name].dtype), typed) for name in names}
        frame = piece.frame.select(bare(piece.frame[name]) for name in names)
        for name, column in table.columns.items():
            column.see(frame[name])
        kept.append(frame.gather_every(step, offset=-table.rows % step))
        table.rows += frame.height
        if sum(part.height for part in kept) > 2 * SAMPLED:
            kept, step = [pl.concat(kept, how="vertical_relaxed").gather_every(2)], 2 * step
        watch(Progress(f"looking at {table.name}", before + piece.done, total, "B"))
    if not table.rows:
        raise DataError(f"{table.splits.train[0]}: got no rows, expected some. Is the file whole?")
    for column in table.columns.values():
        column.settle()
    table.sample = pl.concat(kept, how="vertical_relaxed")
    return table
