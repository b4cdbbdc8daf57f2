import re
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from funnel.reporting.canvas import Sheet, labels
from funnel.reporting.ink import alone, css_variables, drawing, inline, png
from funnel.reporting.palette import LIGHT, PALETTE

NASTY = "<script>alert('1')</script> & $x_1^2$ -- #1f6fb5 日本 url(#a) id=\"b\""


def parsed(text: str | bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  # our own


@pytest.fixture
def figure():
    with drawing():
        sheet = Sheet(3, NASTY, "below")
        panel = sheet.axes(0.6, 0.5, 2, 2)
        for number, name in enumerate(LIGHT):
            panel.plot([0, 1], [number, number], "o-", color=LIGHT[name])
        panel.text(0.5, 1, NASTY, color=LIGHT["text"])
        labels(panel, NASTY, "y")
        yield sheet.figure


def test_every_colour_is_a_variable(figure) -> None:
    found = parsed(inline(figure, "c1", "a chart"))
    values = [value for element in found.iter() for name, value in element.attrib.items() if name != "aria-label"]
    assert not [
        value for value in values if re.search(r"#[0-9a-fA-F]{3,8}\b(?!-)", value) and "url" not in value and value[0] != "#"
    ]
    assert {name for value in values for name in re.findall(r"var\(--(\w+)\)", value)} == set(PALETTE)


def test_colours_differ_and_are_declared_twice() -> None:
    assert len(set(LIGHT.values())) == len(PALETTE)
    assert all(colour.lower() == colour for pair in PALETTE.values() for colour in pair)
    light, dark = css_variables()
    for name, pair in PALETTE.items():
        assert f"--{name}: {pair[0]};" in light
        assert f"--{name}: {pair[1]};" in dark


def test_text_is_escaped_and_whole(figure) -> None:
    text = inline(figure, "c1", NASTY)
    assert "<script" not in text
    found = parsed(text)
    assert NASTY in [element.text for element in found.iter("text")]
    assert found.get("aria-label") == NASTY


def test_ids_are_of_the_chart_and_all_are_used(figure) -> None:
    found = parsed(inline(figure, "c7", "a chart"))
    ids = [element.get("id") for element in found.iter() if element.get("id")]
    assert ids
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"c7-\d+", name) for name in ids)
    used = {element.get("href") for element in found.iter() if element.get("href")}
    used |= {
        f"#{name}"
        for element in found.iter()
        for value in element.attrib.values()
        for name in re.findall(r"url\(#(c7[^)]+)\)", value)
    }
    assert used == {f"#{name}" for name in ids}


def test_there_are_no_fonts_styles_or_remarks(figure) -> None:
    text = inline(figure, "c1", "a chart")
    assert "font-family" not in text
    assert "<style" not in text
    assert "<!--" not in text
    assert "<metadata" not in text


def test_the_same_bytes_again(figure) -> None:
    assert inline(figure, "c1", "x") == inline(figure, "c1", "x")
    assert alone(figure, "x") == alone(figure, "x")
    assert png(figure) == png(figure)


def test_a_file_of_its_own_has_colours_and_is_whole(figure) -> None:
    text = alone(figure, NASTY)
    found = parsed(text)
    assert found.tag == "{http://www.w3.org/2000/svg}svg"
    assert LIGHT["predicted"].encode() in text
    assert b"var(--" not in text
    assert "sans-serif" in (found.get("font-family") or "")
    assert png(figure).startswith(b"\x89PNG")


def test_a_users_settings_do_not_matter_and_are_as_they_were() -> None:
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "text.parse_math": True}):
        with drawing():
            assert mpl.rcParams["font.size"] == 8
            assert not mpl.rcParams["axes.grid"]
            first = inline(Sheet(1, "$a$").figure, "c1", "x")
        assert mpl.rcParams["font.size"] == 30
    with drawing():
        assert inline(Sheet(1, "$a$").figure, "c1", "x") == first
