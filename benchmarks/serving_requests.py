"""Requests of Ali-CCP's real shape, for measuring how long an export takes to answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from aliccp import ROOT
from numpy.typing import NDArray

from funnel.schema.features import Bag
from funnel.schema.reader import load_schema

SCHEMA = ROOT / "schemas/aliccp.yaml"
# Distinct ids of each field in the real training data.
IDS = {
    "user_id": 295_787, "user_profile": 97, "user_group": 13, "gender": 2, "age": 7, "consumption_1": 3, "consumption_2": 4,
    "occupation": 2, "geography": 4, "past_categories": 12_223, "past_shops": 2_545_609, "past_brands": 396_460,
    "past_intentions": 99_226, "item_id": 3_206_396, "item_category": 8_627, "item_shop": 614_739, "item_intentions": 98_714,
    "item_brand": 210_973, "user_category": 7_753, "user_shop": 389_788, "user_brand": 143_919, "user_intentions": 86_895,
    "scenario": 3,
}  # fmt: skip
# Entries of its lists, in the mean over the impressions that have some.
LENGTHS = {
    "past_categories": 70, "past_shops": 252, "past_brands": 155, "past_intentions": 136, "item_intentions": 6,
    "user_category": 1, "user_shop": 1, "user_brand": 1, "user_intentions": 3,
}  # fmt: skip
UNKNOWN = 0.02  # of ids
Columns = dict[str, NDArray[Any]]


def rank_request(candidates: int, seed: int) -> Columns:
    """A user once, and candidates: by input ids or weights, [rows] or [rows, longest]."""
    rng, schema = np.random.default_rng(seed), load_schema(SCHEMA)
    found: Columns = {}
    for feature in schema.inputs:
        rows = 1 if feature.name in schema.given_once else candidates
        shape = (rows, LENGTHS[feature.name]) if isinstance(feature, Bag) else (rows,)
        found[feature.name] = _ids(rng, IDS[feature.name], shape)
        if isinstance(feature, Bag) and feature.weighted:
            found[f"{feature.name}_weights"] = np.log1p(rng.geometric(0.5, shape)).astype(np.float32)
    return found


def predict_request(request: Columns) -> Columns:
    """The same rows for `predict`: what was given once is repeated."""
    rows = max(len(column) for column in request.values())
    return {name: np.repeat(column, rows, axis=0) if len(column) < rows else column for name, column in request.items()}


def entries() -> int:
    """Of the lists that a request gives once."""
    return sum(length for name, length in LENGTHS.items() if name in load_schema(SCHEMA).given_once)


def _ids(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Ids, some of them far more frequent than others, some unknown."""
    drawn = (count * rng.random(shape) ** 3).astype(np.int64) + 1
    drawn[rng.random(shape) < UNKNOWN] += count
    return drawn.astype(str).astype(object)
