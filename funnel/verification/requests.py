"""What is asked of the fresh process: a file of raw rows, and which of them are ranked together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.columns import OFFSETS
from funnel.data.raw_rows import RawRows
from funnel.schema.features import Bag, Input
from funnel.schema.funnel_schema import FunnelSchema
from funnel.serving.inputs import Field

CANDIDATES = 1000  # of a request, at most
REQUESTS = 5000  # of `rank`, about: a user with one row costs as much as one with many


def write_rows(path: Path, raw: RawRows, facts: NDArray[np.int64], requests: Sequence[NDArray[np.int64]]) -> None:
    """Write what the sender reads: the rows' columns, texts as bytes and their ends, and the requests of `rank`.

    Args:
        path: The file.
        raw: The rows.
        facts: Which of them are sent: [n].
        requests: By request of `rank`: which facts, [candidates].
    """
    arrays: dict[str, NDArray[Any]] = {**raw.columns, "facts to send": facts}
    arrays |= {f"index {source}": index for source, index in raw.index.items()}
    for name, texts in raw.texts.items():
        arrays[f"text {name}"] = np.frombuffer("".join(texts).encode(), np.uint8)
        arrays[f"ends {name}"] = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    arrays["rank rows"] = np.concatenate([np.zeros(0, np.int64), *requests])
    arrays["rank bounds"] = np.cumsum([0, *(len(one) for one in requests)])
    np.savez(path, **arrays)  # type: ignore[arg-type]


def fields_to_send(schema: FunnelSchema, fields: Sequence[Field]) -> list[dict[str, Any]]:
    """What the sender needs to know of each input."""
    return [
        {
            "name": field.name,
            "feature": field.feature,
            "role": field.role,
            "source": schema.source_of(schema.feature(field.feature)),
            "once": field.once,
        }
        for field in fields
    ]


def rank_requests(schema: FunnelSchema, raw: RawRows, facts: NDArray[np.int64], share: float) -> list[NDArray[np.int64]]:
    """Facts that agree in all that is given once, together: those with the most first, as far as the share goes.

    Args:
        schema: The declaration.
        raw: The rows.
        facts: Which of them are sent: [n].
        share: Of `REQUESTS`.
    """
    if not schema.given_once or not len(facts):
        return []
    keys = [_key(schema, raw, schema.feature(name))[facts] for name in schema.given_once]
    _, group = np.unique(np.stack(list({key.tobytes(): key for key in keys}.values())), axis=1, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    groups = np.split(facts[order], np.cumsum(np.bincount(group.ravel()))[:-1])
    parts = [one[at : at + CANDIDATES] for one in groups for at in range(0, len(one), CANDIDATES)]
    parts.sort(key=len, reverse=True)
    return parts[: max(1, round(REQUESTS * share))]


def _key(schema: FunnelSchema, raw: RawRows, feature: Input) -> NDArray[np.int64]:
    """Numbers that are equal only where the values of a feature are: int64 [facts]."""
    source = schema.source_of(feature)
    if source in raw.index:
        return raw.index[source].astype(np.int64)
    if not isinstance(feature, Bag):
        return raw.columns[feature.name].view(np.int32).astype(np.int64)
    names = [name for name in (feature.name, f"{feature.name}/weights") if name in raw.columns]
    offsets = raw.columns[feature.name + OFFSETS]
    seen: dict[tuple[bytes, ...], int] = {}
    lists = (tuple(raw.columns[name][a:b].tobytes() for name in names) for a, b in pairwise(offsets))
    return np.array([seen.setdefault(one, len(seen)) for one in lists], np.int64)
