"""What was read of a portion of a split, in files; and from those of all portions, all that was read of the split."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from funnel.data.arrays import read_arrays, write_arrays
from funnel.data.faults import Faults
from funnel.data.holdout import HoldOut, group_of
from funnel.data.keyed import parts_of, texts
from funnel.data.origin import Origin, Split
from funnel.data.part_reader import PartReader
from funnel.data.reading import POSITION, Reading, no_rows, require_facts, require_few, row_role, validation_of
from funnel.data.spill import DimensionSpill, FactSpill
from funnel.data.wanted import key_role
from funnel.errors import DataError
from funnel.schema.data import FACTS, Fraction
from funnel.schema.funnel_schema import FunnelSchema

STARTS, KEYS = "starts.rows", "keys.rows"  # beside the blocks, which are called by their number
MOMENTS, SPELLINGS = "moments of", "spellings of"  # dimensions have no space in their names

Said = Mapping[str, Any]


def write_split(reader: PartReader) -> dict[str, Any]:
    """Complete the folder that a reader has filled; what the manifest says of it.

    Raises:
        OSError: The disk is full.
    """
    folder, reading = reader.folder, reader.reading
    _folder(folder / FACTS)
    write_arrays(folder / FACTS / STARTS, {"starts": reading.facts.starts})
    for name, spill in reading.dimensions.items():
        _folder(folder / name)
        write_arrays(folder / name / KEYS, {"keys": spill.keys_as_read})
    spelt = {name: _write_texts(folder, number, reading) for number, name in enumerate(reading.texts)}
    moments = _write_moments(reader)
    kept = {FACTS, *reading.dimensions}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in kept and not path.name.startswith(SPELLINGS):
            shutil.rmtree(path)
    return {
        "rows": reading.rows,
        "facts": reading.facts.rows,
        "apart": reading.apart,
        "violations": reading.violations,
        "elsewhere": reading.elsewhere,
        "young": reading.young,
        "faults": {source: _faults(faults) for source, faults in reading.faults.items()},
        "repeats": {name: _faults(faults) for name, faults in reader.repeats.items()},
        "dimensions": {
            name: {"blocks": [block.rows for block in spill.blocks], "of": reader.lookups[name].rows}
            for name, spill in reading.dimensions.items()
        },
        "texts": spelt,
        "moments": moments,
    }


def _folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)  # where there are no rows, nobody made it


def _write_texts(folder: Path, number: int, reading: Reading) -> int:
    """How many files the texts of one table or key take."""
    gathered = list(reading.texts.values())[number]
    target = folder / f"{SPELLINGS} {number}"
    _folder(target)
    files = 0
    for (part,) in parts_of(gathered):
        if part.height:
            part.write_ipc(target / f"{files}.arrow")
            files += 1
    return files


def _write_moments(reader: PartReader) -> int:
    """How many files they take: each has one type, as pieces of several files may differ in theirs."""
    files = 0
    for _, several in groupby(reader.moments, key=lambda piece: str(piece[1].dtype)):
        frames = [pl.DataFrame({"position": position, "time": moments}) for position, moments in several]
        pl.concat(frames).write_ipc(reader.folder / f"{MOMENTS} {files}.arrow")
        files += 1
    return files


def _faults(faults: Faults) -> dict[str, Any]:
    return {"read": faults.read, "rows": faults.rows, "reasons": dict(faults.reasons), "examples": faults.examples}


def read_split(schema: FunnelSchema, origin: Origin, split: Split, parts: Sequence[tuple[Path, Said]], folder: Path) -> Reading:
    """All that was read of a split, from the folders of all its portions, in their order; their files stay where they are.

    Args:
        schema: The declaration.
        origin: Where the rows were read, for messages.
        split: Which of them.
        parts: By portion: the folder, and what the manifest says of it.
        folder: For what does not fit in memory.

    Raises:
        DataError: Too many rows cannot be used, or the parts do not fit together.
    """
    reading = Reading(_facts(parts, folder), {name: _dimension(name, parts, folder) for name in _names(schema)}, {})
    for path, said in parts:
        _add(reading, said)
        for number, (name, files) in enumerate(said["texts"].items()):
            gathered = reading.texts.setdefault(name, texts(folder / f"texts of {name}"))
            for file in range(files):
                gathered.add(pl.read_ipc(path / f"{SPELLINGS} {number}" / f"{file}.arrow"))
    for name, repeated in parts[0][1]["repeats"].items():
        reading.faults[name].add(_read_faults(repeated))  # each portion has those of all rows
    for source in (*reading.dimensions, FACTS):
        if not reading.faults[source].read:
            raise no_rows(f"{origin} ({source}, {split} rows)")
        require_few(reading, schema, origin, source)
    require_facts(reading, origin, split)
    _hold_out(schema, split, reading, parts)
    return reading


def _names(schema: FunnelSchema) -> list[str]:
    return [dimension.name for dimension in schema.data.dimensions]


def _facts(parts: Sequence[tuple[Path, Said]], folder: Path) -> FactSpill:
    facts, before = FactSpill(folder / FACTS), 0
    for path, said in parts:
        for number, starts in enumerate(read_arrays(path / FACTS / STARTS)["starts"].copy()):
            facts.attach_sorted(path / FACTS / f"{number}.rows", starts, {POSITION: before})
        before += said["rows"]
    return facts


def _dimension(name: str, parts: Sequence[tuple[Path, Said]], folder: Path) -> DimensionSpill:
    spill = DimensionSpill(folder / name, key_role(name))
    for path, said in parts:
        blocks = said["dimensions"][name]["blocks"]
        keys, begin = read_arrays(path / name / KEYS)["keys"].copy(), 0
        for number, rows in enumerate(blocks):
            spill.attach_keyed(path / name / f"{number}.rows", rows, keys[begin : begin + rows])
            begin += rows
    for path, said in parts:
        if said["dimensions"][name]["of"] != spill.rows:
            raise DataError(
                f"{path.parent}: has found {said['dimensions'][name]['of']:,} rows of the dimension {name!r}, and all parts "
                f"together have {spill.rows:,}, expected the same number. Did its files change? Prepare the parts again."
            )
    spill.index()
    return spill


def _add(reading: Reading, said: Said) -> None:
    """What was counted of a portion."""
    reading.rows += said["rows"]
    reading.apart += said.get("apart", 0)
    for counts, more in ((reading.violations, said["violations"]), (reading.elsewhere, said.get("elsewhere", {}))):
        for stage, count in more.items():
            counts[stage] = counts.get(stage, 0) + count
    for stage, (rows, positives) in said["young"].items():
        before = reading.young.get(stage, (0, 0))
        reading.young[stage] = before[0] + rows, before[1] + positives
    for source, faults in said["faults"].items():
        reading.faults.setdefault(source, Faults()).add(_read_faults(faults))


def _read_faults(said: Said) -> Faults:
    return Faults(said["read"], said["rows"], Counter(said["reasons"]), dict(said["examples"]))


def _hold_out(schema: FunnelSchema, split: Split, reading: Reading, parts: Sequence[tuple[Path, Said]]) -> None:
    by, group = HoldOut(validation_of(schema, split, labels=True)), group_of(schema)
    places, before = [], 0
    if isinstance(by.validation, Fraction):
        keys = reading.dimensions[group].keys_by_row() if group else None
        for numbers in reading.facts.column(row_role(group) if group else POSITION):
            by.see(numbers if keys is None else keys[numbers], None)
    for path, said in parts:
        for file in range(said["moments"]):
            frame = pl.read_ipc(path / f"{MOMENTS} {file}.arrow")
            places.append(frame["position"].to_numpy() + before)
            by.see(places[-1], frame["time"])
        before += said["rows"]
    reading.hold_out(by, group, places)
