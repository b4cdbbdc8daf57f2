"""Waiting for the others: TensorFlow waits for a process that never comes for ever, and does not say for which.

Each listens at its own address until TensorFlow does, and knocks at the others'. One that has seen all goes on; TensorFlow's
server then answers in its place.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address

from funnel.distribution.cluster import Cluster
from funnel.errors import ClusterError

PATIENCE = 600.0  # seconds: what launches jobs may take minutes to find room for the last one
PAUSE, KNOCK = 0.2, 2.0  # seconds between two rounds, and to an answer
GONE = 5.0  # seconds without an answer after which one that had answered is gone


def meet(cluster: Cluster, patience: float = PATIENCE, watch: Callable[[str], None] | None = None) -> None:
    """Wait until every other process of a cluster has answered once.

    Args:
        cluster: The cluster, and this process' place in it.
        patience: Seconds.
        watch: Called with a sentence, where somebody has to be waited for.

    Raises:
        ClusterError: Some have not, and are named; or another program listens at this process' own address.
    """
    missing, begun, told = dict(cluster.others), time.monotonic(), False
    with _listening(cluster):
        while missing:
            for name, address in list(missing.items()):
                if answers(address):
                    del missing[name]
            waited = time.monotonic() - begun
            if missing and waited > patience:
                raise ClusterError(
                    f"{cluster}: waited {waited:.0f} s for {named(missing)}, expected an answer. Start what is missing, or "
                    "correct TF_CONFIG, which all must have alike; then start all again."
                )
            if missing and waited > 2 and not told and watch is not None:
                watch(f"waiting for {named(missing)}, {patience:.0f} s at most")
                told = True
            if missing:
                time.sleep(PAUSE)


def named(addresses: Mapping[str, str]) -> str:
    """The processes of a cluster as a message lists them, given their addresses by name."""
    shown = [f"{name} ({address})" for name, address in list(addresses.items())[:8]]
    return ", ".join(shown) + (f" and {len(addresses) - 8} more" if len(addresses) > 8 else "")


def answers(address: str) -> bool:
    """Whether somebody listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK):
            return True
    except OSError:
        return False


def gone(addresses: Mapping[str, str], patience: float = GONE) -> dict[str, str]:
    """Those of some that do not answer for a while."""
    until = time.monotonic() + patience
    left = {name: address for name, address in addresses.items() if not answers(address)}
    while left and time.monotonic() < until:
        time.sleep(PAUSE)
        left = {name: address for name, address in left.items() if not answers(address)}
    return left


def wait_for_end(address: str, patience: float = PATIENCE, longest: float = math.inf) -> bool:
    """Return when the process at an address has answered and answers no more, or after a while; False where it never did."""
    begun, seen, silent_since = time.monotonic(), False, 0.0
    while True:
        now = time.monotonic()
        if answers(address):
            seen, silent_since = True, now
        elif seen and now - silent_since > GONE:
            return True
        elif not seen and now - begun > patience:
            return False
        if now - begun > longest:
            return seen
        time.sleep(1.0 if seen else PAUSE)


@contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    host, _, port = cluster.address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Elsewhere than on this machine's own address, as TensorFlow's server does: a name may be that of a gateway.
            listener.bind((host.strip("[]") if _is_loopback(host) else "", int(port)))
            listener.listen(128)
        except OSError as error:
            raise ClusterError(
                f"{cluster}: cannot listen there: {error.strerror}. Stop what does, or give another port in TF_CONFIG."
            ) from None
        yield


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
