"""`funnel init`, as it is typed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_logs import log, written

import funnel as library

Answer = tuple[int, str, str]
COMMAND = [sys.executable, "-c", "from funnel.cli import main; main()", "init"]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, in which the command is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    written(log(), tmp_path / "rows" / "log.csv")
    return tmp_path / "rows"


def test_a_schema_is_written_and_shown(rows: Path, funnel: Callable[..., Answer]) -> None:
    code, said, error = funnel("init", "--data", "rows", "--name", "city trips")
    assert (code, error) == (0, "")
    assert "rows/log.csv" not in said  # files are called by their names
    assert "log.csv: 4,000 rows of 3 columns" in said
    assert "stage visit" in said
    assert "schema.yaml: impression -> visit -> signup, 1 features; read it through" in said
    schema = library.load_schema("schema.yaml")
    assert schema.name == "city_trips"
    assert schema.data.root == "rows"
    assert funnel("check", "schema.yaml")[0] == 0


def test_what_is_there_is_replaced_only_by_force(rows: Path, funnel: Callable[..., Answer]) -> None:
    Path("schema.yaml").write_text("mine")
    code, _, error = funnel("init", "--data", "rows", "--yes")
    assert code == 1
    assert (
        error
        == "error: schema.yaml: is there already, expected a new file. Name another (`--out`), or replace it (`--force`).\n"
    )
    assert Path("schema.yaml").read_text() == "mine"
    assert funnel("init", "--data", "rows", "--force")[0] == 0
    assert Path("schema.yaml").read_text().startswith("# yaml-language-server")


def test_several_files_may_follow(rows: Path, funnel: Callable[..., Answer]) -> None:
    written(log(1000, 1), rows / "log-test.csv")
    code, said, _ = funnel(
        "init", "--data", "rows/log.csv", "rows/log-test.csv", "--stages", "visit, signup", "--out", "new/s.yaml"
    )
    assert code == 0
    assert "not looked at: log-test.csv" in said
    assert library.load_schema("new/s.yaml").data.facts.test == "log-test.csv"


def test_mistakes(rows: Path, funnel: Callable[..., Answer]) -> None:
    code, _, error = funnel("init")
    assert code == 2
    assert "--data" in error
    code, _, error = funnel("init", "--data", "rows", "--stages", "visit,singup")
    assert code == 1
    assert error.startswith("error: --stages: 'singup' is no column of log")
    assert error.count("\n") == 1
    assert "Did you mean 'signup'?" in error
    assert funnel("init", "--data", "rows", "--out", "rows")[0] == 1
    assert not Path("schema.yaml").exists()


def test_tensorflow_is_not_needed(rows: Path) -> None:
    code = (
        "import sys, funnel; funnel.init('rows'); assert 'tensorflow' not in sys.modules; assert 'tf_keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _typed(command: list[str], lines: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command on a terminal, and answer each prompt when it is there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True) as process:
        os.close(theirs)
        said, begun, waiting = "", time.monotonic(), list(lines)
        while time.monotonic() - begun < 120:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                read = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not read:
                break
            said += read.decode()
            if waiting and said.rstrip().endswith(waiting[0][0]):
                os.write(ours, waiting.pop(0)[1].encode())
        os.close(ours)
        return process.wait(10), said


def test_a_terminal_is_asked(rows: Path) -> None:
    code, said = _typed(
        [*COMMAND, "--data", "rows"], [("stages [visit,signup]:", "visit,sign\n"), ("stages [visit,signup]:", "signup\n")]
    )
    assert code == 0, said
    assert "columns of 0 and 1: visit (" in said
    assert "Did you mean 'signup'?" in said
    assert library.load_schema("schema.yaml").stage_names == ("signup",)


def test_a_terminal_is_not_asked_with_yes(rows: Path, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    code, said, _ = funnel("init", "--data", "rows", "--yes")
    assert code == 0
    assert "Which are the stages" not in said
