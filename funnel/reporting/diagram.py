"""The declared funnel as a picture: boxes from the space down to the last stages, arrows for what is given what."""

from __future__ import annotations

from matplotlib.patches import FancyBboxPatch

from funnel.reporting.arrangement import arrange
from funnel.reporting.canvas import BOLD, USUAL, WIDTH, Chart, Sheet, room
from funnel.reporting.figures import cells, percent, shorten
from funnel.reporting.palette import LIGHT
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt

TINY = 6.8  # points
HEIGHT, GAP = 0.46, 0.4  # inches, of a box and between two
WIDEST, NARROWEST, APART = 2.0, 1.02, 0.1  # inches: a box, and the room between two beside each other


def diagram(schema: FunnelSchema, learnt: Learnt) -> Chart:
    """Draw the stages.

    Args:
        schema: The declaration.
        learnt: The training rows' rates.
    """
    spots = arrange(schema.topology)
    across = 1 + max(spot.column for spot in spots)
    down = 1 + max(spot.row for spot in spots)
    box = min(WIDEST, max(NARROWEST, (WIDTH - 0.1) / across - APART))
    width = max(WIDTH, across * (box + APART) + 0.1)
    sheet = Sheet(down * HEIGHT + (down - 1) * GAP + 0.1, width=width)
    margin = (width - across * (box + APART)) / 2
    middles = [margin + (spot.column + 0.5) * (box + APART) for spot in spots]
    tops = [0.05 + spot.row * (HEIGHT + GAP) for spot in spots]
    for stage, place in enumerate(schema.topology):
        for above in place.branches or (place.parent,):
            where = (middles[above + 1], tops[above + 1] + HEIGHT, middles[stage + 1], tops[stage + 1])
            unless = f"not {', '.join(schema.stage_names[other] for other in place.excluded)}" if place.excluded else ""
            _arrow(sheet, where, dashed=place.is_join, label=unless)
    given = [schema.space, *schema.conditional_spaces]
    _box(sheet, (middles[0], tops[0], box), schema.space, "one row", space=True)
    for stage, place in enumerate(schema.topology):
        if place.is_join:
            long, short = "any of " + ", ".join(schema.stage_names[branch] for branch in place.branches), "any of those above"
        else:
            rate = percent(learnt.priors[stage])
            long, short = f"{rate} of {given[stage + 1]}", f"{rate} of these"
        below = long if cells(long) <= room(box - 0.04, TINY) else short
        spot = (middles[stage + 1], tops[stage + 1], box)
        _box(sheet, spot, schema.stage_names[stage], below, dashed=place.is_join)
    return Chart("funnel-declared", _told(schema), sheet.figure, wide=width > WIDTH)


def _told(schema: FunnelSchema) -> str:
    parts = []
    for name, place, given in zip(schema.stage_names, schema.topology, schema.conditional_spaces, strict=True):
        any_of = " or ".join(schema.stage_names[branch] for branch in place.branches)
        parts.append(f"{name}: any of {any_of}" if place.is_join else f"{name} after {given}")
    return f"The declared funnel. One row is one {schema.space}. {'; '.join(parts)}."


def _box(
    sheet: Sheet, where: tuple[float, float, float], name: str, below: str, *, space: bool = False, dashed: bool = False
) -> None:
    """Two lines in a frame; where its middle, its top, and its width are given."""
    middle, top, width = where
    x, y = (middle - width / 2) / sheet.width, 1 - (top + HEIGHT) / sheet.height
    patch = FancyBboxPatch(
        (x * sheet.width, y * sheet.height), width, HEIGHT, boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=LIGHT["soft" if not space else "band"], edgecolor=LIGHT["predicted" if not space else "line"],
        linewidth=0.9, linestyle=(0, (3, 2)) if dashed else "-", transform=sheet.figure.dpi_scale_trans,
    )  # fmt: skip
    sheet.figure.add_artist(patch)
    name_size = USUAL + 0.6
    sheet.text(
        middle,
        top + 0.155,
        shorten(name, int(room(width - 0.08, name_size) / BOLD)),
        size=name_size,
        weight="bold",
        ha="center",
    )
    sheet.text(middle, top + 0.325, shorten(below, room(width - 0.04, TINY)), size=TINY, colour="muted", ha="center")


def _arrow(sheet: Sheet, where: tuple[float, float, float, float], *, dashed: bool, label: str) -> None:
    """From the middle of a box's lower edge to that of another's upper edge: down, across, down."""
    left, top, right, bottom = where
    turn = bottom - GAP * 0.55
    x = [left, left, right, right] if abs(left - right) > 1e-6 else [left, right]
    y = [top, turn, turn, bottom - 0.07] if len(x) > 2 else [top, bottom - 0.07]
    style = {"color": LIGHT["line"], "linewidth": 1.0, "linestyle": (0, (3, 2)) if dashed else "-"}
    sheet.line(x, y, **style)
    sheet.head(right, bottom)
    if label:
        sheet.text(right + 0.05, bottom - GAP * 0.27, shorten(label, 24), size=TINY, colour="muted")
