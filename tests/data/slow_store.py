"""A slow and obvious reader: what must come of rows, computed with dictionaries and loops, and ways to write the rows down.

A row is a mapping; a list is a list of (id, weight); None is a missing value. Nothing here uses the library.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

MASK = 2**64 - 1
FACT_IDS, FACT_LISTS = ("item", "shop", "127"), ("intentions", "127_14")
USER_IDS, USER_LISTS = ("uid", "city"), ("shops", "109_14")


@dataclass
class Rows:
    """Raw rows: users by key, facts in order."""

    users: list[dict[str, Any]]
    facts: list[dict[str, Any]]


def generated(seed: int, facts: int = 40) -> Rows:
    """Rows with every documented defect: missing items and users, empty lists, a buy without click, labels that are not known,
    unused users, any order."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    others = random.Random(seed + 1)  # noqa: S311  # no secret

    def some(prefix: str, most: int) -> str:
        return f"{prefix}{dice.randint(1, most)}" if dice.random() < 0.7 else str(dice.randint(1, most))

    def bag(prefix: str, most: int) -> list[tuple[str, float]]:
        weights = (1.0, 0.5, 0.69315, 1.09861, 8.18507, 0.07973)
        return [(some(prefix, most), dice.choice(weights)) for _ in range(dice.choice((0, 0, 1, 2, 5)))]

    users = []
    for number in range(dice.randint(2, 12)):
        bare = dice.random() < 0.1  # no id, no profile, no lists
        key = f"{dice.getrandbits(64):016x}" if dice.random() < 0.8 else str(number)
        users.append(
            {
                "key": f"{number}{key}",
                "uid": None if bare else some("u", 5),
                "city": None if bare or dice.random() < 0.3 else dice.choice(("rome", "oslo", "é 中", "007", "7", "-7")),
                "shops": [] if bare else bag("", 30),
                "109_14": [] if bare else bag("c", 9),
                "age": None if dice.random() < 0.3 else round(dice.uniform(1, 99), 2),
            }
        )
    made = []
    for number in range(facts):
        click = int(dice.random() < 0.4)
        # The first two, of different users, are sound: there is something to train on, and something to hold out.
        buy = int(click and dice.random() < 0.3) or int(number > 1 and dice.random() < 0.03)
        item = dice.random() > 0.05
        made.append(
            {
                "key": users[number]["key"] if number < 2 else dice.choice(users)["key"],
                "click": None if number > 1 and others.random() < 0.1 else click,
                "buy": None if number > 1 and others.random() < 0.3 else buy,
                "weight": others.choice((0.0, 0.5, 1.0, 3.0)) if number > 1 else 1.0,
                "item": some("", 20) if item else None,
                "shop": some("s", 6) if item else None,
                "127": None if dice.random() < 0.3 else some("", 4),
                "intentions": bag("n", 12),
                "127_14": bag("", 5),
                "price": None if dice.random() < 0.2 else round(dice.uniform(-5, 500), 3),
            }
        )
    if dice.random() < 0.5:
        made.sort(key=lambda fact: fact["key"])  # blocks, as in the real files
    return Rows(users, made)


def schema(form: str, **data: Any) -> dict[str, Any]:
    """The declaration of these rows, in files of a format."""
    listed = form.startswith("feature_list")
    ending = {"parquet": "parquet", "csv": "csv", "csv.gz": "csv.gz", "frames": "parquet"}.get(form, "txt")
    columns = {"facts": ["id", "click", "buy", "weight", "key", "n", "entries"], "users": ["key", "n", "entries"]}

    def files(source: str) -> dict[str, Any]:
        if not listed:
            return {"format": "csv" if form.startswith("csv") else "parquet"}
        return {"format": "feature_list", "columns": columns[source], "list": "entries", "count": "n"}

    def bag(name: str, feature: str, **parts: Any) -> dict[str, Any]:
        more = {"weights": f"{name}_w"} if not listed and parts.get("weighted") else {}
        if form.startswith("csv"):
            more["separator"] = "|"
        return {"name": feature, "kind": "bag", "column": name, **parts, **more}

    return {
        "name": "slow",
        "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
        "inconsistent_labels": "drop",
        "data": {
            "facts": {**files("facts"), "train": f"facts*.{ending}", "test": f"test*.{ending}"},
            "dimensions": [{"name": "user", "key": "key", **files("users"), "files": f"users*.{ending}"}],
            "validation": {"kind": "fraction", "fraction": 0.3},
            "shard_rows": 30,
            "weight": "weight",
            **data,
        },
        "tables": {"shop": {"min_count": 2}},
        "features": [
            {"name": "uid", "kind": "categorical", "source": "user", "min_count": 1, "max_rows": 3},
            {"name": "city", "kind": "categorical", "source": "user", "missing": "oov"},
            bag("shops", "shops", source="user", table="shop", weighted=True),
            bag("109_14", "past", source="user", weighted=False),
            {"name": "age", "kind": "numeric", "source": "user"},
            {"name": "item", "kind": "categorical"},
            {"name": "shop", "kind": "categorical", "table": "shop"},
            {"name": "brand", "kind": "categorical", "column": "127", "missing": {"fill": "none"}},
            bag("intentions", "intentions", weighted=True, buckets=7),
            bag("127_14", "brands", weighted=True),
            {"name": "price", "kind": "numeric", "transform": {"kind": "bucketize", "buckets": 4}},
            {"name": "city_item", "kind": "cross", "of": ["city", "item"], "buckets": 13},
        ],
        "evaluate": {"group_by": "uid"},
    }


def write(
    rows: Rows, form: str, folder: Path, *, facts: str = "facts", users: bool = True, parts: int = 2
) -> dict[str, Any] | None:
    """Write the rows down; frames are returned."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "frames":
        return {"facts": frame(rows.facts, "facts"), "user": frame(rows.users, "users")}
    cut = len(rows.facts) // parts
    pieces = [(f"{facts}{n}", rows.facts[n * cut : (n + 1) * cut if n + 1 < parts else None], "facts") for n in range(parts)]
    if users:
        pieces.append(("users", rows.users, "users"))
    for name, some, source in pieces:
        if form == "parquet":
            frame(some, source).write_parquet(folder / f"{name}.parquet")
        elif form.startswith("csv"):
            text = csv_text(some, source).encode()
            (folder / f"{name}.{form}").write_bytes(gzip.compress(text) if form.endswith("gz") else text)
        else:
            (folder / f"{name}.txt").write_text(feature_list(some, source), encoding="utf-8", newline="\n")
    return None


def names(source: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]:
    """Plain columns, ids, lists, and the number of a source."""
    return (
        (("key",), USER_IDS, USER_LISTS, "age")
        if source == "users"
        else (("click", "buy", "weight", "key"), FACT_IDS, FACT_LISTS, "price")
    )


def frame(rows: list[dict[str, Any]], source: str) -> pl.DataFrame:
    """Typed columns, lists with parallel weights."""
    plain, ids, lists, number = names(source)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in (*plain, *ids, number)}
    kinds: dict[str, Any] = {"key": pl.String, number: pl.Float64} | dict.fromkeys(ids, pl.String)
    for name in lists:
        columns[name] = [[one for one, _ in row[name]] for row in rows]
        columns[f"{name}_w"] = [[weight for _, weight in row[name]] for row in rows]
        kinds |= {name: pl.List(pl.String), f"{name}_w": pl.List(pl.Float64)}
    return pl.DataFrame(columns, schema_overrides=kinds)


def csv_text(rows: list[dict[str, Any]], source: str) -> str:
    """A header, and lists as one text."""
    plain, ids, lists, number = names(source)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*plain, *ids, number, *(column for name in lists for column in (name, f"{name}_w"))])
    for row in rows:
        flat = [part for name in lists for part in ("|".join(i for i, _ in row[name]), "|".join(str(w) for _, w in row[name]))]
        writer.writerow([*(row[name] for name in (*plain, *ids, number)), *flat])
    return text.getvalue()


def feature_list(rows: list[dict[str, Any]], source: str, seed: int = 0) -> str:
    """Entries in any order, those of a list in theirs."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    _, ids, lists, number = names(source)
    lines = []
    for position, row in enumerate(rows):
        groups = [[f"{name}\x02{row[name]}\x031.0"] for name in ids if row[name] is not None]
        groups += [[f"{name}\x02{one}\x03{weight}" for one, weight in row[name]] for name in lists]
        if row[number] is not None:
            groups.append([f"{number}\x021\x03{row[number]}"])
        dice.shuffle(groups)
        entries = [entry for group in groups for entry in group]
        before = [row["key"]]
        if source != "users":
            before = [
                position + 1,
                *("" if row[name] is None else row[name] for name in ("click", "buy", "weight")),
                row["key"],
            ]
        lines.append(",".join([*map(str, before), str(len(entries)), "\x01".join(entries)]) + "\n")
    return "".join(lines)


def mixed(number: int, seed: int = 0) -> int:
    """splitmix64, in Python's whole numbers."""
    state = ((number & MASK) ^ (seed * 0x94D049BB133111EB & MASK)) + 0x9E3779B97F4A7C15 & MASK
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def code(text: str, seed: int = 0) -> int:
    """What stands for an id."""
    if text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 2**63:
        return int(text)
    data = text.encode()
    state = mixed(len(data), seed)
    for at in range(0, len(data), 8):
        state = mixed(state ^ int.from_bytes(data[at : at + 8], "little"), seed)
    return -1 - min(state >> 1, 2**63 - 2)


@dataclass
class Expected:
    """What a store must hold.

    Attributes:
        train: Positions of the training facts.
        held: Positions of the facts held out.
        terms: By table: ids in order.
    """

    train: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    terms: dict[str, list[str]] = field(default_factory=dict)


TABLES = {
    "uid": [("user", "uid")],
    "city": [("user", "city")],
    "shop": [("user", "shops"), ("facts", "shop")],
    "past": [("user", "109_14")],
    "item": [("facts", "item")],
    "brand": [("facts", "127")],
    "brands": [("facts", "127_14")],
}
MOST = {"uid": 3}
LEAST = {"uid": 1}


def labels(fact: dict[str, Any]) -> list[int | None] | None:
    """Click and buy, as far as they are known; None where they contradict each other."""
    click, buy = fact["click"], fact["buy"]
    if click == 0:
        return None if buy == 1 else [0, 0]
    return [click, buy]


def rates(rows: Rows, positions: list[int]) -> dict[str, list[float]]:
    """The weight of all rows, and by stage: what is known in its space and where that is not known, its share, and its rate."""
    found = {"known_inside": [], "known_elsewhere": [], "given": [], "prior": []}
    all_rows = [(labels(rows.facts[position]), rows.facts[position]["weight"]) for position in positions]
    total = sum(weight for _, weight in all_rows)
    for stage in (0, 1):
        inside = sum(weight for row, weight in all_rows if stage == 0 or row[0] == 1)
        elsewhere = [(row[stage], weight) for row, weight in all_rows if stage == 1 and row[0] is None]
        answered = sum(weight for label, weight in elsewhere if label is not None)
        of_elsewhere = sum(weight for _, weight in elsewhere)
        space = [(row[stage], weight) for row, weight in all_rows if (stage == 0 or row[0] == 1) and row[stage] is not None]
        given = sum(weight for _, weight in space)
        found["known_inside"].append(given / inside if inside else 1.0)
        found["known_elsewhere"].append(answered / of_elsewhere if of_elsewhere else 1.0)
        found["given"].append(given / total)
        found["prior"].append((sum(label * weight for label, weight in space) + 0.5) / (given + 1))
    return found | {"weight": [total / len(all_rows)]}


def expected(rows: Rows, fraction: float = 0.3) -> Expected:
    """Drop what contradicts, hold out whole users, count."""
    users = {user["key"]: user for user in rows.users}
    found = Expected()
    kept = [position for position, fact in enumerate(rows.facts) if labels(fact) is not None]
    chances = {position: (mixed(code(rows.facts[position]["key"])) >> 11) * 2.0**-53 for position in kept}
    least, most = min(chances.values()), max(chances.values())
    for position in kept:
        chance = chances[position]
        out = (chance < fraction or chance == least) and chance != most
        (found.held if out else found.train).append(position)
    for table, columns in TABLES.items():
        counts: Counter[str] = Counter()
        for position in found.train:
            fact = rows.facts[position]
            for source, column in columns:
                value = (users[fact["key"]] if source == "user" else fact)[column]
                if table == "brand" and value is None:
                    value = "none"
                counts.update([one for one, _ in value] if isinstance(value, list) else [] if value is None else [value])
        often = [one for one in counts if counts[one] >= LEAST.get(table, 2)]
        found.terms[table] = sorted(often, key=lambda one: (-counts[one], one.encode()))[: MOST.get(table)]
    return found


def row_of(terms: list[str], value: str | None, *, missing: int = 0) -> int:
    """The row of an id: 0 where there is none, 1 for one without a row."""
    return missing if value is None else terms.index(value) + 2 if value in terms else 1


def facts_of(store: Any, split: str) -> dict[int, dict[str, Any]]:
    """By position: all that a store says of a fact, its user's rows looked up."""
    found: dict[int, dict[str, Any]] = {}
    for star in store.shards(split).once():
        groups = star.fact_groups
        for fact, position in enumerate(star.position.tolist()):
            seen: dict[str, Any] = {
                "labels": [None if label == 255 else label for label in star.labels[fact].tolist()],
                "weight": None if star.weights is None else float(star.weights[fact]),
                "group": int(groups[fact]),
            }
            for source, columns in star.sources.items():
                row = fact if source == "facts" else int(star.index[source][fact])
                for name, array in columns.items():
                    if name.endswith(("/offsets", "/weights")):
                        continue
                    if f"{name}/offsets" in columns:
                        begin, end = columns[f"{name}/offsets"][row : row + 2]
                        weights = columns.get(f"{name}/weights")
                        seen[name] = array[begin:end].tolist()
                        seen[f"{name} weights"] = None if weights is None else weights[begin:end].tolist()
                    else:
                        seen[name] = array[row].item()
            assert position not in found
            found[position] = seen
    return found


def float32(number: float | None) -> float:
    """As the store holds it."""
    return float("nan") if number is None else float(np.float32(number))
