"""URLs as users write them: which texts are some, and what of them, and of what drivers say, is nobody else's business."""

from __future__ import annotations

import os
import re

from funnel.errors import RemoteError

URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+._-]*(?:::[A-Za-z0-9+._-]+)*)://(?P<rest>.*)", re.DOTALL)
HIDDEN = "***"
# A colon before an `@`, but for that of a port. Secrets may hold slashes, so that the `@` may be anywhere behind.
_USER = r"[^\s/@:]*:(?!\d+(?:/|$))[^\s@]*@"
_CREDENTIALS = re.compile(_USER)
_IN_TEXT = re.compile(rf"(?<=://){_USER}")
_QUERY = re.compile(r"\?[^\s/?]*=\S*")
_QUERY_IN_TEXT = re.compile(r"(://[^\s?]*)\?[^\s/?]*=[^\s'\")\]]*")
_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|ACCESS_KEY|ACCOUNT_KEY|API_KEY|SAS|CONNECTION_STRING")
_SHORTEST = 6  # letters of a secret: a shorter one would be found in half of all words


def is_url(text: str) -> bool:
    """Whether a text is a URL, rather than a path."""
    return URL.fullmatch(text) is not None


def plain(text: str) -> str:
    """A URL with its protocol in small letters, and no slash at the end.

    Raises:
        RemoteError: It holds credentials, a query, or several protocols.
    """
    match = URL.fullmatch(text)
    if match is None:
        raise ValueError(f"got {text!r}, expected a URL")
    if reason := refusal(text):
        raise RemoteError(f"{redacted(text)}: {reason}")
    return f"{match['protocol'].lower()}://{match['rest'].rstrip('/')}"


def refusal(text: str) -> str | None:
    """Why a URL is not taken; None where it is, or where the text is none."""
    match = URL.fullmatch(text)
    if match is None:
        return None
    if _CREDENTIALS.match(match["rest"]):
        return (
            "got credentials in a URL, expected none: it is shown, and written down with what is made. Put them where the "
            "filesystem's package looks for them, such as the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."
        )
    if _QUERY.search(match["rest"]):
        return "got a URL with a query, expected none: it may hold a secret, and is written down. Leave out what is after `?`."
    if "::" in match["protocol"]:
        return "got a chain of protocols, expected one, such as s3://bucket/folder. Name the files themselves."
    return None


def redacted(text: str) -> str:
    """A text without what looks like a secret: users and passwords in URLs, their queries, and what the environment hides."""
    text = _IN_TEXT.sub(f"{HIDDEN}@", text)
    text = _QUERY_IN_TEXT.sub(rf"\1?{HIDDEN}", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAMES.search(name.upper()):
            text = text.replace(value, HIDDEN)
    return text
