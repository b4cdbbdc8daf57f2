"""Parameter servers and their workers, in real processes: killed, restarted, and other numbers of them."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import funnel
from funnel.run import Run
from funnel.schema.reader import dump_schema, load_schema
from tests import sequences_shop, shop
from tests.distribution.clusters import Task, jobs_of, running
from tests.training import fits

EPOCHS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shop.write(tmp_path_factory.mktemp("shop"))
    tree = fits.tree(epochs=EPOCHS, batch_size=16, early_stopping=None, checkpoint={"steps": 100})
    # Enough rows for four servers to share out.
    tree["features"][-1]["buckets"] = 100_000
    (folder / "schema.yaml").write_text(dump_schema(load_schema(tree)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Run:
    return funnel.fit(folder / "schema.yaml", folder)


def command(folder: Path, out: Path, *more: str) -> list[Any]:
    return [folder / "schema.yaml", "--data", folder, "--store", out.parent / "store", "--out", out, "--wait", "60", *more]


def assert_whole(run: Run, alone: Run) -> None:
    """All steps were made, and as much was learnt as is learnt in one process."""
    assert run.manifest["steps"] == alone.manifest["steps"]
    assert [epoch["rows"] for epoch in run.history] == [epoch["rows"] for epoch in alone.history]
    assert run.history[-1]["losses"]["loss"] == pytest.approx(alone.history[-1]["losses"]["loss"], rel=0.1)
    for name, scores in run.metrics["test"]["cumulative"].items():
        assert scores["auc"] == pytest.approx(alone.metrics["test"]["cumulative"][name]["auc"], abs=0.05)


@pytest.mark.slow
def test_a_worker_is_killed_and_comes_back_and_nothing_is_lost(tmp_path: Path, folder: Path, alone: Run) -> None:
    jobs, out = jobs_of(chief=1, worker=2, ps=2), tmp_path / "run"
    arguments = command(folder, out)
    with running(tmp_path, jobs, *arguments) as tasks:
        tasks["chief 0"].wait_for_checkpoint(out)
        tasks["worker 1"].kill()
        again = Task(tmp_path, jobs, "worker", 1, ["-c", "from funnel.cli import main; main()", "fit", *map(str, arguments)])
        try:
            assert tasks["chief 0"].ended() == 0, tasks["chief 0"].said
            for task in (tasks["worker 0"], tasks["ps 0"], tasks["ps 1"], again):
                assert task.ended(60) == 0, task.said
                assert "the chief has ended" in task.said
        finally:
            again.kill()
    run = funnel.load(out)
    assert_whole(run, alone)
    # What the run holds is no longer in parts.
    assert (run.evaluate(folder).as_dict()["cumulative"]["buy"]["auc"]) == run.metrics["test"]["cumulative"]["buy"]["auc"]
    assert run.export(tmp_path / "export").is_dir()


@pytest.mark.slow
def test_a_server_is_killed_and_the_fit_goes_on_with_four_or_without_any(tmp_path: Path, folder: Path, alone: Run) -> None:
    jobs, out = jobs_of(chief=1, worker=1, ps=2), tmp_path / "run"
    with running(tmp_path, jobs, *command(folder, out)) as tasks:
        tasks["chief 0"].wait_for_checkpoint(out)
        tasks["ps 1"].kill()
        assert tasks["chief 0"].ended() == 1, tasks["chief 0"].said
        for name in ("worker 0", "ps 0"):
            assert tasks[name].ended(60) == 0, tasks[name].said
    error = tasks["chief 0"].said.splitlines()[-1]
    assert error.startswith(f"error: chief 0 ({jobs['chief'][0]}): ps 1 ({jobs['ps'][1]}) is gone, expected it to answer"), (
        error
    )
    assert "--resume: the fit goes on from its last checkpoint" in error
    assert not out.exists()
    shutil.copytree(tmp_path / "run.unfinished", tmp_path / "none.unfinished")
    (tmp_path / "none.unfinished" / ".lock").unlink(missing_ok=True)

    jobs = jobs_of(chief=1, worker=1, ps=4)
    with running(tmp_path, jobs, *command(folder, out, "--resume")) as tasks:
        assert tasks["chief 0"].ended() == 0, tasks["chief 0"].said
    assert "going on from" in tasks["chief 0"].said
    assert_whole(funnel.load(out), alone)

    run = funnel.fit(folder / "schema.yaml", folder, store=tmp_path / "store", out=tmp_path / "none", resume=True)
    assert_whole(run, alone)


@pytest.mark.slow
@pytest.mark.long
def test_sequences_and_layers_of_ones_own_are_learnt_from_servers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = sequences_shop.tree()
    layer = {"kind": "custom", "layer": "tests.model.own_layers:Plain", "config": {"units": 6}}
    tree["model"] |= {"body": [{"kind": "shared_bottom", "units": [8]}, layer]}
    tree["train"] |= {"batch_size": 16, "epochs": 3}
    folder = shop.write(tmp_path / "rows", tree, sequences_shop.frames)
    monkeypatch.setenv("PYTHONPATH", str(Path(shop.__file__).parents[1]))
    jobs, out = jobs_of(chief=1, worker=2, ps=2), tmp_path / "run"
    with running(tmp_path, jobs, *command(folder, out)) as tasks:
        assert tasks["chief 0"].ended() == 0, tasks["chief 0"].said
    run = funnel.load(out)
    assert_whole(run, funnel.fit(folder / "schema.yaml", folder))
    assert run.export(tmp_path / "export").is_dir()


@pytest.mark.slow
def test_all_are_told_to_end_at_once_and_nothing_is_lost(tmp_path: Path, folder: Path, alone: Run) -> None:
    jobs, out = jobs_of(chief=1, worker=2, ps=2), tmp_path / "run"
    with running(tmp_path, jobs, *command(folder, out)) as tasks:
        tasks["chief 0"].wait_for_checkpoint(out)
        for task in tasks.values():
            task.process.send_signal(signal.SIGTERM)
        for task in tasks.values():
            assert task.ended(60) == 130, task.said
        stopped = tasks["chief 0"].said.splitlines()[-1]
        assert stopped.startswith("stopped; `--resume --out"), stopped
        assert "told to stop: stays until the chief has ended" in tasks["ps 0"].said
    run = funnel.fit(folder / "schema.yaml", folder, store=tmp_path / "store", out=out, resume=True)
    assert_whole(run, alone)


@pytest.mark.slow
def test_a_chief_whose_workers_are_all_gone_can_be_stopped_and_gives_up(tmp_path: Path, folder: Path) -> None:
    jobs, out = jobs_of(chief=1, worker=1, ps=1), tmp_path / "run"
    (worker,) = jobs["worker"]
    with running(tmp_path, jobs, *command(folder, out)) as tasks:
        tasks["chief 0"].wait_for_checkpoint(out)
        tasks["worker 0"].kill()
        tasks["chief 0"].process.send_signal(signal.SIGTERM)
        assert tasks["chief 0"].ended(60) == 1, tasks["chief 0"].said
    assert f"without an answer from worker 0 ({worker})" in tasks["chief 0"].said.splitlines()[-1]


def test_a_worker_or_a_server_that_never_comes_is_named_and_so_is_a_chief(tmp_path: Path, folder: Path) -> None:
    jobs, out = jobs_of(chief=1, worker=1, ps=1), tmp_path / "run"
    arguments = [*command(folder, out)[:-1], "4"]
    with running(tmp_path, jobs, *arguments, only=("chief 0",)) as tasks:
        assert tasks["chief 0"].ended() == 1
    (chief,), (worker,), (server,) = jobs.values()
    assert (
        f"error: chief 0 ({chief}): waited 4 s for worker 0 ({worker}), ps 0 ({server}), expected an answer"
        in tasks["chief 0"].said
    )
    with running(tmp_path, jobs, *arguments, only=("ps 0",)) as tasks:
        assert tasks["ps 0"].ended() == 1
    assert f"error: ps 0 ({server}): waited 4 s for chief 0 ({chief}), expected an answer. Start it" in tasks["ps 0"].said
    assert not any(path.name.startswith("run") for path in tmp_path.iterdir())
