"""The files of a simulation: which ones a schema reads, and rows written into them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from funnel.data.origin import Split, patterns_of
from funnel.data.readers import find_files
from funnel.errors import DataError
from funnel.schema.data import FACTS, FeatureList, Held, Parquet, Source
from funnel.schema.funnel_schema import FunnelSchema
from funnel.simulation.column import Column, Columns, listed, text

SPLITS: tuple[Split, ...] = ("train", "test")
Layout = dict[tuple[str, str], tuple[Path, ...]]  # by table and split


def sources(schema: FunnelSchema) -> dict[str, list[str]]:
    """The sources of each table: dimensions that read the same files are one."""
    found: dict[str, list[str]] = {FACTS: [FACTS]}
    for dimension in schema.data.dimensions:
        patterns = (*dimension.patterns("train"), "", *dimension.patterns("test"))
        found.setdefault("\n".join(patterns), []).append(dimension.name)
    return found


def layout(schema: FunnelSchema, folder: Path) -> Layout:
    """Make an empty file for every pattern, and find which ones each table's split will read."""
    patterns: dict[tuple[str, str], tuple[str, ...]] = {}
    for home, (source, *_) in sources(schema).items():
        for split in SPLITS:
            patterns[home, split] = patterns_of(schema, source, split)
        if not patterns[home, "train"]:
            raise DataError(f"data: {source!r} declares no train files, expected `train` or `files`. Name them in the schema.")
    if isinstance(held := schema.data.validation, Held):
        patterns[FACTS, "validation"] = (held.files,) if isinstance(held.files, str) else tuple(held.files)
    for pattern in (pattern for several in patterns.values() for pattern in several):
        path = (folder / _named(pattern)).resolve()
        if not path.is_relative_to(folder) or path.is_relative_to(folder / "truth"):
            raise DataError(f"data: got the pattern {pattern!r}, expected one inside the folder and not in `truth`. Change it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {key: find_files(folder, several, key[0]) for key, several in patterns.items() if several}
    layout = {key: tuple(path for path in paths if isinstance(path, Path)) for key, paths in found.items()}
    owner: dict[Path, tuple[str, tuple[Path, ...]]] = {}
    for (home, _), paths in layout.items():
        for path in paths:
            if owner.setdefault(path, (home, paths)) != (home, paths):
                name = str(path.relative_to(folder))
                raise DataError(f"data: two patterns match {name!r}, expected each file to have one use. Make one narrower.")
    return layout


def _named(pattern: str) -> str:
    """A file name that a pattern matches."""

    def one(group: re.Match[str]) -> str:
        return next((c for c in string.digits + string.ascii_letters + "_-." if fnmatchcase(c, group[0])), group[0][1])

    parts = []
    for part in pattern.split("/"):
        plain = re.sub(r"\[!?\]?[^\]]*\]", one, part).replace("?", "0").replace("*", "")
        # A pattern's star does not match the dot of a hidden file.
        parts.append("part" + plain if plain[:1] in ("", ".") and part[:1] == "*" else plain)
    return "/".join(parts)


def frame(files: Source, columns: Columns) -> pl.DataFrame:
    """A table as it is written."""
    if isinstance(files, Parquet):
        return pl.DataFrame({name: column.series for name, column in columns.items()})
    plain = {name: _as_text(column) for name, column in columns.items()}
    rows = len(next(iter(plain.values())))
    if isinstance(files, FeatureList):
        fields = [_entries(files, name, column) for name, column in columns.items() if name not in files.columns]
        texts = fields or [pl.repeat("", rows, eager=True)]
        lists = pl.select(pl.concat_str(*texts, separator=files.entry_separator, ignore_nulls=True)).to_series()
        plain[files.list] = lists
        if files.count is not None:
            plain[files.count] = (lists.str.count_matches(files.entry_separator, literal=True) + (lists != "")).cast(pl.String)
    names = getattr(files, "columns", None) or tuple(plain)
    return pl.DataFrame({name: plain.get(name, pl.repeat("0", rows, eager=True)) for name in names})


def _as_text(column: Column) -> pl.Series:
    if column.series.dtype.is_temporal():
        return column.series.dt.to_string("iso:strict")
    if column.series.dtype != pl.List:
        return column.series.cast(pl.String)
    if column.separator is None:
        return pl.repeat(None, len(column.series), dtype=pl.String, eager=True)
    return column.series.cast(pl.List(pl.String)).list.join(column.separator).replace("", None)


def _entries(files: FeatureList, field: str, column: Column) -> pl.Series:
    """A field's entries as one text a row, null where it has none."""
    before = field + files.field_separator
    if column.rows is None or column.weights is None or column.codes is None:
        plain = _as_text(column)
        return before + plain + files.value_separator + (plain if column.latent is not None else "1")
    flat = before + text(column.codes + 1) + files.value_separator + pl.Series(column.weights).cast(pl.String)
    lengths = np.bincount(column.rows, minlength=len(column.series))
    return listed(flat, lengths, lengths == 0).list.join(files.entry_separator)


def write(frame: pl.DataFrame, files: Source, paths: Sequence[Path]) -> None:
    """Share rows out among files, in the order in which they will be read."""
    bounds = np.linspace(0, frame.height, len(paths) + 1).astype(int)
    for path, begin, end in zip(paths, bounds[:-1], bounds[1:], strict=True):
        part = frame[begin:end]
        if isinstance(files, Parquet):
            part.write_parquet(path)
            continue
        quote: Literal["never", "necessary"] = "never" if isinstance(files, FeatureList) else "necessary"
        with pa.output_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}.get(path.suffix)) as file:
            header = getattr(files, "columns", None) is None
            part.write_csv(file, separator=files.separator, include_header=header, quote_style=quote)
