"""Copies: whole or none, whatever fails, and no more on this machine than is needed."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from funnel.errors import DataError, RemoteError, RunError
from funnel.folders import require_writable, whole_file, whole_folder
from funnel.locations.location import Location
from funnel.locations.remote import Remote
from funnel.locations.transfer import (
    COPYING,
    LOCK,
    copying,
    fetch_file,
    fetch_folder,
    fetched,
    fetched_folder,
    in_turn,
    put_folder,
)
from tests.faulty import Faulty, failing, fine

PLACE = Remote.at("faulty://models/shop/1")
FILES = {"saved_model.pb": "model", "variables/variables.index": "index", "variables/data": "data", "assets/a.txt": ""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def there(place: Remote) -> dict[str, str]:
    return {name: one.read_text() for name, one in place.files().items()}


def put(filesystem: type[Faulty]) -> list[str]:
    """What was put, in order."""
    return [path.removeprefix("/models/shop/1/") for request, path in filesystem.asked if request == "put"]


@pytest.mark.parametrize("kind", ["memory", "bucket"])
def test_a_folder_comes_back_as_it_went(request: pytest.FixtureRequest, source: Path, tmp_path: Path, kind: str) -> None:
    place = Remote.at(request.getfixturevalue(kind)) / "models" / "1"
    told: list[tuple[int, int]] = []
    put_folder(source, place, "saved_model.pb", copied=lambda done, all_: told.append((done, all_)))
    assert there(place) == FILES
    assert told[-1] == (14, 14)
    fetch_folder(place, tmp_path / "back")
    found = {path.relative_to(tmp_path / "back").as_posix(): path.read_text() for path in (tmp_path / "back").rglob("*.*")}
    assert found == {name: content for name, content in FILES.items() if "." in name}
    assert (tmp_path / "back" / "variables" / "data").read_text() == "data"
    with fetched_folder(place, without=("variables",)) as copy:
        assert sorted(path.name for path in copy.iterdir()) == ["assets", "saved_model.pb"]
    assert not copy.exists()


def test_the_file_that_makes_it_whole_is_put_last(unreliable: type[Faulty], source: Path) -> None:
    put_folder(source, PLACE, "saved_model.pb")
    assert put(unreliable)[-1] == "saved_model.pb"
    assert sorted(put(unreliable)) == sorted(FILES)
    assert copying(PLACE) is None


def test_while_it_is_copied_the_folder_says_by_whom(unreliable: type[Faulty], source: Path) -> None:
    seen: list[str | None] = []

    def look(request: str, path: str) -> None:
        if request == "put":
            unreliable.rule = fine
            seen.append(copying(PLACE))

    unreliable.rule = look
    put_folder(source, PLACE, "saved_model.pb")
    assert seen[0] is not None
    assert seen[0].startswith("by process ")


@pytest.mark.parametrize("at", [*FILES, COPYING])
def test_one_that_cannot_be_put_leaves_nothing(unreliable: type[Faulty], source: Path, at: str) -> None:
    unreliable.rule = failing(99, ConnectionResetError("gone"), "put", "write", at=at)
    with pytest.raises(RemoteError, match=rf"^{PLACE}/{at}: cannot be reached \(tried 4 times\): gone"):
        put_folder(source, PLACE, "saved_model.pb")
    assert unreliable.paths() == []
    unreliable.rule = fine
    put_folder(source, PLACE, "saved_model.pb")
    assert there(PLACE) == FILES


def test_what_cannot_be_taken_back_is_told_of_and_is_not_whole(unreliable: type[Faulty], source: Path) -> None:
    cannot_put, cannot_remove = (failing(999, ConnectionResetError("gone"), *one) for one in (["put"], ["remove"]))

    def rule(request: str, path: str) -> None:
        if path.endswith("saved_model.pb"):
            cannot_put(request, path)
        cannot_remove(request, path)

    unreliable.rule = rule
    with pytest.raises(RemoteError, match=rf"What is left there may lack its saved_model\.pb, .*: remove {PLACE}\.$"):
        put_folder(source, PLACE, "saved_model.pb")
    assert "saved_model.pb" not in there(PLACE)
    with pytest.raises(RunError, match=r"is being copied \(by process \d+ of .*\), or was stopped meanwhile, expected a new"):
        require_writable(PLACE, RunError)


def test_an_interrupt_takes_back_what_was_put(unreliable: type[Faulty], source: Path) -> None:
    def interrupt(request: str, path: str) -> None:
        if request == "put" and path.endswith("saved_model.pb"):
            raise KeyboardInterrupt

    unreliable.rule = interrupt
    with pytest.raises(KeyboardInterrupt):
        put_folder(source, PLACE, "saved_model.pb")
    assert unreliable.paths() == []


def test_a_file_that_arrives_cut_is_put_again(unreliable: type[Faulty], source: Path) -> None:
    unreliable.cut = 2
    put_folder(source, PLACE, "saved_model.pb")
    assert there(PLACE) == FILES
    unreliable.cut = 99
    with pytest.raises(RemoteError, match=r"cannot be reached \(tried 4 times\): \d of \d bytes arrived"):
        put_folder(source, PLACE, "saved_model.pb", replace=True)


def test_a_folder_that_is_there_is_not_put_over(unreliable: type[Faulty], source: Path) -> None:
    (PLACE / "other").write_text("x")
    with pytest.raises(RemoteError, match="is already there, expected a new folder"):
        put_folder(source, PLACE, "saved_model.pb")
    assert there(PLACE) == {"other": "x"}


def test_of_two_that_begin_at_once_one_goes_on(unreliable: type[Faulty], source: Path) -> None:
    def other(request: str, path: str) -> None:
        if request == "write" and path.endswith(COPYING):  # after it was looked for, and before it is written
            unreliable.rule = fine
            (PLACE / COPYING).write_text("{}")

    unreliable.rule = other
    with pytest.raises(RemoteError, match=r"is being copied \(by another process\)"):
        put_folder(source, PLACE, "saved_model.pb")
    assert there(PLACE) == {COPYING: "{}"}


def test_one_that_gives_way_is_not_whole_while_it_does(unreliable: type[Faulty], source: Path) -> None:
    for name in ("saved_model.pb", "old/x", LOCK):
        (PLACE / name).write_text("old")
    seen: list[bool] = []

    def look(request: str, path: str) -> None:
        if request == "put":
            seen.append("/models/shop/1/saved_model.pb" in unreliable.store)

    unreliable.rule = look
    put_folder(source, PLACE, "saved_model.pb", replace=True)
    assert seen == [False] * len(FILES)
    assert there(PLACE) == FILES | {LOCK: "old"}


def test_one_that_did_not_give_way_whole_can_be_put_again(unreliable: type[Faulty], source: Path) -> None:
    (PLACE / "saved_model.pb").write_text("old")
    unreliable.rule = failing(99, ConnectionResetError("gone"), "put", at="variables/data")
    with pytest.raises(
        RemoteError, match=r"What is left in .* may lack its saved_model\.pb, .*: run the same command again\.$"
    ):
        put_folder(source, PLACE, "saved_model.pb", replace=True)
    assert "saved_model.pb" not in there(PLACE)
    unreliable.rule = fine
    put_folder(source, PLACE, "saved_model.pb", replace=True)
    assert there(PLACE) == FILES


def test_a_file_is_fetched_whole_or_not_at_all(unreliable: type[Faulty], tmp_path: Path) -> None:
    (PLACE / "x").write_text("content")
    unreliable.cut = 1
    fetch_file(PLACE / "x", tmp_path / "x")
    assert (tmp_path / "x").read_text() == "content"
    unreliable.cut = 99
    with pytest.raises(RemoteError, match=r"got 6 of 7 bytes: was it changed meanwhile"):
        fetch_file(PLACE / "x", tmp_path / "y")
    with pytest.raises(RemoteError, match=rf"^{PLACE}/z: no such file"):
        fetch_file(PLACE / "z", tmp_path / "z")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_empty_file_is_fetched(memory: str, tmp_path: Path) -> None:
    (Remote.at(memory) / "x").write_text("")
    fetch_file(Remote.at(memory) / "x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b""


def test_messages_name_the_place_and_not_the_copy(memory: str) -> None:
    place = Remote.at(memory) / "truth.parquet"
    place.write_text("x")
    with pytest.raises(DataError, match=rf"^{place}: cannot be read$"), fetched(place) as copy:
        raise DataError(f"{copy}: cannot be read")
    assert not copy.exists()


def test_files_of_this_machine_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    places: list[Location] = [tmp_path / "x"]
    assert list(in_turn(places)) == [(tmp_path / "x", tmp_path / "x")]
    with fetched(tmp_path / "x") as copy:
        assert copy == tmp_path / "x"


def test_two_copies_are_there_at_a_time_and_none_afterwards(
    unreliable: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places: list[Location] = [PLACE / f"{number}.csv" for number in range(6)]
    for number, place in enumerate(places):
        assert isinstance(place, Remote)
        place.write_text(str(number))
    most, read = 0, []
    for place, copy in in_turn(places):
        read.append((place, copy.read_text(), copy.suffix))
        most = max(most, len(list(tmp_path.rglob("*.csv"))))
    assert read == [(place, str(number), ".csv") for number, place in enumerate(places)]
    assert most <= 2
    assert list(tmp_path.iterdir()) == []
    assert unreliable.count("get") == 6


def test_who_leaves_off_waits_for_no_file(unreliable: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begun, go_on = threading.Event(), threading.Event()

    def slow(request: str, path: str) -> None:
        if request == "get" and path.endswith("1.csv"):
            begun.set()
            assert go_on.wait(20)

    for number in range(3):
        (PLACE / f"{number}.csv").write_text("x")
    unreliable.rule = slow
    copies = in_turn([PLACE / f"{number}.csv" for number in range(3)])
    next(copies)
    assert begun.wait(20)
    threading.Timer(0.1, go_on.set).start()
    copies.close()
    assert list(tmp_path.iterdir()) == []
    assert not any(path.endswith("2.csv") for request, path in unreliable.asked if request == "get")


def test_a_whole_folder_and_a_whole_file_behind_urls(
    unreliable: type[Faulty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with whole_folder(PLACE, RunError, last="manifest.json") as folder:
        (folder / "manifest.json").write_text("{}")
        (folder / "weights").write_text("w")
        assert unreliable.paths() == []
    assert there(PLACE) == {"manifest.json": "{}", "weights": "w"}
    with whole_file(PLACE / "report.html", RunError, "Make room.") as part:
        part.write_text("<html>")
    assert (PLACE / "report.html").read_text() == "<html>"
    with pytest.raises(RunError, match="is already there"), whole_folder(PLACE, RunError):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda folder: (folder / "none" / "x").write_text(""), "cannot be made in"),
        (lambda _: json.loads("{"), None),
    ],
)
def test_what_fails_before_it_is_copied_leaves_nothing(
    unreliable: type[Faulty], work: Callable[[Path], object], said: str | None
) -> None:
    with pytest.raises(RunError if said else ValueError, match=said), whole_folder(PLACE, RunError) as folder:
        work(folder)
    assert unreliable.paths() == []


def test_whether_it_can_be_written_is_found_out_before_the_work(unreliable: type[Faulty]) -> None:
    unreliable.rule = failing(99, PermissionError("Access Denied"), "write")
    with pytest.raises(RemoteError, match=r"permission was refused: Access Denied"), whole_folder(PLACE, RunError):
        pytest.fail("the work was begun")
    unreliable.rule = fine
    require_writable(PLACE, RunError)
    assert unreliable.paths() == []
