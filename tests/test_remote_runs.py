"""Fits, runs and exports behind URLs: they come to the same, and what a failing network leaves is never taken for whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.errors import FunnelError, RemoteError, RunError
from funnel.locations.remote import Remote
from funnel.locations.transfer import COPYING, LOCK, put_file
from funnel.training.events import Resumed, Saved
from tests import shop
from tests.faulty import Faulty, failing, faulty, fine
from tests.training import fits
from tests.training.fits import same

RUNS = Remote.at("faulty://runs")
RUN = RUNS / "a"
UNFINISHED = RUNS / "a.unfinished"
STOPPED = 9  # steps


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=400)


@pytest.fixture(scope="module")
def whole(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The fit that was never stopped, on this machine."""
    return funnel.fit(fits.tree(), data, out=tmp_path_factory.mktemp("whole") / "a")


@pytest.fixture(scope="module")
def stopped(data: dict[str, Any]) -> dict[str, bytes]:
    """What a fit that was stopped left behind a URL."""
    with faulty() as filesystem, pytest.raises(fits.Halt):
        funnel.fit(fits.tree(), data, out=RUN.url, watch=fits.stop_after(STOPPED))
    return {path: file.getvalue() for path, file in filesystem.store.items()}


@pytest.fixture(scope="module")
def finished(whole: Any) -> dict[str, bytes]:
    """The run, put behind a URL."""
    with faulty() as filesystem:
        for path in whole.path.rglob("*"):
            if path.is_file():
                put_file(path, RUN / path.relative_to(whole.path))
    return {path: file.getvalue() for path, file in filesystem.store.items()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that temporary files are in; none is left there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def place(files: dict[str, bytes]) -> None:
    for path, content in files.items():
        Faulty().pipe_file(path, content)
    Faulty.asked.clear()


def go_on(data: dict[str, Any], **train: Any) -> tuple[Any, Resumed]:
    events: list[Any] = []
    run = funnel.fit(fits.tree(**train), data, out=RUN.url, resume=True, watch=events.append)
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    return run, resumed


def names(folder: Remote) -> set[str]:
    return set(folder.files())


def test_a_fit_that_was_stopped_left_its_checkpoints_there(unreliable: type[Faulty], data: Any, stopped: Any) -> None:
    place(stopped)
    step = f"checkpoints/step-{STOPPED:012d}"
    found = {name for name in names(UNFINISHED) if "logs/" not in name}
    parts = ["state.json", "variables.index", "variables.data-00000-of-00001"]
    assert {f"{step}/{part}" for part in parts} <= found
    assert "fit.json" in found
    assert {name.split("/")[1] for name in found if name.startswith("checkpoints/step-")} == {
        f"step-{STOPPED - 1:012d}",
        f"step-{STOPPED:012d}",
    }
    assert not any(name.rpartition("/")[2] in (COPYING, LOCK) for name in found)
    with pytest.raises(RunError, match=rf"^{UNFINISHED}: a fit was stopped there, expected none. Go on with it \(--resume\)"):
        funnel.fit(fits.tree(), data, out=RUN.url)


def test_it_goes_on_elsewhere_and_ends_where_one_that_never_stopped_does(
    unreliable: type[Faulty], data: Any, stopped: Any, whole: Any, here: Path
) -> None:
    place(stopped)
    run, resumed = go_on(data)
    assert (resumed.step, str(resumed.path)) == (STOPPED, f"{UNFINISHED}/checkpoints/step-{STOPPED:012d}")
    assert same(run, whole)
    assert run.path == RUN
    there = {name for name in names(RUN) if not name.startswith("logs/")}
    local = {path.relative_to(whole.path).as_posix() for path in whole.path.rglob("*") if path.is_file()}
    assert there == {name for name in local if not name.startswith("logs/")}
    assert names(UNFINISHED) == set()
    # The manifest was put after all others.
    put = [path for request, path in unreliable.asked if request == "put" and path.startswith("/runs/a/")]
    assert put[-1] == "/runs/a/manifest.json"
    del run
    assert [path.name for path in here.iterdir() if path.name.startswith("funnel-")] == []


def test_a_checkpoint_that_was_not_copied_whole_is_passed_over(
    unreliable: type[Faulty], data: Any, stopped: Any, whole: Any
) -> None:
    place({path: content for path, content in stopped.items() if not path.endswith(f"{STOPPED:012d}/state.json")})
    run, resumed = go_on(data)
    assert resumed.step == STOPPED - 1
    assert same(run, whole)


def test_a_network_that_fails_ends_a_fit_that_goes_on_from_the_last_whole_checkpoint(
    unreliable: type[Faulty], data: Any, stopped: Any
) -> None:
    place(stopped)
    unreliable.rule = failing(999, ConnectionResetError("gone"), "put", at=f"{STOPPED + 2:012d}/variables.index")
    with pytest.raises(RemoteError, match=rf"^{UNFINISHED}/checkpoints/step-0+{STOPPED + 2}/variables.index: cannot be reach"):
        go_on(data)
    unreliable.rule = fine
    assert names(RUN) == set()
    events: list[Any] = []
    with pytest.raises(fits.Halt):
        funnel.fit(fits.tree(), data, out=RUN.url, resume=True, watch=lambda event: _until_resumed(event, events))
    assert events[0].step == STOPPED + 1
    assert events[0].skipped == ()


def _until_resumed(event: Any, events: list[Any]) -> None:
    if isinstance(event, Resumed):
        events.append(event)
        raise fits.Halt


def test_a_run_that_could_not_be_copied_is_copied_when_the_fit_goes_on(
    unreliable: type[Faulty], data: Any, stopped: Any, whole: Any
) -> None:
    place(stopped)
    unreliable.rule = failing(999, ConnectionResetError("gone"), "put", at="/a/weights.index")
    with pytest.raises(RemoteError, match=rf"^{RUN}/weights.index: cannot be reached .* run the same command again\.$"):
        go_on(data)
    unreliable.rule = fine
    with pytest.raises(RunError, match=rf"^{RUN}: was not copied whole: it is being copied by process \d+ of .*"):
        funnel.load(RUN.url)
    run, resumed = go_on(data)
    assert resumed.step == whole.manifest["steps"]
    assert same(run, whole)
    assert same(funnel.load(RUN.url), whole)


def test_another_process_that_took_the_fit_over_ends_this_one(unreliable: type[Faulty], data: Any) -> None:
    def watch(event: Any) -> None:
        if isinstance(event, Saved) and event.step == 2:
            (UNFINISHED / LOCK).write_text(json.dumps({"host": "elsewhere", "process": 7, "token": "t", "seen": 0}))

    with pytest.raises(RunError, match=rf"^{UNFINISHED}: was taken over by process 7 of elsewhere"):
        funnel.fit(fits.tree(), data, out=RUN.url, watch=watch)
    assert {name.split("/")[1] for name in names(UNFINISHED) if name.startswith("checkpoints/step")} == {
        f"step-{step:012d}" for step in (1, 2)
    }


def test_a_run_is_read_as_on_this_machine(unreliable: type[Faulty], data: Any, finished: Any, whole: Any, here: Path) -> None:
    place(finished)
    run = funnel.load(RUN.url)
    assert str(run.path) == RUN.url
    assert same(run, whole)
    fetched = {path for request, path in unreliable.asked if request == "get"}
    assert not any("/checkpoints/" in path or "/logs/" in path for path in fetched)
    mine, theirs = (funnel.predict(one, data) for one in (run, whole))
    assert np.array_equal(np.asarray(mine), np.asarray(theirs))
    out = funnel.api.write_predictions({"buy": np.arange(3.0)}, "faulty://out/p.parquet")
    assert str(out) == "faulty://out/p.parquet"
    (here / "p.parquet").write_bytes(out.read_bytes())
    assert pl.read_parquet(here / "p.parquet")["buy"].to_list() == [0.0, 1.0, 2.0]
    with pytest.raises(RunError, match=rf"^{RUNS}/none: is no folder, expected a run"):
        funnel.load(f"{RUNS}/none")


@pytest.mark.long
def test_a_report_is_written_beside_a_run(unreliable: type[Faulty], finished: Any, whole: Any) -> None:
    place(finished)
    assert str(funnel.report(RUN.url, plots="faulty://plots")) == f"{RUN}/report.html"
    here = funnel.report(whole.path)
    assert (RUN / "report.html").read_text() == here.read_text().replace(str(whole.path), RUN.url)
    assert any(name.endswith(".svg") for name in names(Remote.at("faulty://plots")))


@pytest.mark.long  # one on S3 is made and verified everywhere
def test_an_export_gets_the_next_number_and_its_model_last(unreliable: type[Faulty], data: Any, finished: Any) -> None:
    place(finished)
    models = Remote.at("faulty://models/shop")
    (models / "1" / "saved_model.pb").write_text("an earlier one")
    unreliable.asked.clear()
    assert str(funnel.export(RUN.url, models.url)) == f"{models}/2"
    put = [path for request, path in unreliable.asked if request == "put"]
    assert put[-1] == "/models/shop/2/saved_model.pb"
    assert sum("saved_model.pb" in path for path in put) == 1
    assert (models / "1" / "saved_model.pb").read_text() == "an earlier one"
    assert {name.split("/")[0] for name in names(models)} == {"1", "2"}
    with pytest.raises(RunError, match=rf"^{models}/2: is already there, expected a new folder"):
        funnel.export(RUN.url, f"{models}/2")
    found = funnel.verify(models.url, RUN.url, data, rows=100)
    assert (found.passed, found.export, found.run) == (True, f"{models}/2", RUN.url)


@pytest.mark.long
def test_a_fit_starts_from_a_run_and_a_finished_one_goes_on(
    unreliable: type[Faulty], data: Any, finished: Any, whole: Any, tmp_path: Path
) -> None:
    place(finished)
    started = funnel.fit(fits.tree(epochs=1), data, out=f"{RUNS}/b", warm_start=RUN.url)
    here = funnel.fit(fits.tree(epochs=1), data, warm_start=whole.path)
    assert same(started, here)
    run, resumed = go_on(data, epochs=4)
    assert resumed.step == whole.manifest["steps"]
    assert same(run, funnel.fit(fits.tree(epochs=4), data))
    found = funnel.compare([RUN.url, f"{RUNS}/b"], data)
    assert found.runs == ("a", "b")


@pytest.mark.parametrize("verb", ["load", "export", "report"])
def test_a_url_with_a_secret_is_refused_before_anything_is_done(verb: str) -> None:
    with pytest.raises(FunnelError, match=r"^s3://\*\*\*@bucket/run: got credentials") as caught:
        getattr(funnel, verb)("s3://key:sekr1t@bucket/run", *(["out"] if verb == "export" else []))
    assert "sekr1t" not in str(caught.value)
