"""The pages, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DRAWN = ("reference.md", "commands.md")  # by Sphinx, from the code; their makers are tested
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in DRAWN)]
# Pages whose YAML and Python is run by tests of their own, as one story with files in between.
OWN_TESTS = {"README.md": "tests/test_readme.py", "fifteen_minutes.md": "tests/test_fifteen_minutes.py"}
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^(?P<fence>```|:::)(?P<language>\{?[\w-]*\}?)[^\n]*\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """Some code on a page.

    Attributes:
        page: Its file.
        line: Of the page, from 1, where the code begins.
        language: As the fence says: `yaml`, `python`, `sh`, `{doctest}` ...
        text: The code.
        mark: What the comment just before says: `as FILE` saves it there, `not run: REASON` only compiles it; else empty.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """Those of a language, of one page or of all, in order."""
    found = []
    for one in PAGES if page is None else [page]:
        text = one.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match["language"] == language:
                line = text.count("\n", 0, match.start("text")) + 1
                found.append(Block(one, line, language, match["text"], match["mark"] or ""))
    return found


def prose(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))
