"""The command, in processes that may be killed."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from funnel.schema.objective import KINDS
from tests.ablation import small

pytestmark = pytest.mark.slow  # some twenty processes, each of which loads TensorFlow

Answer = tuple[int, str, str]
MAIN = "from funnel.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a schema, and the ablation that was never stopped, as `whole`."""
    folder = small.write(tmp_path_factory.mktemp("shop"))
    done = subprocess.run(command(folder, folder / "whole"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


def arguments(folder: Path, out: Path, *more: object) -> list[str]:
    places = ["--data", folder, "--store", folder / "store", "--out", out]
    return [
        "ablate",
        *map(str, [folder / "schema.yaml", "--objectives", ",".join(small.NAMES), "--repeats", 2, *places, *more]),
    ]


def command(folder: Path, out: Path, *more: object, code: str = MAIN) -> list[str]:
    return [sys.executable, "-c", code, *arguments(folder, out, *more)]


def same(out: Path, whole: Path) -> bool:
    one, other = small.logits(out), small.logits(whole)
    return (
        small.result(out) == small.result(whole)
        and one.keys() == other.keys()
        and all(np.array_equal(one[name], other[name]) for name in one)
        and (out / "ablation.svg").read_bytes() == (whole / "ablation.svg").read_bytes()
    )


def leftovers(out: Path) -> list[str]:
    return [
        str(path)
        for path in out.rglob("*")
        if path.name.startswith(".seed") or "unfinished" in path.name or "part" in path.suffix
    ]


def test_what_it_says_where_nobody_looks(folder: Path) -> None:
    said = (folder / "said").read_text()
    for part in (
        "2 variants with 2 seeds: 4 fits\n",
        "1 of 4 fits: parent_space-ns, seed 0 took ",
        "4 of 4 fits: esmm, seed 1 took ",
        " fits/min, 0 s left",
        "buy_given_click: ",
        " parent_space-ns ",
        "95 % interval",
        f"table and plot: {folder / 'whole' / 'ablation.md'}\n",
    ):
        assert part in said


def fits_or_steps(out: Path) -> int:
    """How far it is: a hundred for each fit that is done, and one for each step of the one under way."""
    steps = [int(path.name[5:]) for path in out.glob("fits/*/*.unfinished/checkpoints/step-*")]
    return 100 * len(list(out.glob("fits/*/seed-?/metrics.json"))) + max(steps, default=0)


@pytest.mark.long
@pytest.mark.parametrize("moment", [3, 209, 310])
def test_killed_in_the_middle_the_same_command_comes_to_the_same(folder: Path, tmp_path: Path, moment: int) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(folder, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and fits_or_steps(out) < moment:
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.002)
    process.kill()
    process.communicate()
    done = subprocess.run(command(folder, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert same(out, folder / "whole")
    assert not leftovers(out)


FIRST = ("as a fit ends, before it is kept",)  # the others: --long
DOOMED = {
    "as a fit ends, before it is kept": """
from funnel.ablation.folder import Folder
def doomed(self, variant, seed, metrics, logits):
    os.kill(os.getpid(), signal.SIGKILL)
Folder.save = doomed
""",
    "while a fit is kept": """
import numpy as np
real, calls = np.save, []
def doomed(path, array):
    calls.append(path)
    if len(calls) == 2:
        real(path, array[:5])
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, array)
np.save = doomed
""",
    "as a fit is kept, before its checkpoints go": """
from funnel.training.workspace import Workspace
def doomed(self):
    os.kill(os.getpid(), signal.SIGKILL)
Workspace.remove = doomed
""",
    "before the table": """
from funnel.ablation import ablate
def doomed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
ablate.make_table = doomed
""",
    "while the plot is written": """
from matplotlib.figure import Figure
def doomed(self, path, **_):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
Figure.savefig = doomed
""",
}


@pytest.mark.parametrize("doom", [name if name in FIRST else pytest.param(name, marks=pytest.mark.long) for name in DOOMED])
def test_killed_at_the_worst_moments(folder: Path, tmp_path: Path, doom: str) -> None:
    out = tmp_path / "out"
    code = f"import os, signal\n{DOOMED[doom]}\n{MAIN}"
    done = subprocess.run(command(folder, out, code=code), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done = subprocess.run(command(folder, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert same(out, folder / "whole")
    assert not leftovers(out)
    if doom == "as a fit ends, before it is kept":
        assert "going on from" in done.stdout


@pytest.mark.long
def test_ctrl_c_says_that_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(folder, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while process.poll() is None and fits_or_steps(out) < 102:
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == f"stopped; the same command goes on from what is in {shlex.quote(str(out))}\n"
    done = subprocess.run(command(folder, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of them are in" in done.stdout
    assert same(out, folder / "whole")


@pytest.mark.long
def test_two_at_once_do_not_mix(folder: Path, tmp_path: Path) -> None:
    hold = f"import time\nfrom funnel.ablation import ablate\nablate.make_fits = lambda *_: time.sleep(60)\n{MAIN}"
    out = tmp_path / "out"
    process = subprocess.Popen(command(folder, out, code=hold), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "manifest.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    done = subprocess.run(command(folder, out), capture_output=True, text=True, check=False)
    process.kill()
    process.communicate()
    assert done.returncode == 1
    assert "another process is at work there" in done.stderr


def test_json_is_what_the_file_holds(folder: Path, funnel: Callable[..., Answer]) -> None:
    code, out, error = funnel(*arguments(folder, folder / "whole", "--json"))
    assert code == 0, error
    assert json.loads(out) == small.result(folder / "whole")


def test_a_mistake_is_one_message(folder: Path, tmp_path: Path, funnel: Callable[..., Answer]) -> None:
    schema = folder / "schema.yaml"
    code, _, error = funnel("ablate", schema, "--data", folder, "--objectives", "esmm, devision-ns", "--out", tmp_path / "out")
    assert code == 1
    assert error.startswith("error: --objectives: 'devision-ns' is no objective")
    assert all(kind in error for kind in KINDS)
    assert "Did you mean 'division-ns'?" in error
    assert not (tmp_path / "out").exists()
    code, _, error = funnel("ablate", schema, "--data", folder, "--set", "data.facts.test=null", "--out", tmp_path / "out")
    assert (code, error.count("\n")) == (1, 1)
    assert "no test rows" in error
    code, _, error = funnel(*arguments(folder, folder / "whole", "--set", "model.embedding_dim=5"))
    assert (code, error.count("\n")) == (1, 1)
    assert "model.embedding_dim: got 5, expected 4" in error
    assert funnel("ablate")[0] == 2
    assert funnel("ablate", schema, "--repeats", 0)[0] == 2


def test_without_an_out_it_is_kept_by_the_schemas_name(folder: Path, tmp_path: Path, funnel, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema = folder / "schema.yaml"
    code, said, error = funnel("ablate", schema, "--data", folder, "--objectives", "esmm", "--repeats", 1)
    assert code == 0, error
    assert (tmp_path / "ablations" / "shop" / "ablation.json").is_file()
    assert next((tmp_path / "stores").iterdir()).name.startswith("shop-")
    assert "table and plot: ablations/shop/ablation.md" in said
