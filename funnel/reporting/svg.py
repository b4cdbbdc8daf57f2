"""A drawing of boxes, lines and text, in pixels from its upper left corner, as SVG whose colours follow the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from funnel.reporting.figures import cells, shorten, shown
from funnel.reporting.palette import FONTS, PALETTE

Point = tuple[float, float]
LETTER = 0.6  # of its size: the width of a letter in the widest of the fonts that it may be shown in
BOLD = 1.13  # how much wider bold letters are
RADIUS = 6

# By class: what is filled and what is stroked, in names of the palette.
_LOOKS = {
    "paper": ("paper", None),
    "card": ("band", "line"),
    "stage": ("soft", "predicted"),
    "text": ("text", None),
    "muted": ("muted", None),
    "edge": (None, "muted"),
    "tip": ("muted", None),
    "curve": (None, "predicted"),
    "dot": ("predicted", None),
    "transfer": (None, "step2"),
    "transfer-tip": ("step2", None),
}


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Halfway from left to right."""
        return self.x + self.width / 2


class Drawing:
    """A blank drawing.

    Args:
        width: Pixels.
    """

    def __init__(self, width: float) -> None:
        self.width = width
        self._root = ET.Element("svg", {"class": "funnel-picture"})
        self._at = self._root

    @contextmanager
    def group(self, kind: str, **data: str) -> Iterator[None]:
        """What is drawn within it belongs together, and says of what it is."""
        before = self._at
        self._at = ET.SubElement(
            before, "g", {"class": f"fp-{kind}-group"} | {f"data-{key}": value for key, value in data.items()}
        )
        yield
        self._at = before

    def box(self, where: Box, look: str, *, dashed: bool = False) -> None:
        """A frame with round corners."""
        attributes = {"class": f"fp-{look}" + (" fp-dashed" if dashed else ""), "rx": str(RADIUS)}
        attributes |= {key: _number(getattr(where, key)) for key in ("x", "y", "width", "height")}
        ET.SubElement(self._at, "rect", attributes)

    def text(
        self, at: Point, text: str, *, room: float, size: float = 12, look: str = "text", bold: bool = False, end: bool = False
    ) -> None:
        """A line of text on its baseline; what is longer than its room is cut, and says all of itself when pointed at."""
        whole = shown(text)
        short = shorten(whole, int(room / (LETTER * size * (BOLD if bold else 1))))
        attributes = {"x": _number(at[0]), "y": _number(at[1]), "class": f"fp-{look}", "font-size": _number(size)}
        attributes |= {"font-weight": "bold"} if bold else {}
        attributes |= {"text-anchor": "end"} if end else {}
        element = ET.SubElement(self._at, "text", attributes)
        element.text = short
        if short != whole:
            ET.SubElement(element, "title").text = whole

    def arrow(
        self, points: Sequence[Point], data: Mapping[str, str] | None = None, look: str = "edge", *, dashed: bool = False
    ) -> None:
        """A line through points that ends in the head of an arrow, which points down."""
        attributes = {"class": f"fp-{look}" + (" fp-dashed" if dashed else "")} | {
            f"data-{k}": v for k, v in (data or {}).items()
        }
        x, y = points[-1]
        through = [*points[:-1], (x, y - 5)]
        attributes["d"] = "M" + " L".join(f"{_number(one)} {_number(other)}" for one, other in through)
        ET.SubElement(self._at, "path", attributes)
        corners = ((x, y), (x - 4, y - 7), (x + 4, y - 7))
        spots = " ".join(f"{_number(one)},{_number(other)}" for one, other in corners)
        tip = "transfer-tip" if look == "transfer" else "tip"
        ET.SubElement(self._at, "polygon", {"class": f"fp-{tip}", "points": spots})

    def line(self, points: Sequence[Point]) -> None:
        """A line through points, and a dot at its end."""
        joined = "M" + " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        ET.SubElement(self._at, "path", {"class": "fp-curve", "d": joined})
        x, y = points[-1]
        ET.SubElement(self._at, "circle", {"class": "fp-dot", "cx": _number(x), "cy": _number(y), "r": "2.5"})

    def svg(self, height: float, label: str, *, inline: bool = False) -> str:
        """The whole as one element.

        Args:
            height: Pixels.
            label: What it shows, for those who cannot see it.
            inline: Whether it stands on a page of ours, which says what its colours are; else it is a file of its own.
        """
        size = {"viewBox": f"0 0 {_number(self.width)} {_number(height)}", "role": "img", "aria-label": label}
        size |= {"width": _number(self.width), "height": _number(height)}
        size |= {} if inline else {"xmlns": "http://www.w3.org/2000/svg"}
        root = ET.Element("svg", self._root.attrib | size | {"font-family": FONTS})
        ET.SubElement(root, "style").text = _style(inline=inline)
        paper = {"class": "fp-paper", "x": "0", "y": "0", "width": _number(self.width), "height": _number(height)}
        ET.SubElement(root, "rect", paper)
        root.extend(self._root)
        return ET.tostring(root, encoding="unicode")


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Pixels that a text takes at most."""
    return cells(text) * LETTER * size * (BOLD if bold else 1)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _style(*, inline: bool) -> str:
    """The looks as CSS: in variables of a page, or in colours for light paper and for dark."""
    if inline:
        return _rules(lambda name: f"var(--{name})") + _DASHES
    light = _rules(lambda name: PALETTE[name][0])
    dark = _rules(lambda name: PALETTE[name][1])
    return f"{light}{_DASHES}@media (prefers-color-scheme: dark) {{{dark}}}"


def _rules(colour: Callable[[str], str]) -> str:
    rules = []
    for look, (fill, stroke) in _LOOKS.items():
        said = f"fill: {colour(fill) if fill else 'none'}" + (f"; stroke: {colour(stroke)}" if stroke else "")
        rules.append(f".fp-{look} {{{said}}}")
    return "".join(rules)


_DASHES = ".fp-dashed {stroke-dasharray: 4 3}.fp-transfer {stroke-width: 1.6}"
