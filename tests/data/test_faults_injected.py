"""A store is whole or not there: whatever is killed, full or interrupted."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slow_store as slow
from test_store import contents

import funnel
from funnel.data import arrays, spill, star
from funnel.errors import DataError
from funnel.schema.reader import dump_schema, load_schema

CHILD = """
import os, signal, sys
from funnel.data import arrays, spill, star
from funnel.data.prepare import prepare
doom, real = int(sys.argv[4]), arrays.write_arrays
calls = 0
def write(path, what):
    global calls
    calls += 1
    if calls == doom:
        # Half of the file is there when the process goes.
        real(path, what)
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, what)
spill.write_arrays = star.write_arrays = write
for one in (spill.FactSpill, spill.DimensionSpill):
    one.__init__.__defaults__ = (2000,)
prepare(sys.argv[1], sys.argv[2], sys.argv[3])
print(calls)
"""


@pytest.fixture
def shop(tmp_path):
    rows = slow.generated(11, 300)
    slow.write(rows, "feature_list", tmp_path / "raw")
    slow.write(rows, "feature_list", tmp_path / "raw", facts="test", users=False)
    tree = slow.schema("feature_list", shard_rows=200)
    # Nothing hashed: the processes of these tests need no TensorFlow.
    tree["features"] = [f for f in tree["features"] if "buckets" not in f]
    (tmp_path / "schema.yaml").write_text(dump_schema(load_schema(tree)))
    return tmp_path


def child(shop: Path, doom: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, shop / "schema.yaml", shop / "raw", shop / "store", str(doom)]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def left(shop: Path) -> list[str]:
    return sorted(path.name for path in shop.iterdir() if "store" in path.name)


def test_a_killed_process_leaves_no_store_and_the_next_starts_clean(shop):
    whole = child(shop, 0)
    assert whole.returncode == 0, whole.stderr
    calls = int(whole.stdout)
    reference = contents(funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "store"))
    dooms = sorted({1, 2, calls, *random.Random(0).sample(range(1, calls + 1), 3)})  # noqa: S311  # no secret
    assert calls > 6
    for doom in dooms:
        shutil.rmtree(shop / "store")
        assert child(shop, doom).returncode == -signal.SIGKILL
        assert not (shop / "store").exists()
        assert len(left(shop)) == 1  # what the killed one was writing
        store = funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "store")
        assert left(shop) == ["store"]
        assert contents(store) == reference


def test_a_killed_process_leaves_the_store_that_was_there(shop):
    before = contents(funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "store"))
    (shop / "raw" / "facts0.txt").touch()
    assert child(shop, 3).returncode == -signal.SIGKILL
    assert contents(funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "store")) == before
    assert left(shop) == ["store"]


def test_a_full_disk_is_one_message_and_leaves_nothing(shop, monkeypatch):
    real, calls = arrays.write_arrays, []

    def count(path, what):
        calls.append(path)
        real(path, what)

    def patch(function):
        for module in (spill, star):
            monkeypatch.setattr(module, "write_arrays", function)

    patch(count)
    funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "other")
    for doom in range(1, len(calls) + 1):
        seen = []

        def write(path, what, doom=doom, seen=seen):
            seen.append(path)
            if len(seen) == doom:
                path.write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, what)

        patch(write)
        with pytest.raises(DataError, match=r"store: cannot be written: No space left on device. Nothing was left behind"):
            funnel.prepare(shop / "schema.yaml", shop / "raw", shop / "store")
        assert left(shop) == []


@pytest.mark.parametrize("most", [100, 2000, 6000])
def test_what_the_system_refuses_to_write_is_one_message(shop, most):
    """Files that may not grow beyond a size: the vocabulary's, the shards', the manifest's."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most})); from funnel.cli import main; main()"
    command = [sys.executable, "-c", code, "prepare", shop / "schema.yaml", "--data", shop / "raw", "--out", shop / "store"]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert "cannot be written" in done.stderr
    assert left(shop) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    rows = slow.generated(12, 400)
    rows.facts *= 300
    slow.write(rows, "feature_list", tmp_path / "raw")
    tree = slow.schema("feature_list", shard_rows=20_000)
    del tree["data"]["facts"]["test"]
    tree["features"] = [f for f in tree["features"] if "buckets" not in f]
    (tmp_path / "schema.yaml").write_text(dump_schema(load_schema(tree)))
    command = [
        sys.executable,
        "-c",
        "from funnel.cli import main; main()",
        "prepare",
        "schema.yaml",
        "--data",
        "raw",
        "--out",
        "store",
    ]
    for delay in (0.0, 0.1, 0.2, 0.4):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while not left(tmp_path) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        assert "Traceback" not in error
        if process.returncode == 130:
            assert error == "stopped; nothing was left behind\n"
            assert left(tmp_path) == []
        else:
            # It was whole before the signal came, or the process was already on its way out.
            assert process.returncode in {0, -signal.SIGINT}, error
            assert "store: store" in out
            shutil.rmtree(tmp_path / "store")
        assert left(tmp_path) == []
