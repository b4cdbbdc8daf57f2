"""What names of columns suggest, and names that a schema takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Container
from keyword import iskeyword

from funnel.proposal.splits import words

# English only: names in other languages are judged by their values alone.
IDS = {"id", "ids", "uid", "key", "code", "zip", "zipcode", "postcode", "type", "kind", "category", "cat", "class"}
IDS |= {"group", "brand"}
IDS |= {"channel", "segment", "tag", "tags", "tab", "region", "city", "country", "device", "hour", "weekday", "slot", "cluster"}
IDS |= {"item", "product", "video", "author", "ad", "campaign", "creative", "merchant", "shop", "seller", "job", "article"}
IDS |= {"music"}
AMOUNTS = {"age", "amount", "amounts", "count", "counts", "cnt", "num", "number", "price", "cost", "spend", "income"}
AMOUNTS |= {"days", "score"}
AMOUNTS |= {"rate", "ratio", "share", "duration", "length", "size", "width", "height", "sum", "total", "avg", "mean"}
AMOUNTS |= {"orders", "rank"}
AMOUNTS |= {"weight", "weights", "quantity", "qty", "balance", "salary", "years", "months", "position", "ms", "seconds"}
AMOUNTS |= {"distance"}
WEIGHTS = {"weight", "weights", "count", "counts", "score", "scores", "amount", "amounts", "values", "freq", "times", "cnt"}
PEOPLE = ("user", "customer", "member", "visitor", "person", "client", "account", "candidate", "patient", "student", "session")
MOMENTS = {"time", "timestamp", "ts", "date", "datetime", "dt", "day", "at", "moment", "created", "when"}
STAGES = (
    {"impression", "sent", "delivered", "shown"},
    {"click", "clicked", "clicks", "open", "opened", "view", "viewed", "visit", "visited", "watch", "watched"},
    {
        "signup",
        "signed",
        "sign",
        "register",
        "registered",
        "lead",
        "cart",
        "carted",
        "add",
        "favorite",
        "like",
        "trial",
        "screened",
    },
    {
        "apply",
        "applied",
        "application",
        "checkout",
        "activate",
        "activated",
        "activation",
        "interview",
        "interviewed",
        "booked",
    },
    {
        "approve",
        "approved",
        "approval",
        "offer",
        "offered",
        "buy",
        "bought",
        "order",
        "ordered",
        "purchase",
        "purchased",
        "install",
    },
    {
        "conversion",
        "converted",
        "convert",
        "pay",
        "paid",
        "payment",
        "hire",
        "hired",
        "subscribe",
        "subscribed",
        "renewed",
        "cvr",
    },
)
# What people do after they saw something, beside the stages.
STEPS = {"like", "follow", "comment", "forward", "share", "enter", "stay", "play", "dwell", "finish", "read", "reply"}
STEPS |= {"hate", "report", "attended", "showed", "noshow", "defaulted", "repaid", "readmitted", "cancelled", "canceled"}
STEPS |= {"churned", "disputed", "unsubscribed", "won", "lost", "fraud", "accept", "accepted", "label", "target", "outcome"}
STEPS |= {"collect", "save", "scroll", "bounce", "return", "returned", "refund", "refunded", "rejected", "unsubscribe", "watch"}
STEPS |= {word for some in STAGES for word in some}
PAST = {"before", "last", "previous", "past", "ever", "prior", "recent", "history", "ago", "old", "earlier"}
PREFIXES = {"is", "has", "did", "was", "label", "y"}
BIRTHS = {"birth", "birthday", "birthdate", "dob", "born"}


def suggests(name: str, said: Collection[str]) -> bool:
    """Whether a name has one of the words."""
    return any(word in said for word in words(name))


def sounds_like(name: str) -> str | None:
    """Whether whole numbers of this name are an `amount` or an `id`; the last word says most. None where it says neither."""
    said = words(name)
    for some in (said[-1:], said):
        if any(word in AMOUNTS for word in some):
            return "amount"
        if any(word in IDS for word in some):
            return "id"
    return "id" if is_person(name) else None


def depth(name: str) -> int | None:
    """How far down a funnel a name sounds, from 0; None where it sounds like no stage."""
    found = [number for number, some in enumerate(STAGES) if suggests(name, some)]
    return found[-1] if found else None


def sounds_like_a_step(name: str) -> bool:
    """Whether a name sounds like what people do."""
    return suggests(name, STEPS)


def is_of_the_past(name: str) -> bool:
    """Whether a name says that it is about earlier rows: `clicked_before`."""
    return suggests(name, PAST)


def is_person(name: str) -> bool:
    """Whether a name sounds like that of somebody who takes steps."""
    return any(word.startswith(PEOPLE) or word == "uid" for word in words(name))


def stage_name(column: str, taken: Container[str]) -> str:
    """What a stage is called whose label is a column: `is_click` -> `click`."""
    first, _, rest = column.partition("_")
    return plain_name(rest if first.casefold() in PREFIXES and rest else column, taken)


def plain_name(text: str, taken: Container[str] = (), prefix: str = "") -> str:
    """A name as schemas take it: a letter, then letters, digits and underscores; unlike those that are taken.

    Args:
        text: Any.
        taken: Names that others have.
        prefix: What is put before it where it is taken: the name of its source.
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") if text.strip("_") != text or not _fits(text) else text
    if not name[:1].isalpha() and name:
        name = f"c_{name}"
    name = (name or "column")[:80]
    if iskeyword(name) or name in ("self", "facts", "index"):
        name = f"{name}_"
    if name in taken and prefix:
        name = f"{prefix}_{name}"
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _fits(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None
