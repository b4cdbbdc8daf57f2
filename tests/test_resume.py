"""Fits in processes of their own that are stopped, politely or not."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import funnel
from funnel.run import Run
from funnel.schema.reader import dump_schema, load_schema
from tests import shop
from tests.training import fits
from tests.training.fits import same

Answer = tuple[int, str, str]
MAIN = "from funnel.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a schema, and the run of the fit that was never stopped, as `whole`."""
    folder = shop.write(tmp_path_factory.mktemp("shop"))
    (folder / "schema.yaml").write_text(dump_schema(load_schema(fits.tree())), encoding="utf-8")
    funnel.fit(folder / "schema.yaml", folder, store=folder / "store", out=folder / "whole")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Run:
    return funnel.load(folder / "whole")


def command(folder: Path, out: Path, *more: str, code: str = MAIN) -> list[str]:
    places = ["--data", folder, "--store", folder / "store", "--out", out]
    return [sys.executable, "-c", code, "fit", *map(str, [folder / "schema.yaml", *places]), *more]


def begun(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: "subprocess.Popen[str]", out: Path, steps: int) -> None:
    """Until a checkpoint of so many steps is there, or the process has ended."""
    checkpoints, deadline = out.with_name(f"{out.name}.unfinished") / "checkpoints", time.monotonic() + 120
    while process.poll() is None and not any(int(path.name[5:]) >= steps for path in checkpoints.glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "times"), [(1, 2), pytest.param(4, 10, marks=pytest.mark.long)])
def test_killed_at_any_moment_it_ends_every_time_with_the_same_weights(
    tmp_path: Path, folder: Path, whole: Run, seed: int, times: int
) -> None:
    moments = random.Random(seed)  # noqa: S311  # no secret
    gone_on = 0
    for number in range(times):
        out, killed = tmp_path / f"run-{number}", moments.randint(1, whole.manifest["steps"])
        process = begun(command(folder, out))
        wait_for(process, out, killed)
        time.sleep(moments.random() * 0.03)
        process.kill()
        process.communicate()
        done = subprocess.run(command(folder, out, "--resume"), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        gone_on += "going on from" in done.stdout
        assert same(funnel.load(out), whole)
        assert funnel.load(out).metrics == whole.metrics
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith((out.name, f".{out.name}"))] == [out.name]
    assert gone_on == times


DOOMED = {
    "half of a checkpoint": """
from funnel.training import checkpoint as module
real, calls = module.write_variables, []
def doomed(checkpoint, path):
    real(checkpoint, path)
    calls.append(path)
    if len(calls) == 9:
        for file in path.parent.iterdir():
            os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
module.write_variables = doomed
""",
    "a checkpoint before its old ones go": """
from funnel.training.checkpoint import Checkpoints
real = Checkpoints._prune
def doomed(self, newest):
    if newest.name.endswith("09"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, newest)
Checkpoints._prune = doomed
""",
    "half of the run": """
from funnel.training.workspace import Workspace
def doomed(self, run):
    os.kill(os.getpid(), signal.SIGKILL)
Workspace.put_into = doomed
""",
    "the run, and its workspace is still there": """
from funnel.training.workspace import Workspace
def doomed(self):
    os.kill(os.getpid(), signal.SIGKILL)
Workspace.remove = doomed
""",
}


@pytest.mark.parametrize("doom", DOOMED)
def test_killed_while_it_writes_it_goes_on_and_leaves_nothing_behind(
    tmp_path: Path, folder: Path, whole: Run, doom: str
) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        command(folder, out, code=f"import os, signal\n{DOOMED[doom]}\n{MAIN}"), capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "run.unfinished").is_dir()
    assert out.exists() == ("still" in doom)
    run = funnel.fit(folder / "schema.yaml", folder, store=folder / "store", out=out, resume=True)
    assert same(run, whole)
    assert same(funnel.load(out), whole)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_polite_end_writes_a_checkpoint_and_says_how_to_go_on(tmp_path: Path, folder: Path, whole: Run, kind) -> None:
    out = tmp_path / "run"
    endless = ["--set", "train.epochs=100000", "--set", "train.early_stopping=null", "--set", "train.checkpoint.steps=null"]
    process = begun(command(folder, out, *endless))
    wait_for(process, out, 1)
    process.send_signal(kind)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert shlex.split(error.split("`")[1]) == ["--resume", "--out", str(out)]
    assert list((tmp_path / "run.unfinished" / "checkpoints").glob("step-*"))
    assert not out.exists()


def test_the_command_line_goes_on_and_names_what_it_skipped(
    tmp_path: Path, folder: Path, whole: Run, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    *_, torn = fits.stopped(tmp_path, folder, epochs=3)
    (tmp_path / "run.unfinished").rename(tmp_path / "out.unfinished")
    torn = tmp_path / "out.unfinished" / "checkpoints" / torn.name
    os.truncate(torn / "variables.index", 10)
    arguments = ["fit", folder / "schema.yaml", "--data", folder, "--store", folder / "store", "--out", tmp_path / "out"]
    code, _, error = funnel(*arguments)
    assert (code, error.count("\n")) == (1, 1)
    assert "a fit was stopped there" in error
    code, _, error = funnel(*arguments, "--resume", "--set", "train.seed=3")
    assert (code, error.count("\n")) == (1, 1)
    assert "train.seed: got 3, expected 0" in error
    code, said, error = funnel(*arguments, "--resume")
    assert code == 0, error
    assert f"warning: skipped a checkpoint that cannot be read: {torn}: " in said
    assert f"going on from {torn.with_name('step-000000000008')}: epoch 1, 8 steps made" in said
    assert same(Run.load(tmp_path / "out"), whole)


def test_without_an_out_the_fit_of_the_name_that_was_stopped_last_goes_on(
    tmp_path: Path, folder: Path, whole: Run, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fits.stopped(tmp_path, folder)
    (tmp_path / "runs").mkdir()
    (tmp_path / "run.unfinished").rename(tmp_path / "runs" / "shop-3.unfinished")
    code, said, error = funnel("fit", folder / "schema.yaml", "--data", folder, "--store", folder / "store", "--resume")
    assert code == 0, error
    assert "run: runs/shop-3\n" in said
    assert same(Run.load(tmp_path / "runs" / "shop-3"), whole)
