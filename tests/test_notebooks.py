"""What notebooks show: in a real kernel where it depends on one."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import read
from nbformat.v4 import new_code_cell, new_notebook

from funnel.doctor.checkup import Checkup, StageRows
from funnel.doctor.finding import Finding
from funnel.notebook.curves import curves
from funnel.notebook.line import in_notebook, watching
from funnel.reporting.svg import Drawing
from tests.reporting import made

ROOT = Path(__file__).parents[1]
WALKTHROUGH = ROOT / "examples" / "aliccp" / "walkthrough.ipynb"
EVENTS = """
from funnel.notebook.line import watching
from funnel.training.events import Epoch, Step
def told(fail):
    with watching("auto", 2) as watch:
        watch(Step(epoch=1, step=1, rows=5, losses={"loss": 0.75}, rows_per_second=10.0, seconds_left=3.0))
        if fail:
            raise fail
        watch(Epoch(epoch=2, step=2, losses={"loss": 0.5}, scores={"buy": 0.25}, best=True, seconds=1.0, rows=5, constant=()))
"""


class Cells(HTMLParser):
    """The cells of a page's tables, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002  # as its base has it
        if tag != "img":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def executed(*sources: str) -> list[list[Any]]:
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    return [cell.outputs for cell in notebook.cells]


def test_one_line_is_changed_in_place_and_gone_after_an_error() -> None:
    _, good, bad, stopped = executed(EVENTS, "told(None)", "told(ValueError('no'))", "told(KeyboardInterrupt())")
    (line,) = good
    assert line["data"]["text/html"] == "<code>epoch 2/2: loss 0.5000; validation buy 0.2500</code>"
    for outputs, name in ((bad, "ValueError"), (stopped, "KeyboardInterrupt")):
        assert [one["data"]["text/html"] for one in outputs if one["output_type"] == "display_data"] == [""]
        assert [one["ename"] for one in outputs if one["output_type"] == "error"] == [name]


def test_elsewhere_nobody_is_told_unless_named() -> None:
    assert not in_notebook()
    with watching("auto", 1) as told:
        assert told is None
    with watching(print, 1) as told:
        assert told is print


def test_a_schema_shows_its_picture_and_stages() -> None:
    schema = made.shipped("esm2")
    shown = schema._repr_html_()
    found = Cells(shown)
    assert not found.open
    assert found.cells[:8] == ["stage", "label", "probability", "loss over", "click", "clicked", "P(click)", "all rows"]
    assert "P(buy_other | click, not direct)" in found.cells
    assert shown.count('src="data:image/svg+xml;base64,') == 1
    assert (
        repr(schema)
        == "<FunnelSchema esm2: impression -> click -> direct -> buy_direct -> buy_other -> buy, 7 features, objective esmm>"
    )


def test_a_checkup_is_escaped() -> None:
    stage = StageRows(given="impression", rows=1000, positives=30, rate=0.03, per_batch=3.0)
    finding = Finding("error", "data", 'got <script>"x" & y')
    found = Checkup("impression", ("a",), 1, "<i>here", 1000, "error", {}, {"a": stage}, 1000, (finding,))
    shown = found._repr_html_()
    assert "<script" not in shown
    assert "<i>" not in shown
    assert 'got <script>"x" & y' in Cells(shown).cells
    assert Cells(shown).cells[7:14] == ["a", "impression", "1,000", "30", "3.00\u00a0%", "3.0", "0"]
    assert repr(found) == "<Checkup of <i>here: 1,000 training rows, 1 error, 0 warnings>"


def test_curves_need_two_epochs() -> None:
    epochs = [{"losses": {"loss": 0.5 / n}, "scores": {"buy": 0.1}} for n in (1, 2)]
    assert curves([]) is None
    assert curves(epochs[:1]) is None
    drawn = curves(epochs)
    assert drawn is not None
    assert 'alt="By epoch: training loss from 0.5000 to 0.2500; validation buy from 0.1000 to 0.1000."' in drawn


def test_a_curve_goes_up_where_numbers_do() -> None:
    drawing = Drawing(10)
    drawing.line([(0, 5), (10, 0)])
    assert 'd="M0 5 L10 0"' in drawing.svg(5, "x")


def printed(notebook: Any) -> list[str]:
    """What cells print and show as plain text, but for what a run is."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") != "stderr"]
    return [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]


@pytest.mark.slow
def test_the_walkthrough_runs_and_says_what_is_kept() -> None:
    kept, fresh = read(WALKTHROUGH, as_version=4), read(WALKTHROUGH, as_version=4)
    try:
        NotebookClient(fresh, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    except CellExecutionError as error:
        pytest.fail(str(error))
    for one, other in zip(printed(fresh), printed(kept), strict=True):
        numbers = r"-?\d[\d,]*\.?\d*"
        assert re.sub(numbers, "#", one) == re.sub(numbers, "#", other)
        got, want = ([float(n.replace(",", "")) for n in re.findall(numbers, text)] for text in (one, other))
        assert got == pytest.approx(want, rel=0.02, abs=0.002)


def test_the_walkthrough_is_kept_with_outputs_and_nothing_of_the_machine() -> None:
    text = WALKTHROUGH.read_text(encoding="utf-8")
    cells = [cell for cell in read(WALKTHROUGH, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell.outputs) for cell in cells) > 8
    assert not any(
        output["output_type"] in ("error", "stream") and output.get("name") == "stderr" for c in cells for output in c.outputs
    )
    assert not re.search(r"/work|/tmp/|/home/|/usr/|rows/s", text)
