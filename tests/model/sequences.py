"""Declarations with sequences of every kind, and what they come to, by loops over rows, entries and steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tests.model.stars import Batch

ATTENTION = {"kind": "attention", "query": "item", "units": [5, 4]}
# On a dimension and on the facts; asked by facts, and by rows of another dimension; beside one another; a bag by another name.
SEQUENCES: list[dict[str, Any]] = [
    {"name": "city", "source": "user", "kind": "categorical", "table": "t"},
    {"name": "age", "source": "user", "kind": "numeric", "transform": "none"},
    {
        "name": "bought",
        "source": "user",
        "kind": "sequence",
        "table": "t",
        "pooling": ATTENTION,
        "times": "ago",
        "positions": 3,
    },
    {"name": "shops", "source": "user", "kind": "sequence", "table": "u", "beside": "bought", "query": "shop"},
    {"name": "paid", "source": "user", "kind": "sequence", "buckets": 3, "dim": 1, "beside": "bought"},
    {
        "name": "read",
        "source": "facts",
        "kind": "sequence",
        "table": "t",
        "pooling": {"kind": "gru", "units": 4},
        "positions": 2,
    },
    {"name": "seen", "source": "facts", "kind": "sequence", "table": "u", "pooling": ATTENTION | {"query": "shop"}},
    {"name": "liked", "source": "item", "kind": "sequence", "table": "t", "pooling": "sum"},
    {"name": "tried", "source": "item", "kind": "sequence", "buckets": 4, "dim": 2, "times": "tried_ago"},
    {"name": "item", "source": "facts", "kind": "categorical", "table": "t"},
    {"name": "shop", "source": "item", "kind": "categorical", "table": "u"},
]


def rows_of(batch: Batch, key: str, vectors: np.ndarray) -> list[np.ndarray]:
    """A list's entries, row by row, of what there is of all entries."""
    return [vectors[begin:end] for begin, end in pairwise(batch[f"{key}/offsets"])]


def octave(age: float) -> int:
    """Which of the vectors of times is added: by doublings, from 2^-16 to 2^31."""
    return int(sum(age >= 2.0**power for power in range(-16, 32)))


def with_places_and_times(entries: np.ndarray, ages: np.ndarray | None, layer: Any) -> np.ndarray:
    """Entries of one row, with what places and times say."""
    found = entries.astype(np.float64)
    for place in range(len(entries)):
        said = np.zeros(entries.shape[1])
        if layer.positions is not None:
            said += layer.positions.vectors.numpy()[min(len(entries) - 1 - place, layer.positions.rows - 1)]
        if layer.times is not None and ages is not None:
            said += layer.times.vectors.numpy()[octave(ages[place])]
        found[place] = found[place] * (1 + said) if layer.declared.pooling.kind in ("mean", "sum") else found[place] + said
    return found


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def weight_of(query: np.ndarray, entry: np.ndarray, layer: Any) -> float:
    """What the activation unit of one that is not being trained says of a pair."""
    hidden = np.concatenate([query, entry, query * entry])
    for dense, activation in zip(layer.stack.dense, layer.stack.activations, strict=True):
        hidden = hidden @ dense.kernel.numpy() + dense.bias.numpy()
        scaled = activation.function.scaled
        above = sigmoid((hidden - scaled.moving_mean.numpy()) / np.sqrt(scaled.moving_variance.numpy() + 1e-8))
        hidden = hidden * (above + (1 - above) * activation.function.alpha.numpy())
    return float((hidden @ layer.weight.kernel.numpy() + layer.weight.bias.numpy())[0])


def attended(query: np.ndarray, keys: np.ndarray, entries: np.ndarray, layer: Any, *, normalize: bool) -> np.ndarray:
    weights = np.array([weight_of(query, key, layer) for key in keys])
    if normalize:
        weights = np.exp(weights - weights.max(initial=-np.inf))
        weights /= weights.sum() if len(weights) else 1
    return np.asarray((weights[:, None] * entries).sum(axis=0))


def remembered(entries: np.ndarray, layer: Any) -> np.ndarray:
    """A gated recurrent unit, entry by entry."""
    units = layer.recurrent.shape[0]
    state = np.zeros(units)
    for entry in entries:
        given = entry @ layer.kernel.numpy() + layer.bias.numpy()[0]
        recalled = state @ layer.recurrent.numpy() + layer.bias.numpy()[1]
        update, reset = (sigmoid(given[a:b] + recalled[a:b]) for a, b in ((0, units), (units, 2 * units)))
        candidate = np.tanh(given[2 * units :] + reset * recalled[2 * units :])
        state = update * state + (1 - update) * candidate
    return state
