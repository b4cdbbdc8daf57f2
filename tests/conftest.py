"""What all tests share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from hypothesis import settings

from funnel import cli
from tests.faulty import Faulty, faulty

Answer = tuple[int, str, str]  # exit code, stdout, stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
settings.register_profile("funnel", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=thorough
settings.load_profile("funnel")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --long`."""
    parser.addoption("--long", action="store_true", help="run also what repeats in many more cases what other tests show")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is `long` runs where it is asked for."""
    if not config.getoption("--long"):
        chosen = [item for item in items if item.get_closest_marker("long") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen


@pytest.fixture
def tree():
    """A valid declaration with every kind of part, as a mapping of its own for each test."""
    return {
        "name": "shop",
        "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "bought"}],
        "data": {
            "facts": {"format": "csv", "train": "facts*.csv", "test": "test.csv"},
            "dimensions": [{"name": "user", "key": "user_id", "format": "csv", "files": "users.csv"}],
        },
        "tables": {"item": {"dim": 4, "min_count": 1}},
        "features": [
            {"name": "item_id", "kind": "categorical", "table": "item"},
            {"name": "history", "kind": "bag", "source": "user", "table": "item", "separator": "|"},
            {"name": "city", "kind": "categorical", "source": "user", "buckets": 10},
            {"name": "price", "kind": "numeric", "transform": "log1p", "missing": {"fill": 0}},
            {"name": "age", "kind": "numeric", "source": "user", "transform": {"kind": "bucketize", "buckets": 4}},
            {"name": "city_item", "kind": "cross", "of": ["city", "item_id"], "buckets": 50},
        ],
    }


@pytest.fixture(scope="session")
def kuairand() -> Path:
    """The folder of real KuaiRand-Pure exposures, which the project does not ship."""
    folder = os.environ.get("FUNNEL_KUAIRAND")
    if not folder:
        pytest.skip("NOT RUN: set FUNNEL_KUAIRAND to a folder with KuaiRand-Pure to test on real exposures")
    return Path(folder)


@pytest.fixture
def funnel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command in this process: its exit code, and what it said on stdout and stderr."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["funnel", *map(str, arguments)])
        monkeypatch.setattr(cli, "_load_tensorflow", lambda: None)  # its redirection is tested in a process of its own
        try:
            cli.main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


SECRET = "a-secret-that-nobody-may-see"  # noqa: S105  # of a server that takes any


@pytest.fixture(scope="session")
def _s3() -> Iterator[dict[str, str]]:
    """An S3-compatible server on this machine: what the environment must say to reach it."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # seconds, and for few tests

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


@pytest.fixture
def bucket(_s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket."""
    import s3fs  # noqa: PLC0415  # as above

    for name, value in _s3.items():
        monkeypatch.setenv(name, value)
    name = f"b{token_hex(6)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a new folder in this process's memory."""
    import fsspec  # noqa: PLC0415  # as above

    folder = f"t{token_hex(6)}"
    yield f"memory://{folder}"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(f"/{folder}"):
        filesystem.rm(f"/{folder}", recursive=True)


@pytest.fixture
def unreliable(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """The filesystem behind `faulty://`, which is not waited for."""
    monkeypatch.setattr("funnel.locations.driver.WAITS", (0.0, 0.0, 0.0))
    with faulty() as filesystem:
        yield filesystem
