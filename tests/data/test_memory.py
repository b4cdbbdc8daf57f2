import sys

import numpy as np
import pytest

from funnel.data import memory
from funnel.data.memory import give_back


def resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123  # no file to keep a path of
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's allocator keeps what was freed")
def test_freed_memory_goes_back():
    give_back()
    held = [np.ones(1000) for _ in range(20_000)]  # 160 MB in pieces too small to be mapped by themselves
    full = resident()
    pin = held[-1]
    held.clear()
    give_back()
    assert full - resident() > 100_000_000
    assert pin.sum() == 1000


def test_other_systems_do_without(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory._trim.cache_clear()
    give_back()
    monkeypatch.undo()
    memory._trim.cache_clear()
