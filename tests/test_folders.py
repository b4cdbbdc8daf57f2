from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from funnel.errors import DataError, RunError
from funnel.folders import LOCK, require_writable, whole_folder


def fill(path: Path, text: str = "new", **options: bool) -> None:
    with whole_folder(path, RunError, **options) as folder:
        (folder / "a.txt").write_text(text)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    with whole_folder(path, RunError) as folder:
        (folder / "a.txt").write_text("x")
        assert not path.exists()
        assert folder.parent == path.parent
    assert [file.name for file in path.iterdir()] == ["a.txt"]
    assert [file.name for file in path.parent.iterdir()] == ["run"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with whole_folder(tmp_path / "run", RunError) as folder:
            (folder / "a.txt").write_text("x")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_folder(tmp_path / "run", RunError):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from funnel.errors import RunError
from funnel.folders import whole_folder
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever runs the tests ignores it
real = os.rmdir
def again(*arguments, **options):
    os.rmdir = real
    raise KeyboardInterrupt
folders = whole_folder(Path(sys.argv[1]), RunError)
if sys.argv[2] == "while it is removed":
    with folders:
        os.rmdir = again
        raise KeyboardInterrupt
# As where it comes between the folder and the block: nobody leaves it.
folder = folders.__enter__()
assert folder.is_dir()
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize("when", ["while it is removed", "as it is entered"])
def test_an_interrupt_at_the_worst_moment_leaves_nothing(tmp_path: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(tmp_path / "run"), when], capture_output=True, check=False)
    assert b"KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_to_be_one(tmp_path: Path) -> None:
    def full() -> None:
        with whole_folder(tmp_path / "run", DataError):
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"run: cannot be written: No space left on device\. Nothing was left behind"):
        full()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [RunError, DataError])
def test_what_is_there_is_kept_unless_it_may_be_replaced(tmp_path: Path, kind: type[Exception]) -> None:
    fill(tmp_path / "run", "old")
    with pytest.raises(kind, match=r"run: is already there, expected a new folder\. Choose another, or remove it"):
        require_writable(tmp_path / "run", kind)
    with pytest.raises(RunError, match="is already there"):
        fill(tmp_path / "run")
    assert (tmp_path / "run" / "a.txt").read_text() == "old"
    fill(tmp_path / "run", replace=True)
    assert (tmp_path / "run" / "a.txt").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_replacing_nothing_is_making(tmp_path: Path) -> None:
    fill(tmp_path / "run", replace=True)
    assert (tmp_path / "run" / "a.txt").read_text() == "new"


def test_a_failure_while_replacing_keeps_what_was_there(tmp_path: Path) -> None:
    fill(tmp_path / "run", "old")

    def broken() -> None:
        with whole_folder(tmp_path / "run", RunError, replace=True) as folder:
            (folder / "a.txt").write_text("half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert (tmp_path / "run" / "a.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_place_that_cannot_be_written_is_found_out_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        require_writable(tmp_path / "file" / "run", RunError)
    with pytest.raises(RunError, match="cannot be written"):
        fill(tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "x"


def test_asking_whether_it_can_be_written_leaves_nothing_but_the_folders_around(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "run", RunError)
    assert [file.name for file in tmp_path.rglob("*")] == ["a"]


KILLED = """
import os, sys
from pathlib import Path
from funnel.errors import RunError
from funnel.folders import whole_folder
with whole_folder(Path(sys.argv[1]), RunError) as folder:
    (folder / "a.txt").write_text("half")
    os._exit(9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], check=False)
    assert done.returncode == 9
    assert len(list(tmp_path.glob(".run-*"))) == 1
    fill(tmp_path / "run")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "run", RunError) as folder:
        (folder / "a.txt").write_text("slow")
        fill(tmp_path / "run", "fast")
        assert (folder / "a.txt").read_text() == "slow"
        (tmp_path / "run").rename(tmp_path / "other")
    assert (tmp_path / "run" / "a.txt").read_text() == "slow"


def test_folders_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    for name in (".run-notes", ".other-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    fill(tmp_path / "run")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other-x", ".run-notes", "run"]


def test_a_name_with_signs_of_patterns_is_a_name(tmp_path: Path) -> None:
    (tmp_path / ".runx-1").mkdir()
    (tmp_path / ".runx-1" / LOCK).touch()
    fill(tmp_path / "run[x]")
    assert (tmp_path / ".runx-1").is_dir()
    assert (tmp_path / "run[x]" / "a.txt").is_file()


def test_the_lock_is_held_while_writing_and_gone_afterwards(tmp_path: Path) -> None:
    with (
        whole_folder(tmp_path / "run", RunError) as folder,
        (folder / LOCK).open("r+") as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (tmp_path / "run" / LOCK).exists()
