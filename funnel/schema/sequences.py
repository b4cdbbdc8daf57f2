"""What must hold between sequences, those beside them, and the features that they are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from funnel.errors import have
from funnel.schema._base import problem, require_known
from funnel.schema.features import Categorical, Table
from funnel.schema.features import Sequence as Listed
from funnel.schema.pooling import Attention, Mean, Sum


def require_sequences(features: Sequence[Any], tables: Mapping[str, Table], embedding_dim: int) -> None:
    """Make sure that sequences which are pooled together can be, and that queries are as wide as what they are compared with.

    Args:
        features: All of the schema.
        tables: The shared ones.
        embedding_dim: Numbers per embedding, where none are declared.

    Raises:
        PydanticCustomError: Something else was declared.
    """
    by_name = {feature.name: feature for feature in features}
    for position, feature in enumerate(features):
        if not isinstance(feature, Listed):
            continue
        path = ("features", position)
        _require_whole(path, feature, features, tables)
        if feature.beside is not None:
            _require_leader(path, feature, by_name)
        for place, query in _queries(path, feature, by_name):
            able = [other.name for other in features if isinstance(other, Categorical)]
            require_known(place, query, able, "a categorical feature")
            dims = [_dim(one, tables, embedding_dim) for one in (feature, by_name[query])]
            if dims[0] != dims[1]:
                message = (
                    f"{query!r} has {dims[1]} numbers per embedding, and {feature.name!r} has {dims[0]}, expected as many, to "
                    "compare them. Let both look up one table, or declare the same `dim`."
                )
                raise problem(place, message)


def in_order(features: Sequence[Any], feature: object) -> bool:
    """Whether the order of a feature's entries counts, or what stands beside them; else it is a bag.

    Args:
        features: All of the schema.
        feature: One of them.
    """
    if not isinstance(feature, Listed):
        return False
    if feature.beside is not None or feature.times is not None or feature.positions is not None:
        return True
    followed = any(isinstance(other, Listed) and other.beside == feature.name for other in features)
    return followed or not isinstance(feature.pooled, Mean | Sum)


def _require_whole(path: tuple[str | int, ...], feature: Listed, features: Sequence[Any], tables: Mapping[str, Table]) -> None:
    """Entries that are not just added up are read one by one, and so from a table that has a row for each id."""
    described = tables.get(feature.table) if feature.table is not None else feature
    if described is not None and described.compress is not None and in_order(features, feature):
        message = (
            "got a compressed table for a sequence whose order counts, expected a row for each id. Remove `compress`, give the "
            "sequence a table of its own, or pool by mean or sum alone."
        )
        raise problem((*path, "compress" if feature.table is None else "table"), message)


def _require_leader(path: tuple[str | int, ...], feature: Listed, by_name: Mapping[str, Any]) -> None:
    path, name = (*path, "beside"), feature.beside or ""
    sequences = {key: other for key, other in by_name.items() if isinstance(other, Listed)}
    if name in sequences and (first := sequences[name].beside) is not None:
        raise problem(path, f"{name!r} is beside {first!r} itself, expected the one that leads. Write `beside: {first}`.")
    require_known(path, name, (key for key, other in sequences.items() if other.beside is None), "a sequence")
    theirs, own = (one.source or "facts" for one in (sequences[name], feature))
    if theirs != own:
        message = f"{name!r} describes {theirs}, expected a sequence of {own}, whose lists can be as long. Name one of those."
        raise problem(path, message)


def _queries(
    path: tuple[str | int, ...], feature: Listed, by_name: Mapping[str, Any]
) -> list[tuple[tuple[str | int, ...], str]]:
    """The feature that entries are compared with, and where that is said; none without."""
    if feature.beside is None:
        return [((*path, "pooling", "query"), feature.pooled.query)] if isinstance(feature.pooled, Attention) else []
    if feature.query is None:
        return []
    leader = by_name[feature.beside]
    if not isinstance(leader.pooled, Attention):
        message = f"got {feature.query!r}, but {leader.name!r} pools by {leader.pooled.kind}, expected attention. Remove it."
        raise problem((*path, "query"), message)
    return [((*path, "query"), feature.query)]


def _dim(feature: Any, tables: Mapping[str, Table], embedding_dim: int) -> int:
    described = tables[feature.table] if feature.table is not None else feature
    return int(described.dim or embedding_dim)


def require_given_together(features: Sequence[Any], once: Collection[str]) -> None:
    """Make sure that a request gives sequences which are pooled together all once, or all for each candidate.

    Args:
        features: All of the schema.
        once: Those that it gives once.

    Raises:
        PydanticCustomError: It gives some of them once.
    """
    for feature in features:
        if isinstance(feature, Listed) and feature.beside is not None and (feature.name in once) != (feature.beside in once):
            apart = feature.name if feature.name not in once else feature.beside
            message = (
                f"{feature.name!r} is beside {feature.beside!r}, expected both or none of them. {have(apart, once)} Add it."
            )
            raise problem(("serving", "once"), message)
