"""The page "Your own funnel in fifteen minutes": every block runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "fifteen_minutes.md").read_text(encoding="utf-8")
SIMULATED, REAL = PAGE.split("\n## The same with real rows\n")
Answer = tuple[int, str, str]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(text: str, funnel: Callable[..., Answer]) -> str:
    """Every line of the shell blocks, in order; what they said."""
    said = ""
    for line in "".join(blocks(text, "sh")).splitlines():
        command, *arguments = shlex.split(line)
        assert command == "funnel", line
        code, out, error = funnel(*arguments)
        assert code == 0, (line, out[-2000:], error[-2000:])
        said += out
    return said


def lines(text: str) -> list[str]:
    """Those of a table, whatever its width: each column's words."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and "───" not in line]


@pytest.mark.slow
def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, funnel: Callable[..., Answer]) -> None:
    (tmp_path / "schemas").symlink_to(ROOT / "schemas")
    monkeypatch.chdir(tmp_path)
    said = run(SIMULATED, funnel)
    (shown,) = blocks(SIMULATED, "text")
    there = lines(said)
    start = there.index(lines(shown)[0])
    assert there[start : start + len(lines(shown))] == lines(shown)
    (some,) = blocks(SIMULATED, "yaml")
    written = (tmp_path / "offers.yaml").read_text(encoding="utf-8").splitlines()
    assert set(some.splitlines()) <= set(written)
    (code,) = blocks(SIMULATED, "python")
    names: dict[str, object] = {}
    exec(compile(code, "fifteen_minutes.md", "exec"), names)  # noqa: S102  # what a reader would run
    answer = names["answer"]
    assert isinstance(answer, dict)
    clicked, activated = answer["clicked"].numpy(), answer["activated"].numpy()
    assert clicked.shape == (2,)
    assert (activated > 0).all()
    assert (activated < clicked).all()


@pytest.mark.slow
def test_the_page_runs_on_the_real_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, funnel: Callable[..., Answer]
) -> None:
    folder = os.environ.get("FUNNEL_HILLSTROM")
    if not folder:
        pytest.skip("NOT RUN: set FUNNEL_HILLSTROM to the folder of hillstrom.csv to run the page on real rows")
    (tmp_path / "hillstrom.csv").symlink_to(Path(folder, "hillstrom.csv"))
    monkeypatch.chdir(tmp_path)
    said = run(REAL, funnel)
    assert re.search(r"spend +left out", said)
    assert (tmp_path / "runs" / "campaign" / "report.html").is_file()
