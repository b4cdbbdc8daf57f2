"""How fast `funnel prepare` turns raw Ali-CCP text into an encoded store, against two usual ways of doing it.

    python benchmarks/prepare.py --work /tmp/bench_prepare --out docs/prepare_speed.md

The text is simulated in the exact raw format at real list lengths, and kept in the folder given by --work for the next run.
Every measurement is a process of its own, one after the other, and the ways take turns: on a machine that others use too, a
slow minute then hits all of them. What is shown is the median. The first turn warms the page cache for those after it.
"""

import argparse
import shutil
import sys
from pathlib import Path

from aliccp import ROOT, simulate
from prepare_measured import NAMES, SCHEMA, Feed, Series, raw_files
from prepare_page import plot, report

BYTES_PER_IMPRESSION = 461  # of simulated train text
HEAD_BYTES = 60_000_000  # what the baselines get: they are slow
FEED_IMPRESSIONS = {57.9: 1_000_000, 2.3: 100_000}


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
    text = report(baselines, sizes, head, feeds, repeats=flags.repeats, picture=flags.out.with_suffix(".svg").name)
    print("", text, sep="\n")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text, encoding="utf-8", newline="\n")
    plot(baselines, sizes, flags.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
