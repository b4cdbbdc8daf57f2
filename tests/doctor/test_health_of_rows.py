from pathlib import Path

import pytest

import funnel
from funnel.data.store import Store
from funnel.doctor import health as module
from funnel.doctor.health import health
from funnel.errors import DataError
from funnel.schema.reader import load_schema
from tests import shop


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = shop.write(tmp_path_factory.mktemp("shop"))
    return funnel.prepare(load_schema(folder / "schema.yaml"), folder, folder / "store")


def test_it_is_what_the_doctor_finds_and_what_the_store_has_counted(store: Store) -> None:
    found, checkup = health(store.schema, store), funnel.check(store.schema, store)
    assert found["findings"] == checkup.as_dict()["findings"]
    assert found["rows"] == shop.ROWS
    assert found["examined"] == store.manifest["splits"]["train"]["rows"]
    counted = store.manifest["splits"]["test"]["features"]["city"]
    assert found["features"]["test"]["city"] == {"missing": counted["missing"], "oov": counted["oov"]}
    assert set(found["features"]["train"]["price"]) == {"missing"}


def test_progress_is_told(store: Store) -> None:
    told: list[object] = []
    health(store.schema, store, told.append)
    assert told


@pytest.mark.parametrize("error", [DataError("shard-0: is gone"), OSError("shard-0: is gone")])
def test_a_store_that_cannot_be_read_any_more_is_a_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, "check", fails)
    found = health(store.schema, store)
    assert found["findings"] == [
        {"level": "error", "about": "data", "message": "the rows could not be examined after the fit: shard-0: is gone"}
    ]
    assert found["features"]["train"]["city"]


def test_a_run_that_is_not_saved_is_not_examined(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = funnel.fit(store.schema, store, overrides=["train.epochs=1"])
    assert run.health is None
    run.save(tmp_path / "run")
    assert not (tmp_path / "run" / "health.json").exists()
