from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.patches import FancyBboxPatch

from funnel.reporting.arrangement import arrange
from funnel.reporting.diagram import diagram
from funnel.reporting.ink import drawing
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from tests.reporting import made

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "schemas").glob("*.yaml"))
TREES = {
    "one stage": [{"name": "a", "label": "a"}],
    "four beside each other": [{"name": name, "label": name, "given": "impression"} for name in "abcd"],
    "two levels of branches": [
        {"name": "a", "label": "a"},
        {"name": "b", "label": "b", "given": "a"},
        {"name": "c", "label": "c", "unless": "b"},
        {"name": "d", "label": "d", "unless": "c"},
        {"name": "e", "any_of": ["b", "d"]},
        {"name": "f", "label": "f", "given": "e"},
        {"name": "g", "label": "g", "given": "e"},
        {"name": "h", "label": "h", "given": "c"},
    ],
    "long names": [{"name": "a" * 100, "label": "a"}, {"name": "b" * 100, "label": "b", "given": "impression"}],
}
SCHEMAS = {name: made.shipped(name) for name in NAMES} | {name: made.small(stages) for name, stages in TREES.items()}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_no_two_stand_upon_each_other_and_arrows_point_down(schema: FunnelSchema) -> None:
    spots = arrange(schema.topology)
    assert len(spots) == 1 + len(schema.stages)
    assert min(spot.column for spot in spots) == 0
    for one, other in combinations(spots, 2):
        assert one.row != other.row or abs(one.column - other.column) >= 1
    for spot, place in zip(spots[1:], schema.topology, strict=True):
        assert all(spots[above + 1].row < spot.row for above in (place.parent, *place.branches))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_boxes_and_names_are_within_the_sheet(schema: FunnelSchema) -> None:
    learnt = Learnt(rows={}, scales={}, priors=(0.1,) * len(schema.stages))
    with drawing():
        chart = diagram(schema, learnt)
        renderer = chart.figure.canvas.get_renderer()
        sheet = chart.figure.bbox
        boxes = [patch for patch in chart.figure.artists if isinstance(patch, FancyBboxPatch)]
        assert len(boxes) == 1 + len(schema.stages)
        for artist in [*boxes, *chart.figure.texts]:
            extent = artist.get_window_extent(renderer)
            assert sheet.x0 - 1 <= extent.x0 < extent.x1 <= sheet.x1 + 1, artist
            assert sheet.y0 - 1 <= extent.y0 < extent.y1 <= sheet.y1 + 1, artist


def test_a_chain_is_one_column() -> None:
    spots = arrange(made.shipped("full_chain").topology)
    assert [(spot.column, spot.row) for spot in spots] == [(0, row) for row in range(7)]


def test_a_join_is_below_the_middle_of_its_branches() -> None:
    spots = dict(zip(("impression", *made.shipped("esm2").stage_names), arrange(made.shipped("esm2").topology), strict=True))
    assert spots["buy_direct"].row == spots["buy_other"].row < spots["buy"].row
    assert spots["buy"].column == (spots["buy_direct"].column + spots["buy_other"].column) / 2


def test_it_is_told_to_those_who_cannot_see_it() -> None:
    schema = made.shipped("esm2")
    with drawing():
        chart = diagram(schema, Learnt(rows={}, scales={}, priors=(0.1,) * 5))
    assert chart.label == (
        "The declared funnel. One row is one impression. click after impression; direct after click; buy_direct after direct; "
        "buy_other after click without direct; buy: any of buy_direct or buy_other."
    )
