"""The first pass over a split: every row is read once, checked, and put where its shard will find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import Codes, CollisionError, mixed
from funnel.data.columns import Columns, take
from funnel.data.faults import EXAMPLES, Faults, Sieve
from funnel.data.holdout import HoldOut, group_of
from funnel.data.keyed import Keyed, parts_of, texts
from funnel.data.labels import Consistent, in_space, make_consistent
from funnel.data.normalise import Normalised, normalise
from funnel.data.origin import Origin, Split, patterns_of
from funnel.data.parallel import in_order
from funnel.data.pieces import Load, Place
from funnel.data.progress import Progress, Watch
from funnel.data.readers import find_files, read_files, read_frame
from funnel.data.spill import BUCKET_SHIFT, DimensionSpill, FactSpill
from funnel.data.wanted import key_role, label_role, wanted_columns, young_role
from funnel.errors import DataError, have, listed
from funnel.locations.location import size_of
from funnel.schema.data import SkipBadRows
from funnel.schema.funnel_schema import FACTS, FunnelSchema

POSITION, LABELS = "fact position", "fact labels"  # no feature has a space in its name


def row_role(dimension: str) -> str:
    """The column of the facts that holds each one's row of a dimension."""
    return f"row {dimension}"


@dataclass
class Reading:
    """All rows of a split, each checked.

    Attributes:
        facts: The facts: features, `row <dimension>`, `position`, and, where they were wanted, `labels` uint8 [n, stages], and
            `weight` float32 [n].
        dimensions: By name.
        texts: By table or key: ids that are not their own codes.
        rows: Facts in the files, with those left out.
        violations: By stage: facts that had it without its parent.
        young: By stage that matures: facts of its conditional whose label was read too early, and those of them that had it.
        faults: By source: the rows left out.
        held: Whether facts are held out, in the order in which they were read, or by dimension row; None where none are.
        held_by: The dimension that says so.
    """

    facts: FactSpill
    dimensions: dict[str, DimensionSpill]
    texts: dict[str, Keyed]
    rows: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    young: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, Faults] = field(default_factory=dict)
    held: NDArray[np.bool_] | None = None
    held_by: str | None = None

    def held_out(self, facts: Columns) -> NDArray[np.bool_]:
        """Whether some facts are held out: bool [n]."""
        if self.held is None:
            return np.zeros(len(facts[POSITION]), bool)
        return np.asarray(self.held[facts[POSITION if self.held_by is None else row_role(self.held_by)]])

    def require_injective(self, known: Mapping[str, pl.DataFrame]) -> None:
        """Make sure that no two texts have one code.

        Args:
            known: By table: `code` and `text` of a vocabulary learnt elsewhere.

        Raises:
            CollisionError: Two do.
        """
        for name, gathered in self.texts.items():
            if name in known:
                gathered.add(known[name])
            for (part,) in parts_of(gathered):
                if part.height and part["code"].is_duplicated().any():
                    raise CollisionError


def read(
    schema: FunnelSchema, origin: Origin, split: Split, folder: Path, *, labels: bool, seed: int = 0, watch: Watch | None = None
) -> Reading:
    """Read a split.

    Args:
        schema: The declaration.
        origin: Where the rows are.
        split: Which of them.
        folder: For what does not fit in memory.
        labels: Whether labels are needed.
        seed: Of the codes' hash.
        watch: Called with each Progress.

    Raises:
        DataError: The files or frames are not what the schema says.
        OSError: The disk is full.
    """
    return _Reader(schema, origin, split, folder, labels, seed, watch or (lambda _: None)).run()


@dataclass
class _Reader:
    schema: FunnelSchema
    origin: Origin
    split: Split
    folder: Path
    labels: bool
    seed: int
    watch: Watch
    reading: Reading = field(init=False)

    def run(self) -> Reading:
        dimensions = {
            dimension.name: DimensionSpill(self.folder / dimension.name, key_role(dimension.name))
            for dimension in self.schema.data.dimensions
        }
        self.reading = Reading(FactSpill(self.folder / FACTS), dimensions, {})
        for name, spill in dimensions.items():
            self._dimension(name, spill)
        self._facts()
        return self.reading

    def _dimension(self, name: str, spill: DimensionSpill) -> None:
        for place, found in self._pieces(name):
            spill.add_piece(found.rows, found.columns, place, found.places)
        spill.finish()
        again, keys = spill.index()
        if not len(again):
            return
        self.reading.require_injective({})  # two keys with one code are no key that repeats
        faults = self.reading.faults[name]
        column = self.schema.dimension(name).key

        def message(number: int) -> str:
            key = self._spelt(key_role(name), int(keys[number]))
            return (
                f"{spill.at(int(again[number]))} column {column!r}: got the key {key!r} of dimension {name!r} more than once "
                f"({len(again):,} rows repeat a key), expected one row for each key. Keep one of them."
            )

        if not isinstance(self.schema.data.bad_rows, SkipBadRows):
            raise DataError(message(0))
        faults.count("a key that was there before", len(again), [message(number) for number in range(len(again))[:EXAMPLES]])
        faults.rows += len(again)
        self._require_few(name)

    def _spelt(self, role: str, code: int) -> str:
        """The text of a key."""
        if code >= 0:
            return str(code)
        found = (part.filter(pl.col("code") == code) for (part,) in parts_of(self.reading.texts[role]) if part.height)
        return next(rows["text"][0] for rows in found if rows.height)

    def _facts(self) -> None:
        schema, reading = self.schema, self.reading
        hold_out = HoldOut(schema.data.validation if self.split == "train" and self.labels else None)
        group = group_of(schema)
        places: list[NDArray[np.int64]] = []
        for place, found in self._pieces(FACTS):
            position = reading.rows + found.ordinals
            reading.rows += found.read
            found.columns[POSITION] = position
            keys = {name: found.columns.pop(key_role(name)) for name in reading.dimensions}
            columns, kept = self._joined(place, found, keys)
            moments = found.moments
            if kept is not None:
                keys = {name: codes[kept] for name, codes in keys.items()}
                moments = moments.gather(kept) if moments is not None else None
            position = columns[POSITION]
            hold_out.see(keys[group] if group else position, moments)
            if moments is not None:
                places.append(position)
            first = next(iter(keys.values()), position)
            columns["fact bucket"] = (mixed(first) >> BUCKET_SHIFT).astype(np.uint16)
            reading.facts.add(len(position), columns)
        reading.facts.finish()
        if not reading.facts.rows:
            raise DataError(f"{self.origin} ({self.split} rows): no row can be used, expected some. Correct the data.")
        self._require_few(FACTS)
        self._hold_out(hold_out, group, places)

    def _hold_out(self, hold_out: HoldOut, group: str | None, places: list[NDArray[np.int64]]) -> None:
        reading = self.reading
        by_time = hold_out.decide()
        if by_time is not None:
            reading.held = np.zeros(reading.rows, bool)
            reading.held[np.concatenate(places)] = by_time
        elif hold_out.validation is not None:
            reading.held_by = group
            numbers = reading.dimensions[group].keys_by_row() if group else np.arange(reading.rows)
            reading.held = hold_out.held(numbers)

    def _joined(self, place: Place, found: Normalised, keys: dict[str, Codes]) -> tuple[Columns, NDArray[np.intp] | None]:
        """Find each fact's dimension rows, and apply the labels' policy; where some facts go, also which stay."""
        schema = self.schema
        sieve = Sieve(found.rows, skip=isinstance(schema.data.bad_rows, SkipBadRows))
        columns = found.columns
        for name, codes in keys.items():
            rows = self.reading.dimensions[name].find(codes)
            columns[row_role(name)] = rows.astype(np.int32) if self.reading.dimensions[name].rows < 2**31 else rows
            lost = rows < 0

            def message(row: int, name: str = name, lost: NDArray[np.bool_] = lost, codes: Codes = codes) -> str:
                column = schema.dimension(name).key_in_facts
                return (
                    f"{place.at(int(found.places[row]))} column {column!r}: got the key "
                    f"{self._spelt(key_role(name), int(codes[row]))!r}, which the dimension {name!r} lacks (as do "
                    f"{int(lost.sum()):,} of {found.rows:,} facts read with this one), expected each to be there. Add the "
                    "rows, or drop the facts."
                )

            sieve.refuse(lost, f"a key that dimension {name!r} lacks", message)
        stays = sieve.kept
        faults = self.reading.faults[FACTS]
        sieve.faults.read = 0  # they were counted when they were read
        faults.add(sieve.faults)
        if self.labels:
            read = {stage.name: columns.pop(label_role(stage.name)) for stage in schema.stages if stage.any_of is None}
            good = read if stays is None else {name: column[stays] for name, column in read.items()}
            at = found.places if stays is None else found.places[stays]
            consistent = make_consistent(schema, good, lambda row: place.at(int(at[row])))
            for stage, count in consistent.violations.items():
                self.reading.violations[stage] = self.reading.violations.get(stage, 0) + count
            self._count_young(columns, stays, consistent)
            if len(consistent.kept) < len(at):
                stays = consistent.kept if stays is None else stays[consistent.kept]
            columns = columns if stays is None else take(columns, stays)
            columns[LABELS] = consistent.labels
        elif stays is not None:
            columns = take(columns, stays)
        return columns, stays

    def _count_young(self, columns: Columns, stays: NDArray[np.intp] | None, consistent: Consistent) -> None:
        """Of the facts that stay."""
        labels = consistent.labels
        for number, (stage, place) in enumerate(zip(self.schema.stages, self.schema.topology, strict=True)):
            if stage.matures_after is not None:
                young = columns.pop(young_role(stage.name))
                young = (young if stays is None else young[stays])[consistent.kept] & in_space(labels, place)
                rows, positives = self.reading.young.get(stage.name, (0, 0))
                reached = young & (labels[:, number] == 1)
                self.reading.young[stage.name] = rows + int(young.sum()), positives + int(reached.sum())

    def _pieces(self, source: str) -> Iterator[tuple[Place, Normalised]]:
        labels = self.labels and source == FACTS
        # Only training rows are weighed.
        weights = labels and self.split == "train"
        wanted = wanted_columns(self.schema, source, labels=labels, weights=weights)
        total, what, loads = self._open(source, wanted)
        faults = self.reading.faults.setdefault(source, Faults())
        before, where, done = 0, "", 0

        def work(load: Load) -> tuple[Place, int, Normalised]:
            piece = load()
            found = normalise(self.schema, source, piece, labels=labels, weights=weights, seed=self.seed)
            return piece.place, piece.done, found

        for place, reached, found in in_order(work, loads):
            if place.where != where:
                before, where = before + done, place.where
            done = reached
            self.watch(Progress(f"reading {source}", before + done, total, "B"))
            faults.add(found.faults)
            for name, frames in found.texts.items():
                gathered = self.reading.texts.setdefault(name, texts(self.folder / f"texts of {name}"))
                for frame in frames:
                    gathered.add(frame)
            yield place, found
        if not faults.read:
            raise DataError(f"{what}: got no rows, expected some. Is the file whole?")
        self._require_few(source)

    def _require_few(self, source: str) -> None:
        bad_rows = self.schema.data.bad_rows
        if isinstance(bad_rows, SkipBadRows):
            self.reading.faults[source].require_few(f"{self.origin} ({source})", bad_rows.max_share)

    def _open(self, source: str, wanted: Any) -> tuple[int, str, Iterator[Load]]:
        """How many bytes there are, where, and the pieces."""
        files = self.schema.files_of(source)
        if self.origin.root is None:
            frames = self.origin.frames or {}
            if source not in frames:
                raise DataError(f"got no frame for {source!r} {have(source, frames)} Give a mapping with one for each source.")
            return 0, f"frame {source!r}", read_frame(frames[source], wanted, f"frame {source!r}", files)
        patterns = patterns_of(self.schema, source, self.split)
        if not patterns:
            place = "data.facts" if source == FACTS else f"data.dimensions.{source}"
            raise DataError(
                f"{place}: declares no {self.split} files, expected `{self.split}` or `files`. Name them in the schema."
            )
        paths = find_files(self.origin.root, patterns, source)
        size = sum(size_of(path) or 0 for path in paths)
        return size, listed(paths, 3), read_files(files, paths, wanted, self.schema.data.bad_rows)
