"""Fits in processes of their own that are stopped, politely or not."""

import os
import random
import re
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


def newest(out: Path) -> int:
    """Steps of the newest checkpoint that is there as a whole; 0 without any."""
    checkpoints = out.with_name(f"{out.name}.unfinished") / "checkpoints"
    return max((int(path.name[5:]) for path in checkpoints.glob("step-*")), default=0)


def wait_for(process: "subprocess.Popen[str]", out: Path, steps: int) -> None:
    """Until a checkpoint of so many steps is there, or the process has ended."""
    before, deadline = newest(out), time.monotonic() + 120
    while process.poll() is None and (made := newest(out)) < steps:
        assert time.monotonic() < deadline, "no checkpoint came"
        # While TensorFlow is loaded there is nothing to see, and looking takes the time of who loads it.
        time.sleep(0.002 if made > before else 0.02)


def went_on_from(said: str) -> int:
    """How many steps a fit says were made when it went on."""
    (steps,) = re.findall(r"going on from .*: epoch \d+, (\d+) steps made", said)
    return int(steps)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, pytest.param(5, marks=pytest.mark.long)])
def test_killed_three_times_it_ends_with_the_same_weights(tmp_path: Path, folder: Path, whole: Run, seed: int) -> None:
    moments, steps, made = random.Random(seed), whole.manifest["steps"], 0  # noqa: S311  # no secret
    out = tmp_path / "run"
    for left in range(3, 0, -1):
        process = begun(command(folder, out, *(["--resume"] if made else [])))
        # Anywhere in what is left, but so that some is left for the kills that come.
        wait_for(process, out, made + moments.randint(1, max(1, (steps - made) // left)))
        time.sleep(moments.random() * 0.03)
        process.kill()
        said, error = process.communicate()
        assert process.returncode == -signal.SIGKILL, error
        if made:
            assert went_on_from(said) == made
        made = newest(out)
    run, resumed = fits.resumed(tmp_path, folder)
    assert resumed.step == made
    assert resumed.skipped == ()
    assert same(run, whole)
    assert same(funnel.load(out), whole)
    assert funnel.load(out).metrics == whole.metrics
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


LONG = (
    "a checkpoint before its old ones go",
    "half of the run",
    "half of a checkpoint",
)  # the others leave as much to clear away
DOOMED = {
    "half of a checkpoint": """
from funnel.training import checkpoint as module
real, calls = module.write_variables, []
def doomed(checkpoint, path, **more):
    real(checkpoint, path, **more)
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


@pytest.mark.parametrize("doom", [pytest.param(doom, marks=pytest.mark.long) if doom in LONG else doom for doom in DOOMED])
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


@pytest.mark.parametrize(
    "kind", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM], ids=["ctrl-c", "sigterm"]
)
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
