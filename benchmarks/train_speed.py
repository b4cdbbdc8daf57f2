"""How fast funnel trains, against naive Keras, PyTorch, and the matrix products of the towers alone.

    python benchmarks/train_speed.py --work /tmp/bench_train --out docs/train_speed.md

The text is simulated in the exact raw format at real list lengths, and kept with its stores in the folder given by --work for
the next run. Every measurement is a process of its own, one after the other, reading included, and the ways take turns: on a
machine that others use too, a slow minute then hits all of them. What is shown is the median.

Needs the extra `bench` (PyTorch, matplotlib), 6 GB of memory and 4 GB of disk; three repeats take about half an hour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from aliccp import ROOT
from train_measured import LEARNING, Series, all_series
from train_page import plot, report


def said(command: list[str]) -> Any:
    """What a process prints as JSON in its last line."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def script(name: str, *arguments: object) -> list[str]:
    """The command of a script beside this one."""
    return [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description="Measure how fast funnel trains against usual ways.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the simulated text and for the stores")
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    parser.add_argument("--seconds", type=float, default=12.0, help="that each process is measured (12)")
    parser.add_argument("--out", type=Path, help="markdown file; the plot goes beside it (train_speed.md in --work)")
    flags = parser.parse_args(argv)
    if flags.repeats < 1:
        parser.error("expected --repeats of at least 1")
    flags.work = flags.work.resolve()
    flags.out = (flags.out or flags.work / "train_speed.md").resolve()
    return flags


def main(argv: list[str] | None = None) -> None:
    """Make the data, measure all ways in turn, and write what came out."""
    flags = parse(argv)
    flags.work.mkdir(parents=True, exist_ok=True)
    series: list[Series] = all_series()
    made = {one.shape.name: one.shape.made(flags.work) for one in series}
    for _ in range(flags.repeats):
        for one in series:
            name, *rest = one.command
            one.runs.append(said(script(name, *rest, *made[one.shape.name], "--seconds", flags.seconds)))
            print(f"{one.shape.name}, {one.label}: {one.runs[-1]['rate']:,.0f} samples/s", flush=True)
    learnt = said(script("train_learning.py", *LEARNING.made(flags.work)))
    results = {"learnt": learnt, "runs": [[one.shape.name, one.label, one.runs] for one in series]}
    (flags.work / "measured.json").write_text(json.dumps(results), encoding="utf-8")
    text = report(series, learnt, repeats=flags.repeats, picture=flags.out.with_suffix(".svg").name)
    print("", text, sep="\n")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text, encoding="utf-8", newline="\n")
    plot(series, learnt, flags.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
