"""The command line as one meets it who has never used it: help, mistakes and versions, without waiting for TensorFlow."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import funnel as library
from funnel.cli import app

ROOT = Path(__file__).parents[1]
Answer = tuple[int, str, str]
VERBS = [str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback]


def ask(*arguments: str, **more: str) -> Answer:
    """The command in a process of its own, whose streams are pipes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    command = [sys.executable, "-X", "importtime", "-m", "funnel", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), (["fti"], 2), (["fit", "nosuch.yaml"], 1), (["evaluate", "nosuch"], 1)]
)
def test_help_versions_and_mistakes_import_neither_tensorflow_nor_tables(arguments: list[str], code: int) -> None:
    found, out, error = ask(*arguments)
    imported = {line.rsplit("|", 1)[1].strip() for line in error.splitlines() if line.startswith("import time:")}
    assert found == code
    assert "funnel.cli" in imported
    assert not imported & {"tensorflow", "tf_keras", "tensorflow_recommenders", "keras", "matplotlib"}
    assert "\x1b" not in out + error  # a pipe has no colours
    assert "Traceback" not in error


def test_versions(funnel: Callable[..., Answer]) -> None:
    code, out, error = funnel("--version")
    assert (code, error) == (0, "")
    said = dict(line.split(" ", 1) for line in out.splitlines())
    assert next(iter(said)) == "funnel"
    assert said["funnel"] == library.__version__
    for name in ("tensorflow", "tf-keras", "tensorflow-recommenders"):
        assert said[name] == metadata.version(name)
    assert said["Python"].startswith(".".join(map(str, sys.version_info[:3])))


def test_what_is_not_installed_is_said(funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.versions.BENEATH", ("no-such-distribution",))
    assert "no-such-distribution not installed\n" in funnel("--version")[1]


@pytest.mark.parametrize("columns", [60, 80, 140])
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_the_terminal(
    verb: str, columns: int, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    code, out, error = funnel(*filter(None, [verb]), "--help")
    assert (code, error) == (0, "")
    assert out.startswith(f"Usage: funnel {verb}".rstrip())
    assert max(map(len, out.splitlines())) <= columns
    assert "\x1b" not in out
    if not verb:  # each verb is named, and what it does is said whole
        listed = out.split("Commands:\n")[1].splitlines()
        assert [line.split()[0] for line in listed] == VERBS
        assert not [line for line in listed if line.endswith("...") or not line.endswith(".")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fti"], "Did you mean 'fit'?"),
        (["fit"], "Missing argument 'SCHEMA'"),
        (["fit", "a.yaml", "--dta", "x"], "--data"),
        (["predict", "run"], "Missing option '--out'"),
        (["fit", "a.yaml", "--wait", "soon"], "'--wait'"),
        (["evaluate", "run", "--split", "tset"], "'tset'"),
        (["export", "run", "--out", "x", "--tables", "int4"], "'int4'"),
    ],
)
def test_a_wrong_call_is_told_how_to_go_on(arguments: list[str], said: str, funnel: Callable[..., Answer]) -> None:
    code, out, error = funnel(*arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert "--help' for help" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [["check", "no.yaml"], ["fit", "no.yaml"], ["report", "no"], ["evaluate", "no"], ["predict", "no", "--out", "p.csv"]],
)
def test_what_is_not_there_is_one_message(
    arguments: list[str], funnel: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".hidden.yaml").touch()
    code, out, error = funnel(*arguments)
    assert (code, out) == (1, "")
    assert error.startswith("error: no")
    assert error.count("\n") == 1
    assert "hidden" not in error
    assert not {path.name for path in tmp_path.iterdir()} - {".hidden.yaml"}


def test_a_run_that_is_not_there_suggests_the_nearest(funnel: Callable[..., Answer], tmp_path: Path) -> None:
    for name in ("shop", "loans"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    code, _, error = funnel("report", tmp_path / "shpo")
    assert code == 1
    assert f"Did you mean '{tmp_path / 'shop'}'?" in error
