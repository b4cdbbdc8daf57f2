"""Raw rows: what a request would hold for each row of some files or frames; ids as text, numbers as they are, nothing encoded.

Rows are read, joined and sorted out as for a store, so that the same ones are left out, and ids are spelt as vocabularies spell
them. What stands for a missing value is not put there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import NO_TEXTS, SEEDS, CollisionError, distinct, spelt
from funnel.data.columns import OFFSETS, WEIGHTS, Columns
from funnel.data.keyed import parts_of
from funnel.data.origin import Origin, Split
from funnel.data.progress import Watch
from funnel.data.reading import Reading
from funnel.data.shards import build, ranges
from funnel.data.split_reader import read
from funnel.data.star import Star
from funnel.errors import DataError
from funnel.schema.features import Bag, Categorical, Fill, Input, Numeric
from funnel.schema.funnel_schema import FunnelSchema

MOST_ROWS = 1 << 15  # of a piece, about; a dimension row counts as 20, as in a shard
NO_TEXT = 0  # the place of the empty text, which a missing id is sent as


@dataclass(frozen=True)
class RawRows:
    """Some facts, and the dimension rows that they use: each once, joined only where they are sent.

    Attributes:
        columns: By feature: float32 numbers, NaN where missing, or int32 places in its texts: [rows of its source]; lists as
            entries, with `/offsets` and maybe `/weights` beside them.
        texts: By feature with ids: the different ones, the empty text first.
        index: By dimension: each fact's row: int32 [facts].
        position: Where each fact stood among those that were read: int64 [facts].
    """

    columns: Columns
    texts: dict[str, pl.Series]
    index: dict[str, NDArray[np.int32]]
    position: NDArray[np.int64]

    def lacks(self, feature: Categorical | Numeric) -> NDArray[np.bool_]:
        """Which facts have no value of a feature that is no list: bool [facts]."""
        column = self.columns[feature.name]
        lacking = np.isnan(column) if isinstance(feature, Numeric) else column == NO_TEXT
        return np.asarray(lacking[self.index[feature.source]] if feature.source in self.index else lacking)


def raw_rows(schema: FunnelSchema, origin: Origin, split: Split, watch: Watch | None = None) -> Generator[RawRows]:
    """Read a split, some rows at a time: the facts of one row of the first dimension together.

    Args:
        schema: The declaration.
        origin: Where the rows are.
        split: Which of them.
        watch: Called with each Progress.

    Raises:
        DataError: The files or frames are not what the schema says.
    """
    plain = unencoded(schema)
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        for seed in range(SEEDS):
            try:
                reading = read(plain, origin, split, Path(folder) / str(seed), labels=False, seed=seed, watch=watch)
                reading.require_injective({})
                break
            except CollisionError:
                continue
        else:
            raise DataError(f"{origin}: two ids have one hash, whatever its seed. Report this, please.")
        spellings = {feature.name: _spellings(reading, feature.name) for feature in plain.inputs}
        size = min(plain.data.shard_rows, MOST_ROWS)
        for some in ranges(plain.model_copy(update={"data": plain.data.model_copy(update={"shard_rows": size})}), reading):
            for facts in reading.facts.read(some.first, some.last, some.most):
                yield _spelt(plain, build(plain, reading, facts, {}), spellings)


def unencoded(schema: FunnelSchema) -> FunnelSchema:
    """A declaration that reads and refuses the same rows, keeps every id apart, and puts nothing where a value is missing."""
    own = {"table": None, "buckets": None, "min_count": None, "max_rows": None}
    plain: list[Input] = []
    for feature in schema.inputs:
        changed: dict[str, object] = {} if isinstance(feature, Numeric) else dict(own)
        if isinstance(feature.missing, Fill):
            changed["missing"] = "mean" if isinstance(feature, Numeric) else "own"
        plain.append(feature.model_copy(update=changed))
    return schema.model_copy(update={"features": tuple(plain), "tables": {}})


def _spellings(reading: Reading, feature: str) -> pl.DataFrame:
    """`code` and `text` of a feature's ids that are not their own codes."""
    if feature not in reading.texts:
        return NO_TEXTS
    found = [part for (part,) in parts_of(reading.texts[feature]) if part.height]
    return pl.concat(found) if found else NO_TEXTS


def _spelt(schema: FunnelSchema, star: Star, spellings: Mapping[str, pl.DataFrame]) -> RawRows:
    columns: Columns = {}
    texts: dict[str, pl.Series] = {}
    for feature in schema.inputs:
        name, own = feature.name, star.sources[schema.source_of(feature)]
        match feature:
            case Numeric():
                columns[name] = own[name].astype(np.float32)
            case Categorical() | Bag():
                codes, places = distinct(own[name])
                text = spelt(codes, spellings[name])
                columns[name], texts[name] = _from_the_empty_text(text, places)
        for part in (OFFSETS, WEIGHTS):
            if name + part in own:
                columns[name + part] = own[name + part]
    return RawRows(columns, texts, star.index, star.position)


def _from_the_empty_text(text: pl.Series, places: NDArray[np.int32]) -> tuple[NDArray[np.int32], pl.Series]:
    """Places among different texts, of which a missing one becomes the empty one, and that comes first."""
    there = text.drop_nulls()
    moved = np.where(text.is_null().to_numpy(), NO_TEXT, np.cumsum(text.is_not_null().to_numpy())).astype(np.int32)
    return moved[places], pl.concat([pl.Series("text", [""]), there.rename("text")])
