"""What is set for the process that trains."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import funnel
from funnel.training.process import THREADS, tune_threads
from tests import shop


def schema(body: list[int], stages: int = 2) -> funnel.FunnelSchema:
    made = shop.tree()
    made["stages"] = [{"name": f"s{stage}", "label": f"l{stage}"} for stage in range(stages)]
    made["model"]["body"] = {"units": body}
    return funnel.load_schema(made)


@pytest.mark.parametrize(("cores", "stages", "threads"), [(2, 2, 1), (1, 2, 1), (16, 2, 8), (8, 1, 8), (7, 3, 2), (2, 5, 1)])
def test_the_towers_share_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, stages: int, threads: int) -> None:
    monkeypatch.setenv(THREADS, "")  # so that it is put back
    monkeypatch.delenv(THREADS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert tune_threads(schema([], stages)) == threads
    assert os.environ[THREADS] == str(threads)


def test_what_the_user_has_set_stays_and_shared_layers_keep_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "3")
    assert tune_threads(schema([])) is None
    assert os.environ[THREADS] == "3"
    monkeypatch.delenv(THREADS)
    assert tune_threads(schema([8])) is None
    assert THREADS not in os.environ


def test_importing_funnel_sets_nothing() -> None:
    code = f"import os, funnel, funnel.api; assert {THREADS!r} not in os.environ"
    clean = {name: value for name, value in os.environ.items() if name != THREADS}
    subprocess.run([sys.executable, "-c", code], check=True, env=clean)
