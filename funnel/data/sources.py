"""The files or frames of one source of a split, opened as pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from funnel.data.feature_list import Kind
from funnel.data.origin import Origin, Split, patterns_of
from funnel.data.pieces import Load
from funnel.data.portion import Portion
from funnel.data.readers import find_files, read_files, read_frame
from funnel.errors import DataError, have, listed
from funnel.locations.location import size_of
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema


@dataclass(frozen=True)
class Source:
    """Some rows that are to be read.

    Attributes:
        what: What messages call the files or the frame.
        total: How many bytes there are to read; 0 for a frame.
        before: By file: how many of them were read before it was begun, less where its first piece begins.
        loads: The pieces, in their order.
    """

    what: str
    total: int
    before: dict[str, int]
    loads: Iterator[Load]


def open_source(
    schema: FunnelSchema,
    origin: Origin,
    split: Split,
    source: str,
    wanted: Iterable[tuple[str, Kind]],
    *,
    portion: Portion | None = None,
) -> Source:
    """Find the rows of a source.

    Args:
        schema: The declaration.
        origin: Where the rows are.
        split: Which of them.
        source: `facts`, or a dimension's name.
        wanted: The columns, and how they are read.
        portion: The part of the files that is read; None for all of them.

    Raises:
        DataError: There are no files, or no frame.
    """
    files = schema.files_of(source)
    if origin.root is None:
        frames = origin.frames or {}
        if source not in frames:
            raise DataError(f"got no frame for {source!r} {have(source, frames)} Give a mapping with one for each source.")
        what = f"frame {source!r}"
        return Source(what, 0, {}, read_frame(frames[source], wanted, what, files))
    patterns = patterns_of(schema, source, split)
    if not patterns:
        place = "data.facts" if source == FACTS else f"data.dimensions.{source}"
        share = (
            ", or declare a share of the rows as `data.test`, and fit again; `--split train` takes the training rows"
            if (source, split) == (FACTS, "test")
            else ""
        )
        raise DataError(f"{place}: declares no {split} files, expected `{split}` or `files`. Name them in the schema{share}.")
    paths = find_files(origin.root, patterns, source)
    sizes = [size_of(path) or 0 for path in paths]
    chosen = [
        (path, size, span)
        for path, size, span in zip(paths, sizes, (portion or Portion(1, 1)).spans(sizes), strict=True)
        if span is not None
    ]
    before, total = {}, 0
    for path, size, span in chosen:
        before[str(path)] = total - span.begin
        total += min(size, span.end) - span.begin
    loads = read_files(files, [path for path, _, _ in chosen], wanted, schema.data.bad_rows, [span for _, _, span in chosen])
    return Source(listed(paths, 3), total, before, loads)
