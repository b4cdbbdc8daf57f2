"""The same rows, the same network: funnel, tuned PyTorch, naive Keras, and the ESMM of DeepCTR and of torch-rechub.

    python benchmarks/peers.py WORK OUT [--rows 100000] [--rounds 3] [--seconds 8] [--only NAME ...] [--prepare-only]

Measures preparation, samples a second, peak memory, and what is learnt, held against the known truth; writes
OUT/peers_tables.md and OUT/peers.svg. Every measurement is a process of its own, one after the other, and the ways take turns:
on a machine that others use, too, a slow minute then hits all of them. What is shown are medians. What WORK has already is not
made again: a stopped run goes on.

DeepCTR and torch-rechub get environments of their own, in WORK/envs. Making them is all that needs a package index; with
--prepare-only that, the rows and the stores are made, and nothing is measured. Needs the extra `bench`, 6 GB of memory and 6 GB
of disk.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peers_rows as rows
from aliccp import ROOT
from peers_ways import WAYS, Way, make_environments, run, versions
from prepare_measured import Measured, measure, raw_bytes

SIZES = {"1.5 M rows": 1_500_000, "7.3 M rows": 7_300_000}  # of all tables together, where speed is measured
QUALITY = "every id"
PREPARED = ("funnel", "pandas")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description="Compare funnel with other packages and with programs written at home.")
    parser.add_argument("work", type=Path, help="folder for environments, rows and results")
    parser.add_argument("out", type=Path, help="folder for peers_tables.md and peers.svg")
    parser.add_argument("--rows", type=int, default=100_000, help="impressions to train on (100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="that each process is measured (8)")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before (2)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[way.name for way in WAYS], help="of these ways (all)")
    parser.add_argument("--prepare-only", action="store_true", help="make environments, rows and stores")
    flags = parser.parse_args(argv)
    if flags.rounds < 1 or flags.rows < 10_000:
        parser.error("expected --rounds of at least 1 and --rows of at least 10000")
    flags.work, flags.out = flags.work.resolve(), flags.out.resolve()
    return flags


class Pieces:
    """What has been measured, each piece in a file: none is measured twice."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def get(self, name: str, measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The piece, measured now if it is not there."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            found = measured()
            print(f"{name}: {json.dumps(found)}", flush=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found), encoding="utf-8")
            part.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))


def prepared(work: Path, data: Path, pieces: Pieces, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Turn the text into what is learnt from, in both ways, in turn: seconds, peak and bytes of each round.

    Where there are no rounds, what is not there is made all the same.
    """
    funnel = str(Path(sys.executable).with_name("funnel"))
    schema = rows.write_schema(work / "quality.yaml", data)
    places = {"funnel": work / "quality.store", "pandas": work / "arrays"}
    script = str(ROOT / "benchmarks/baselines.py")
    commands = {
        "funnel": [funnel, "prepare", str(schema), "--json", "--out"],
        "pandas": [sys.executable, script, "pandas", "--fields", *rows.columns().values(), "--", str(data)],
    }
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in PREPARED}
    for number in range(rounds):
        for way, runs in found.items():
            runs.append(pieces.get(f"prepare-{way}-{number}", lambda way=way: asdict(made(commands[way], places[way]))))
    for way, place in places.items():
        if not place.is_dir():
            made(commands[way], place)
    return found


def made(command: list[str], folder: Path) -> Measured:
    """Have a folder, its last argument, made by a process."""
    return measure([*command, str(folder)], folder, keep=True)


def tasks(work: Path, data: Path, ways: list[Way], flags: argparse.Namespace) -> dict[tuple[str, str], Path]:
    """The file of each way's task, by size and name of the way; stores are prepared where they are not there."""
    known = rows.known_ids(work / "arrays")
    found = {}
    for size, total in {QUALITY: None, **SIZES}.items():
        sizes = rows.table_rows(known, total)
        name = "quality" if total is None else f"tables-{total}"
        hashed = None if total is None else sizes
        store = work / f"{name}.store"
        if not store.is_dir():
            schema = rows.write_schema(work / f"{name}.yaml", data, hashed)
            made([str(Path(sys.executable).with_name("funnel")), "prepare", str(schema), "--json", "--out"], store)
        for way in ways:
            file = work / f"{name}-{way.slug}"
            schema = rows.write_schema(file.with_suffix(".yaml"), data, hashed, way.train)
            told = rows.task(work / "arrays", schema, store, sizes, warm_up=flags.warm_up, seconds=flags.seconds)
            found[size, way.name] = told.write(file.with_suffix(".json"))
    return found


def main(argv: list[str] | None = None) -> None:
    """Make what is needed, measure all ways in turn, and write what came out."""
    flags = parse(argv)
    ways = [way for way in WAYS if not flags.only or way.name in flags.only]
    work = flags.work / f"{flags.rows}"
    pieces = Pieces(work / "pieces")
    make_environments(flags.work, ways)
    data = rows.raw(flags.work, flags.rows)
    preparation = prepared(work, data, pieces, 0 if flags.prepare_only else flags.rounds)
    told = tasks(work, data, ways, flags)
    if flags.prepare_only:
        return

    def kept(way: Way) -> Path:
        return work / f"{way.slug}.npy"

    speed: dict[str, dict[str, list[dict[str, Any]]]] = {size: {way.name: [] for way in ways} for size in SIZES}
    for number in range(flags.rounds):
        for size, total in SIZES.items():
            for way in ways:
                if way.once and (number or size != next(iter(SIZES))):
                    continue
                piece = f"speed-{total}-{way.slug}-{number}"
                measured = lambda way=way, size=size: run(flags.work, way, "speed", told[size, way.name], kept(way))  # noqa: E731
                speed[size][way.name].append(pieces.get(piece, measured))
    for way in ways:
        measured = lambda way=way: run(flags.work, way, "quality", told[QUALITY, way.name], kept(way))  # noqa: E731
        pieces.get(f"quality-{way.slug}", measured)
    write(flags, ways, data, preparation=preparation, speed=speed, predictions={way.name: kept(way) for way in ways})


def write(
    flags: argparse.Namespace,
    ways: list[Way],
    data: Path,
    *,
    preparation: dict[str, list[dict[str, Any]]],
    speed: dict[str, dict[str, list[dict[str, Any]]]],
    predictions: dict[str, Path],
) -> None:
    """Score the predictions, and write the page's tables and its plot."""
    # Not before: while processes are measured, this one is to be small, since they count its memory until their program starts.
    import numpy as np  # noqa: PLC0415
    from peers_page import Found, page, plot  # noqa: PLC0415
    from peers_scored import aligned, judged, truth_of  # noqa: PLC0415

    work = flags.work / f"{flags.rows}"
    labels = np.stack([np.load(work / "arrays/test" / f"{name}.npy") for name in ("click", "conversion")], axis=1)
    truth, used = truth_of(data), rows.used_rows(data, "test")
    quality = {name: judged(aligned(np.load(path), used), truth, labels) for name, path in predictions.items()}
    found = Found(
        rows=flags.rows,
        tests=len(truth),
        ids=sum(rows.known_ids(work / "arrays").values()),
        raw=raw_bytes(data),
        rounds=flags.rounds,
        preparation=preparation,
        speed=speed,
        quality=quality,
        versions={way.environment or "funnel": versions(flags.work, way.environment) for way in ways},
    )
    flags.out.mkdir(parents=True, exist_ok=True)
    (work / "measured.json").write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    text = page(found)
    print("", text, sep="\n")
    (flags.out / "peers_tables.md").write_text(text, encoding="utf-8", newline="\n")
    plot(found, flags.out / "peers.svg")


if __name__ == "__main__":
    main()
