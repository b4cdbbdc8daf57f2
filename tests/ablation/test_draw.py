from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from funnel.ablation.columns import Column
from funnel.ablation.draw import WIDTH, _figure, draw
from funnel.ablation.markdown import markdown
from funnel.ablation.table import Ablation, Cell, Row
from funnel.ablation.variants import NAMES, PAPER
from funnel.errors import RunError


def made(names=NAMES, probabilities=("click", "buy_given_click"), seeds=3, scale=0.01, undefined=()) -> Ablation:
    random = np.random.default_rng(0)
    columns = tuple(
        Column(name, measure, "impression", truth=False, stage=0, conditional=False, rows=1_234_567, positives=5000)
        for name in probabilities
        for measure in ("AUC", "pred/obs")
    )

    def cell(number: int, column: Column) -> Cell:
        if column.name in undefined:
            return Cell((math.nan,) * seeds, *((math.nan,) * 3 if number else ()))
        values = tuple(float(value) for value in 0.7 + scale * random.normal(0, 1, seeds))
        middle, width = scale * random.normal(), scale * random.random()
        return Cell(values, *((middle, middle - width, middle + width) if number else ()))

    rows = [
        Row(name, PAPER.get(name), {"kind": name}, True, tuple(cell(number, column) for column in columns), {})
        for number, name in enumerate(names)
    ]
    return Ablation(
        "shop", Path(), "data", "impression", 9, "rows", tuple(range(seeds)), columns, tuple(rows), {}, (), {"funnel": "0"}
    )


LONG = ("click", "add_to_cart_given_detail_page_view_not_direct_purchase", "buy", "a", "b")
CASES = {
    "usual": made(),
    "two rows": made(NAMES[:2]),
    "one seed": made(seeds=1),
    "long names, tiny differences": made(probabilities=LONG, scale=1e-6),
    "huge differences": made(scale=1e4),
    "no difference": made(scale=0.0),
    "undefined": made(undefined=("click", "buy_given_click")),
}


def drawn(figure) -> list[Text]:
    """All texts but the labels of ticks that are outside of their panel."""
    found = [figure._suptitle, figure._supxlabel]
    for panel in figure.axes:
        if panel.get_visible():
            found += [panel._left_title, *panel.texts]
            for axis in (panel.xaxis, panel.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [
                    tick.label1
                    for tick in axis.get_major_ticks()
                    if low <= tick.get_loc() <= high and tick.label1.get_visible()
                ]
    return found


@pytest.mark.parametrize("case", CASES)
def test_no_two_texts_overlap_and_all_are_inside(case: str) -> None:
    figure = _figure(CASES[case])
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    inside = figure.bbox
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in drawn(figure) if text.get_text().strip()]
    for told, box in shown:
        assert box.x0 >= 0, told
        assert box.x1 <= inside.x1 + 1, told
        assert box.y0 >= 0, told
        assert box.y1 <= inside.y1 + 1, told
    for (told, box), (other, another) in combinations(shown, 2):
        assert not box.overlaps(another), (told, other)
    assert figure.get_figwidth() == WIDTH


@pytest.mark.parametrize("case", CASES)
def test_it_is_written_whole(case: str, tmp_path: Path) -> None:
    written = draw(CASES[case], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.png", "ablation.svg"]
    assert [path.stat().st_size > 5000 for path in written] == [True, True]
    assert "undefined" in markdown(CASES[case], "x") or case != "undefined"


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        draw(CASES["two rows"], tmp_path / "gone")
