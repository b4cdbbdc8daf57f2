"""Colours, and charts as SVG inside a page: there each colour is a variable, which is another in the dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib as mpl

from funnel.reporting.palette import FONTS, LIGHT, PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "funnel",  # the same chart gives the same bytes
    "svg.fonttype": "none",  # text is text: it can be searched, read aloud, and is in the reader's font
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.unicode_minus": True,
    "path.simplify": True,
}
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_HEX, _REFERENCE = re.compile(r"#[0-9a-fA-F]{6}\b"), re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"\s*font-family:[^;]*;?")


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, charts look the same whatever a user's matplotlib is set to."""
    with mpl.rc_context(), warnings.catch_warnings():
        # The page is shown in fonts that have the letters which matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def inline(figure: Figure, key: str, label: str) -> str:
    """A chart as an SVG element for a page.

    Args:
        figure: The chart, drawn in colours of the palette.
        key: Of no other chart on the page: what its ids begin with.
        label: What it shows, for those who cannot see it.
    """
    root = _parsed(figure)
    variables = {light: f"var(--{name})" for name, light in LIGHT.items()}
    _tidy(root, key, variables)
    box = root.get("viewBox", "0 0 1 1")
    for gone in ("width", "height", "version"):
        root.attrib.pop(gone, None)
    root.attrib |= {"viewBox": box, "role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def alone(figure: Figure, label: str) -> bytes:
    """A chart as an SVG file, on light paper."""
    root = _parsed(figure)
    _tidy(root, "chart", {})
    root.attrib |= {"xmlns": _SVG[1:-1], "role": "img", "aria-label": label, "font-family": FONTS}
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def png(figure: Figure) -> bytes:
    """A chart as a PNG file, on light paper."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=220, metadata={"Software": None})
    return out.getvalue()


def _parsed(figure: Figure) -> ET.Element:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return ET.fromstring(out.getvalue())  # noqa: S314  # matplotlib's own output


def _tidy(root: ET.Element, key: str, colours: dict[str, str]) -> None:
    """Keep what is drawn: ids that are referred to, named after the chart alone, no fonts, and colours as they are to be."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    used: dict[str, str] = {}
    for element in root.iter():
        names = _REFERENCE.findall(" ".join(element.attrib.values()))
        for name in [*names, element.get(f"{_XLINK}href", "").removeprefix("#")]:
            if name:
                used.setdefault(name, f"{key}-{len(used) + 1}")
    for element in root.iter():
        attributes = {name.removeprefix(_XLINK): value for name, value in element.attrib.items()}
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib |= {name: _tidied(name, value, used, colours) for name, value in attributes.items()}
        element.tag = element.tag.removeprefix(_SVG)
        if element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None
    # What its own style sheet said of all elements, which on a page would be of the whole page.
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")


def _tidied(name: str, value: str, used: dict[str, str], colours: dict[str, str]) -> str:
    """An attribute, with other names for what it refers to, other colours, and no fonts."""
    if name == "id":
        return used[value]
    if name == "href":
        return f"#{used[value.removeprefix('#')]}"
    coloured = _HEX.sub(lambda found: colours.get(found[0].lower(), found[0]), _FONT.sub("", value))
    return _REFERENCE.sub(lambda found: f"url(#{used[found[1]]})", coloured)


def css_variables() -> tuple[str, str]:
    """The palette on light and on dark paper, as declarations of CSS."""
    light, dark = (" ".join(f"--{name}: {pair[mode]};" for name, pair in PALETTE.items()) for mode in (0, 1))
    return light, dark
