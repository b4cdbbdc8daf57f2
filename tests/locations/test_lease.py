"""Two processes in one place that has no locks."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from funnel.errors import RunError
from funnel.folders import held_folder
from funnel.locations import lease
from funnel.locations.remote import Remote
from funnel.locations.transfer import LOCK
from tests.faulty import Faulty, failing

PLACE = Remote.at("faulty://runs/a.unfinished")


def lock_of(**changes: Any) -> str:
    """What another process would have written."""
    found = {"host": "elsewhere", "process": 1, "token": "theirs", "seen": time.time()} | changes
    return json.dumps(found)


def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_one_is_refused_and_the_place_is_free_afterwards(unreliable: type[Faulty]) -> None:
    with held_folder(PLACE, RunError) as still:
        still()
        with pytest.raises(RunError, match=rf"another process is at work there \(process {os.getpid()} of .*last seen 0 sec"):
            held_folder(PLACE, RunError).__enter__()
    assert unreliable.paths() == []
    with held_folder(PLACE, RunError):
        pass


def test_of_another_machine_it_is_taken_over_once_it_gives_no_sign(unreliable: type[Faulty]) -> None:
    (PLACE / LOCK).write_text(lock_of())
    with pytest.raises(
        RunError, match=r"process 1 of elsewhere, last seen .* try again 120 seconds after it was last seen, or"
    ):
        held_folder(PLACE, RunError).__enter__()
    (PLACE / LOCK).write_text(lock_of(seen=time.time() - lease.GONE - 1))
    with held_folder(PLACE, RunError):
        pass


@pytest.mark.parametrize("mine", [False, True], ids=["ended", "a former process of this number"])
def test_of_this_machine_it_is_taken_over_once_its_process_has_ended(unreliable: type[Faulty], mine: bool) -> None:
    (PLACE / LOCK).write_text(lock_of(host=lease._host(), process=os.getpid() if mine else ended()))
    with held_folder(PLACE, RunError):
        pass


def test_a_process_that_lives_on_this_machine_keeps_it(unreliable: type[Faulty]) -> None:
    (PLACE / LOCK).write_text(lock_of(host=lease._host(), process=os.getppid(), seen=0))
    with pytest.raises(RunError, match=f"process {os.getppid()} of {socket.gethostname()}, "):
        held_folder(PLACE, RunError).__enter__()


def test_a_container_of_the_same_name_is_another_machine(unreliable: type[Faulty]) -> None:
    (PLACE / LOCK).write_text(lock_of(host=f"{socket.gethostname()} pid:[1]", process=ended()))
    with pytest.raises(RunError, match="another process is at work there"):
        held_folder(PLACE, RunError).__enter__()


def test_who_was_taken_over_learns_of_it_and_leaves_the_lock(unreliable: type[Faulty]) -> None:
    with held_folder(PLACE, RunError) as still:
        (PLACE / LOCK).write_text(lock_of())
        with pytest.raises(RunError, match="was taken over by process 1 of elsewhere"):
            still()
    assert json.loads((PLACE / LOCK).read_text())["host"] == "elsewhere"


def test_a_lock_is_renewed(unreliable: type[Faulty], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.01)
    with held_folder(PLACE, RunError):
        first = json.loads((PLACE / LOCK).read_text())["seen"]
        fail = failing(8, ConnectionResetError("gone"))  # it is tried again

        def rule(request: str, path: str) -> None:
            if threading.current_thread() is not threading.main_thread():
                fail(request, path)

        unreliable.rule = rule
        deadline = time.monotonic() + 30
        while json.loads((PLACE / LOCK).read_text())["seen"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_torn_lock_is_no_lock(unreliable: type[Faulty]) -> None:
    (PLACE / LOCK).write_text("{")
    with held_folder(PLACE, RunError):
        pass
