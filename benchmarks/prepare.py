"""How fast `funnel prepare` turns raw Ali-CCP text into an encoded store, against two usual ways of doing it.

    python benchmarks/prepare.py --work /tmp/bench_prepare --out docs/prepare_speed.md

The text is simulated in the exact raw format at real list lengths, and kept in the folder given by --work for the next run.
Every measurement is a process of its own, one after the other, and the ways take turns: on a machine that others use too, a
slow minute then hits all of them. What is shown is the median. The first turn warms the page cache for those after it.
"""

import argparse
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

from prepare_page import FEED_GOALS, NAMES, plot, raw_bytes, raw_files, report

ROOT = Path(__file__).resolve().parents[1]
BYTES_PER_IMPRESSION = 461  # of simulated train text
TEST_IMPRESSIONS = 2_000  # about 1 MB: it must be there, and should not weigh
HEAD_BYTES = 60_000_000  # what the baselines get: they are slow
FEED_IMPRESSIONS = {57.9: 1_000_000, 2.3: 100_000}
SCHEMA = "schemas/aliccp.yaml"


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


def measure(command: list[str], store: Path) -> Measured:
    """Run a command that writes a folder, then remove the folder.

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
    shutil.rmtree(store)
    return Measured(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), stored)


def simulate(work: Path, impressions: int, shared: float = 57.9) -> Path:
    """Make a data set of so many training impressions, or take the one an earlier run made."""
    folder = work / f"raw-{impressions}-{shared:g}"
    if not (folder / "README.txt").is_file():  # the simulator moves it into place last
        script = ROOT / "examples/aliccp/simulate.py"
        counts = f"--impressions={impressions}", f"--test-impressions={TEST_IMPRESSIONS}", f"--impressions-per-row={shared}"
        subprocess.run([sys.executable, script, f"--out={folder}", *counts], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        shutil.rmtree(folder / "truth")
    return folder


def cut_head(data: Path, work: Path) -> Path:
    """Write the first skeleton rows of a data set with the common rows they use, and all of its test split."""
    folder = work / f"{data.name}-head"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in raw_files(data, "test"):
        shutil.copy(path, folder)
    skeleton, common = raw_files(data, "train")
    left = HEAD_BYTES * skeleton.stat().st_size / (skeleton.stat().st_size + common.stat().st_size)
    used = set()
    with skeleton.open("rb") as source, (folder / skeleton.name).open("wb") as head:
        for line in source:
            left -= len(line)
            if left < 0:
                break
            used.add(line.split(b",", 4)[3])
            head.write(line)
    with common.open("rb") as source, (folder / common.name).open("wb") as head:
        head.writelines(line for line in source if line[: line.index(b",")] in used)
    return folder


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


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description="Measure funnel prepare against two usual ways.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the simulated text and for the stores")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="GB of train text (0.5 1 2)")
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    parser.add_argument("--out", type=Path, help="markdown file; the plot goes beside it (prepare.md in --work)")
    flags = parser.parse_args(argv)
    if flags.repeats < 1 or min(flags.sizes) * 1e9 < HEAD_BYTES:
        parser.error(f"expected --repeats of at least 1 and --sizes of at least {HEAD_BYTES / 1e9:g}")
    flags.work = flags.work.resolve()
    flags.out = (flags.out or flags.work / "prepare.md").resolve()
    return flags


def main(argv: list[str] | None = None) -> None:
    """Make the data, measure all ways in turn, and write what came out."""
    flags = parse(argv)
    flags.work.mkdir(parents=True, exist_ok=True)
    folders = [simulate(flags.work, round(size * 1e9 / BYTES_PER_IMPRESSION)) for size in sorted(flags.sizes)]
    small = cut_head(folders[len(folders) // 2], flags.work)

    def prepare(data: Path) -> Series:
        program = str(Path(sys.executable).with_name("funnel"))  # of the environment that runs this script
        command = [program, "prepare", SCHEMA, "--json", "--data", str(data), "--out"]
        return Series("funnel prepare", data, command)

    script = str(ROOT / "benchmarks/baselines.py")
    baselines = {way: Series(NAMES[way], small, [sys.executable, script, way, str(small)]) for way in NAMES}
    head, sizes = prepare(small), [prepare(folder) for folder in folders]
    feeds = [Feed(shared, simulate(flags.work, count, shared)) for shared, count in FEED_IMPRESSIONS.items()]
    for _ in range(flags.repeats):
        for series in (*baselines.values(), head, *sizes, *feeds):
            series.measure(flags.work / "store")
    shutil.rmtree(small)
    text = report(baselines, sizes, head, feeds, flags.repeats)
    print("", text, sep="\n")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text, encoding="utf-8", newline="\n")
    plot(baselines, sizes, flags.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
