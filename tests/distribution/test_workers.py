"""Workers that learn in step, in real processes: what one process learns, whatever becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.run import Run
from funnel.schema.reader import dump_schema, load_schema
from tests import shop
from tests.distribution.clusters import Task, jobs_of, running
from tests.training import fits
from tests.training.fits import weights

Answer = tuple[int, str, str]
STEPS = 120

# Tells the loss of each step, and fits as the command line would.
TOLD = """
import json, sys
import funnel
from funnel.training import loop
from funnel.training.events import Step
loop.SHOWN = -1.0
folder, store, out, told = sys.argv[1:]
losses = []
watch = lambda event: losses.append((event.rows, event.losses["loss"])) if isinstance(event, Step) else None
run = funnel.fit(f"{folder}/steps.yaml", folder, store=store, out=out, watch=watch)
assert bool(run.metrics) == out.endswith("leads"), run.metrics
with open(told, "w") as file:
    json.dump(losses, file)
"""


def written(folder: Path, name: str, **train: Any) -> Path:
    tree = fits.tree(**train)
    tree["model"]["tower"]["dropout"] = 0.0  # what is dropped differs from replica to replica
    path = folder / name
    path.write_text(dump_schema(load_schema(tree)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, and schemas: `steps.yaml`, of plain gradient steps, and `schema.yaml`."""
    folder = shop.write(tmp_path_factory.mktemp("shop"))
    sgd = {"kind": "sgd", "learning_rate": 0.1}
    written(folder, "steps.yaml", epochs=1, batch_size=6, lanes=2, optimizer={"embedding": sgd, "dense": sgd}, checkpoint=None)
    # The metric of early stopping is gathered from both.
    written(
        folder, "schema.yaml", epochs=10, lanes=2, checkpoint={"steps": 10}, early_stopping={"metric": "auc", "patience": 99}
    )
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Run:
    """What one process learns, from the same lanes."""
    return funnel.fit(folder / "schema.yaml", folder, out=folder / "alone")


def per_step(told: list[list[float]]) -> np.ndarray:
    """The loss of each step, of means since the epoch began."""
    rows, means = np.array(told).T
    return np.diff(rows * means, prepend=0) / np.diff(rows, prepend=0)


@pytest.mark.slow
def test_two_workers_with_half_the_batch_have_the_loss_curve_of_one_process(tmp_path: Path, folder: Path) -> None:
    def code(rank: int | str, leads: bool) -> list[str]:
        out = tmp_path / f"{rank}-{'leads' if leads else 'follows'}"
        # One who takes no part in the cluster does not wait for the store of those who do.
        store = tmp_path / ("store" if rank != "one" else "own-store")
        return ["-c", TOLD, str(folder), str(store), str(out), str(tmp_path / f"{rank}.json")]

    jobs = jobs_of(worker=2)
    tasks = [Task(tmp_path, jobs, "worker", rank, code(rank, leads=rank == 0)) for rank in (0, 1)]
    one = Task(tmp_path, jobs_of(worker=1), "worker", 0, code("one", leads=True))
    for task in [*tasks, one]:
        assert task.ended() == 0, task.said
    first, second, alone = (per_step(json.loads((tmp_path / f"{name}.json").read_text())) for name in ("0", "1", "one"))
    assert len(alone) > STEPS
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[:STEPS], alone[:STEPS], rtol=0, atol=1e-6)
    assert np.ptp(alone) > 0.1  # it does learn
    assert not (tmp_path / "1-follows").exists()
    for mine, theirs in zip(*(weights(funnel.load(tmp_path / f"{name}-leads")) for name in ("0", "one")), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_worker_is_killed_and_all_go_on_where_they_were(tmp_path: Path, folder: Path, alone: Run) -> None:
    jobs, out = jobs_of(worker=2), tmp_path / "run"
    arguments = (folder / "schema.yaml", "--data", folder, "--store", tmp_path / "store", "--out", out, "--wait", "60")
    endless = ("--set", "train.epochs=100000")
    with running(tmp_path, jobs, *arguments, *endless) as tasks:
        tasks["worker 0"].wait_for_checkpoint(out)
        tasks["worker 1"].kill()
        assert tasks["worker 0"].ended() == 1, tasks["worker 0"].said
    error = tasks["worker 0"].said.splitlines()[-1]
    first, second = jobs["worker"]
    assert error.startswith(f"error: worker 0 ({first}): worker 1 ({second}) is gone, expected it to answer"), error
    assert "--resume: the fit goes on from its last checkpoint" in error
    assert "Traceback" not in tasks["worker 0"].said
    assert not out.exists()
    checkpoints = (tmp_path / "run.unfinished" / "checkpoints").glob("step-*")
    assert max(int(path.name[5:]) for path in checkpoints) < alone.manifest["steps"]
    with running(tmp_path, jobs, *arguments, "--resume") as tasks:
        for task in tasks.values():
            assert task.ended() == 0, task.said
    assert "going on from" in tasks["worker 0"].said
    assert "worker 1: done; the run is where the leading process writes it" in tasks["worker 1"].said
    run = funnel.load(out)
    assert [epoch["rows"] for epoch in run.history] == [epoch["rows"] for epoch in alone.history]
    for mine, theirs in zip(weights(run), weights(alone), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4)
    for split, found in run.metrics.items():
        for name, scores in found["cumulative"].items():
            assert scores["auc"] == pytest.approx(alone.metrics[split]["cumulative"][name]["auc"], abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.suffix) == ["run", "store"]


@pytest.mark.slow
def test_workers_that_were_not_given_the_same_are_told(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(worker=2)
    arguments = (folder / "schema.yaml", "--data", folder, "--store", tmp_path / "store", "--out", tmp_path / "run")
    with (
        running(tmp_path, jobs, *arguments, only=("worker 0",)) as first,
        running(tmp_path, jobs, *arguments, "--set", "train.seed=1", only=("worker 1",)) as second,
    ):
        tasks = [first["worker 0"], second["worker 1"]]
        assert [task.ended() for task in tasks] == [1, 1]
    for task in tasks:
        assert "rows, schema and versions: those of worker 1 are not those of worker 0, expected the same" in task.said
    assert not (tmp_path / "run").exists()


def test_a_worker_that_never_comes_is_named(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(worker=2)
    arguments = (folder / "schema.yaml", "--data", folder, "--out", tmp_path / "run", "--wait", "3")
    with running(tmp_path, jobs, *arguments, only=("worker 0",)) as tasks:
        assert tasks["worker 0"].ended() == 1
    said = tasks["worker 0"].said.splitlines()
    first, second = jobs["worker"]
    assert said[-1].startswith(f"error: worker 0 ({first}): waited 3 s for worker 1 ({second}), expected an answer. Start")
    assert f"waiting for worker 1 ({second}), 3 s at most" in said
    assert not any(path.name.startswith("run") for path in tmp_path.iterdir())


def test_a_wrong_variable_is_one_line(
    tmp_path: Path, folder: Path, funnel: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 1}})
    )
    code, said, error = funnel("fit", folder / "schema.yaml", "--data", folder)
    assert (code, said) == (1, "")
    assert error == (
        "error: TF_CONFIG.task.index: got 1, expected 0: 'worker' has 1 addresses. Correct the environment variable.\n"
    )
    assert not list(tmp_path.iterdir())


def test_more_lanes_than_rows_of_a_step_are_refused(folder: Path) -> None:
    with pytest.raises(
        funnel.SchemaError, match=r"train\.batch_size: got 64, expected 65 or more: a row for each of train\.lanes"
    ):
        funnel.fit(folder / "schema.yaml", folder, overrides=["train.lanes=65"])
