"""The Tab key, in the shells themselves where they are there, and value by value."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from funnel import completion
from funnel.ablation.variants import NAMES
from tests import shop

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a `bin/funnel` that is this library, and a folder `work` with a schema and a run."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "bin").mkdir()
    script = folder / "bin" / "funnel"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m funnel "$@"\n')
    script.chmod(0o755)
    (folder / "work" / "schemas").mkdir(parents=True)
    shop.write(folder / "work" / "shop")
    (folder / "work" / "schemas" / "notes.txt").touch()
    run = folder / "work" / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    shutil.copy(folder / "work" / "shop" / "schema.yaml", run)
    shutil.copy(folder / "work" / "shop" / "schema.yaml", folder / "work" / "schemas" / "shop.yaml")
    return folder


def shell(home: Path, *command: str, **more: str) -> str:
    environment = {**os.environ, "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", **more}
    done = subprocess.run(
        command,
        cwd=home / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def needs(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT RUN: there is no {name}")
    return found


def test_bash(home: Path) -> None:
    bash = needs("bash")
    shell(home, bash, "--norc", "-c", "funnel --install-completion; true")
    assert "funnel.sh" in (home / ".bashrc").read_text()
    asked = """source ~/.bashrc
    try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _funnel_completion funnel; echo "${COMPREPLY[*]}"; }
    try funnel ver; try funnel fit schemas/; try funnel evaluate runs/mine --slice ho
    """
    assert shell(home, bash, "--norc", "-c", asked).splitlines() == [
        "verify",
        "schemas/shop.yaml",
        "hour",
    ]


def test_fish(home: Path) -> None:
    fish = needs("fish")
    said = shell(
        home, fish, "-c", "funnel --show-completion | source; complete -C 'funnel ver'; complete -C 'funnel fit schemas/'"
    )
    assert [line.split("\t")[0] for line in said.splitlines()] == ["verify", "schemas/shop.yaml"]


def test_zsh(home: Path) -> None:
    zsh = needs("zsh")
    shell(home, zsh, "-f", "-c", "funnel --show-completion > ~/_funnel; true")
    # Outside a terminal, what would offer the values says what they are.
    asked = """compdef() {}; _arguments() { print -r -- "$@" }; _files() { print files }; source ~/_funnel
    words=(funnel fit schemas/sh); CURRENT=3; _funnel_completion
    words=(funnel check shop/train.p); _funnel_completion
    """
    assert shell(home, zsh, "-f", "-c", asked).splitlines() == ['*: :(("schemas/shop.yaml"))', "files"]


def test_a_tab_does_not_wait_for_tensorflow_or_tables(home: Path) -> None:
    asked = """
import sys
from funnel import cli, completion
completion.schema_files(""), completion.objectives("es"), completion.features(["runs/mine"], "")
print([name for name in ("tensorflow", "tf_keras", "polars", "pandas", "matplotlib") if name in sys.modules])
"""
    assert shell(home, sys.executable, "-c", asked, PYTHONPATH=str(ROOT)) == "[]\n"


def test_values(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "work")
    assert completion.schema_files("") == ["runs/", "schemas/", "shop/"]
    assert completion.schema_files("./schemas/s") == ["./schemas/shop.yaml"]
    assert completion.schema_files("nowhere/") == []
    assert completion.run_folders("runs/") == ["runs/mine"]
    assert completion.splits("te") == ["test"]
    assert completion.table_kinds("float") == ["float32", "float16"]
    assert completion.objectives("esmm,e") == ["esmm,esmm-ns"]
    assert tuple(completion.objectives("")) == NAMES
    assert completion.features(["runs/mine"], "ho") == ["hour"]
    assert completion.features(["schemas"], "") == []
    assert completion.features([], "") == []
