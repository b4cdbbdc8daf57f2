"""The call behind `funnel report`: a run's page from its folder alone, or of other rows; or several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from funnel.errors import RunError
from funnel.locations.location import Location, location
from funnel.reporting.record import read_record
from funnel.reporting.write import COMPARISON, REPORT, write_comparison, write_report


def report(
    run: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    data: Any = None,
    split: Literal["train", "test"] | None = None,
    slices: Sequence[str] = (),
    truth: str | Path | None = None,
    plots: str | Path | None = None,
) -> Location:
    """Write a page that says all about a run, or that compares runs. It needs no network and no scripts.

    The page of one run is made from its folder alone, without TensorFlow, unless rows, slices or a truth are given: then the
    run is evaluated first. Runs are compared on the same rows; see `compare`. The same runs and rows give the same bytes.

    Args:
        run: A folder that `fit` wrote, or several; others are compared to the first.
        out: The HTML file, replaced where it is already there. Default: `report.html`, or `comparison.html`, in the
            (first) run.
        data: Rows to judge on: a folder, or frames. Default: one run's page shows what its fit found; several are judged on
            the folder of the first one's schema.
        split: Which rows of the folder. Default: the test rows.
        slices: Features by whose values the rows are parted, too.
        truth: A Parquet file with the true probabilities of the rows.
        plots: A folder for the charts, each as PNG and SVG. Default: none are written.

    Returns:
        The HTML file.

    Raises:
        RunError: A run is missing or not whole, or the files cannot be written: each is there whole, or as it was.
        DataError: The data are not what the schema says.
    """
    runs = [run] if isinstance(run, str | Path) else list(run)
    if not runs:
        raise RunError("report: got no run, expected one or more. Give a folder that `funnel fit` wrote.")
    fresh = data is not None or split is not None or bool(slices) or truth is not None
    asked: dict[str, Any] = {"slices": slices, "truth": truth}
    if len(runs) > 1:
        from funnel.comparing import compare  # noqa: PLC0415  # TensorFlow

        records = [read_record(one) for one in runs]
        path = location(runs[0]) / COMPARISON if out is None else location(out)
        return write_comparison(compare(runs, data, split or "test", **asked).as_dict(), records, path, plots)
    record = read_record(runs[0])
    if fresh:
        from funnel.data.origin import origin_of  # noqa: PLC0415
        from funnel.run import Run  # noqa: PLC0415

        origin = origin_of(record.schema, data)
        judged = Run.load(runs[0]).evaluate(origin, split or "test", **asked)
        record = record.judged(split or "test", judged.as_dict(), str(origin))
    return write_report(record, location(runs[0]) / REPORT if out is None else location(out), plots)
