"""A fit that was stopped, wherever and however often, ends where one that was never stopped does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import funnel
from funnel.data.order import Epoch as Order
from funnel.errors import DivergedError
from funnel.run import Run
from funnel.training.events import Epoch, Resumed, Saved
from funnel.training.health import Watchdog
from tests import shop
from tests.training import fits
from tests.training.fits import Halt, same, stop_after, tree


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return shop.frames(rows=400)


@pytest.fixture(scope="module")
def whole(data) -> Any:
    """The fit that was never stopped."""
    return funnel.fit(tree(), data)


@pytest.mark.parametrize(
    "train",
    [
        {},
        pytest.param(
            {"shuffle": "row", "optimizer": {"embedding": "adam", "dense": {"kind": "keras", "name": "AdamW"}}},
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"shuffle": "group", "optimizer": {"embedding": "rowwise_adagrad"}, "early_stopping": None}, marks=pytest.mark.long
        ),
        pytest.param(
            {"shuffle": {"kind": "window", "rows": 100}, "early_stopping": {"metric": "auc", "patience": 0}, "epochs": 9},
            marks=pytest.mark.long,
        ),
    ],
    ids=["default", "adam", "row-wise", "patience"],
)
def test_a_fit_that_was_stopped_ends_where_one_that_never_was_does(tmp_path: Path, data, train) -> None:
    unbroken = funnel.fit(tree(**train), data)
    last = unbroken.manifest["steps"]
    # In an epoch, before its last batch (which has fewer rows), at its end, after its first batch, and at the very end.
    for stop, kind in ((4, Halt), (5, KeyboardInterrupt), (6, Halt), (7, KeyboardInterrupt), (last, Halt)):
        with pytest.raises(kind):
            funnel.fit(tree(**train), data, out=tmp_path / "run", resume=True, watch=stop_after(stop, kind))
    run, resumed = fits.resumed(tmp_path, data, **train)
    assert resumed.step == last
    assert same(run, unbroken)
    assert run.metrics == unbroken.metrics
    assert run.manifest["steps"] == last
    assert not (tmp_path / "run.unfinished").exists()


def at(kind: type) -> Callable[[Any], None]:
    """Interrupts at the first event of a kind."""

    def watch(event: Any) -> None:
        if isinstance(event, kind):
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("kind", [Epoch, Saved, pytest.param(Run, marks=pytest.mark.long)])
def test_an_interrupt_at_any_event_loses_nothing_though_no_checkpoint_was_due(tmp_path: Path, data, whole, kind) -> None:
    train = {"checkpoint": {"minutes": 60}}
    with pytest.raises(KeyboardInterrupt):
        funnel.fit(tree(**train), data, out=tmp_path / "run", watch=at(kind))
    run, resumed = fits.resumed(tmp_path, data, **train)
    assert resumed.step == (whole.manifest["steps"] if kind is Run else fits.STEPS)
    assert same(run, whole)


def test_an_interrupt_while_the_validation_rows_are_judged_loses_nothing(
    tmp_path: Path, data, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    train = {"checkpoint": {"minutes": 60}}
    with monkeypatch.context() as patch:
        patch.setattr(Run, "judge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            funnel.fit(tree(**train), data, out=tmp_path / "run")
    run, resumed = fits.resumed(tmp_path, data, **train)
    assert (resumed.epoch, resumed.step) == (1, fits.STEPS)
    assert same(run, whole)


def test_an_interrupt_while_a_step_is_looked_at_loses_nothing(
    tmp_path: Path, data, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def see(*_: object) -> None:
        seen.append(None)
        if len(seen) == 3:
            raise KeyboardInterrupt

    train = {"checkpoint": {"minutes": 60}}
    with monkeypatch.context() as patch:
        patch.setattr(Watchdog, "see", see)
        with pytest.raises(KeyboardInterrupt):
            funnel.fit(tree(**train), data, out=tmp_path / "run")
    run, resumed = fits.resumed(tmp_path, data, **train)
    assert resumed.step == 3
    assert same(run, whole)


def test_stages_that_have_collapsed_are_those_of_the_unbroken_fit(tmp_path: Path) -> None:
    """What is left of the epoch when it goes on is a batch that is not whole, and whose rows are all alike."""
    facts = shop.frames(rows=128 + 60)["facts"]
    made = tree(epochs=1, shuffle="row", early_stopping=None)
    made["data"] = {"facts": made["data"]["facts"], "validation": None}
    made["model"]["tower"]["dropout"] = 0.0
    made["features"] = [feature for feature in made["features"] if feature["name"] == "hour"]
    made["tables"] = {}
    shards = funnel.prepare(made, facts).shards("train")
    ((shard, rows),) = Order(shards, 64, funnel.load_schema(made).train.shuffle).step(2)
    last = shards[shard].position[rows].tolist()
    facts = facts.with_columns(hour=pl.when(pl.int_range(pl.len()).is_in(last)).then(2).otherwise(pl.col("hour")))
    unbroken = funnel.fit(made, facts)
    assert unbroken.history[0]["constant"] == []
    with pytest.raises(Halt):
        funnel.fit(made, facts, out=tmp_path / "run", watch=stop_after(2))
    assert same(funnel.fit(made, facts, out=tmp_path / "run", resume=True), unbroken)


def test_where_none_can_be_read_the_fit_starts_anew(tmp_path: Path, data, whole) -> None:
    for path in fits.stopped(tmp_path, data):
        (path / "variables.index").unlink()
    run, resumed = fits.resumed(tmp_path, data)
    assert (resumed.path, resumed.step, len(resumed.skipped)) == (None, 0, 2)
    assert same(run, whole)


@pytest.mark.long
def test_more_epochs_of_a_finished_run_are_those_of_a_longer_fit(tmp_path: Path, data) -> None:
    for epochs in (2, 3):
        funnel.fit(tree(early_stopping=None, epochs=epochs), data, out=tmp_path / "run", resume=True)
    longer, resumed = fits.resumed(tmp_path, data, early_stopping=None, epochs=5)
    assert resumed.step == 3 * fits.STEPS
    assert same(longer, funnel.fit(tree(early_stopping=None, epochs=5), data))
    assert len(funnel.load(tmp_path / "run").history) == 5
    again, _ = fits.resumed(tmp_path, data, early_stopping=None, epochs=5)
    assert same(again, longer)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_weights_that_were_broken_before_a_stop_are_told_of_with_the_rows_of_the_step_before(tmp_path: Path, data) -> None:
    train = {"optimizer": {"dense": {"kind": "sgd", "learning_rate": 1e38}}}
    with pytest.raises(Halt):
        funnel.fit(tree(**train), data, out=tmp_path / "run", watch=stop_after(1))
    with pytest.raises(
        DivergedError, match=r"epoch 1, step 2: .* the step before it broke the weights, with the rows"
    ) as error:
        funnel.fit(tree(**train), data, out=tmp_path / "run", resume=True)
    assert len(list(error.value.rows)) == 64


def test_a_warm_start_that_was_stopped_ends_where_an_unbroken_one_does_and_still_tells_of_it(tmp_path: Path, data) -> None:
    warm = tmp_path / "old"
    funnel.fit(tree(epochs=1), data, out=warm)
    unbroken = funnel.fit(tree(), data, warm_start=warm)
    with pytest.raises(Halt):
        funnel.fit(tree(), data, warm_start=warm, out=tmp_path / "run", watch=stop_after(4))
    with pytest.raises(funnel.RunError, match=r"--from: got nothing, expected .*old"):
        funnel.fit(tree(), data, out=tmp_path / "run", resume=True)
    events: list[Any] = []
    run = funnel.fit(tree(), data, warm_start=warm, out=tmp_path / "run", resume=True, watch=events.append)
    assert [event.step for event in events if isinstance(event, Resumed)] == [4]
    assert same(run, unbroken)
    assert run.manifest["warm_start"] == unbroken.manifest["warm_start"]


@pytest.mark.parametrize(
    ("objective", "shared"),
    [
        ({"kind": "dr", "weights": "uncertainty"}, True),
        pytest.param({"kind": "dcmt"}, False, marks=pytest.mark.long),
        pytest.param({"kind": "division"}, False, marks=pytest.mark.long),
    ],
)
def test_second_towers_learnt_weights_and_own_tables_are_gone_on_with_too(tmp_path: Path, data, objective, shared) -> None:
    made = tree() | {"objective": objective}
    made["model"]["share_embeddings"] = shared
    unbroken = funnel.fit(made, data)
    for stop in (4, 9):
        with pytest.raises(Halt):
            funnel.fit(made, data, out=tmp_path / "run", resume=True, watch=stop_after(stop))
    run = funnel.fit(made, data, out=tmp_path / "run", resume=True)
    assert same(run, unbroken)
    for mine, theirs in zip(run.model.objective.variables, unbroken.model.objective.variables, strict=True):
        assert (mine.numpy() == theirs.numpy()).all()
        assert mine.numpy().any()
    assert run.metrics == unbroken.metrics
