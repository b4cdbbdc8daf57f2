"""Writes pages and charts: each file is there whole, or as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.errors import RunError
from funnel.folders import whole_file
from funnel.locations.location import Location, location
from funnel.reporting import compared
from funnel.reporting.canvas import Chart
from funnel.reporting.ink import alone, drawing, png
from funnel.reporting.page import content, html
from funnel.reporting.record import Record

REPORT, COMPARISON = "report.html", "comparison.html"
LONGEST = 120  # letters of a file's name


def write_report(record: Record, path: Location, plots: str | Path | None = None) -> Location:
    """Write the page of a run.

    Args:
        record: The run folder, read.
        path: The HTML file.
        plots: A folder for the charts; None writes none.

    Returns:
        The HTML file.

    Raises:
        RunError: The files cannot be written.
    """
    with drawing():
        found = content(record)
        return _write_all(path, html(found), found.charts(), plots)


def write_comparison(
    comparison: Mapping[str, Any], records: Sequence[Record], path: Location, plots: str | Path | None = None
) -> Location:
    """Write the page of a comparison; see `write_report`.

    Args:
        comparison: As `Comparison.as_dict` has it.
        records: The run folders.
        path: The HTML file.
        plots: A folder for the charts; None writes none.
    """
    with drawing():
        found = compared.compared(comparison, records)
        return _write_all(path, compared.html(found), found.charts(), plots)


def _write_all(path: Location, page: str, charts: Sequence[Chart], plots: str | Path | None) -> Location:
    _write(path, page.encode())
    for chart in charts if plots is not None else ():
        for ending, made in (("svg", alone(chart.figure, chart.label)), ("png", png(chart.figure))):
            _write(location(plots or "") / f"{_file_name(chart.name)}.{ending}", made)
    return path


def _file_name(name: str) -> str:
    """The chart's name, where a file's may be so long."""
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _write(path: Location, content_: bytes) -> None:
    with whole_file(path, RunError, "Make room, or choose another --out or --plots.") as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content_)
