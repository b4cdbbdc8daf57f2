"""The first pass over a split: every row is read once, checked, and put where its shard will find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import Codes, mixed
from funnel.data.columns import Columns, take
from funnel.data.faults import EXAMPLES, Faults, Sieve
from funnel.data.holdout import HoldOut, group_of, is_test, tested_group_of
from funnel.data.keyed import Keyed, parts_of, require_injective, texts
from funnel.data.labels import ABSENT, Consistent, in_space, make_consistent
from funnel.data.normalise import Normalised, normalise
from funnel.data.origin import Origin, Split
from funnel.data.parallel import in_order
from funnel.data.pieces import Load, Place
from funnel.data.portion import Portion
from funnel.data.progress import Progress, Watch
from funnel.data.reading import LABELS, POSITION, Reading, no_rows, require_facts, require_few, row_role, validation_of
from funnel.data.sources import open_source
from funnel.data.spill import BUCKET_SHIFT, DimensionSpill, FactSpill
from funnel.data.wanted import absent_role, key_role, label_role, wanted_columns, young_role
from funnel.errors import DataError
from funnel.schema.data import FACTS, SkipBadRows
from funnel.schema.funnel_schema import FunnelSchema


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
    return Reader(schema, origin, split, folder, labels, seed, watch or (lambda _: None)).run()


@dataclass
class Reader:
    """Reads the rows of a split; see `read`."""

    schema: FunnelSchema
    origin: Origin
    split: Split
    folder: Path
    labels: bool
    seed: int
    watch: Watch
    portion: Portion | None = None
    reading: Reading = field(init=False)
    lookups: dict[str, DimensionSpill] = field(init=False)
    _hold_out: HoldOut = field(init=False)
    _places: list[NDArray[np.int64]] = field(init=False, default_factory=list)

    def run(self) -> Reading:
        """All rows."""
        self.lookups = {
            dimension.name: DimensionSpill(self.folder / dimension.name, key_role(dimension.name))
            for dimension in self.schema.data.dimensions
        }
        self.reading = Reading(FactSpill(self.folder / FACTS), dict(self.lookups), {})
        self._hold_out = HoldOut(validation_of(self.schema, self.split, labels=self.labels))
        for name in self.lookups:
            self._dimension(name)
        self._facts()
        return self.reading

    def _dimension(self, name: str) -> None:
        spill = self.lookups[name]
        for place, found in self._pieces(name):
            spill.add_piece(found.rows, found.columns, place, found.places)
        spill.finish()
        self.reading.faults[name].add(self._repeated(name))
        self._require_few(name)

    def _repeated(self, name: str) -> Faults:
        """Index a dimension; the rows whose key was there before."""
        spill, repeated = self.lookups[name], Faults()
        again, keys = spill.index()
        if not len(again):
            return repeated
        for gathered in self._spellings(key_role(name)):
            require_injective(gathered)  # two keys with one code are no key that repeats
        column = self.schema.dimension(name).key

        def message(number: int) -> str:
            key = self._spelt(key_role(name), int(keys[number]))
            return (
                f"{spill.at(int(again[number]))} column {column!r}: got the key {key!r} of dimension {name!r} more than once "
                f"({len(again):,} rows repeat a key), expected one row for each key. Keep one of them."
            )

        if not isinstance(self.schema.data.bad_rows, SkipBadRows):
            raise DataError(message(0))
        repeated.count("a key that was there before", len(again), [message(number) for number in range(len(again))[:EXAMPLES]])
        repeated.rows = len(again)
        return repeated

    def _spelt(self, role: str, code: int) -> str:
        """The text of a key."""
        if code >= 0:
            return str(code)
        parts = (part for gathered in self._spellings(role) for (part,) in parts_of(gathered))
        found = (part.filter(pl.col("code") == code) for part in parts if part.height)
        return next(rows["text"][0] for rows in found if rows.height)

    def _spellings(self, role: str) -> list[Keyed]:
        """The texts of all keys that were read."""
        return [self.reading.texts[role]] if role in self.reading.texts else []

    def _facts(self) -> None:
        reading = self.reading
        for place, read_ in self._pieces(FACTS, self.portion):
            read_.columns[POSITION] = reading.rows + read_.ordinals
            reading.rows += read_.read
            of_all = {name: read_.columns.pop(key_role(name)) for name in reading.dimensions}
            found, keys = self._of_split(read_, of_all)
            columns, kept = self._joined(place, found, keys)
            moments = found.moments
            if kept is not None:
                keys = {name: codes[kept] for name, codes in keys.items()}
                moments = moments.gather(kept) if moments is not None else None
            position = columns[POSITION]
            self._see(keys, position, moments)
            first = next(iter(keys.values()), position)
            columns["fact bucket"] = (mixed(first) >> BUCKET_SHIFT).astype(np.uint16)
            reading.facts.add(len(position), columns)
        self._finish()

    def _of_split(self, found: Normalised, keys: dict[str, Codes]) -> tuple[Normalised, dict[str, Codes]]:
        """The rows of the split, where training and test rows stand in the same files."""
        test = self.schema.data.test
        if test is None or self.split == "validation" or self.origin.root is None:
            return found, keys
        group = tested_group_of(self.schema)
        tested = is_test(test, keys[group] if group else found.columns[POSITION])
        own = np.flatnonzero(tested if self.split == "test" else ~tested)
        self.reading.apart += found.rows - len(own)
        moments = found.moments.gather(own) if found.moments is not None else None
        columns, places = take(found.columns, own), found.places[own]
        part = replace(found, rows=len(own), places=places, ordinals=found.ordinals[own], columns=columns, moments=moments)
        return part, {name: codes[own] for name, codes in keys.items()}

    def _see(self, keys: Mapping[str, Codes], position: NDArray[np.int64], moments: pl.Series | None) -> None:
        group = group_of(self.schema)
        self._hold_out.see(keys[group] if group else position, moments)
        if moments is not None:
            self._places.append(position)

    def _finish(self) -> None:
        self.reading.facts.finish()
        require_facts(self.reading, self.origin, self.split)
        self._require_few(FACTS)
        self.reading.hold_out(self._hold_out, group_of(self.schema), self._places)

    def _joined(self, place: Place, found: Normalised, keys: dict[str, Codes]) -> tuple[Columns, NDArray[np.intp] | None]:
        """Find each fact's dimension rows, and apply the labels' policy; where some facts go, also which stay."""
        schema = self.schema
        sieve = Sieve(found.rows, skip=isinstance(schema.data.bad_rows, SkipBadRows))
        columns = found.columns
        for name, codes in keys.items():
            rows = self.lookups[name].find(codes)
            columns[row_role(name)] = rows.astype(np.int32) if self.lookups[name].rows < 2**31 else rows
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
            absent = {name: columns.pop(role) for name in schema.stage_names if (role := absent_role(name)) in columns}
            good, lacking = (
                one if stays is None else {name: column[stays] for name, column in one.items()} for one in (read, absent)
            )
            at = found.places if stays is None else found.places[stays]
            consistent = make_consistent(schema, good, lambda row: place.at(int(at[row])), lacking)
            for counts, more in (
                (self.reading.violations, consistent.violations),
                (self.reading.elsewhere, consistent.elsewhere),
            ):
                for stage, count in more.items():
                    counts[stage] = counts.get(stage, 0) + count
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
                young = (
                    (young if stays is None else young[stays])[consistent.kept]
                    & in_space(labels, place)
                    & (labels[:, number] != ABSENT)
                )
                rows, positives = self.reading.young.get(stage.name, (0, 0))
                reached = young & (labels[:, number] == 1)
                self.reading.young[stage.name] = rows + int(young.sum()), positives + int(reached.sum())

    def _pieces(self, source: str, portion: Portion | None = None) -> Iterator[tuple[Place, Normalised]]:
        """The pieces of a source, with what is left out counted, and texts gathered."""
        faults = self.reading.faults.setdefault(source, Faults())
        for place, found in self._normalised(source, portion):
            faults.add(found.faults)
            for name, frames in found.texts.items():
                gathered = self.reading.texts.setdefault(name, texts(self.folder / f"texts of {name}"))
                for frame in frames:
                    gathered.add(frame)
            yield place, found
        if portion is None:
            self._require_few(source)

    def _normalised(self, source: str, portion: Portion | None, *, features: bool = True) -> Iterator[tuple[Place, Normalised]]:
        labels = self.labels and source == FACTS
        # Only training rows are weighed.
        weights = labels and self.split == "train"
        wanted = wanted_columns(self.schema, source, labels=labels, weights=weights, features=features)
        opened = open_source(self.schema, self.origin, self.split, source, wanted, portion=portion)
        rows, what = 0, f"reading {source}" if features else f"reading keys of {source}"

        def work(load: Load) -> tuple[Place, int, Normalised]:
            piece = load()
            found = normalise(self.schema, source, piece, labels=labels, weights=weights, seed=self.seed, features=features)
            return piece.place, piece.done, found

        for place, reached, found in in_order(work, opened.loads):
            self.watch(Progress(what, opened.before.get(place.where, 0) + reached, opened.total, "B"))
            rows += found.faults.read
            yield place, found
        if portion is None and not rows:
            raise no_rows(opened.what)

    def _require_few(self, source: str) -> None:
        require_few(self.reading, self.schema, self.origin, source)
