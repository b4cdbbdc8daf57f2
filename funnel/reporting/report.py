"""The call behind `funnel report`: reads a run folder, and writes its page and its charts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from funnel.errors import RunError
from funnel.folders import whole_file
from funnel.reporting.ink import alone, drawing, png
from funnel.reporting.page import Content, content, html
from funnel.reporting.record import read_record

PAGE = "report.html"
LONGEST = 120  # letters of a file's name


def report(run: str | Path, out: str | Path | None = None, *, plots: str | Path | None = None) -> Path:
    """Write a page that says all about a run, from its folder alone. It needs no network and no scripts.

    The same run gives the same bytes.

    Args:
        run: A folder that `fit` wrote.
        out: The HTML file, replaced where it is already there. Default: `report.html` in the run folder.
        plots: A folder for the charts, each as PNG and SVG. Default: none are written.

    Returns:
        The HTML file.

    Raises:
        RunError: The run is missing or not whole, or the files cannot be written: each is there whole, or as it was.
    """
    path = Path(run) / PAGE if out is None else Path(out)
    with drawing():
        found = content(read_record(run))
        _write(path, html(found).encode())
        if plots is not None:
            _write_plots(found, Path(plots))
    return path


def plots(run: str | Path, out: str | Path) -> list[Path]:
    """Write the charts of a run's report as files: each as PNG and as SVG.

    Args:
        run: A folder that `fit` wrote.
        out: The folder; it is made where there is none, and files of the same names are replaced.

    Raises:
        RunError: As in `report`.
    """
    with drawing():
        return _write_plots(content(read_record(run)), Path(out))


def _write_plots(found: Content, folder: Path) -> list[Path]:
    written = []
    for chart in found.charts():
        for ending, made in (("svg", alone(chart.figure, chart.label)), ("png", png(chart.figure))):
            path = folder / f"{_file_name(chart.name)}.{ending}"
            _write(path, made)
            written.append(path)
    return written


def _file_name(name: str) -> str:
    """The chart's name, where a file's may be so long."""
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _write(path: Path, content_: bytes) -> None:
    with whole_file(path, RunError, "Make room, or choose another --out or --plots.") as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content_)
