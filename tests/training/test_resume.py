"""What a stopped fit goes on from, and that it ends where one that was never stopped does."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.errors import RunError
from funnel.training.events import Resumed, Saved, Step
from tests import shop


def tree(**train: Any) -> dict[str, Any]:
    made = shop.tree()
    made["model"]["tower"] |= {"dropout": 0.2, "activation": "prelu"}
    made["train"] |= {"epochs": 3, "batch_size": 64, "checkpoint": {"steps": 1}} | train
    return made


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=400)


def weights(run: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in run.model.network.variables]


def history(run: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in run.history]


def same(one: Any, other: Any) -> bool:
    return history(one) == history(other) and all(
        np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True)
    )


class Halt(Exception):  # noqa: N818  # no error: a caller that leaves off
    pass


def stop_after(steps: int, kind: type[BaseException]) -> Any:
    def watch(event: Any) -> None:
        if isinstance(event, Saved | Step) and event.step >= steps:
            raise kind

    return watch


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"shuffle": "row", "optimizer": {"embedding": "adam", "dense": {"kind": "keras", "name": "AdamW"}}},
        {"shuffle": "group", "optimizer": {"embedding": "rowwise_adagrad"}, "early_stopping": None},
    ],
    ids=["default", "adam", "row-wise"],
)
@pytest.mark.parametrize(("stops", "kind"), [((1,), Halt), ((5, 6, 13), KeyboardInterrupt)], ids=["once", "three times"])
def test_a_fit_that_was_stopped_ends_where_one_that_never_was_does(tmp_path: Path, data, train, stops, kind) -> None:
    unbroken = funnel.fit(tree(**train), data)
    for stop in stops:
        with pytest.raises(kind):
            funnel.fit(tree(**train), data, out=tmp_path / "run", resume=True, watch=stop_after(stop, kind))
    run, resumed = gone_on(tmp_path, data, **train)
    assert resumed.step >= stops[-1]
    assert same(run, unbroken)
    assert run.metrics == unbroken.metrics
    assert not (tmp_path / "run.unfinished").exists()


def test_more_epochs_of_a_finished_run_are_those_of_a_longer_fit(tmp_path: Path, data) -> None:
    funnel.fit(tree(early_stopping=None), data, out=tmp_path / "run")
    longer = funnel.fit(tree(early_stopping=None, epochs=5), data, out=tmp_path / "run", resume=True)
    assert same(longer, funnel.fit(tree(early_stopping=None, epochs=5), data))
    assert len(funnel.load(tmp_path / "run").history) == 5


def gone_on(folder: Path, data: Any, **train: Any) -> tuple[Any, Resumed]:
    """Go on with a stopped fit: the run, and what was told of where it went on."""
    events: list[Any] = []
    run = funnel.fit(tree(**train), data, out=folder / "run", resume=True, watch=events.append)
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    return run, resumed


def stopped(folder: Path, data: Any, steps: int = 9, **train: Any) -> list[Path]:
    with pytest.raises(Halt):
        funnel.fit(tree(**train), data, out=folder / "run", watch=stop_after(steps, Halt))
    return sorted((folder / "run.unfinished" / "checkpoints").glob("step-*"))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


TEARS = {
    "cut": lambda path: os.truncate(path / "variables.data-00000-of-00001", 100),
    "a byte flipped": lambda path: flipped(path / "variables.data-00000-of-00001"),
    "no index": lambda path: (path / "variables.index").unlink(),
    "garbled state": lambda path: (path / "state.json").write_text('{"epoch": '),
    "another state": lambda path: (path / "state.json").write_text('{"epoch": 1, "colour": 2}'),
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_is_skipped_with_its_name_and_the_one_before_is_used(tmp_path: Path, data, tear: str) -> None:
    *_, good, torn = stopped(tmp_path, data)
    TEARS[tear](torn)
    run, resumed = gone_on(tmp_path, data)
    assert resumed.path == good
    assert len(resumed.skipped) == 1
    assert str(torn) in resumed.skipped[0]
    assert same(run, funnel.fit(tree(), data))


def test_where_none_can_be_read_the_fit_starts_anew(tmp_path: Path, data) -> None:
    for path in stopped(tmp_path, data):
        flipped(path / "variables.data-00000-of-00001")
    run, resumed = gone_on(tmp_path, data)
    assert (resumed.path, resumed.step, len(resumed.skipped)) == (None, 0, 2)
    assert same(run, funnel.fit(tree(), data))


def test_the_newest_and_the_best_are_kept(tmp_path: Path, data) -> None:
    kept = stopped(tmp_path, data, steps=15, checkpoint={"steps": 1, "keep": 3})
    assert [int(path.name.removeprefix("step-")) for path in kept] == [13, 14, 15]
    state = json.loads((kept[-1] / "state.json").read_text())
    assert [path.name for path in kept[0].parent.glob("best-*")] == [f"best-{state['best_epoch']:06d}"]


def test_a_fit_is_only_gone_on_with_as_it_was_begun(tmp_path: Path, data) -> None:
    stopped(tmp_path, data)
    with pytest.raises(RunError, match=r"train\.seed: got 5, expected 0, as it was begun"):
        funnel.fit(tree(seed=5), data, out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="got other training rows"):
        funnel.fit(tree(), shop.frames(1, 400), out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"a fit was stopped there, expected none\. Go on with it \(--resume\)"):
        funnel.fit(tree(), data, out=tmp_path / "run")


def test_a_fit_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path: Path, data) -> None:
    made = tree(optimizer={"dense": {"kind": "sgd", "learning_rate": 1e38}}, checkpoint={"minutes": 10})
    with pytest.raises(funnel.DivergedError):
        funnel.fit(made, data, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", "from funnel.cli import main; main()", "fit", str(folder / "schema.yaml"), *more]


def shop_folder(folder: Path) -> Path:
    shop.write(folder)
    with (folder / "schema.yaml").open("w") as file:
        json.dump(tree(), file)
    return folder


@pytest.mark.slow
def test_killed_at_ten_moments_it_ends_ten_times_with_the_same_weights(tmp_path: Path) -> None:
    folder = shop_folder(tmp_path / "shop")
    common = ["--data", str(folder), "--store", str(tmp_path / "store")]
    subprocess.run(command(folder, *common, "--out", str(tmp_path / "whole")), check=True, capture_output=True)
    whole = funnel.load(tmp_path / "whole")
    moments = random.Random(4)  # noqa: S311  # no secret
    for number in range(10):
        out, killed = tmp_path / f"run-{number}", moments.randint(1, 36)
        process = subprocess.Popen(
            command(folder, *common, "--out", str(out)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wanted = out.with_name(f"{out.name}.unfinished") / "checkpoints"
        deadline = time.monotonic() + 60
        while not any(int(path.name[5:]) >= killed for path in wanted.glob("step-????????????")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(moments.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not out.exists():
            said = subprocess.run(
                command(folder, *common, "--out", str(out), "--resume"), check=True, capture_output=True, text=True
            ).stdout
            assert "going on from" in said
        assert same(funnel.load(out), whole)
        shutil.rmtree(out)


def test_a_polite_end_writes_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder, out = shop_folder(tmp_path / "shop"), tmp_path / "run"
    arguments = ["--data", str(folder), "--store", str(tmp_path / "store"), "--out", str(out)]
    endless = ["--set", "train.early_stopping=null"]
    process = subprocess.Popen(
        command(folder, *arguments, *endless, "--set", "train.epochs=5000"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(out.with_name("run.unfinished").glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"`--resume --out {out}` goes on" in said
    answer = subprocess.run(
        command(folder, *arguments, *endless, "--resume"), check=True, capture_output=True, text=True
    ).stdout
    assert "going on from" in answer
    assert f"run: {out}" in answer
