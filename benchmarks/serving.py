"""How long an export takes to answer: `rank` against `predict` with the user's inputs repeated, at the shape of Ali-CCP.

    python benchmarks/serving.py --work /tmp/bench_serving --out docs/serving_speed.md

The exports are as large as one of the real data, and are made without a fit. Every measurement is a process of its own on as
many cores as it has threads; in it the ways take turns, and processes take turns, too: on a machine that others use, a slow
minute then hits all of them. What is shown is the median of the processes.

Needs matplotlib for the plot, 4 GB of memory and 1 GB of disk; with three repeats it takes about five minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from aliccp import ROOT
from serving_page import Measured, plot, report

SERIES = ("float32", 1), ("float32", 2), ("int8", 1)  # tables and threads


def said(command: list[str]) -> str:
    """What a process prints in its last line."""
    done = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description="Measure how long an export takes to answer.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the exports, kept for the next run")
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="that each process is measured (8)")
    parser.add_argument("--out", type=Path, help="markdown file; the plot goes beside it (serving_speed.md in --work)")
    flags = parser.parse_args(argv)
    if flags.repeats < 1:
        parser.error("expected --repeats of at least 1")
    flags.work = flags.work.resolve()
    flags.out = (flags.out or flags.work / "serving_speed.md").resolve()
    return flags


def main(argv: list[str] | None = None) -> None:
    """Make the exports, measure them in turn, and write what came out."""
    flags = parse(argv)
    flags.work.mkdir(parents=True, exist_ok=True)
    lacking = [kind for kind in dict(SERIES) if not (flags.work / kind).is_dir()]
    if lacking:
        # In a process of its own, which then gives its memory back.
        said([sys.executable, "serving_made.py", str(flags.work), *lacking])
    found: list[Measured] = [Measured(kind, threads) for kind, threads in SERIES]
    for _ in range(flags.repeats):
        for one in found:
            once = ["serving_once.py", str(flags.work / one.kind / "1"), "--threads", str(one.threads)]
            run: dict[str, Any] = json.loads(said([sys.executable, *once, "--seconds", str(flags.seconds)]))
            one.runs.append(run)
            print(f"{one.kind}, threads {one.threads}: rank of 1,000 {one.at('rank', 1000, 50):.1f} ms", flush=True)
    (flags.work / "measured.json").write_text(
        json.dumps([[one.kind, one.threads, one.runs] for one in found]), encoding="utf-8"
    )
    text = report(found, flags.work, picture=flags.out.with_suffix(".svg").name)
    print("", text, sep="\n")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text, encoding="utf-8", newline="\n")
    plot(found, flags.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
