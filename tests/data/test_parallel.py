from __future__ import annotations

import threading
import time

import pytest

from funnel.data import parallel
from funnel.data.parallel import cores, in_order


@pytest.fixture(params=[1, 2, 4])
def many(request, monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: request.param)
    return request.param


def test_results_come_in_the_order_of_the_work(many):
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(in_order(work, range(30))) == [number * number for number in range(30)]
    assert list(in_order(work, [])) == []


def test_little_more_work_is_taken_in_hand_than_there_are_cores(many):
    taken, given = [], []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    for result in in_order(lambda number: number, items()):
        assert len(taken) - len(given) <= many + parallel.AHEAD
        given.append(result)
    assert given == taken


def test_the_first_error_of_the_work_reaches_the_caller(many):
    def work(number):
        if number in (5, 6):
            raise ValueError(f"number {number}")
        return number

    found = []
    with pytest.raises(ValueError, match="number 5"):
        found.extend(in_order(work, range(20)))
    assert found == [0, 1, 2, 3, 4]


def test_an_error_of_what_gives_the_work_reaches_the_caller(many):
    def items():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(in_order(lambda number: number, items()))


def test_leaving_off_ends_the_threads(many):
    before = threading.active_count()
    results = in_order(lambda number: number, range(100))
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_work_runs_side_by_side(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=20)
    assert list(in_order(lambda number: meeting.wait() >= 0 and number, range(4))) == [0, 1, 2, 3]


def test_cores_are_counted_but_not_beyond_a_few(monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores() == parallel.MOST
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert cores() == 1
    monkeypatch.delattr(parallel.os, "sched_getaffinity")
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_as_many_threads_as_are_asked_for_whatever_the_cores(monkeypatch, threads):
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    running, most, lock, meeting = [0], [0], threading.Lock(), threading.Barrier(threads, timeout=20)

    def work(number):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        meeting.wait()  # passes only where so many are at work at once
        with lock:
            running[0] -= 1
        return number

    assert list(in_order(work, range(threads * 4), threads=threads)) == list(range(threads * 4))
    assert most[0] == threads


def test_one_thread_does_all_the_work_in_its_order():
    names, done = set(), []

    def work(number):
        names.add(threading.get_ident())
        done.append(number)
        return -number

    assert list(in_order(work, range(50), threads=1)) == [-number for number in range(50)]
    assert done == list(range(50))
    assert len(names) == 1
    assert threading.get_ident() not in names


@pytest.mark.parametrize("threads", [1, 3])
def test_work_in_hand_is_bounded_by_the_threads_asked_for(monkeypatch, threads):
    monkeypatch.setattr(parallel, "cores", lambda: 40)
    taken, given = [], []
    for result in in_order(lambda number: number, (taken.append(n) or n for n in range(20)), threads=threads):
        assert len(taken) - len(given) <= threads + parallel.AHEAD
        given.append(result)
    assert given == taken
