"""Processes measured from outside: how long, how much memory, how much written; and feeding from the store that one left."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from aliccp import ROOT

SCHEMA = "schemas/aliccp.yaml"
SPLITS = ("train", "test")
FULL_BYTES, FULL_IMPRESSIONS = 19_500_000_000, 42_300_135  # the real train split
GOALS = {"per_row": 12.0, "pandas": 4.0}  # times as fast as this way, at least
FEED_GOALS = {57.9: 300_000, 2.3: 60_000}  # impressions a second by impressions per common row, at least, in batches of 4,096
NAMES = {
    "per_row": "per-row Python parser",
    "columns": "the same, tuned: typed arrays",
    "pandas": "pandas, as in the notebooks",
}


def raw_bytes(folder: Path) -> int:
    """Size of the raw text of both splits."""
    return sum(path.stat().st_size for split in SPLITS for path in raw_files(folder, split))


def raw_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The skeleton file and the common file."""
    return folder / f"sample_skeleton_{split}.csv", folder / f"common_features_{split}.csv"


@dataclass(frozen=True)
class Measured:
    """One process: how long it took, its greatest resident memory, and how much it wrote."""

    seconds: float
    peak: int
    stored: int


@dataclass
class Series:
    """All measurements of one way on one input."""

    label: str
    data: Path
    command: list[str]
    raw: int = 0
    runs: list[Measured] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.raw = raw_bytes(self.data)

    def measure(self, store: Path) -> None:
        """Run once into an empty place."""
        self.runs.append(measure([*self.command, str(store)], store))
        last = self.runs[-1]
        print(f"{self.label} on {self.raw / 1e6:,.1f} MB: {last.seconds:.2f} s, peak {last.peak / 1e6:,.0f} MB", flush=True)

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def peak(self) -> float:
        """Greatest resident memory in bytes."""
        return statistics.median(run.peak for run in self.runs)

    @property
    def rate(self) -> float:
        """Raw bytes per second."""
        return self.raw / self.seconds

    def row(self) -> list[str]:
        """A line of the table of all measurements."""
        spread = f"{min(run.seconds for run in self.runs):.2f} to {max(run.seconds for run in self.runs):.2f}"
        stored = statistics.median(run.stored for run in self.runs)
        figures = f"{self.raw / 1e6:,.1f}", f"{self.seconds:.2f}", spread, f"{self.rate / 1e6:,.1f}"
        return [self.label, *figures, f"{self.peak / 1e6:,.0f}", f"{stored / self.raw:.3f}"]


def measure(command: list[str], store: Path, *, keep: bool = False) -> Measured:
    """Run a command that writes a folder, then remove the folder, unless it is to be kept.

    The peak is that of the process itself and of each child it waited for, whichever is greatest, with the file pages it has
    mapped. This script imports nothing large before it is done: a child counts the memory of its parent until it starts its own
    program.
    """
    shutil.rmtree(store, ignore_errors=True)
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT)  # noqa: S603 - our own commands
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{said.read().decode(errors='replace')[-2000:]}")
    stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    if not keep:
        shutil.rmtree(store)
    return Measured(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), stored)


@dataclass
class Feed:
    """How fast batches come out of the store of one data set: measurements by way of shuffling."""

    shared: float
    data: Path
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def measure(self, store: Path) -> None:
        """Prepare, feed, and remove the store."""
        program = str(Path(sys.executable).with_name("funnel"))
        command = [program, "prepare", SCHEMA, "--json", "--data", str(self.data), "--out", str(store)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
        command = [sys.executable, str(ROOT / "benchmarks/feeding.py"), SCHEMA, str(store)]
        said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout  # noqa: S603 - as above
        for way, found in json.loads(said).items():
            self.runs.setdefault(way, []).append(found)
            print(f"feeding, {self.shared:g} a row, {way}: {found['rate']:,.0f} impressions/s", flush=True)
        shutil.rmtree(store)

    def rows(self) -> list[list[str]]:
        """Lines of the table."""
        impressions = f"{raw_bytes(self.data) / 1e6:,.1f}"
        return [
            [
                way, f"{self.shared:g}", impressions, f"{statistics.median(run['shared'] for run in runs):.1f}",
                f"{statistics.median(run['rate'] for run in runs):,.0f}", f"{FEED_GOALS[self.shared]:,}",
            ]
            for way, runs in self.runs.items()
        ]  # fmt: skip
