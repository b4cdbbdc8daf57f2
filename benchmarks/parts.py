"""What each machine does where several prepare a store, against what one does alone, on simulated Ali-CCP text.

    python benchmarks/parts.py --work /tmp/bench_parts --parts 4

Each part and each merge is a process of its own, one after the other, as if on machines of their own; one machine and several
take turns. What is shown are medians; processor time serves to compare on a machine that others use, too.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from aliccp import ROOT, simulate
from markdown import table

SCHEMA = "schemas/aliccp.yaml"


@dataclass(frozen=True)
class Measured:
    """A process: seconds on the clock, of the processor, and its greatest resident memory in bytes."""

    seconds: float
    processor: float
    peak: int


def measure(*arguments: object) -> Measured:
    """Run `funnel prepare`."""
    program = str(Path(sys.executable).with_name("funnel"))  # of the environment that runs this script
    begun = time.perf_counter()
    process = subprocess.Popen([program, "prepare", SCHEMA, *map(str, arguments)], cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"funnel prepare {' '.join(map(str, arguments))}: failed")
    return Measured(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def same(one: Path, other: Path) -> bool:
    """Whether two stores are the same, but for the time that they took."""
    found = []
    for folder in (one, other):
        manifest = json.loads((folder / "manifest.json").read_text())
        found.append({key: value for key, value in manifest.items() if key != "seconds"})
    return found[0] == found[1]


def row(name: str, runs: list[Measured]) -> list[str]:
    """Medians."""
    seconds, processor, peak = (
        statistics.median(getattr(run, part) for run in runs) for part in ("seconds", "processor", "peak")
    )
    return [name, f"{seconds:.1f}", f"{processor:.1f}", f"{peak / 1e6:,.0f}"]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure funnel prepare on one machine and in parts.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the simulated text and for the stores")
    parser.add_argument("--impressions", type=int, default=2_000_000, help="(2,000,000)")
    parser.add_argument("--parts", type=int, default=4, help="(4)")
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    flags = parser.parse_args()
    work = flags.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    data, one, parts, merged = simulate(work, flags.impressions), work / "one", work / "parts", work / "merged"
    alone: list[Measured] = []
    shards: list[list[Measured]] = [[] for _ in range(flags.parts)]
    merges: list[Measured] = []
    for _ in range(flags.repeats):
        for folder in (one, parts, merged):
            shutil.rmtree(folder, ignore_errors=True)
        alone.append(measure("--data", data, "--out", one))
        for number, runs in enumerate(shards, 1):
            runs.append(measure("--data", data, "--out", parts, "--shard", f"{number}/{flags.parts}"))
        merges.append(measure("--data", data, "--out", merged, "--merge", parts))
        if not same(one, merged):
            raise SystemExit("the stores differ")
    of = flags.parts
    rows = [row("one machine", alone), *(row(f"part {number}/{of}", runs) for number, runs in enumerate(shards, 1))]
    print(table(["", "seconds", "of the processor", "peak MB"], [*rows, row("merge", merges)]), end="")


if __name__ == "__main__":
    main()
