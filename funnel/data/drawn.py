"""Some facts of all shards as one star, and that star with some features' values dealt out anew among its facts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.batches import Parts, joined, parts_of
from funnel.data.columns import Columns, take
from funnel.data.star import Star
from funnel.data.store import Shards
from funnel.schema.data import FACTS


def drawn(shards: Shards, most: int, seed: int = 0) -> Star:
    """Facts drawn without replacement, each as likely as another, in their order; all, where there are no more.

    Args:
        shards: The rows.
        most: How many facts, at most.
        seed: Equal ones draw equal facts.
    """
    ends = np.cumsum(shards.sizes)
    chosen = np.arange(shards.rows)
    if shards.rows > most:
        chosen = np.sort(np.random.default_rng(seed).choice(shards.rows, most, replace=False, shuffle=False))
    bounds = np.searchsorted(chosen, ends)
    parts: list[tuple[Star, NDArray[np.int64]]] = []
    for star, end, first, last in zip(shards.once(), ends, np.concatenate([[0], bounds]), bounds, strict=False):
        if last > first:
            parts.append((star, chosen[first:last] - (end - star.rows)))
    return _together(parts)


def _together(parts: Parts) -> Star:
    sources, index = joined([parts_of(star, rows) for star, rows in parts])

    def of_all(name: str) -> NDArray[Any] | None:
        columns = [(getattr(star, name), rows) for star, rows in parts]
        return None if any(column is None for column, _ in columns) else np.concatenate([c[rows] for c, rows in columns])

    return Star(
        sources,
        index,
        position=np.concatenate([star.position[rows] for star, rows in parts]),
        labels=of_all("labels"),
        groups=of_all("fact_groups"),
        weights=of_all("weights"),
    )


def dealt(star: Star, features: Collection[str], rows: NDArray[np.int64], given: NDArray[np.int64]) -> Star:
    """Some facts, which have some features' values of other facts: a list goes with its weights, and stays whole.

    A dimension that has such a feature has a row for each of these facts: what the facts of one row had in common, they have no
    longer.

    Args:
        star: All facts.
        features: Whose values are others'.
        rows: The facts: [n].
        given: For each of them the fact whose values it gets: [n].
    """
    sources: dict[str, Columns] = {}
    index = {name: of_fact[rows] for name, of_fact in star.index.items()}
    for source, columns in star.sources.items():
        moved = {key for key in columns if key.partition("/")[0] in features}
        if source != FACTS and not moved:
            sources[source] = columns
            continue
        own, others = (rows, given) if source == FACTS else (star.index[source][rows], star.index[source][given])
        found = take({key: columns[key] for key in columns if key not in moved}, own)
        found |= take({key: columns[key] for key in columns if key in moved}, others)
        sources[source] = {key: found[key] for key in columns}
        if source != FACTS:
            index[source] = np.arange(len(rows), dtype=np.int32)
    return Star(sources, index, star.position[rows])
