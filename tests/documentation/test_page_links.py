"""Links between pages, and to files of the repository, lead somewhere; and no page needs the network to be shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documentation.pages import DRAWN, PAGES, ROOT, prose

LINKED = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MyST make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path)
        if file.name in DRAWN and file.parent.name == "docs":
            continue  # drawn when the site is built, which checks links to it
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target} (have: {sorted(anchors(file))})"


def test_a_heading_s_anchor_is_as_github_has_it(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Your own layer, in 20 lines\n\n## `importance.json`\n")
    assert anchors(tmp_path / "a.md") == {"your-own-layer-in-20-lines", "importancejson"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_fetches_anything(page: Path) -> None:
    assert not re.search(r"!\[[^\]]*\]\(https?:|<(?:img|script|link|iframe)\b[^>]*https?:", page.read_text(encoding="utf-8"))


def test_pictures_fetch_nothing_and_say_what_they_show() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert not re.search(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", text), picture
        assert re.search(r"<title id=\"[\w-]+\">[^<]{40,}</title>", text), picture
        assert "#000" not in text, f"{picture}: black is not seen on a dark page"


def test_every_page_is_in_a_list_of_pages() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z_]+)$", index, re.MULTILINE))
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "index.md" and not page.name.endswith("_tables.md"):  # which other pages hold
            assert page.stem in listed, page.name
