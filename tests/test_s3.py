"""All of it on an S3-compatible server, through the command line, in processes of their own; one of them is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from funnel.locations.remote import Remote
from funnel.locations.transfer import COPYING, LOCK
from tests.conftest import SECRET

MAIN = "from funnel.cli import main; main()"
SCHEMA = """
name: shop
stages:
- {name: click, label: click}
- {name: buy, label: bought}
data:
  root: BUCKET/logs
  facts: {format: csv, train: "facts-*.csv.gz", test: test.csv.gz}
  dimensions:
  - {name: user, key: user_id, format: parquet, files: users.parquet}
features:
- {name: user_id, kind: categorical, source: user}
- {name: age, kind: numeric, source: user}
- {name: item, kind: categorical}
- {name: price, kind: numeric}
model: {embedding_dim: 4, tower: {units: [8]}}
train: {batch_size: 64, epochs: 4, checkpoint: {steps: 4}}
"""


def begun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    places = {"TMPDIR": str(folder / "tmp"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | places,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where commands are run: nothing but what they leave in it themselves."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.fixture
def said(folder: Path) -> Iterator[list[str]]:
    """All that commands print: no secret is in it, at the end."""
    lines: list[str] = []
    yield lines
    assert lines
    assert SECRET not in "".join(lines)


@pytest.mark.slow
def test_from_rows_to_a_verified_export(bucket: str, folder: Path, said: list[str], funnel) -> None:
    root = Remote.at(bucket)

    def run(*arguments: str) -> str:
        out, err = begun(folder, *arguments).communicate(timeout=300)
        said.extend([out, err])
        return out + err

    (root / "shop.yaml").write_text(SCHEMA.replace("BUCKET", bucket))
    schema, store, out = f"{bucket}/shop.yaml", f"{bucket}/stores/shop", f"{bucket}/runs/shop"
    assert f"the true probabilities in {bucket}/logs/truth" in run(
        "simulate", schema, "--out", f"{bucket}/logs", "--impressions", "1500"
    )
    assert f"store: {store}" in run("prepare", schema, "--out", store)
    unfinished = root / "runs" / "shop.unfinished"
    process = begun(folder, "fit", schema, "--store", store, "--out", out)
    deadline = time.monotonic() + 240
    while not any(name.endswith("state.json") for name in unfinished.files()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    said.extend(process.communicate())
    assert (unfinished / LOCK).exists()
    assert not (root / "runs" / "shop").exists()
    made = run("fit", schema, "--store", store, "--out", out, "--resume")
    assert re.search(rf"going on from {unfinished}/checkpoints/step-\d+: epoch \d, \d+ steps made", made), made
    assert made.endswith(f"run: {out}\n")
    assert not unfinished.exists()
    # In this process, which has TensorFlow already.
    code, evaluated, err = funnel("evaluate", out, "--truth", f"{bucket}/logs/truth/test.parquet", "--json")
    said.extend([evaluated, err])
    assert code == 0, err
    metrics = json.loads((root / "runs" / "shop" / "metrics.json").read_text())["splits"]["test"]
    assert json.loads(evaluated)["cumulative"] == metrics["cumulative"]
    assert f"{bucket}/models/shop/1: a SavedModel" in run("export", out, "--out", f"{bucket}/models/shop")
    verified = run("verify", f"{bucket}/models/shop", "--run", out)
    assert f"{bucket}/models/shop/1 against {out}; data: {bucket}/logs (simulated)" in verified
    everything = root.files()
    assert not any(place.name in (LOCK, COPYING) for place in everything.values())
    for place in everything.values():
        assert SECRET.encode() not in place.read_bytes(), place
    # Nothing is on this machine but what the killed one had no time to remove.
    assert sorted(path.name for path in folder.iterdir()) == ["tmp"]
    assert len([path for path in (folder / "tmp").iterdir() if path.name.startswith("funnel-")]) <= 2


@pytest.fixture
def guarded(bucket: str) -> Iterator[str]:
    """The bucket, while the server lets nobody in."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"

    def let_in(requests: str) -> None:
        asked = Request(url, requests.encode(), {"Content-Type": "text/plain"}, method="POST")  # noqa: S310  # our own server
        urlopen(asked).close()  # noqa: S310

    let_in("0")
    yield bucket
    let_in("inf")


def test_who_may_not_is_told_so_without_the_secret(guarded: str, funnel, said: list[str]) -> None:
    code, out, err = funnel("check", f"{guarded}/shop.yaml")
    said.extend([out, err])
    assert code == 1
    assert re.match(rf"error: {guarded}/shop.yaml: permission was refused: .*Correct the credentials in the environment", err)


def test_a_bucket_that_is_missing_and_a_package_that_is_missing_are_told(bucket: str, folder: Path, funnel) -> None:
    (folder / "shop.yaml").write_text(SCHEMA.replace("BUCKET", "s3://no-such-bucket-at-all"))
    code, _, err = funnel("prepare", folder / "shop.yaml")
    assert (code, err) == (
        1,
        "error: s3://no-such-bucket-at-all/logs: no such folder, expected one with the data. Correct `data.root`, or give "
        "`--data DIR`.\n",
    )
    code, _, err = funnel("simulate", folder / "shop.yaml", "--out", "s3://no-such-bucket-at-all/logs", "--impressions", "50")
    assert code == 1
    assert re.match(r"error: s3://no-such-bucket-at-all/logs.*: cannot be written: .*bucket.*Make the bucket", err)
    code, _, err = funnel("prepare", folder / "shop.yaml", "--data", "gs://b/logs")
    assert code == 1
    assert re.match(r"error: gs://b/logs: gs:// needs a package that is not installed .*\. pip install gcsfs$", err.strip())
    code, _, err = funnel("prepare", folder / "shop.yaml", "--data", "s3://key:sekr1t@b/logs")
    assert code == 1
    assert err.startswith("error: s3://***@b/logs: got credentials in a URL")
