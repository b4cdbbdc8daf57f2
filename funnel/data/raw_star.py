"""A split as it was read: facts, the dimension rows that they use, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.chunk import Chunk, concat
from funnel.data.labels import Consistent, make_consistent
from funnel.data.normalise import key_role, label_role, normalise, wanted_columns
from funnel.data.readers import Piece, find_files, read_files, read_frame
from funnel.errors import DataError, have
from funnel.schema.data import Held
from funnel.schema.funnel_schema import FACTS, FunnelSchema

Split = Literal["train", "validation", "test"]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """Where rows are: a folder with files, or frames.

    Attributes:
        root: The folder that a schema's patterns start from, or None.
        frames: By source: pandas or polars frames; used where there is no folder.
    """

    root: Path | None = None
    frames: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return str(self.root) if self.root is not None else "the frames given"


@dataclass(frozen=True)
class RawStar:
    """Rows of one split, before ids become numbers.

    Attributes:
        facts: The facts.
        dimensions: By dimension: the rows that facts use.
        index: By dimension: each fact's row, int64 [facts].
        labels: uint8 [facts, stages], contradictions resolved; None where labels were not asked for.
        violations: By stage: facts that had it without its parent.
    """

    facts: Chunk
    dimensions: dict[str, Chunk]
    index: dict[str, Rows]
    labels: NDArray[np.uint8] | None
    violations: dict[str, int]

    def source(self, name: str) -> Chunk:
        """The rows of a source."""
        return self.facts if name == FACTS else self.dimensions[name]


def read_star(schema: FunnelSchema, origin: Origin, split: Split, *, labels: bool = True) -> RawStar:
    """Read the facts of a split and the dimension rows that they use.

    Raises:
        DataError: The files or frames are not what the schema says.
    """
    facts = concat([normalise(schema, FACTS, piece, labels=labels) for piece in _pieces(schema, origin, FACTS, split, labels)])
    where = f"{origin} ({split} rows)"
    found, violations = None, {}
    if labels:
        stacked = np.stack([facts.plain[label_role(stage.name)].to_numpy() for stage in schema.stages], axis=1)
        consistent: Consistent = make_consistent(schema, stacked, where)
        found, violations = consistent.labels, consistent.violations
        facts = facts if len(consistent.kept) == facts.rows else facts.take(consistent.kept)
    dimensions, index = {}, {}
    for dimension in schema.data.dimensions:
        pieces = _pieces(schema, origin, dimension.name, split, labels=False)
        rows = concat([normalise(schema, dimension.name, piece, labels=False) for piece in pieces])
        dimensions[dimension.name], index[dimension.name] = _join(facts, rows, dimension.name, where)
    return RawStar(facts, dimensions, index, found, violations)


def _pieces(schema: FunnelSchema, origin: Origin, source: str, split: Split, labels: bool) -> Iterator[Piece]:
    files, wanted = schema.files_of(source), wanted_columns(schema, source, labels=labels)
    if origin.root is None:
        frames = origin.frames or {}
        if source not in frames:
            raise DataError(f"got no frame for {source!r} {have(source, frames)} Give a mapping with one for each source.")
        return iter([read_frame(frames[source], wanted, f"frame {source!r}", files)])
    validation = schema.data.validation
    if split == "validation" and source == FACTS and isinstance(validation, Held):
        patterns = (validation.files,) if isinstance(validation.files, str) else tuple(validation.files)
    else:
        patterns = files.patterns("test" if split == "test" else "train")
    if not patterns:
        place = "data.facts" if source == FACTS else f"data.dimensions.{source}"
        raise DataError(f"{place}: declares no {split} files, expected `{split}` or `files`. Name them in the schema.")
    return read_files(files, find_files(origin.root, patterns, source), wanted)


def _join(facts: Chunk, dimension: Chunk, name: str, where: str) -> tuple[Chunk, Rows]:
    """Keep the dimension rows that facts use, and find each fact's.

    Raises:
        DataError: A key is twice in the dimension, or not in it.
    """
    role = key_role(name)
    known = pl.DataFrame({"key": dimension.plain[role]}).with_row_index("row")
    twice = known["key"].is_duplicated()
    if twice.any():
        key = known["key"].filter(twice)[0]
        raise DataError(
            f"dimension {name!r}: got the key {key!r} more than once ({int(twice.sum()):,} rows share a key with another), "
            "expected one row for each key. Keep one of them."
        )
    found = facts.plain[role].rename("key").to_frame().join(known, on="key", how="left", maintain_order="left")["row"]
    if found.null_count():
        row = int(found.is_null().arg_max() or 0)
        raise DataError(
            f"{where}: {found.null_count():,} of {facts.rows:,} facts have a key that the dimension {name!r} lacks, the first "
            f"is {facts.plain[role][row]!r} in row {row + 1:,}; expected each to be there. Add the rows, or drop the facts."
        )
    used, index = np.unique(found.to_numpy().astype(np.int64), return_inverse=True)
    return dimension.take(used), index.astype(np.int64)
