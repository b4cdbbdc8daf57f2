"""Ali-CCP text at real list lengths, simulated once and kept for later runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEST_IMPRESSIONS = 2_000  # about 1 MB: it must be there, and should not weigh


def simulate(
    work: Path, impressions: int, shared: float = 57.9, test: int = TEST_IMPRESSIONS, rates: dict[str, float] | None = None
) -> Path:
    """Make a data set of so many training impressions, or take the one an earlier run made.

    Args:
        work: Where data sets are kept.
        impressions: How many.
        shared: Of them for each common row.
        test: How many of the test split.
        rates: `click_rate` and `buy_rate`, where they are not the real ones; the truth is then kept, too.
    """
    folder = work / (f"raw-{impressions}-{shared:g}" + (f"-{test}" if test != TEST_IMPRESSIONS else ""))
    if rates:
        folder = folder.with_name("-".join([folder.name, *(f"{rate:g}" for rate in rates.values())]))
    if not (folder / "README.txt").is_file():  # the simulator moves it into place last
        script = ROOT / "examples/aliccp/simulate.py"
        counts = f"--impressions={impressions}", f"--test-impressions={test}", f"--impressions-per-row={shared}"
        asked = [f"--{name.replace('_', '-')}={rate}" for name, rate in (rates or {}).items()]
        subprocess.run([sys.executable, script, f"--out={folder}", *counts, *asked], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        if not rates:
            shutil.rmtree(folder / "truth")
    return folder
