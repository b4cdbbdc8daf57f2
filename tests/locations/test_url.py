"""What is a URL, what must not stand in one, and what is never said."""

import pytest

from funnel.errors import RemoteError
from funnel.locations.url import is_url, plain, redacted, refusal


@pytest.mark.parametrize("text", ["s3://bucket", "gs://b/logs/2026", "memory://a", "abfs://c@account/x", "S3A://b", "a+b://c"])
def test_urls(text: str) -> None:
    assert is_url(text)
    assert refusal(text) is None


@pytest.mark.parametrize("text", ["data", "/data/logs", "C:/data", "s3:/bucket", "a b://c", "://x", "", "runs/s3:x"])
def test_paths(text: str) -> None:
    assert not is_url(text)
    assert refusal(text) is None


def test_a_url_is_kept_plain() -> None:
    assert plain("S3://Bucket/Logs//") == "s3://Bucket/Logs"
    assert plain("memory://") == "memory://"


@pytest.mark.parametrize(
    ("text", "shown", "secret"),
    [
        ("s3://AKIAKEY:se/cr+et@bucket/logs", "s3://***@bucket/logs", "se/cr+et"),
        ("s3://:secret@bucket", "s3://***@bucket", "secret"),
        ("sftp://me:1234@host/x", "sftp://***@host/x", "1234"),
        ("https://host/x.csv?X-Amz-Signature=abc&y=1", "https://host/x.csv?***", "abc"),
        ("abfs://c@account/x?sig=abc%2F", "abfs://c@account/x?***", "abc"),
        ("simplecache::s3://key:secret@bucket/x", "simplecache::s3://***@bucket/x", "secret"),
    ],
)
def test_a_url_with_a_secret_is_refused_without_it(text: str, shown: str, secret: str) -> None:
    with pytest.raises(RemoteError) as caught:
        plain(text)
    assert str(caught.value).startswith(f"{shown}: got ")
    assert secret not in str(caught.value)


@pytest.mark.parametrize("text", ["sftp://me@host:22/a@b:c", "hdfs://host:8020/x@y", "s3://b/day=2026-01-?/part-*.csv"])
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    assert refusal(text) is None
    assert redacted(f"got {text}, expected more") == f"got {text}, expected more"


def test_a_chain_of_protocols_is_refused() -> None:
    with pytest.raises(RemoteError, match="chain of protocols"):
        plain("simplecache::s3://bucket/x")


def test_secrets_of_the_environment_are_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=abcdef==")
    monkeypatch.setenv("SOME_TOKEN", "short")  # found in half of all words
    said = "refused wJalrXUtnFEMI/K7MDENG of AccountKey=abcdef== for s3://a:b@c in https://h/x?sig=1&y shortly"
    assert redacted(said) == "refused *** of *** for s3://***@c in https://h/x?*** shortly"
