"""`RUN.unfinished`: what may go on there, who may, and what is left."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

import funnel
from funnel.errors import RunError
from funnel.training.events import Epoch, Saved
from funnel.training.workspace import latest
from tests import shop
from tests.training import fits
from tests.training.fits import Halt, same, stop_after, stopped, tree


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=400)


def other_pooling() -> dict[str, Any]:
    made = tree()
    made["features"][6]["pooling"] = "mean"
    return made


def test_a_fit_is_only_gone_on_with_as_it_was_begun(tmp_path: Path, data) -> None:
    stopped(tmp_path, data)
    refused = [
        (tree(seed=5), r"train\.seed: got 5, expected 0, as it was begun"),
        (tree(batch_size=32), r"train\.batch_size: got 32, expected 64, as it was begun"),
        (other_pooling(), r"features\[6\]\.pooling: got 'mean', expected 'sum', as it was begun"),
        (tree() | {"model": {"embedding_dim": 4, "tower": {"units": [8]}}}, r"model\.tower\.\w+: got .*, expected .*"),
        (tree(epochs=1), r"train\.epochs: got 1, expected 2 or more"),
    ]
    for made, said in refused:
        with pytest.raises(RunError, match=rf"run\.unfinished: cannot go on: {said}"):
            funnel.fit(made, data, out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="got other training rows"):
        funnel.fit(tree(), shop.frames(1, 400), out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"a fit was stopped there, expected none\. Go on with it \(--resume\)"):
        funnel.fit(tree(), data, out=tmp_path / "run")
    # None of these did any harm; and what does not matter may change.
    free = tree(epochs=4, checkpoint={"minutes": 3}) | {"name": "elsewhere", "evaluate": {"batch_size": 100}}
    run = funnel.fit(free, data, out=tmp_path / "run", resume=True)
    assert same(run, funnel.fit(tree(epochs=4), data))


def test_what_a_fit_was_begun_with_must_be_readable(tmp_path: Path, data) -> None:
    stopped(tmp_path, data)
    path = tmp_path / "run.unfinished" / "fit.json"
    for content in ("{", "[]", '"text"'):
        path.write_text(content)
        with pytest.raises(RunError, match=r"fit\.json: cannot be read: .* Remove .*run\.unfinished, and fit again\."):
            funnel.fit(tree(), data, out=tmp_path / "run", resume=True)


def test_another_process_that_fits_there_is_not_disturbed(tmp_path: Path, data) -> None:
    """To flock, a lock of another open file is another process's."""
    stopped(tmp_path, data)
    with (tmp_path / "run.unfinished" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is at work there"):
            funnel.fit(tree(), data, out=tmp_path / "run", resume=True)
    assert fits.resumed(tmp_path, data)[1].step == 9


def test_a_fit_holds_the_lock_while_it_goes_on(tmp_path: Path, data) -> None:
    said = []

    def watch(event: Any) -> None:
        if isinstance(event, Epoch):
            with pytest.raises(RunError, match="another process is at work there") as error:
                funnel.fit(tree(), data, out=tmp_path / "run", resume=True)
            said.append(str(error.value))

    funnel.fit(tree(epochs=1), data, out=tmp_path / "run", watch=watch)
    assert len(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("train", [{"checkpoint": {"minutes": 10}}, {"checkpoint": None}])
def test_a_fit_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path: Path, data, train) -> None:
    made = tree(optimizer={"dense": {"kind": "sgd", "learning_rate": 1e38}}, **train)
    with pytest.raises(funnel.DivergedError):
        funnel.fit(made, data, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_without_checkpoints_an_interrupt_leaves_nothing_and_a_run_keeps_none(tmp_path: Path, data) -> None:
    def watch(event: Any) -> None:
        assert not isinstance(event, Saved)
        if isinstance(event, Epoch):
            raise Halt

    with pytest.raises(Halt):
        funnel.fit(tree(checkpoint=None), data, out=tmp_path / "run", watch=watch)
    assert list(tmp_path.iterdir()) == []
    funnel.fit(tree(checkpoint=None, epochs=1), data, out=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(RunError, match="is finished, and holds no checkpoint to go on from"):
        funnel.fit(tree(epochs=2), data, out=tmp_path / "run", resume=True)


def test_a_finished_run_that_cannot_be_gone_on_with_stays_as_it_was(tmp_path: Path, data) -> None:
    funnel.fit(tree(epochs=1), data, out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"train\.seed: got 7, expected 0"):
        funnel.fit(tree(seed=7), data, out=tmp_path / "run", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_run_is_there_until_the_longer_one_takes_its_place(tmp_path: Path, data) -> None:
    made = {"early_stopping": None}
    shorter = funnel.fit(tree(epochs=2, **made), data, out=tmp_path / "run")
    with pytest.raises(Halt):
        funnel.fit(tree(epochs=3, **made), data, out=tmp_path / "run", resume=True, watch=stop_after(15))
    assert same(funnel.load(tmp_path / "run"), shorter)
    longer, resumed = fits.resumed(tmp_path, data, epochs=3, **made)
    assert resumed.step == 15
    assert same(funnel.load(tmp_path / "run"), longer)


def test_what_was_left_of_a_workspace_that_was_being_removed_is_no_hindrance(tmp_path: Path, data) -> None:
    funnel.fit(tree(epochs=1), data, out=tmp_path / "run")
    (tmp_path / "run.unfinished" / "logs").mkdir(parents=True)
    run, _ = fits.resumed(tmp_path, data)
    assert same(run, funnel.fit(tree(), data))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_appears_meanwhile_is_not_replaced(tmp_path: Path, data) -> None:
    def watch(event: Any) -> None:
        if isinstance(event, Epoch):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "precious").write_text("of another fit")

    with pytest.raises(RunError, match="run: is already there"):
        funnel.fit(tree(epochs=1), data, out=tmp_path / "run", watch=watch)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


@pytest.mark.parametrize("name", [pytest.param("a b", marks=pytest.mark.long), "a[1]*?\\état"])
def test_any_name_will_do_for_a_run(tmp_path: Path, data, name: str) -> None:
    with pytest.raises(Halt):
        funnel.fit(tree(epochs=1), data, out=tmp_path / name, watch=stop_after(2))
    run = funnel.fit(tree(epochs=1), data, out=tmp_path / name, resume=True)
    assert run.manifest["steps"] == fits.STEPS
    assert same(funnel.load(tmp_path / name), run)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_relative_run_stands_in_the_working_directory(tmp_path: Path, data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Halt):
        funnel.fit(tree(epochs=1), data, out="run", watch=stop_after(2))
    funnel.fit(tree(epochs=1), data, out="run", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    for out in (".", tmp_path):
        with pytest.raises(RunError, match="is already there"):
            funnel.fit(tree(), data, out=out)
        with pytest.raises(RunError, match="holds no checkpoint to go on from"):
            funnel.fit(tree(), data, out=out, resume=True)


def test_the_fit_of_a_name_that_was_stopped_last_is_found(tmp_path: Path) -> None:
    assert latest(tmp_path / "shop") == tmp_path / "shop"
    for name in ("shop", "shop-2", "shop-two", "shop[1]", "other"):
        (tmp_path / f"{name}.unfinished").mkdir()
    assert latest(tmp_path / "shop") in {tmp_path / "shop", tmp_path / "shop-2"}
    assert latest(tmp_path / "shop[1]") == tmp_path / "shop[1]"


def test_a_fit_is_begun_with_what_can_be_compared(tmp_path: Path, data) -> None:
    stopped(tmp_path, data, steps=1)
    begun = json.loads((tmp_path / "run.unfinished" / "fit.json").read_text())
    assert begun["schema"] == funnel.load_schema(tree()).model_dump(mode="json")
    assert begun["rows"] == funnel.prepare(tree(), data).digest
