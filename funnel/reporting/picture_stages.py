"""The stages in the picture of a schema: a box each, below what it is given, and what goes from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from funnel.reporting.arrangement import arrange
from funnel.reporting.picture_words import stage_lines
from funnel.reporting.svg import Box, Drawing, Point, width_of
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.transfer import Aitm, towers_before

WIDTH, WIDEST, LINE, PAD = 212.0, 320.0, 16.0, 10.0  # pixels: a box, at least and at most, a line of text, and within a box
APART, DOWN = 34.0, 46.0  # between two boxes beside each other, and below each other
SIDE = 26.0  # from the middle of a box to what one tower tells another
SIZE = 11.0  # of the letters
SPACE = 40.0  # the height of the box of the space


@dataclass(frozen=True)
class Tree:
    """The stages laid out, from 0.

    Attributes:
        boxes: Of the space, then of the stages.
        lines: What stands in them below the name.
        width: Of the whole.
        transfers: Stages that tell another, and that one.
    """

    boxes: tuple[Box, ...]
    lines: tuple[tuple[str, ...], ...]
    width: float
    transfers: tuple[tuple[int, int], ...]


def tree_of(schema: FunnelSchema, learnt: Learnt | None) -> Tree:
    """Lay the stages out.

    Args:
        schema: The declaration.
        learnt: What says the rates; None where nothing was learnt.
    """
    spots = arrange(schema.topology)
    said = [["one row"], *(stage_lines(schema, stage, learnt) for stage in range(len(schema.stages)))]
    needed = max(width_of(line, SIZE) for some in said for line in some) + 2 * PAD + SIZE
    across = 1 + max(spot.column for spot in spots)
    wide = min(WIDEST, max(WIDTH, needed)) if across <= 2 else WIDTH
    lines = tuple(tuple(part for line in some for part in folded(line, wide - 2 * PAD)) for some in said)
    heights = [SPACE if number == 0 else 26 + LINE * len(some) + PAD / 2 for number, some in enumerate(lines)]
    tops = [0.0]
    for row in range(max(spot.row for spot in spots)):
        tops.append(tops[row] + DOWN + max(h for h, spot in zip(heights, spots, strict=True) if spot.row == row))
    boxes = tuple(
        Box(spot.column * (wide + APART), tops[spot.row], wide, height) for spot, height in zip(spots, heights, strict=True)
    )
    told = isinstance(schema.model.transfer, Aitm)
    towers = [stage for stage, place in enumerate(schema.topology) if not place.is_join] if told else []
    transfers = tuple((other, stage) for stage in towers for other in towers_before(schema.topology, stage))
    return Tree(boxes, lines, across * (wide + APART) - APART, transfers)


def folded(text: str, room: float) -> list[str]:
    """A text on one line, or on two where it has no room on one; a word that is longer than a line stands alone."""
    if width_of(text, SIZE) <= room - SIZE:
        return [text]
    words = text.split(" ")
    fitting = [n for n in range(1, len(words)) if width_of(" ".join(words[:n]), SIZE) <= room - SIZE]
    cut = max(fitting, default=1)
    return [" ".join(words[:cut]), *([f"\u2003{' '.join(words[cut:])}"] if words[cut:] else [])]


def draw_tree(drawing: Drawing, schema: FunnelSchema, tree: Tree, left: float, top: float) -> float:
    """Draw it; what it ends at.

    Args:
        drawing: What it is drawn on.
        schema: The declaration.
        tree: The layout.
        left: Where it begins.
        top: Likewise.
    """
    boxes = [Box(left + box.x, top + box.y, box.width, box.height) for box in tree.boxes]
    names = (schema.space, *schema.stage_names)
    for stage, place in enumerate(schema.topology, start=1):
        for above in place.branches or (place.parent,):
            points = route(boxes, above + 1, stage)
            data = {"kind": "join" if place.is_join else "given", "from": names[above + 1], "to": names[stage]}
            drawing.arrow(points, data, dashed=place.is_join)
        if place.excluded:
            said = "not " + ", ".join(schema.stage_names[other] for other in place.excluded)
            end = boxes[stage]
            drawing.text((end.middle + 8, end.y - 7), said, room=end.width / 2 - 8, size=SIZE, look="muted")
    for one, other in tree.transfers:
        points = route(boxes, one + 1, other + 1, aside=-SIDE)
        data = {"kind": "transfer", "from": names[one + 1], "to": names[other + 1]}
        drawing.arrow(points, data, "transfer")
    for number, (box, name, lines) in enumerate(zip(boxes, names, tree.lines, strict=True)):
        joined = number > 0 and schema.topology[number - 1].is_join
        with drawing.group("space" if number == 0 else "stage", name=name):
            drawing.box(box, "stage" if number else "card", dashed=joined)
            drawing.text((box.x + PAD, box.y + 17), name, room=box.width - 2 * PAD, size=13, bold=True)
            for line, text in enumerate(lines, start=1):
                drawing.text((box.x + PAD, box.y + 17 + LINE * line), text, room=box.width - 2 * PAD, size=SIZE)
    return max(box.bottom for box in boxes)


def route(boxes: Sequence[Box], start: int, end: int, aside: float = 0.0) -> list[Point]:
    """From the lower edge of a box to the upper edge of another one, around those between.

    Args:
        boxes: All.
        start: Where it begins.
        end: Where it ends.
        aside: How far from the middles.

    Returns:
        The corners.
    """
    one, other = boxes[start], boxes[end]
    begin, finish = (one.middle + aside, one.bottom), (other.middle + aside, other.y)
    below = max(box.bottom for box in boxes if box.y == one.y) + 14 + aside / 8
    above = other.y - 24 + aside / 8
    straight = [begin, finish] if abs(begin[0] - finish[0]) < 1 else None
    early = [begin, (begin[0], below), (finish[0], below), finish]
    late = [begin, (begin[0], above), (finish[0], above), finish]
    edges = sorted({side for box in boxes for side in (box.x - APART / 2, box.right + APART / 2)})
    lanes = sorted((lane + aside / 8 for lane in edges[1:-1] or edges), key=lambda lane: abs(lane - (begin[0] + finish[0]) / 2))
    around = [[begin, (begin[0], below), (lane, below), (lane, above), (finish[0], above), finish] for lane in lanes]
    ways = [*([straight] if straight else []), early, late, *around]
    return next((way for way in ways if not any(crosses(way, box) for box in boxes)), ways[0])


def crosses(way: Sequence[Point], box: Box) -> bool:
    """Whether a line of upright and level parts goes through a box, not only along its edge."""
    for (left, top), (right, bottom) in pairwise(way):
        across = min(left, right) < box.right and max(left, right) > box.x
        if across and min(top, bottom) < box.bottom and max(top, bottom) > box.y:
            return True
    return False
