"""Clusters of real processes on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

MAIN = "from funnel.cli import main; main()"
LONGEST = 400.0  # seconds that a process of a test may take where much else runs, too


def free_addresses(count: int) -> list[str]:
    """Addresses at which nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def jobs_of(**counts: int) -> dict[str, list[str]]:
    """So many tasks of each job, each at an address of its own."""
    addresses = iter(free_addresses(sum(counts.values())))
    return {job: [next(addresses) for _ in range(count)] for job, count in counts.items()}


def config(jobs: Mapping[str, list[str]], job: str, index: int) -> str:
    """The environment variable of a task."""
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


class Task:
    """A process of a cluster, whose words go to a file."""

    def __init__(self, folder: Path, jobs: Mapping[str, list[str]], job: str, index: int, arguments: list[str]) -> None:
        self.said_in = folder / f"{job}-{index}-{time.monotonic_ns()}.txt"
        environment = os.environ | {"TF_CONFIG": config(jobs, job, index), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with self.said_in.open("w") as out:
            self.process = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=out, env=environment)

    @property
    def said(self) -> str:
        return self.said_in.read_text()

    def ended(self, seconds: float = LONGEST) -> int:
        """Its exit code, when it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s: {self.said}") from None

    def wait_for_checkpoint(self, out: Path, seconds: float = LONGEST) -> None:
        """Until the run that will be there has one."""
        until, checkpoints = time.monotonic() + seconds, out.with_name(f"{out.name}.unfinished") / "checkpoints"
        while not list(checkpoints.glob("step-*")):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, f"no checkpoint came: {self.said}"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running(
    folder: Path, jobs: Mapping[str, list[str]], *arguments: object, only: tuple[str, ...] = ()
) -> Iterator[dict[str, Task]]:
    """`funnel fit` with these arguments as each task of a cluster, or as some, by name."""
    command = ["-c", MAIN, "fit", *map(str, arguments)]
    tasks = {
        f"{job} {index}": Task(folder, jobs, job, index, command)
        for job, addresses in jobs.items()
        for index in range(len(addresses))
        if not only or f"{job} {index}" in only
    }
    try:
        yield tasks
    finally:
        for task in tasks.values():
            task.kill()
