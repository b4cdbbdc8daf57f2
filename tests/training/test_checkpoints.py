"""Checkpoints: whole or skipped, each exactly the state that was, and no more of them than are wanted."""

import errno
import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.errors import RunError
from funnel.fitting import model_of
from funnel.model.funnel_model import FunnelModel
from funnel.run import Run
from funnel.training.checkpoint import Checkpoints, State
from funnel.training.events import Epoch, Saved
from funnel.training.loop import Fit
from tests import shop
from tests.training import fits
from tests.training.fits import Halt, same, stop_after, stopped

ROWS = 400


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=ROWS)


@pytest.fixture(scope="module")
def whole(data) -> Any:
    """The fit that was never stopped."""
    return funnel.fit(fits.tree(), data)


def everything(model: FunnelModel) -> list[np.ndarray]:
    """Weights, and all that the optimisers keep."""
    optimizers = [optimizer for optimizer, _ in model.optimizer.parts()]
    kept = [one.variables() if callable(one.variables) else one.variables for one in optimizers]
    return [variable.numpy() for variable in [*model.network.variables, *(v for some in kept for v in some)]]


OPTIMIZERS = [
    {"embedding": "adagrad", "dense": "adam"},
    {"embedding": "rowwise_adagrad", "dense": {"kind": "sgd", "momentum": 0.9}},
    {"embedding": "adam", "dense": {"kind": "keras", "name": "AdamW"}},
    {"embedding": {"kind": "sgd", "momentum": 0.5}, "dense": {"kind": "keras", "name": "Nadam"}},
]
SOME = [
    pytest.param(OPTIMIZERS[0], marks=pytest.mark.long),
    *OPTIMIZERS[1:3],
    pytest.param(OPTIMIZERS[3], marks=pytest.mark.long),
]


@pytest.mark.parametrize("optimizer", SOME, ids=["adagrad", "row-wise", "adam", "momentum"])
def test_each_checkpoint_gives_another_model_all_that_the_first_one_had_there(tmp_path: Path, data, optimizer) -> None:
    schema = funnel.load_schema(fits.tree(optimizer=optimizer, checkpoint={"steps": 1, "keep": 100}))
    store = funnel.prepare(schema, data)
    model = model_of(schema, store)
    fit = Fit(
        model, store.learnt, store.shards("train"), Checkpoints(tmp_path, 100, model), None, saving=schema.train.checkpoint
    )
    there = [(event.path, fit.state, everything(model)) for event in fit.run() if isinstance(event, Saved)]
    assert [state.total_steps for _, state, _ in there] == list(range(1, 3 * fits.STEPS + 1))
    other = model_of(schema, store)
    for path, state, values in there:
        folder = tmp_path / "alone"
        shutil.copytree(path, folder / path.name)
        found, origin, skipped = Checkpoints(folder, 1, other).restore()
        assert (found, origin, skipped) == (state, folder / path.name, ())
        for one, expected in zip(everything(other), values, strict=True):
            np.testing.assert_array_equal(one, expected)
        shutil.rmtree(folder)
    assert fit.traces == 1


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def edited(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


TEARS = {
    "cut": lambda path: os.truncate(path / "variables.data-00000-of-00001", 100),
    "empty": lambda path: os.truncate(path / "variables.data-00000-of-00001", 0),
    "a byte flipped": lambda path: flipped(path / "variables.data-00000-of-00001"),
    "no variables": lambda path: (path / "variables.data-00000-of-00001").unlink(),
    "no index": lambda path: (path / "variables.index").unlink(),
    "an index flipped": lambda path: flipped(path / "variables.index"),
    "no state": lambda path: (path / "state.json").unlink(),
    "garbled state": lambda path: (path / "state.json").write_text('{"epoch": '),
    "binary state": lambda path: (path / "state.json").write_bytes(b"\xff\xfe\x00"),
    "a list as state": lambda path: (path / "state.json").write_text("[]"),
    "another state": lambda path: edited(path / "state.json", colour=2),
    "a state of another step": lambda path: edited(path / "state.json", step=1),
}


def test_a_torn_checkpoint_is_skipped_with_its_name_and_the_one_before_is_used(tmp_path: Path, data) -> None:
    *_, good, torn = stopped(tmp_path, data)
    schema = funnel.load_schema(fits.tree())
    model = model_of(schema, funnel.prepare(schema, data))
    checkpoints = Checkpoints(torn.parent, 2, model)
    shutil.copytree(torn, tmp_path / "kept")
    for name, tear in TEARS.items():
        tear(torn)
        state, path, skipped = checkpoints.restore()
        assert path == good, name
        assert state is not None
        assert state.total_steps == 8 == model.steps, name
        (line,) = skipped
        assert line.startswith(f"{torn}: "), name
        assert "\n" not in line
        shutil.rmtree(torn)
        shutil.copytree(tmp_path / "kept", torn)
    assert checkpoints.restore()[1:] == (torn, ())


def test_whatever_bits_are_turned_a_checkpoint_is_skipped_or_the_same(tmp_path: Path, data) -> None:
    *_, path = stopped(tmp_path, data, checkpoint={"steps": 1, "keep": 1})
    schema = funnel.load_schema(fits.tree())
    model = model_of(schema, funnel.prepare(schema, data))
    checkpoints = Checkpoints(path.parent, 1, model)
    state, *_ = checkpoints.restore()
    expected, moments, skipped = everything(model), random.Random(1), 0  # noqa: S311  # no secret
    for file in [*path.iterdir(), *next(path.parent.glob("best-*")).iterdir()]:
        content = file.read_bytes()
        for number in range(60):
            torn = bytearray(content[: moments.randrange(len(content))] if number % 3 == 0 else content)
            if number % 3:
                torn[moments.randrange(len(torn))] ^= 1 << moments.randrange(8)
            file.write_bytes(torn)
            found, *_ = checkpoints.restore()
            skipped += found is None
            assert found in (None, state)
            if found is not None:
                assert all(np.array_equal(one, other) for one, other in zip(everything(model), expected, strict=True))
        file.write_bytes(content)
    assert skipped > 200


@pytest.mark.parametrize("tear", ["missing", "cut"])
def test_a_checkpoint_whose_best_weights_cannot_be_read_is_skipped_before_the_fit_goes_on(
    tmp_path: Path, data, whole, tear: str
) -> None:
    checkpoints = stopped(tmp_path, data)
    for best in checkpoints[0].parent.glob("best-*"):
        shutil.rmtree(best) if tear == "missing" else os.truncate(best / "variables.data-00000-of-00001", 100)
    run, resumed = fits.resumed(tmp_path, data)
    assert resumed.path is None
    assert [("best epoch's weights" in line, line.split(": ")[0]) for line in resumed.skipped] == [
        (True, str(path)) for path in reversed(checkpoints)
    ]
    assert same(run, whole)


def test_torn_checkpoints_do_not_take_the_place_of_good_ones(tmp_path: Path, data) -> None:
    train = {"checkpoint": {"steps": 2, "keep": 2}}
    good, torn = stopped(tmp_path, data, steps=10, **train)
    assert [path.name[-2:] for path in (good, torn)] == ["08", "10"]
    flipped(torn / "variables.data-00000-of-00001")
    torn.rename(torn.with_name("step-000000000009"))
    with pytest.raises(Halt):
        funnel.fit(fits.tree(**train), data, out=tmp_path / "run", resume=True, watch=stop_after(10))
    assert [path.name[-2:] for path in sorted(torn.parent.glob("step-*"))] == ["08", "10"]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_and_the_best_are_kept(tmp_path: Path, data, keep: int) -> None:
    kept = stopped(tmp_path, data, steps=15, checkpoint={"steps": 1, "keep": keep})
    assert [int(path.name.removeprefix("step-")) for path in kept] == list(range(16 - keep, 16))
    state = json.loads((kept[-1] / "state.json").read_text())
    assert [path.name for path in kept[0].parent.glob("best-*")] == [f"best-{state['best_epoch']:06d}"]
    assert not list(kept[0].parent.glob(".*"))


@contextmanager
def full_from(kind: type, step: int, most: int) -> Iterator[Callable[[Any], None]]:
    """From an event on, no file may grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def watch(event: Any) -> None:
        if isinstance(event, kind) and getattr(event, "step", step) == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))

    try:
        yield watch
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_refused_write_is_one_message_and_the_earlier_checkpoint_is_gone_on_from(tmp_path: Path, data, whole) -> None:
    with full_from(Saved, 8, 5000) as watch, pytest.raises(RunError, match=r"step-0+9: cannot be written: ") as error:
        funnel.fit(fits.tree(), data, out=tmp_path / "run", watch=watch)
    assert "\n" not in str(error.value)
    assert "{{" not in str(error.value)
    assert [path.name for path in (tmp_path / "run.unfinished" / "checkpoints").glob(".*")] == []
    run, resumed = fits.resumed(tmp_path, data)
    assert (resumed.step, resumed.skipped) == (8, ())
    assert same(run, whole)


def test_a_run_that_cannot_be_written_is_one_message_and_is_written_later(tmp_path: Path, data, whole) -> None:
    with full_from(Run, 0, 3500) as watch, pytest.raises(RunError, match=r"run: cannot be written: ") as error:
        funnel.fit(fits.tree(), data, out=tmp_path / "run", watch=watch)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run.unfinished"]
    run, resumed = fits.resumed(tmp_path, data)
    assert resumed.step == whole.manifest["steps"]
    assert same(run, whole)
    assert same(funnel.load(tmp_path / "run"), whole)


def test_logs_that_cannot_be_written_are_one_message(tmp_path: Path, data, whole) -> None:
    pytest.importorskip("tensorboard")
    with full_from(Saved, 6, 0) as watch, pytest.raises(RunError, match="cannot be written: ") as error:
        funnel.fit(fits.tree(checkpoint={"minutes": 60}), data, out=tmp_path / "run", watch=watch)
    assert "\n" not in str(error.value)
    run, resumed = fits.resumed(tmp_path, data, checkpoint={"minutes": 60})
    assert resumed.step == 6
    assert same(run, whole)


def test_a_full_disk_at_an_interrupt_is_told(tmp_path: Path, data, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def watch(event: Any) -> None:
        if isinstance(event, Epoch):
            monkeypatch.setattr(Path, "write_text", full)
            raise KeyboardInterrupt

    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        funnel.fit(fits.tree(checkpoint={"minutes": 9}), data, out=tmp_path / "run", watch=watch)
    assert list(tmp_path.iterdir()) == []


def test_a_state_comes_back_as_it_was(tmp_path: Path, data) -> None:
    schema = funnel.load_schema(fits.tree())
    model = model_of(schema, funnel.prepare(schema, data))
    checkpoints, nan = Checkpoints(tmp_path, 1, model), float("nan")
    epoch = Epoch(1, 3, {"loss": 0.1}, {"buy": nan}, best=True, seconds=1.5, rows=9, constant=("buy",)).as_dict()
    state = State(2, 1, 4, 0.1 + 0.2, 0, -1.7976931348623157e308, (epoch,), constant=("click", "buy"))
    checkpoints.save(state)
    found, *_ = checkpoints.restore()
    assert repr(found) == repr(state)
