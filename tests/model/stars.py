"""Random declarations and star batches, and what their lookups mean: by dicts and loops, from the declaration alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

Batch = dict[str, np.ndarray]
Meaning = dict[tuple[str, int, str], dict[tuple[str, Any], float]]  # source, row, feature -> table, its row -> weight

SOURCES = ("facts", "user", "item")
BOUNDARIES = (-1.5, 0.1, 0.3, 2.0)
EDGES = np.array(BOUNDARIES, np.float32)
NUMBERS = np.concatenate(
    [[np.nan, np.inf, -np.inf, 0, 5], EDGES, np.nextafter(EDGES, np.float32(9)), np.nextafter(EDGES, np.float32(-9))]
).astype(np.float32)
LISTED = ("bag", "sequence")
AGES = np.array([0, 1e-9, 0.5, 1, 1.5, 2, 3, 4, 900, 1e12], np.float32)  # of entries of sequences
WEIGHTS = np.array([1, -1, 0.5, 2, 0, 0.1, 0.2, -0.3], np.float32)  # the last three cancel out, but not in float32
TABLES: dict[str, dict[str, Any]] = {
    "t": {"dim": 2, "buckets": 5},
    "u": {"dim": 3, "buckets": 1},
    "q": {"dim": 2, "buckets": 11, "compress": {"kind": "quotient_remainder", "remainders": 3}},
}


@st.composite
def features(draw: Any, name: str) -> dict[str, Any]:
    feature: dict[str, Any] = {"name": name, "source": draw(st.sampled_from(SOURCES))}
    kinds = ["categorical", "bag", "bag", "bucketize", "none", "piecewise_linear", "periodic"]
    kind, dim = draw(st.sampled_from(kinds)), draw(st.integers(1, 3))
    if kind == "none":
        return feature | {"kind": "numeric", "transform": "none"}
    if kind == "piecewise_linear":
        own = {"dim": dim} if draw(st.booleans()) else {}
        return feature | {"kind": "numeric", "transform": {"kind": kind, "boundaries": list(BOUNDARIES)} | own}
    if kind == "periodic":
        return feature | {"kind": "numeric", "transform": {"kind": kind, "frequencies": 2, "dim": dim, "mean": 0, "std": 1}}
    if kind == "bucketize":
        return feature | {"kind": "numeric", "transform": {"kind": kind, "boundaries": list(BOUNDARIES), "dim": dim}}
    table = draw(st.sampled_from([None, "t", "u", "q"]))
    own = {"buckets": draw(st.integers(1, 4)), "dim": dim}
    feature |= {"kind": kind} | ({"table": table} if table else own)
    if kind == "bag":
        feature["pooling"] = draw(st.sampled_from(["sum", "mean", "sqrtn"]))
        if draw(st.booleans()):
            feature |= {"weighted": True, "weights": f"{name}_w"}
    return feature


@st.composite
def trees(draw: Any) -> dict[str, Any]:
    """A declaration whose sizes are all known; sources may be without features, and features without embeddings."""
    return tree_of([draw(features(f"f{place}")) for place in range(draw(st.integers(1, 6)))])


def tree_of(described: list[dict[str, Any]]) -> dict[str, Any]:
    used = {feature.get("table") for feature in described}
    files = {"format": "parquet", "files": "x.parquet"}
    return {
        "name": "stars",
        "stages": [{"name": "click", "label": "clicked"}],
        "data": {
            "facts": {"format": "parquet", "train": "a.parquet"},
            "dimensions": [{"name": name, "key": f"{name}_key"} | files for name in SOURCES[1:]],
        },
        "tables": {name: table for name, table in TABLES.items() if name in used},
        "features": described,
    }


def table_of(feature: dict[str, Any]) -> tuple[str, int, int] | None:
    """The table of a feature, its rows and its width."""
    if feature["kind"] == "numeric":
        transform = feature["transform"]
        bucketized = transform != "none" and transform["kind"] == "bucketize"
        return (feature["name"], len(BOUNDARIES) + 3, transform["dim"]) if bucketized else None
    described = TABLES[feature["table"]] if "table" in feature else feature
    return feature.get("table", feature["name"]), described["buckets"] + 2, described["dim"]


def remainders_of(table: str) -> int | None:
    """Of a table whose ids are sums of two rows."""
    return TABLES.get(table, {}).get("compress", {}).get("remainders")


def summed(table: str, row: int) -> list[Any]:
    """What a row by its id is the sum of."""
    remainders = remainders_of(table)
    return [row] if remainders is None or row < 2 else [("rest", (row - 2) % remainders), ("quotient", (row - 2) // remainders)]


def stored(table: str, rows: int) -> list[Any]:
    """The rows of a table as they stand: special ones, those of remainders, those of quotients."""
    remainders = remainders_of(table)
    if remainders is None:
        return list(range(rows))
    return [0, 1, *(("rest", n) for n in range(remainders)), *(("quotient", n) for n in range(-(-(rows - 2) // remainders)))]


def batch_of(tree: dict[str, Any], seed: int, facts: int, rows: int) -> Batch:
    """A random star batch; `rows` of each dimension."""
    rng = np.random.default_rng(seed)
    counts = {source: facts if source == "facts" else rows for source in SOURCES}
    batch: Batch = {f"index/{source}": rng.integers(0, rows, facts).astype(np.int32) for source in SOURCES[1:]}
    for feature in tree["features"]:
        key, count, table = f"{feature['source']}/{feature['name']}", counts[feature["source"]], table_of(feature)
        if feature["kind"] == "numeric":
            batch[key] = rng.choice(NUMBERS, count)
            continue
        assert table is not None
        lengths = np.ones(count, int) if feature["kind"] == "categorical" else rng.integers(0, rng.integers(1, 6), count)
        if "beside" in feature:
            lengths = np.diff(batch[f"{feature['source']}/{feature['beside']}/offsets"])
        batch[key] = rng.integers(0, table[1], lengths.sum()).astype(np.int32)
        if feature["kind"] in LISTED:
            batch[f"{key}/offsets"] = np.cumsum([0, *lengths]).astype(np.int32)
        if feature.get("weighted"):
            batch[f"{key}/weights"] = rng.choice(WEIGHTS, lengths.sum())
        if "times" in feature:
            batch[f"{key}/weights"] = rng.choice(AGES, lengths.sum())
    return batch


def sizes_of(tree: dict[str, Any], batch: Batch) -> dict[str, int]:
    """Rows of each source; none of one without features, but for the facts."""
    sizes = dict.fromkeys(SOURCES, 0) | {"facts": len(batch["index/user"])}
    for feature in tree["features"]:
        key = f"{feature['source']}/{feature['name']}"
        sizes[feature["source"]] = len(batch[f"{key}/offsets"]) - 1 if feature["kind"] in LISTED else len(batch[key])
    return sizes


def meaning(tree: dict[str, Any], batch: Batch) -> Meaning:
    """What each feature of each row takes of which row of its table."""
    found: Meaning = {}
    for feature in tree["features"]:
        table = table_of(feature)
        if table is None:
            continue
        source, name = feature["source"], feature["name"]
        values = batch[f"{source}/{name}"].tolist()
        for row in range(sizes_of(tree, batch)[source]):
            if feature["kind"] == "numeric":
                bucket = 0 if np.isnan(values[row]) else 2 + sum(float(edge) <= values[row] for edge in EDGES)
                ids, weights = [bucket], [1.0]
            elif feature["kind"] == "categorical":
                ids, weights = [values[row]], [1.0]
            else:
                part = slice(*batch[f"{source}/{name}/offsets"][row : row + 2].tolist())
                ids = values[part]
                given = batch[f"{source}/{name}/weights"][part].tolist() if feature.get("weighted") else [1.0] * len(ids)
                weights = shares(given, feature["pooling"])
            line = found.setdefault((source, row, name), {})
            for one, weight in zip(ids, weights, strict=True):
                for part in summed(table[0], one):
                    line[table[0], part] = line.get((table[0], part), 0.0) + weight
    return found


def shares(given: list[float], pooling: str) -> list[float]:
    """What each entry of a bag counts, with sums that are exact."""
    if pooling == "sum":
        return given
    if pooling == "sqrtn":
        total = float(np.sqrt(float(sum(Fraction(w) ** 2 for w in given))))
    else:
        exact, size = sum(map(Fraction, given)), sum(abs(Fraction(w)) for w in given)
        total = 0.0 if abs(exact) * 2**23 <= size else float(exact)
    return [w / total if total else 0.0 for w in given]


def read(tree: dict[str, Any], found: Any) -> Meaning:
    """The same, from a packed batch: widths in the order of their first features, their tables one under another."""
    widths: dict[int, dict[str, int]] = {}
    for feature in tree["features"]:
        if (table := table_of(feature)) is not None:
            widths.setdefault(table[2], {}).setdefault(table[0], table[1])
    sizes, lines = dict(zip(SOURCES, np.asarray(found["sizes"]).tolist(), strict=True)), {}
    for dim, tables in widths.items():
        places = [(table, row) for table, rows in tables.items() for row in stored(table, rows)]
        of_width = [f for f in tree["features"] if (table := table_of(f)) is not None and table[2] == dim]
        lookups = [
            (source, row, feature["name"])
            for source in SOURCES
            for row in range(sizes[source])
            for feature in of_width
            if feature["source"] == source
        ]
        lines |= {lookup: {} for lookup in lookups}
        unique, entries, weights = (np.asarray(found[f"lookups/{dim}/{part}"]) for part in ("unique", "entries", "weights"))
        for (lookup, place), weight in zip(entries.tolist(), weights.tolist(), strict=True):
            line, key = lines[lookups[lookup]], places[unique[place]]
            line[key] = line.get(key, 0.0) + weight
    return lines
