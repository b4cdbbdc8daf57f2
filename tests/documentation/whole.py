"""A whole schema, for parts of one to be put into, and the places where each part stands."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Tree = dict[str, Any]

WHOLE: Tree = {
    "name": "shop",
    "stages": [
        {"name": "click", "label": "clicked"},
        {"name": "cart", "label": "in_cart"},
        {"name": "buy", "label": "paid", "given": "click"},
    ],
    "data": {
        "facts": {"format": "parquet", "train": "train*.parquet", "test": "test*.parquet"},
        "dimensions": [{"name": "user", "key": "user_id", "format": "parquet", "files": "users.parquet"}],
    },
    "tables": {"shops": {}, "items": {}},
    "features": [
        {"name": "user_id", "kind": "categorical", "source": "user"},
        {"name": "hour", "kind": "categorical"},
        {"name": "item_id", "kind": "categorical", "table": "items"},
        {"name": "item_shop", "kind": "categorical", "table": "shops"},
        {"name": "scenario", "kind": "categorical"},
        {"name": "price", "kind": "numeric"},
        {
            "name": "viewed",
            "kind": "sequence",
            "source": "user",
            "table": "items",
            "separator": "|",
            "pooling": {"kind": "attention", "query": "item_id"},
        },
    ],
}

FEATURE = ("features", -1)
PLACES: dict[str, tuple[Any, ...]] = {
    "FunnelSchema": (),
    "Stage": ("stages", -1),
    "Maturity": ("stages", 1, "matures_after"),
    "Sampling": ("sampling",),
    "Data": ("data",),
    **dict.fromkeys(("Parquet", "Csv", "FeatureList"), ("data", "facts")),
    **dict.fromkeys(("ParquetDimension", "CsvDimension", "FeatureListDimension"), ("data", "dimensions", -1)),
    **dict.fromkeys(("Fraction", "Time", "Held"), ("data", "validation")),
    "ShareTested": ("data", "test"),
    **dict.fromkeys(("RefuseBadRows", "SkipBadRows"), ("data", "bad_rows")),
    "Table": ("tables", "shops"),
    **dict.fromkeys(("Categorical", "Bag", "Sequence", "Numeric", "Cross"), FEATURE),
    "QuotientRemainder": ("features", 0, "compress"),
    "Fill": ("features", 5, "missing"),
    **dict.fromkeys(("Mean", "Sum", "Attention", "Gru"), ("features", 6, "pooling")),
    **dict.fromkeys(
        ("Standardize", "Log1p", "Identity", "Bucketize", "PiecewiseLinear", "Periodic"), ("features", 5, "transform")
    ),
    "Model": ("model",),
    **dict.fromkeys(("SharedBottom", "Dcn", "Fm", "Dot", "Mmoe", "Ple", "Custom"), ("model", "body")),
    "Tower": ("model", "tower"),
    "OtherTower": ("model", "towers", "buy"),
    **dict.fromkeys(("Aitm", "StopGradient", "NoTransfer"), ("model", "transfer")),
    "Domain": ("model", "domain"),
    **dict.fromkeys(("Esmm", "ParentSpace", "Aman", "Oversampling", "Unbias", "Division", "Ips", "Dr", "Dcmt"), ("objective",)),
    "Train": ("train",),
    "L2": ("train", "l2"),
    "EarlyStopping": ("train", "early_stopping"),
    "Checkpoints": ("train", "checkpoint"),
    **dict.fromkeys(("ByGroup", "ByWindow", "ByRow"), ("train", "shuffle")),
    "Optimizer": ("train", "optimizer"),
    **dict.fromkeys(("Adagrad", "RowWiseAdagrad", "Adam", "Sgd"), ("train", "optimizer", "embedding")),
    "KerasOptimizer": ("train", "optimizer", "dense"),
    "Evaluate": ("evaluate",),
    "Serving": ("serving",),
}

NEEDS: dict[tuple[str, str], Tree] = {
    # What a key cannot be without, beside what its part requires.
    ("Stage", "unless"): {"given": "click"},
    ("Stage", "any_of"): {"label": None},
    ("Maturity", "snapshot"): {"snapshot_at": None},
    ("Bag", "weights"): {"weighted": True},
    ("Bag", "weighted"): {"weights": "brand_counts"},
    ("Sequence", "beside"): {"source": "user"},
    ("Sequence", "query"): {"source": "user", "beside": "viewed", "table": "shops"},
}
DEFAULTS: dict[str, Tree] = {
    "Stage": {"label": "bought_again"},
    "Maturity": {"snapshot_at": "2024-06-01T00:00:00Z"},
    **{part: {"files": "visitors.csv"} for part in ("ParquetDimension", "CsvDimension", "FeatureListDimension")},
    **{part: {"train": "train*"} for part in ("Parquet", "Csv", "FeatureList")},
}


def whole() -> Tree:
    """One of its own."""
    return copy.deepcopy(WHOLE)


def merged(part: Mapping[str, Any], into: Tree) -> Tree:
    """A part of a schema in place of what the whole one has there; named features are added, or replace their namesakes, and
    files of another format replace all that is said of files."""
    for key, value in part.items():
        if key == "features":
            names = {feature["name"] for feature in value}
            into[key] = [feature for feature in into[key] if feature["name"] not in names] + list(value)
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict) and "format" not in value:
            merged(value, into[key])
        else:
            into[key] = value
    return into


def put(tree: Tree, path: tuple[Any, ...], value: Any) -> Tree:
    """Set what is at a path of the tree; -1 appends to a list."""
    if not path:
        return {**tree, **value}
    node: Any = tree
    for key in path[:-1]:
        node = node[key] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list) and path[-1] == -1:
        node.append(value)
    else:
        node[path[-1]] = value
    return tree
