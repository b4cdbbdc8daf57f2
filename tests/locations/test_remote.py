"""Places behind URLs, on two filesystems: what is asked of them is answered in the same way."""

import random
from pathlib import Path

import pytest

from funnel.data.readers import find_files
from funnel.errors import DataError, RemoteError
from funnel.locations.location import below, folder_of, location, matching
from funnel.locations.remote import Remote
from tests.faulty import Faulty, failing


@pytest.fixture(params=["memory", "bucket"])
def root(request: pytest.FixtureRequest) -> Remote:
    """An empty folder."""
    return Remote.at(request.getfixturevalue(request.param)) / "root"


def test_names() -> None:
    place = Remote.at("s3://bucket/logs/part.csv.gz")
    assert (place.name, place.suffix, str(place.parent)) == ("part.csv.gz", ".gz", "s3://bucket/logs")
    assert [str(one) for one in place.parents] == ["s3://bucket/logs", "s3://bucket"]
    assert str(place.parent / "a" / Path("b/c")) == "s3://bucket/logs/a/b/c"
    assert str(place / "../../other/./x") == "s3://bucket/other/x"
    assert str(place / "../../../../x") == "s3://bucket/x"  # nothing is above a bucket
    assert str(place.with_name("x")) == "s3://bucket/logs/x"
    assert str(Remote.at("hdfs:///data") / "x") == "hdfs:///data/x"
    assert place.parts == ("s3://bucket", "logs", "part.csv.gz")


def test_nothing_is_there(root: Remote) -> None:
    assert not root.exists()
    assert not root.is_dir()
    assert not root.is_file()
    assert root.files() == {}
    with pytest.raises(FileNotFoundError):
        list(root.iterdir())
    with pytest.raises(FileNotFoundError):
        root.read_bytes()
    with pytest.raises(RemoteError, match="no such file"):
        _ = root.size
    (root / "x").unlink()
    root.remove()


def test_files_and_folders(root: Remote) -> None:
    (root / "a" / "b.txt").write_text("Ünicode")
    (root / "c.txt").write_text("")
    assert root.is_dir()
    assert (root / "a").is_dir()
    assert not (root / "a").is_file()
    assert (root / "a" / "b.txt").is_file()
    assert (root / "a" / "b.txt").size == 8
    assert (root / "a" / "b.txt").read_text() == "Ünicode"
    assert [(one.name, one.is_dir()) for one in root.iterdir()] == [("a", True), ("c.txt", False)]
    assert {name: one.size for name, one in root.files().items()} == {"a/b.txt": 8, "c.txt": 0}
    (root / "c.txt").unlink()
    assert list(root.files()) == ["a/b.txt"]
    root.remove()
    assert not root.exists()


def test_what_others_do_is_seen(root: Remote) -> None:
    other = Remote.at(str(root))
    (root / "x").write_text("1")
    assert [one.name for one in root.iterdir()] == ["x"]
    (other / "y").write_text("2")
    (other / "x").unlink()
    assert [one.name for one in root.iterdir()] == ["y"]
    assert not (root / "x").exists()


def test_a_file_is_created_once(root: Remote) -> None:
    assert (root / "lock").create("mine")
    assert not (root / "lock").create("yours")
    assert (root / "lock").read_text() == "mine"


def test_another_content_has_another_mark(root: Remote) -> None:
    (root / "x").write_text("one")
    before = (root / "x").mark
    assert before == (root / "x").mark
    (root / "x").write_text("two")
    assert (root / "x").mark != before


NAMES = [
    "a.csv",
    "b.csv",
    "b-1.csv",
    "b.csv.gz",
    ".hidden.csv",
    "in/a.csv",
    "in/deep/a.csv",
    "in-x/a.csv",
    "[odd]/a.csv",
    "x/y",
]
PATTERNS = [
    "*.csv",
    "b*",
    "?.csv",
    "[ab].csv",
    "[!a]*.csv",
    "in/a.csv",
    "in*/a.csv",
    "*/*.csv",
    "*/deep/*",
    "./a.csv",
    "in/../a.csv",
]
PATTERNS += ["in", "in/", "*/", "**/a.csv", "**", ".*", "in//a.csv", "[[]odd]/*", "x*/y", "none/*.csv", "none*"]


def test_patterns_name_what_they_do_on_this_machine(root: Remote, tmp_path: Path) -> None:
    for name in NAMES:
        (root / name).write_text(name)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for pattern in PATTERNS:
        try:
            here = [path.read_text() for path in find_files(tmp_path, [pattern], "facts")]
        except DataError:
            here = []
        assert [one.read_text() for one in matching(root, pattern)] == here, pattern


def test_a_pattern_without_files_names_those_there_are(memory: str) -> None:
    root = Remote.at(memory)
    (root / "facts.csv").write_text("a")
    with pytest.raises(DataError, match=r"got no file for 'fact\.csv' in memory://\w+ \(have: 'facts\.csv'\)"):
        find_files(root, ["fact.csv"], "facts")


def test_a_pattern_may_be_a_url_or_a_path_of_its_own(memory: str, tmp_path: Path) -> None:
    (Remote.at(memory) / "x" / "a.csv").write_text("a")
    (tmp_path / "b.csv").write_text("b")
    found = find_files(tmp_path, [f"{memory}/x/*.csv", "*.csv"], "facts")
    assert [str(one) for one in found] == [f"{memory}/x/a.csv", str(tmp_path / "b.csv")]
    assert find_files(Remote.at(memory), [str(tmp_path / "*.csv"), f"file://{tmp_path}/b.csv"], "facts") == [tmp_path / "b.csv"]
    assert folder_of(tmp_path, "s3://b/c/d.csv") == (Remote.at("s3://b/c"), "d.csv")


def test_files_are_listed_without_asking_for_each(unreliable: type[Faulty]) -> None:
    root = Remote.at("faulty://logs")
    for number in range(50):
        (root / f"part-{number}.csv").write_text("x" * number)
    unreliable.asked.clear()
    found = matching(root, "part-*.csv")
    assert sum(one.size or 0 for one in found) == sum(range(50))
    assert all(one.mark for one in found)
    assert len(unreliable.asked) < 5


def test_what_cannot_be_looked_at_is_not_taken_for_missing(unreliable: type[Faulty]) -> None:
    unreliable.rule = failing(99, PermissionError("no"), "info", "ls")
    for look in (Remote.exists, Remote.is_dir, Remote.is_file, Remote.files, lambda place: matching(place, "*")):
        with pytest.raises(RemoteError, match="permission was refused"):
            look(Remote.at("faulty://a"))


def test_a_bucket_that_is_missing_is_not_made(bucket: str) -> None:
    for write in (lambda place: place.write_text("x"), lambda place: place.create("x")):
        with pytest.raises(RemoteError, match=r"^s3://no-such-bucket-x/a/b: cannot be written: .*Make the bucket, or correct"):
            write(Remote.at("s3://no-such-bucket-x/a/b"))
    assert not Remote.at("s3://no-such-bucket-x").exists()


def test_places_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert location(f"file://{tmp_path}/x") == tmp_path / "x"
    assert location(f"file://localhost{tmp_path}") == tmp_path
    assert location("data/x") == Path("data/x")
    assert location(Path("data")) == Path("data")
    remote = Remote.at("s3://b/x")
    assert location(remote) is remote
    assert location("s3://b/x/") == remote


def test_a_url_that_was_made_a_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError, match=r"^s3://\.\.\.: got a URL that was made a Path"):
        location(Path("s3://bucket/logs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "logs").mkdir(parents=True)  # whoever calls a folder so
    assert location(Path("s3:/logs")).is_dir()


def test_a_path_from_a_folder(tmp_path: Path) -> None:
    assert below(tmp_path / "a" / "b", tmp_path) == "a/b"
    assert below(tmp_path, tmp_path / "a") == str(tmp_path)
    assert below(Remote.at("s3://b/x/y"), Remote.at("s3://b/x")) == "y"
    assert below(Remote.at("s3://b/xy"), Remote.at("s3://b/x")) == "s3://b/xy"


def test_many_names_in_one_order() -> None:
    rng = random.Random(0)  # noqa: S311  # no secret
    names = ["/".join(rng.choice("ab-.") * rng.randint(1, 2) + "x" for _ in range(rng.randint(1, 3))) for _ in range(60)]
    places = [Remote.at(f"s3://b/{name}") for name in set(names)]
    by_place = [str(one).removeprefix("s3://b/") for one in sorted(places, key=lambda one: one.parts)]
    assert by_place == [str(path) for path in sorted(Path(name) for name in set(names))]
