"""How fast `funnel prepare` turns raw Ali-CCP text into an encoded store, against two usual ways of doing it.

    python benchmarks/prepare.py --work /tmp/bench_prepare --out docs/prepare_speed.md

The text is simulated in the exact raw format at real list lengths, and kept in the folder given by --work for the next run.
Every measurement is a process of its own, one after the other, and the ways take turns: on a machine that others use too, a
slow minute then hits all of them. What is shown is the median. The first turn warms the page cache for those after it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ("train", "test")
BYTES_PER_IMPRESSION = 461  # of simulated train text
TEST_IMPRESSIONS = 2_000  # about 1 MB: it must be there, and should not weigh
FULL_BYTES, FULL_IMPRESSIONS = 19_500_000_000, 42_300_135  # the real train split
HEAD_BYTES = 60_000_000  # what the baselines get: they are slow
GOALS = {"per_row": 12.0, "pandas": 4.0}  # times as fast as this way, at least
NAMES = {"per_row": "per-row Python parser", "pandas": "pandas, as in the notebooks"}


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


def raw_bytes(folder: Path) -> int:
    """Size of the raw text of both splits."""
    return sum(path.stat().st_size for split in SPLITS for path in raw_files(folder, split))


def raw_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The skeleton file and the common file."""
    return folder / f"sample_skeleton_{split}.csv", folder / f"common_features_{split}.csv"


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


def simulate(work: Path, size: float) -> Path:
    """Make a data set with so many GB of train text, or take the one an earlier run made."""
    impressions = round(size * 1e9 / BYTES_PER_IMPRESSION)
    folder = work / f"raw-{impressions}"
    if not (folder / "README.txt").is_file():  # the simulator moves it into place last
        script = ROOT / "examples/aliccp/simulate.py"
        counts = f"--impressions={impressions}", f"--test-impressions={TEST_IMPRESSIONS}"
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


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A markdown table, its first column to the left and the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def ratios(baselines: dict[str, Series], middle: Series, head: Series) -> str:
    """How many times as fast as the baselines, beside the goals."""
    rows = []
    for way, series in baselines.items():
        times = middle.rate / series.rate
        verdict = "reached" if times >= GOALS[way] else "missed"
        rows.append([NAMES[way], f"{times:.1f}x", f"{GOALS[way]:g}x, {verdict}", f"{head.rate / series.rate:.1f}x"])
    at_middle, at_head = (f"{series.raw / 1e6:,.1f} MB" for series in (middle, head))
    return table(["against", f"funnel prepare on {at_middle}", "goal", f"funnel prepare on {at_head} too"], rows)


def projection(sizes: list[Series]) -> str:
    """Time and peak memory of the full data set, by the least-squares line through the measured sizes."""
    raw = [series.raw / 1e9 for series in sizes]
    measured = {"time, s": [series.seconds for series in sizes], "peak memory, GB": [series.peak / 1e9 for series in sizes]}
    rows = []
    for label, values in measured.items():
        slope, intercept = statistics.linear_regression(raw, values)
        residual = max(abs(intercept + slope * x - y) for x, y in zip(raw, values, strict=True))
        figures = intercept + slope * FULL_BYTES / 1e9, intercept, slope, residual
        rows.append([label, *(f"{figure:,.2f}" for figure in figures)])
    return table(["of the full train split", "projected", "at size 0", "per GB of raw text", "greatest residual"], rows)


def feeding() -> None:
    """To be written: how fast rows come out of a store into training. Nothing calls this yet."""
    raise NotImplementedError


def report(baselines: dict[str, Series], sizes: list[Series], head: Series, repeats: int) -> str:
    """All figures as markdown."""
    middle = sizes[len(sizes) // 2]
    columns = ["way", "raw MB", "seconds", "from .. to", "MB/s", "peak MB", "stored / raw"]
    parts = [
        "# Speed of `funnel prepare`\n",
        f"Simulated Ali-CCP text at real list lengths, {os.cpu_count()} cores, medians of {repeats} interleaved runs, each a "
        "process of its own from start to end. Raw is the text of train and of a test split of about 1 MB, all of it read; "
        "1 MB is 10^6 bytes. The baselines run in one thread, as they are usually written.\n",
        table(columns, [series.row() for series in (*baselines.values(), head, *sizes)]),
        f"The baselines are slow, so they get a head of the data ({head.raw / 1e6:,.1f} MB). The goals are for the rate of "
        f"`funnel prepare` at {middle.raw / 1e6:,.1f} MB; on the head itself its fixed costs weigh more.\n",
        ratios(baselines, middle, head),
    ]
    if len({series.raw for series in sizes}) > 1:
        beyond = FULL_BYTES / max(series.raw for series in sizes)
        parts += [
            f"The full train split ({FULL_BYTES / 1e9:g} GB, {FULL_IMPRESSIONS:,} impressions) by a straight line through the "
            f"sizes measured; it is {beyond:.1f} times the largest of them.\n",
            projection(sizes),
        ]
    return "\n".join(parts)


def plot(baselines: dict[str, Series], sizes: list[Series], path: Path) -> None:
    """Draw the rates, and time and peak memory over size with the lines of the projection."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed to measure, and measuring wants a small parent
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (rates, *others) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", width_ratios=[1.3, 1, 1])
    everything = [*reversed(sizes), *baselines.values()]
    bars = rates.barh(
        [f"{series.label}\n{series.raw / 1e6:,.0f} MB" for series in everything],
        [series.rate / 1e6 for series in everything],
        color=["C0"] * len(sizes) + ["gray"] * len(baselines),
    )
    rates.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    rates.tick_params(axis="y", labelsize=8)
    rates.set_xlabel("raw text, MB/s")
    rates.margins(x=0.15)
    raw = [series.raw / 1e9 for series in sizes]
    panels = ("seconds", [series.seconds for series in sizes]), ("peak memory, GB", [series.peak / 1e9 for series in sizes])
    for axis, (label, values) in zip(others, panels, strict=True):
        axis.plot(raw, values, "o")
        if len(set(raw)) > 1:
            slope, intercept = statistics.linear_regression(raw, values)
            axis.axline((0, intercept), slope=slope, linewidth=1, alpha=0.5)
        axis.set(xlabel="raw text, GB", ylabel=label, xlim=(0, 1.1 * max(raw)), ylim=(0, 1.15 * max(values)))
    figure.suptitle("funnel prepare on simulated Ali-CCP text", fontsize=10)
    figure.savefig(path)
    print(f"plot: {path}")


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
    folders = [simulate(flags.work, size) for size in sorted(flags.sizes)]
    small = cut_head(folders[len(folders) // 2], flags.work)

    def prepare(data: Path) -> Series:
        program = str(Path(sys.executable).with_name("funnel"))  # of the environment that runs this script
        command = [program, "prepare", "schemas/aliccp.yaml", "--json", "--data", str(data), "--out"]
        return Series("funnel prepare", data, command)

    script = str(ROOT / "benchmarks/baselines.py")
    baselines = {way: Series(NAMES[way], small, [sys.executable, script, way, str(small)]) for way in NAMES}
    head, sizes = prepare(small), [prepare(folder) for folder in folders]
    for _ in range(flags.repeats):
        for series in (*baselines.values(), head, *sizes):
            series.measure(flags.work / "store")
    shutil.rmtree(small)
    text = report(baselines, sizes, head, flags.repeats)
    print("", text, sep="\n")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text, encoding="utf-8", newline="\n")
    plot(baselines, sizes, flags.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
