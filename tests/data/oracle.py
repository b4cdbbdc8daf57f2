"""Rows as plain Python, ways to write them, and what must come of them: slow, and easy to believe."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import tensorflow as tf

from funnel.data import split_reader
from funnel.data.codes import spelt
from funnel.data.columns import OFFSETS, WEIGHTS, names_of, take
from funnel.data.keyed import parts_of
from funnel.data.origin import Origin
from funnel.data.prepare import make_store
from funnel.data.reading import POSITION, Reading
from funnel.data.shards import build, condense, encode
from funnel.data.spill import BUCKETS
from funnel.data.star import Star
from funnel.data.statistics import Learner
from funnel.data.store import Store
from funnel.data.vocabulary import Vocabulary
from funnel.data.wanted import code_role
from funnel.schema.features import Cross
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt
from funnel.schema.reader import load_schema

NOWHERE = Path("/nowhere/at/all")  # for what stays in memory: writing there fails

# A weighted bag is a list of (id, weight); None is a missing value.
USERS = [
    {"user_id": "7", "city": "rome", "age": 30.0, "history": [("a", 1.0), ("b", 0.5), ("a", 2.0)]},
    {"user_id": "8", "city": None, "age": None, "history": []},
    {"user_id": "9", "city": "oslo", "age": 41.5, "history": [("q", 0.25)]},
    {"user_id": "unused", "city": "lima", "age": 99.0, "history": [("z", 1.0)]},
]
FACTS = [
    {"user_id": "7", "click": 1, "bought": 1, "item_id": "a", "shop": "s1", "price": 2.5, "tags": [("x", 1.0), ("y", -2.0)]},
    {"user_id": "9", "click": 0, "bought": 0, "item_id": "b", "shop": None, "price": None, "tags": []},
    {"user_id": "8", "click": 1, "bought": 0, "item_id": None, "shop": "s2", "price": 0.0, "tags": [("x", 0.5)]},
    {"user_id": "7", "click": 0, "bought": 0, "item_id": "a", "shop": "s1", "price": -4.0, "tags": [("y", 3.0), ("é 2", 1.0)]},
    {"user_id": "7", "click": 1, "bought": 0, "item_id": "c,d", "shop": 's"3', "price": 1e6, "tags": [("x", 1.0)]},
]
COLUMNS = {"facts": ["user_id", "click", "bought"], "user": ["user_id"]}
FIELDS = {"facts": ["item_id", "shop", "price", "tags"], "user": ["city", "age", "history"]}


def files_of(kind: str, source: str, pattern: str) -> dict:
    if kind != "feature_list":
        return {"format": kind, "train": pattern}
    columns = [*COLUMNS[source], "n", "entries"]
    return {"format": kind, "train": pattern, "columns": columns, "list": "entries", "count": "n", "separator": "\t"}


def mapping(kind: str = "csv", ending: str = "") -> dict:
    """A declaration for these rows, in files of a format."""
    ending = ending or {"csv": "csv", "parquet": "parquet", "feature_list": "txt"}[kind]
    lists = {"csv": {"separator": "|"}}.get(kind, {})
    tags, history = ({}, {}) if kind == "feature_list" else ({"weights": "tags_w"}, {"weights": "history_w"})
    return {
        "name": "shop",
        "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "bought"}],
        "data": {
            "facts": files_of(kind, "facts", f"facts*.{ending}"),
            "dimensions": [{"name": "user", "key": "user_id", **files_of(kind, "user", f"users.{ending}")}],
            "validation": None,
        },
        "tables": {"item": {"min_count": 1}},
        "features": [
            {"name": "item_id", "kind": "categorical", "table": "item"},
            {"name": "shop", "kind": "categorical", "buckets": 7},
            {"name": "price", "kind": "numeric", "transform": "log1p"},
            {"name": "tags", "kind": "bag", "weighted": True, "min_count": 2, **tags, **lists},
            {"name": "city", "kind": "categorical", "source": "user", "min_count": 1},
            {"name": "age", "kind": "numeric", "source": "user", "transform": {"kind": "bucketize", "buckets": 3}},
            {"name": "history", "kind": "bag", "source": "user", "table": "item", "weighted": True, **history, **lists},
            {"name": "city_item", "kind": "cross", "of": ["city", "item_id"], "buckets": 11},
        ],
        "evaluate": {"group_by": "city"},
    }


def flat(row: dict, separator: str | None = None) -> dict:
    """The bags as parallel lists, or as texts."""
    found = {}
    for name, value in row.items():
        if isinstance(value, list):
            ids, weights = [one for one, _ in value], [weight for _, weight in value]
            found[name] = ids if separator is None else separator.join(ids)
            found[f"{name}_w"] = weights if separator is None else separator.join(map(str, weights))
        else:
            found[name] = value
    return found


TYPES = {
    **dict.fromkeys(["user_id", "city", "item_id", "shop"], pl.String),
    **dict.fromkeys(["age", "price"], pl.Float64),
    **dict.fromkeys(["click", "bought"], pl.Int64),
    **dict.fromkeys(["tags", "history"], pl.List(pl.String)),
    **dict.fromkeys(["tags_w", "history_w"], pl.List(pl.Float64)),
}


def polars_frame(rows: list[dict]) -> pl.DataFrame:
    names = flat(rows[0])
    return pl.DataFrame([flat(row) for row in rows], schema={name: TYPES[name] for name in names})


def pandas_frame(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([flat(row) for row in rows])


def csv_text(rows: list[dict]) -> str:
    rows = [flat(row, "|") for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def feature_list_text(rows: list[dict], source: str) -> str:
    lines = []
    for row in rows:
        entries = []
        for field in FIELDS[source]:
            value = row[field]
            if isinstance(value, list):
                entries += [f"{field}\x02{one}\x03{weight}" for one, weight in value]
            elif isinstance(value, str):
                entries.append(f"{field}\x02{value}\x031.0")
            elif value is not None:
                entries.append(f"{field}\x02any\x03{value}")
        columns = [str(row[column]) for column in COLUMNS[source]]
        lines.append("\t".join([*columns, str(len(entries)), "\x01".join(entries)]) + "\n")
    return "".join(lines)


def write(folder: Path, name: str, text: str) -> None:
    match Path(name).suffix:
        case ".gz":
            (folder / name).write_bytes(gzip.compress(text.encode()))
        case ".bz2":
            (folder / name).write_bytes(bz2.compress(text.encode()))
        case ".zst":
            (folder / name).write_bytes(pa.compress(text.encode(), codec="zstd", asbytes=True))
        case _:
            (folder / name).write_bytes(text.encode())


TEXT_FORMS = [f"{kind}{packed}" for kind in ("csv", "feature_list") for packed in ("", ".gz", ".bz2", ".zst")]
FORMS = ["parquet", *TEXT_FORMS, "pandas", "polars"]


def placed(form: str, folder: Path, facts: list[dict], users: list[dict]) -> tuple[FunnelSchema, Origin]:
    """The rows in some form, and the declaration that reads them."""
    kind, _, packed = form.partition(".")
    if kind in ("pandas", "polars"):
        frame = pandas_frame if kind == "pandas" else polars_frame
        return load_schema(mapping("parquet")), Origin(frames={"facts": frame(facts), "user": frame(users)})
    ending = {"csv": "csv", "feature_list": "txt", "parquet": "parquet"}[kind] + (f".{packed}" if packed else "")
    half = (len(facts) + 1) // 2
    for name, source, rows in (
        ("facts_1", "facts", facts[:half]),
        ("facts_2", "facts", facts[half:]),
        ("users", "user", users),
    ):
        if not rows:
            continue
        if kind == "parquet":
            polars_frame(rows).write_parquet(folder / f"{name}.{ending}")
        else:
            write(folder, f"{name}.{ending}", csv_text(rows) if kind == "csv" else feature_list_text(rows, source))
    return load_schema(mapping(kind, ending)), Origin(root=folder)


def store_of(schema: FunnelSchema, origin: Origin, folder: Path, **options: object) -> Store:
    """A store of training rows."""
    return make_store(schema, {"train": origin}, folder / "store", **options)


def read(schema: FunnelSchema, origin: Origin, split: str = "train", *, labels: bool = True, seed: int = 0) -> Reading:
    """Rows of a split, none of them on disk."""
    return split_reader.read(schema, origin, split, NOWHERE, labels=labels, seed=seed)


def facts_of(reading: Reading, rows: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """All facts, or those that stood at some places, in the order in which they were read."""
    (facts,) = reading.facts.read(0, BUCKETS, 1 << 40)
    facts = take(facts, np.argsort(facts[POSITION]))
    if rows is None:
        return facts
    return take(facts, np.searchsorted(facts[POSITION], np.array(rows, np.int64)))


def spellings(reading: Reading, name: str) -> pl.DataFrame:
    """`code` and `text` of ids that are not their own codes."""
    parts = [part for (part,) in parts_of(reading.texts[name]) if part.height] if name in reading.texts else []
    return pl.concat([pl.DataFrame(schema={"code": pl.Int64, "text": pl.String}), *parts])


def ids_of(reading: Reading, codes: np.ndarray, name: str) -> list[str | None]:
    """The ids behind codes."""
    return spelt(codes, spellings(reading, name)).to_list()


def built(schema: FunnelSchema, reading: Reading, rows: Sequence[int] | None = None) -> Star:
    """The star of facts that stood at some places (all unless named), with codes as ids."""
    crossed = {name for feature in schema.features if isinstance(feature, Cross) for name in feature.of}
    parts = {name: spellings(reading, code_role(name)) for name in crossed}
    return build(schema, reading, facts_of(reading, rows), parts)


def learn(
    schema: FunnelSchema, reading: Reading, rows: Sequence[int] | None = None, cuts: Sequence[int] = ()
) -> tuple[Learnt, Vocabulary]:
    """What some facts (all unless named) teach, as one star or cut into several."""
    places = facts_of(reading, rows)[POSITION]
    stars = [built(schema, reading, some) for some in np.split(places, cuts) if len(some)]
    learner = Learner(schema, NOWHERE)
    for star in stars:
        learner.add(learner.see(condense(schema, star, count=True)), star)
    kept: list[Vocabulary] = []
    learnt = learner.learnt(reading.texts, lambda: stars, kept.append)
    terms = {table: terms for one in kept for table, terms in one.terms.items()}
    return learnt, Vocabulary(terms, {table: counts for one in kept for table, counts in one.counts.items()})


def encoded(schema: FunnelSchema, reading: Reading, vocabulary: Vocabulary, rows: Sequence[int] | None = None) -> Star:
    """The star of some facts (all unless named), with rows of tables as ids."""
    condensed = condense(schema, built(schema, reading, rows), count=False)
    found = {}
    for table, codes in condensed.codes.items():
        found[table] = vocabulary.lookup(table, 0).find(codes)
    return encode(schema, condensed, found, max(0, reading.rows - 1))


def farm(text: str, buckets: int) -> int:
    return int(tf.strings.to_hash_bucket_fast(text, buckets)) + 2


def terms_of(counts: Counter, min_count: int, max_rows: int | None = None) -> list[str]:
    ordered = sorted(counts, key=lambda term: (-counts[term], term))
    return [term for term in ordered if counts[term] >= min_count][:max_rows]


def row_of(term: str | None, terms: list[str]) -> int:
    return 0 if term is None else terms.index(term) + 2 if term in terms else 1


def expected(facts: list[dict], users: list[dict], training: list[int] | None = None) -> list[dict]:
    """What each fact's features must be, with its user's beside them."""
    user = {row["user_id"]: row for row in users}
    training = list(range(len(facts))) if training is None else training
    items, tags, cities = Counter(), Counter(), Counter()
    for fact in (facts[row] for row in training):
        items.update([fact["item_id"], *(one for one, _ in user[fact["user_id"]]["history"])])
        tags.update(one for one, _ in fact["tags"])
        cities.update([user[fact["user_id"]]["city"]])
    for counts in (items, cities):
        counts.pop(None, None)
    items, tags, cities = terms_of(items, 1), terms_of(tags, 2), terms_of(cities, 1)
    rows = []
    for fact in facts:
        own = user[fact["user_id"]]
        rows.append(
            {
                "facts/item_id": row_of(fact["item_id"], items),
                "facts/shop": 0 if fact["shop"] is None else farm(fact["shop"], 7),
                "facts/price": fact["price"],
                "facts/tags": [(row_of(one, tags), weight) for one, weight in fact["tags"]],
                "user/city": row_of(own["city"], cities),
                "user/age": own["age"],
                "user/history": [(row_of(one, items), weight) for one, weight in own["history"]],
                "facts/city_item": farm(f"{own['city'] or ''}\x1f{fact['item_id'] or ''}", 11),
                "labels": [fact["click"], fact["bought"]],
            }
        )
    return rows


def source_rows(source: str, columns: dict[str, np.ndarray], row: int) -> dict:
    found = {}
    for name in names_of(columns):
        if name + OFFSETS in columns:
            entries = range(*columns[name + OFFSETS][row : row + 2].tolist())
            ids, weights = columns[name], columns.get(name + WEIGHTS)
            found[f"{source}/{name}"] = [int(ids[e]) if weights is None else (int(ids[e]), float(weights[e])) for e in entries]
        elif columns[name].dtype.kind == "f":
            number = float(columns[name][row])
            found[f"{source}/{name}"] = None if np.isnan(number) else number
        else:
            found[f"{source}/{name}"] = int(columns[name][row])
    return found


def joined(*stars: Star) -> list[dict]:
    """Each fact's features, with its dimension rows' beside them, in the order in which the facts were read."""
    return [row for _, row in placed_rows(stars)]


def placed_rows(stars: Iterable[Star]) -> list[tuple[int, dict]]:
    """As `joined`, each with its position."""
    rows = []
    for star in stars:
        for fact in range(star.rows):
            row = source_rows("facts", star.sources["facts"], fact)
            for name, index in star.index.items():
                row |= source_rows(name, star.sources[name], int(index[fact]))
            labels = {} if star.labels is None else {"labels": star.labels[fact].tolist()}
            rows.append((int(star.position[fact]), row | labels))
    return sorted(rows, key=lambda placed: placed[0])


def small(features: list[dict], facts: dict, *, dimension: dict | None = None, **parts) -> tuple[FunnelSchema, Reading]:
    """A declaration of some features, and its rows, read from frames; one stage `click`, all 0 unless given."""
    frames = {"facts": pl.DataFrame({"click": [0] * len(next(iter(facts.values()))), **facts})}
    data = {"facts": {"format": "parquet", "train": "x"}, "validation": parts.pop("validation", None), **parts.pop("data", {})}
    if dimension is not None:
        frames["user"] = pl.DataFrame(dimension)
        data["dimensions"] = [{"name": "user", "key": "user_id", "format": "parquet", "files": "y"}]
    stages = parts.pop("stages", [{"name": "click", "label": "click"}])
    schema = load_schema({"name": "small", "stages": stages, "data": data, "features": features, **parts})
    return schema, read(schema, Origin(frames=frames))
