"""What can go wrong because of the user's input. The command line prints these and exits with 1; nothing else is caught.

Every message reads `where: got what, expected what (have: ...). Next step.`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FunnelError(Exception):
    """A mistake in what the user gave, with all that is needed to mend it."""


class SchemaError(FunnelError):
    """The declaration is not a funnel: one line for each problem, each with its file, line and path."""


class DataError(FunnelError):
    """The data are not what the schema says."""


class DivergedError(FunnelError):
    """Training led to something that is not a number, or that grew beyond any reason.

    Attributes:
        rows: Positions of the suspect training rows, from 0, in the order of the files; a sequence of int.
    """

    def __init__(self, message: str, rows: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class RunError(FunnelError):
    """A run folder is missing, incomplete, or not what is needed."""


class ClusterError(FunnelError):
    """The processes that were to fit together do not: one is not there, or was not told rightly who takes part."""


class RemoteError(FunnelError):
    """What is behind a URL cannot be read or written: a driver, a right or a bucket is missing, or a network fails."""


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Names as a message shows them: quoted, in order, cut after `limit`."""
    shown = [repr(str(name)) for name in names]
    more = f", and {len(shown) - limit} more" if len(shown) > limit else ""
    return (", ".join(shown[:limit]) + more) if shown else "none"


def have(name: object, names: Iterable[object]) -> str:
    """`(have: ...)` for a name that is not among `names`, and the nearest one where there is one."""
    texts = [str(other) for other in names]
    # `adam` is nearer to Adam than to Nadam.
    folded = {text.casefold(): text for text in reversed(texts)}
    near = difflib.get_close_matches(str(name), texts, n=1, cutoff=0.6)
    found = folded.get(str(name).casefold()) or (near[0] if near else None)
    return f"(have: {listed(texts)})" + (f". Did you mean {found!r}?" if found else ".")
