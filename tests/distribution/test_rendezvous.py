"""Processes wait for each other, and say for whom."""

import socket
import threading
import time
from pathlib import Path

import pytest

import funnel
from funnel.distribution.cluster import Cluster
from funnel.distribution.rendezvous import answers, gone, meet, wait_for_end
from tests.distribution.clusters import free_addresses


def workers(count: int) -> list[Cluster]:
    jobs = {"worker": tuple(free_addresses(count))}
    return [Cluster(jobs, "worker", index) for index in range(count)]


def listener(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


def test_all_go_on_when_all_have_come_in_any_order() -> None:
    clusters, done = workers(3), []

    def come(cluster: Cluster, after: float) -> None:
        time.sleep(after)
        meet(cluster, 20)
        done.append(cluster.index)
        # TensorFlow's server answers in its place.
        with listener(cluster.address):
            time.sleep(1.5)

    threads = [threading.Thread(target=come, args=(cluster, 0.3 * cluster.index)) for cluster in reversed(clusters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == [0, 1, 2]


def test_who_never_comes_is_named() -> None:
    first, second, third = workers(3)
    told: list[str] = []
    with listener(second.address), pytest.raises(funnel.ClusterError) as caught:
        meet(first, 2.5, told.append)
    message = str(caught.value)
    assert message.startswith(f"worker 0 ({first.address}): waited ")
    assert f"for worker 2 ({third.address}), expected an answer" in message
    assert second.address not in message
    assert told == [f"waiting for worker 2 ({third.address}), 2 s at most"]


def test_a_port_that_is_taken_is_named() -> None:
    first, _ = workers(2)
    with (
        listener(first.address),
        pytest.raises(funnel.ClusterError, match=rf"^worker 0 \({first.address}\): cannot listen there"),
    ):
        meet(first, 1)


def test_its_own_port_is_free_afterwards() -> None:
    first, second = workers(2)
    with listener(second.address):
        meet(first, 5)
    with listener(first.address):
        assert answers(first.address)
    assert not answers(first.address)


def test_gone_is_who_does_not_answer_for_a_while() -> None:
    first, second = free_addresses(2)
    with listener(first):
        assert gone({"one": first, "two": second}, 0.5) == {"two": second}

    def come_back() -> None:
        time.sleep(0.5)
        with listener(second):
            time.sleep(2)

    thread = threading.Thread(target=come_back)
    thread.start()
    assert gone({"two": second}, 5) == {}
    thread.join()


def test_an_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.distribution.rendezvous.GONE", 1.0)
    (address,) = free_addresses(1)
    assert not wait_for_end(address, 0.5)

    def live() -> None:
        with listener(address):
            time.sleep(2)

    thread = threading.Thread(target=live)
    thread.start()
    begun = time.monotonic()
    assert wait_for_end(address, 10)
    assert time.monotonic() - begun > 2
    thread.join()


@pytest.mark.parametrize("address", ["nowhere.invalid:1", "127.0.0.1:1"])
def test_nobody_answers_where_nobody_is(address: str, tmp_path: Path) -> None:
    assert not answers(address)
