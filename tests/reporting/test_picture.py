import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from funnel.errors import SchemaError
from funnel.reporting.draw import draw, write_picture
from funnel.reporting.figures import MINUS
from funnel.reporting.picture import picture, wrapped
from funnel.reporting.picture_words import stage_lines, table_words
from funnel.reporting.svg import LETTER, Box, Drawing, width_of
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.reader import load_schema
from tests.reporting import made
from tests.reporting.test_diagram import NAMES, TREES

SVG = "{http://www.w3.org/2000/svg}"
CHAIN = [{"name": f"step_{n}", "label": f"label_{n}"} for n in range(12)]
TREE = TREES["two levels of branches"]
MANY = [{"name": f"feature_{n}_of_a_log", "kind": ("categorical", "numeric", "bag")[n % 3]} for n in range(60)]
ODD = made.small(
    [{"name": "a", "label": "a", "domains": ['<b>&"x', "日本語"]}, {"name": "b" * 100, "label": "b"}],
    features=[{"name": "tab", "kind": "categorical"}],
    model={"domain": "tab", "body": ["dot", "dcn"]},
)
SCHEMAS = {name: made.shipped(name) for name in NAMES} | {
    "twelve stages": made.small(CHAIN, model={"transfer": "aitm"}),
    "a tree": made.small(TREE, model={"transfer": "aitm"}),
    "twelve beside each other": made.small([stage | {"given": "impression"} for stage in CHAIN]),
    "sixty features": made.small(CHAIN[:1], features=MANY),
    "odd names": ODD,
}
every = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


def read(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  # our own


def parsed(schema: FunnelSchema) -> ET.Element:
    return read(picture(schema))


def groups(root: ET.Element, kind: str) -> list[ET.Element]:
    return [group for group in root.iter(f"{SVG}g") if group.get("class") == f"fp-{kind}-group"]


def box_of(rect: ET.Element) -> Box:
    return Box(*(float(rect.get(key, "")) for key in ("x", "y", "width", "height")))


def extent(text: ET.Element) -> Box:
    """Of a line of text, as wide as it may come out."""
    size = float(text.get("font-size", ""))
    wide = width_of(text.text or "", size, bold=text.get("font-weight") == "bold")
    left = float(text.get("x", "")) - (wide if text.get("text-anchor") == "end" else 0)
    return Box(left, float(text.get("y", "")) - 0.8 * size, wide, size)


def within(inner: Box, outer: Box) -> bool:
    return outer.x <= inner.x and outer.y <= inner.y and inner.right <= outer.right and inner.bottom <= outer.bottom


def overlap(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def segments(path: ET.Element) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return list(pairwise(points))


@every
def test_every_part_is_there_once(schema: FunnelSchema) -> None:
    root = parsed(schema)
    assert [group.get("data-name") for group in groups(root, "stage")] == list(schema.stage_names)
    tables = {f.table or f.name for f in schema.features if f.kind in ("categorical", "bag", "sequence")}
    tables |= {
        f.name for f in schema.features if f.kind == "cross" or (f.kind == "numeric" and f.transform.kind == "bucketize")
    }
    drawn = [group.get("data-name") for group in groups(root, "table")]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == tables
    assert len(groups(root, "part")) == len(schema.model.parts)
    used = {schema.source_of(feature) for feature in schema.features}
    assert [group.get("data-name") for group in groups(root, "source")] == [one for one in schema.sources if one in used]


@every
def test_every_edge_is_there_once(schema: FunnelSchema) -> None:
    names = (schema.space, *schema.stage_names)
    wanted = sorted(
        ("join" if place.branches else "given", names[above + 1], name)
        for name, place in zip(schema.stage_names, schema.topology, strict=True)
        for above in (place.branches or (place.parent,))
    )
    paths = [path for path in parsed(schema).iter(f"{SVG}path") if path.get("data-kind") in ("given", "join")]
    assert sorted((p.get("data-kind"), p.get("data-from"), p.get("data-to")) for p in paths) == wanted


@every
def test_nothing_overlaps_nor_leaves_the_picture(schema: FunnelSchema) -> None:
    root = parsed(schema)
    whole = Box(*(float(number) for number in root.get("viewBox", "").split()))
    framed = [group for kind in ("source", "table", "part", "gate", "space", "stage") for group in groups(root, kind)]
    boxes = []
    for group in framed:
        (rect,) = group.findall(f"{SVG}rect")
        boxes.append(box_of(rect))
        texts = [extent(text) for text in group.findall(f"{SVG}text")]
        assert all(within(text, boxes[-1]) for text in texts)
        assert not any(overlap(one, other) for one, other in combinations(texts, 2))
    loose = [extent(text) for text in root.findall(f"{SVG}text")]
    assert all(within(one, whole) for one in [*boxes, *loose])
    assert not any(overlap(one, other) for one, other in combinations([*boxes, *loose], 2))


@every
def test_no_arrow_goes_through_a_box(schema: FunnelSchema) -> None:
    root = parsed(schema)
    boxes = [box_of(rect) for kind in ("space", "stage") for g in groups(root, kind) for rect in g.findall(f"{SVG}rect")]
    for path in root.iter(f"{SVG}path"):
        for (left, top), (right, bottom) in segments(path):
            line = Box(min(left, right), min(top, bottom) + 0.1, abs(left - right), abs(top - bottom) - 0.2)
            assert not any(overlap(Box(line.x, line.y, line.width or 0.01, max(line.height, 0.01)), box) for box in boxes)


def test_a_tower_tells_those_given_it() -> None:
    paths = [path for path in parsed(made.shipped("multi_domain")).iter(f"{SVG}path") if path.get("data-kind") == "transfer"]
    told = {(path.get("data-from"), path.get("data-to")) for path in paths}
    assert told == {("click", "cart"), ("click", "like"), ("click", "book"), ("cart", "buy")}
    assert not [p for p in parsed(made.shipped("esm2")).iter(f"{SVG}path") if p.get("data-kind") == "transfer"]


def test_what_a_stage_says() -> None:
    schema = made.shipped("esm2")
    names = schema.stage_names
    assert stage_lines(schema, names.index("buy_other"), None) == [
        "tower 64 → 32 relu",
        "head P(buy_other | click, not direct)",
        f"P(buy_other) = P(click) (1 {MINUS} P(direct | click)) P(buy_other | click, not direct)",
        "no loss of its own",
        "expected rate 5.00\u00a0% of click without direct",
    ]
    assert stage_lines(schema, names.index("buy"), None) == [
        "no tower: its branches add up", "P(buy) = P(buy_direct) + P(buy_other)", "loss over all rows",
    ]  # fmt: skip
    domains = made.shipped("multi_domain")
    like = stage_lines(domains, domains.stage_names.index("like"), None)
    assert "only in feed" in like
    assert "gates by scenario" in like
    learnt = Learnt(rows={}, scales={}, priors=(0.25, 0.5, 0.1, 0.1, 0.1))
    assert stage_lines(schema, 1, learnt)[-1] == "rate 50.0\u00a0% of click"


def test_sizes_as_far_as_they_are_known(tree: dict[str, Any]) -> None:
    schema = load_schema(tree)
    assert table_words(schema, "item", 2, None) == "dim 4, learnt, 2 features"
    assert table_words(schema, "city", 1, None) == "dim 16, 10 buckets"
    assert table_words(schema, "age", 1, None) == "dim 16, 4 buckets"
    assert table_words(schema, "city_item", 1, None) == "dim 16, 50 buckets"
    learnt = Learnt(rows={"item": 1234}, scales={}, priors=(0.1, 0.1))
    assert table_words(schema, "item", 2, learnt) == "dim 4, 1,234 rows, 2 features"


def test_names_are_cut_and_counted_where_they_are_many() -> None:
    letter = LETTER * 10
    assert wrapped(["aaaa", "bbbb", "cccc"], 10 * letter, 10) == ["aaaa, bbbb,", "cccc"]
    assert wrapped([f"n{n:02}" for n in range(9)], 30 * letter, 10, most=1) == ["n00, n01, n02 … and 6 more"]
    listed = [
        text.text or "" for group in groups(parsed(SCHEMAS["sixty features"]), "source") for text in group.findall(f"{SVG}text")
    ]
    for kind in ("categorical", "numeric", "bag"):
        place = listed.index(f"20 {kind}")
        lines = listed[place + 1 : place + 4]
        named = sum(line.count("feature_") for line in lines)
        more = re.search(r"and (\d+) more", lines[-1])
        assert named + int(more[1] if more else 0) == 20


def test_what_a_name_holds_is_no_markup() -> None:
    text = picture(ODD)
    assert "<b>" not in text
    shown = [element.text for element in read(text).iter(f"{SVG}text")]
    assert any('only in <b>&"x, 日本語' in (line or "") for line in shown)
    long = next(e for e in read(text).iter(f"{SVG}text") if (e.text or "").startswith("bbb"))
    assert (long.text or "").endswith("…")
    assert long.findtext(f"{SVG}title") == "b" * 100


def test_it_needs_nothing_from_elsewhere_and_says_its_colours_in_light_and_dark() -> None:
    text = picture(made.shipped("aliccp"))
    assert not re.search(r"(href|src|url\(|@import)", text)
    assert "prefers-color-scheme: dark" in text
    assert "var(--" not in text
    inline = picture(made.shipped("aliccp"), inline=True)
    assert "var(--text)" in inline
    assert "prefers-color-scheme" not in inline
    used = {name for element in read(text).iter() for name in (element.get("class") or "").split()}
    styled = set(re.findall(r"\.(fp-[a-z-]+) \{", text))
    assert {name for name in used if name.startswith("fp-") and not name.endswith("-group")} <= styled


def test_the_same_bytes_twice_without_tensorflow_or_data(tmp_path: Path) -> None:
    schema = made.ROOT / "schemas" / "multi_domain.yaml"
    command = [
        sys.executable, "-c",
        "import sys, funnel; funnel.draw(*sys.argv[1:]); assert not {'tensorflow', 'polars', 'matplotlib'} & set(sys.modules)",
        str(schema),
    ]  # fmt: skip
    for name in ("one.svg", "two.svg"):
        subprocess.run([*command, str(tmp_path / "new" / name)], check=True, timeout=60)
    one, two = ((tmp_path / "new" / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two == (picture(load_schema(schema)) + "\n").encode()


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"draw: got the file 'out\.png', expected the ending \.svg"):
        write_picture(ODD, tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


def test_overrides_are_drawn(tmp_path: Path) -> None:
    path = draw(made.ROOT / "schemas" / "aliccp.yaml", tmp_path / "a.svg", ["model.body=mmoe"])
    assert "mmoe: 4 experts" in Path(str(path)).read_text()


def test_the_docs_have_what_the_command_draws() -> None:
    kept = (made.ROOT / "docs" / "multi_domain.svg").read_text(encoding="utf-8")
    assert kept == picture(made.shipped("multi_domain")) + "\n"


def test_a_text_with_room_is_not_cut() -> None:
    drawing = Drawing(100)
    drawing.text((0, 10), "abc", room=3 * LETTER * 10 + 1, size=10)
    drawing.text((0, 20), "abcd", room=3 * LETTER * 10 + 1, size=10)
    texts = list(read(drawing.svg(30, "x")).iter(f"{SVG}text"))
    assert [text.text for text in texts] == ["abc", "a…"]
