"""The cluster that `TF_CONFIG` describes, as TensorFlow and what launches its jobs have it, and this process' place in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from funnel.errors import ClusterError, have
from funnel.schema.training import Strategy

VARIABLE = "TF_CONFIG"
CHIEF, WORKER, SERVER = "chief", "worker", "ps"
JOBS = (CHIEF, WORKER, SERVER)


@dataclass(frozen=True)
class Cluster:
    """Processes by their jobs.

    Attributes:
        jobs: By job: the `host:port` of each of its tasks.
        job: Of this process.
        index: Which of its job's tasks it is, from 0.
    """

    jobs: dict[str, tuple[str, ...]]
    job: str
    index: int

    @property
    def name(self) -> str:
        """This task, as messages call it."""
        return f"{self.job} {self.index}"

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"

    @property
    def address(self) -> str:
        """Of this process."""
        return self.jobs[self.job][self.index]

    @property
    def has_servers(self) -> bool:
        """Whether tables are shared out over parameter servers."""
        return SERVER in self.jobs

    @property
    def is_chief(self) -> bool:
        """Whether this process leads: the chief where there is one, else the first worker."""
        return self.job == CHIEF or (CHIEF not in self.jobs and self.job == WORKER and self.index == 0)

    @property
    def tasks(self) -> Iterator[tuple[str, str]]:
        """Of each task its name and its address, the leading one first."""
        for job, addresses in self.jobs.items():
            yield from ((f"{job} {index}", address) for index, address in enumerate(addresses))

    @property
    def others(self) -> dict[str, str]:
        """The addresses of the others, by their names."""
        return {name: address for name, address in self.tasks if name != self.name}

    @property
    def trainers(self) -> int:
        """How many learn in step, where there are no servers: the workers, and the chief."""
        return len(self.jobs.get(CHIEF, ())) + len(self.jobs.get(WORKER, ()))

    @property
    def rank(self) -> int:
        """Which of these this process is, from 0."""
        return self.index + (len(self.jobs.get(CHIEF, ())) if self.job == WORKER else 0)


def cluster_of(environment: Mapping[str, str] | None = None) -> Cluster | None:
    """The cluster that an environment describes; None where it describes none.

    Args:
        environment: Of a process; by default, of this one.

    Raises:
        ClusterError: It is not right; the message names the field.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _wrong("", f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _wrong("", f"got {_short(found)}, expected a mapping with 'cluster' and 'task'")
    if not found.get("cluster"):
        return None  # what launches jobs gives one that stands alone an empty cluster
    _require_keys("", found, ("cluster", "task"), also=("environment", "rpc_layer"))
    jobs = _jobs(found["cluster"])
    task = found["task"]
    if not isinstance(task, dict):
        raise _wrong("task", f"got {_short(task)}, expected {{'type': ..., 'index': ...}}")
    _require_keys("task", task, ("type", "index"), also=("trial", "cloud", "environment"))
    if task["type"] not in jobs:
        raise _wrong("task.type", f"{task['type']!r} is no job of this cluster {have(task['type'], jobs)}")
    index, count = task["index"], len(jobs[task["type"]])
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        expected = "0" if count == 1 else f"a whole number from 0 to {count - 1}"
        raise _wrong("task.index", f"got {_short(index)}, expected {expected}: {task['type']!r} has {count} addresses")
    return Cluster(jobs, task["type"], index)


def _jobs(declared: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(declared, dict):
        raise _wrong("cluster", f"got {_short(declared)}, expected the addresses by job")
    jobs: dict[str, tuple[str, ...]] = {}
    seen: dict[str, str] = {}
    for job in (*(job for job in JOBS if job in declared), *(job for job in declared if job not in JOBS)):
        addresses, where = declared[job], f"cluster.{job}"
        if job not in JOBS:
            raise _wrong(where, f"is a job that takes no part in a fit {have(job, JOBS)}")
        if not isinstance(addresses, list):
            raise _wrong(where, f"got {_short(addresses)}, expected a list of 'host:port'")
        for index, address in enumerate(addresses):
            _require_address(f"{where}[{index}]", address, seen)
        if addresses:
            jobs[job] = tuple(addresses)
    if len(jobs.get(CHIEF, ())) > 1:
        raise _wrong("cluster.chief", f"got {len(jobs[CHIEF])} addresses, expected one")
    if WORKER not in jobs and CHIEF not in jobs:
        raise _wrong("cluster.worker", "is missing, expected the addresses of one worker at least")
    return jobs


def _require_address(place: str, address: Any, seen: dict[str, str]) -> None:
    if not isinstance(address, str) or not _is_address(address):
        raise _wrong(place, f"got {_short(address)}, expected 'host:port' with a port from 1 to 65535")
    if address in seen:
        raise _wrong(place, f"{address!r} is that of {seen[address]}, too, expected one for each task")
    seen[address] = f"{VARIABLE}.{place}"


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon and host) and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16


def _require_keys(where: str, found: Mapping[str, Any], wanted: tuple[str, ...], also: tuple[str, ...]) -> None:
    prefix = f"{where}." if where else ""
    for key in found:
        if key not in wanted and key not in also:
            raise _wrong(f"{prefix}{key}", f"is no field of it {have(key, wanted)}")
    for key in wanted:
        if key not in found:
            raise _wrong(f"{prefix}{key}", "is missing, expected one")


def _wrong(where: str, what: str) -> ClusterError:
    return ClusterError(f"{VARIABLE}{'.' if where else ''}{where}: {what}. Correct the environment variable.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kind_of(declared: Strategy, cluster: Cluster | None) -> Strategy:
    """What `auto` comes to, and whether the cluster is such as what is declared needs.

    Raises:
        ClusterError: It is not.
    """
    kind = declared
    if kind == "auto" and cluster is not None:
        kind = "parameter_server" if cluster.has_servers else "multi_worker" if cluster.trainers > 1 else "auto"
    where = f"train.strategy: got {declared!r}"
    if cluster is None:
        if kind in ("multi_worker", "parameter_server"):
            raise ClusterError(f"{where} and no cluster, expected one in the environment variable {VARIABLE}. Set it.")
        return kind
    for job in (CHIEF, WORKER, SERVER) if kind == "parameter_server" else ():
        if job not in cluster.jobs:
            raise ClusterError(f"{where}, and {VARIABLE}.cluster has no {job!r}, expected chief, worker and ps. Add it.")
    if kind == "multi_worker" and cluster.has_servers:
        raise ClusterError(f"{where}, and {VARIABLE}.cluster has {SERVER!r}, expected workers alone. Correct either.")
    if kind in ("one_device", "mirrored") and len(list(cluster.tasks)) > 1:
        raise ClusterError(f"{where}, and {VARIABLE} describes several processes, expected one. Correct either.")
    return kind


def serves(kind: Strategy, cluster: Cluster | None) -> bool:
    """Whether this process serves a fit that another one leads."""
    return kind == "parameter_server" and cluster is not None and not cluster.is_chief
