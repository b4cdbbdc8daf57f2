"""Every command on every page is one that there is, with options that it has; and those of the quick start run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from funnel.cli import app
from tests.conftest import Answer
from tests.documentation.pages import PAGES, ROOT, Block, blocks, prose

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import command_reference  # what the site is built by

COMMANDS = command_reference.commands()
NOTHING = "import sys, funnel.cli; funnel.cli.main.__name__; sys.exit('tensorflow' in sys.modules)"


def calls(text: str) -> list[list[str]]:
    """The arguments of each call of `funnel` in shell code."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        for piece in re.split(r"&&|;", line):
            match = re.search(r"(?:^|\s|/|nohup )funnel\s+([a-z].*)$", piece.strip())
            if match and "pip install" not in piece and "docker" not in piece and "kubectl" not in piece:
                words = shlex.split(re.split(r"\s[>2]+ ", match[1])[0].replace("'", ""), comments=True)
                found.append(words)
    return found


def require_callable(words: list[str]) -> None:
    """Parse a call as the command line would, without running it."""
    name, *arguments = words
    assert name in COMMANDS, f"no command {name!r} {sorted(COMMANDS)}"
    COMMANDS[name].make_context(name, arguments)


SHELL = [pytest.param(block, id=block.place) for block in blocks("sh") if calls(block.text)]


@pytest.mark.parametrize("block", SHELL)
def test_a_page_calls_what_there_is(block: Block) -> None:
    for words in calls(block.text):
        require_callable(words)


def test_calls_are_found_in_shell_code() -> None:
    text = (
        "cd x && .venv/bin/funnel fit a.yaml  # a comment\nfunnel report runs/a \\\n  --out b.html\npip install 'funnel[s3]'\n"
    )
    assert calls(text) == [["fit", "a.yaml"], ["report", "runs/a", "--out", "b.html"]]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["fly", "a.yaml"], "no command 'fly'"),
        (["fit", "a.yaml", "--quick"], "No such option"),
        (["fit"], "(?i)missing"),
        (["verify", "a", "--run", "b", "--rows", "many"], "integer"),
    ],
)
def test_calls_of_what_there_is_not_are_found(words: list[str], complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        require_callable(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_named_in_a_sentence_is_there(page: Path) -> None:
    for span in re.findall(r"`funnel ([a-z][^`]*)`", prose(page)):
        name, *rest = span.split()
        assert name in COMMANDS, span
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= options, span


def test_the_page_of_commands_names_every_option() -> None:
    page = command_reference.page()
    for name, command in COMMANDS.items():
        section = page.split(f"\n## funnel {name}\n", 1)[1].split("\n## ", 1)[0]
        assert (command.help or "").strip() in section
        for parameter in command.params:
            shown = parameter.opts[-1] if parameter.opts[-1].startswith("--") else parameter.metavar
            assert f"`{shown}" in section, f"{name} {shown}"
    assert len(COMMANDS) == len(app.registered_commands)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["fit", "--help"], 0), (["fly"], 2), (["fit", "a.yaml", "--quick"], 2), (["check", "none.yaml"], 1)],
)
def test_exit_codes_are_as_the_page_says(arguments: list[str], code: int, funnel: Callable[..., Answer]) -> None:
    assert funnel(*arguments)[0] == code
    assert f"\n| {code} | " in command_reference.page()


def test_help_and_usage_need_no_tensorflow() -> None:
    assert subprocess.run([sys.executable, "-c", NOTHING], check=False, timeout=120).returncode == 0


@pytest.mark.slow
def test_the_quick_start_runs(checkout: Path, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    done = []
    for block in blocks("sh", ROOT / "docs" / "quick_start.md"):
        for words in calls(block.text):
            code, said, complaint = funnel(*words)
            assert code == 0, f"{words}: {said}{complaint}"
            done.append(words[0])
    assert done == ["check", "fit", "report", "evaluate", "predict", "export", "verify"]
    for named in ("runs/aliccp/report.html", "predictions.parquet", "serving/aliccp/1/assets.extra/signature.md"):
        assert (checkout / named).is_file(), named
    files = re.findall(r"`(?:runs/aliccp/)?([a-z]+(?:\.(?:json|yaml|\*)|/)?)`", (ROOT / "docs" / "quick_start.md").read_text())
    for name in ("schema.yaml", "weights.*", "learnt.json", "vocabulary/", "metrics.json", "manifest.json", "checkpoints"):
        assert name in files, name
        assert list((checkout / "runs" / "aliccp").glob(name.rstrip("/"))), name
