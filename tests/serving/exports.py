"""Small models with weights that tell rows apart, exported; and rows as their signatures take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from funnel.data.prepare import prepare
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.run import Run
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from tests import shop

Rows = dict[str, Any]  # by input: nested lists, as a request's columns
ESM2 = [
    {"name": "click", "label": "click"},
    {"name": "direct", "label": "direct"},
    {"name": "buy_direct", "label": "buy"},
    {"name": "buy_other", "label": "buy", "given": "click", "unless": "direct"},
    {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
]


def frames(seed: int, rows: int) -> dict[str, pl.DataFrame]:
    """The shop's rows, with a stage more, a list of the facts with weights, and items as a dimension."""
    made = shop.frames(seed, rows)
    rng = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item": [str(item) for item in range(shop.ITEMS)],
            "brand": [["a", "b", None, "c"][item % 4] for item in range(shop.ITEMS)],
            "stars": [None if item % 7 == 0 else float(item % 5) for item in range(shop.ITEMS)],
        }
    )
    facts = made["facts"].with_columns(
        direct=pl.col("click") * (pl.col("hour") % 2),
        shown=pl.Series([str(item) for item in rng.integers(0, shop.ITEMS, rows)]),
        seen_much=pl.Series([rng.normal(size=len(seen)).round(3).tolist() for seen in made["facts"]["seen"]]),
    )
    return {"facts": facts, "user": made["user"], "item": items}


def run_of(tree: Mapping[str, Any], data: Mapping[str, pl.DataFrame] | None = None, seed: int = 0) -> Run:
    """A run that was not fitted: its weights are drawn."""
    schema = load_schema(tree)
    data = data or frames(0, 900)
    store = prepare(schema, {source: data[source] for source in schema.sources})
    model = model_of(schema, store)
    model.create_variables()
    rng = np.random.default_rng(seed)
    for variable in model.network.variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.3).astype(np.float32))
    return Run(schema, store.learnt, store.vocabulary, model, [], {}, {})


def signatures(folder: Path) -> Mapping[str, Any]:
    return tf.saved_model.load(str(folder)).signatures


def columns_of(schema: FunnelSchema, data: Mapping[str, pl.DataFrame]) -> Rows:
    """What a request holds for each row of the facts."""
    rows = data[FACTS]
    found: Rows = {}
    for feature in schema.inputs:
        frame = rows
        if (source := schema.source_of(feature)) != FACTS:
            dimension = schema.dimension(source)
            keys = rows.select(key=pl.col(dimension.key_in_facts).cast(pl.String))
            table = data[source].with_columns(key=pl.col(dimension.key).cast(pl.String))
            frame = keys.join(table, on="key", how="left", maintain_order="left")
        column = frame[feature.column_name].to_list()
        if isinstance(feature, Numeric):
            found[feature.name] = [np.nan if value is None else value for value in column]
        elif isinstance(feature, Bag):
            found[feature.name] = padded([["" if one is None else str(one) for one in ids or []] for ids in column], "")
            if feature.numbered:
                found[feature.numbers_input] = padded([list(one or []) for one in frame[feature.numbers].to_list()], 0.0)
        else:
            found[feature.name] = ["" if value is None else str(value) for value in column]
    return found


def padded(lists: list[list[Any]], filler: object) -> list[list[Any]]:
    longest = max(map(len, lists), default=0)
    return [one + [filler] * (longest - len(one)) for one in lists]


def taken(rows: Rows, places: list[int] | np.ndarray) -> Rows:
    return {name: [column[place] for place in places] for name, column in rows.items()}


def feature_of(name: str) -> str:
    return name.removesuffix("_weights")


def ranked(schema: FunnelSchema, rows: Rows, user: int = 0) -> Rows:
    """A request that ranks all rows as that row's user."""
    once = schema.given_once
    return {name: [column[user]] if feature_of(name) in once else column for name, column in rows.items()}


def repeated(schema: FunnelSchema, rows: Rows, user: int = 0) -> Rows:
    """The same, spelt out."""
    once = schema.given_once
    return {name: [column[user]] * len(column) if feature_of(name) in once else column for name, column in rows.items()}


def tensors(function: Any, rows: Rows) -> dict[str, Any]:
    """Rows as the tensors that a loaded signature takes."""
    found = {}
    for name, spec in function.structured_input_signature[1].items():
        if name not in rows:
            continue
        column = rows[name]
        # Of no rows, TensorFlow cannot tell the shape.
        shape = None if len(column) else [0] * len(spec.shape)
        found[name] = tf.constant(column, spec.dtype, shape=shape)
    return found


def answer(function: Any, rows: Rows) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in function(**tensors(function, rows)).items()}


def serialised(schema: FunnelSchema, rows: Rows, *, missing: bool = True) -> list[bytes]:
    """A `tf.Example` for each row; without what is missing, unless that is to be written, too."""
    numbers = {feature.name for feature in schema.inputs if isinstance(feature, Numeric)}
    found = []
    for place in range(len(next(iter(rows.values())))):
        features = {}
        for name, column in rows.items():
            value = column[place]
            if name in numbers or name.endswith("_weights"):
                values = value if isinstance(value, list) else [value]
                if name.endswith("_weights"):
                    values = [one for one, id_ in zip(value, rows[feature_of(name)][place], strict=True) if id_]
                features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
                absent = name in numbers and np.isnan(value)
            else:
                ids = [one for one in value if one] if isinstance(value, list) else [value]
                features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[one.encode() for one in ids]))
                absent = value == ""
            if absent and not missing:
                del features[name]
        found.append(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return found
