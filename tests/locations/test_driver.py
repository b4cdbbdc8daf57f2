"""Drivers that are missing, refuse, or fail."""

import errno
import subprocess
import sys

import pytest

from funnel.errors import RemoteError
from funnel.locations import driver
from funnel.locations.driver import ask, connected
from funnel.locations.remote import Remote
from tests.faulty import Faulty, failing


def test_an_unknown_protocol_is_told_with_those_there_are() -> None:
    with pytest.raises(RemoteError, match=r"^s4://b/x: got the protocol 's4' \(have: 's3', 'gs', .*Correct it\.$"):
        connected("s4://b/x")


@pytest.mark.parametrize(
    ("url", "package"), [("gs://b/x", "gcsfs"), ("abfs://c@a/x", "adlfs"), ("smb://h/x", r'"fsspec\[smb\]"')]
)
def test_a_missing_package_is_told_with_the_line_that_installs_it(url: str, package: str) -> None:
    with pytest.raises(RemoteError, match=rf"^{url}: .*needs a package that is not installed .*\. pip install {package}$"):
        connected(url)


@pytest.mark.parametrize("times", [1, 3])
def test_what_fails_is_tried_again(unreliable: type[Faulty], times: int) -> None:
    place = Remote.at("faulty://a/b")
    place.write_text("hello")
    unreliable.rule = failing(times, ConnectionResetError("gone"), "read")
    unreliable.asked.clear()
    assert place.read_text() == "hello"
    assert unreliable.count("read") == times + 1


def test_what_fails_again_and_again_is_one_message(unreliable: type[Faulty]) -> None:
    unreliable.rule = failing(99, TimeoutError("no answer\nsecond line"), "read")
    with pytest.raises(RemoteError, match=r"^faulty://a/b: cannot be reached \(tried 4 times\): no answer\. Is the network up"):
        Remote.at("faulty://a/b").read_text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), "permission was refused: Access Denied. Correct the credentials"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be copied: No space left on device. Make room"),
        (NotImplementedError("read-only"), "its filesystem cannot do this: read-only."),
        (
            type("NoCredentialsError", (Exception,), {})("Unable to locate"),
            "got no credentials: Unable to locate. Put them into",
        ),
    ],
)
def test_what_would_fail_again_is_not_tried_again(unreliable: type[Faulty], error: Exception, said: str) -> None:
    unreliable.rule = failing(99, error, "read")
    with pytest.raises(RemoteError) as caught:
        Remote.at("faulty://a/b").read_text()
    assert said in str(caught.value)
    assert unreliable.count("read") == 1


def test_an_answer_is_no_failure(unreliable: type[Faulty]) -> None:
    with pytest.raises(FileNotFoundError):
        Remote.at("faulty://a/b").read_text()
    assert unreliable.count("read") == 1


def test_a_message_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "WAITS", ())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")

    def call() -> None:
        raise OSError("the signature of very-secret does not match https://h/x?X-Amz-Signature=abcdef")

    with pytest.raises(RemoteError) as caught:
        ask("s3://b/x", call)
    assert "very-secret" not in str(caught.value)
    assert "abcdef" not in str(caught.value)


def test_paths_need_no_driver() -> None:
    program = """
import sys
from funnel.locations.location import location
assert location("data").exists() is False and location("file:///").is_dir()
assert not {"fsspec", "aiohttp"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
