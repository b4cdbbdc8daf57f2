"""Three usual ways to turn raw Ali-CCP text into arrays of ids: what `prepare.py` measures `funnel prepare` against.

    python baselines.py per_row DATA OUT
    python baselines.py columns DATA OUT
    python baselines.py pandas DATA OUT

`per_row` and `pandas` are what public scripts and notebooks do; `columns` is the per-row parser written again by somebody in a
hurry for speed. All run in one thread: that is part of what they are. None uses anything of the library.
"""

import argparse
import pickle
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COMMON = ("101", "121", "122", "124", "125", "126", "127", "128", "129", "109_14", "110_14", "127_14", "150_14")
SKELETON = ("205", "206", "207", "210", "216", "508", "509", "702", "853", "301")
WEIGHTED = frozenset({"109_14", "110_14", "127_14", "150_14", "508", "509", "702", "853"})
LISTS = frozenset({"109_14", "110_14", "127_14", "150_14", "210", "853"})
MIN_COUNT = 2  # impressions that must have an id for it to get a row of its own
OOV, FIRST = 1, 2  # encoded ids: 0 is padding, 1 any unknown id, then the known ones
Row = dict[str, tuple[list[str], list[float]]]  # by field: ids and weights
LONGEST = 100  # a list is cut here where it is padded


@dataclass
class Column:
    """All entries of one field, row after row."""

    weighted: bool
    ids: "array[int]" = field(default_factory=lambda: array("i"))
    weights: "array[float]" = field(default_factory=lambda: array("f"))
    offsets: "array[int]" = field(default_factory=lambda: array("i", [0]))


def parse_entries(text: str, columns: dict[str, Column], counts: dict[str, dict[int, int]] | None, times: int) -> None:
    """Append the entries of one row to their columns.

    Args:
        text: The feature list.
        columns: By field.
        counts: Of ids, by field, to be added to; None for a split that is not counted.
        times: How many impressions have this row.
    """
    for entry in text.split("\x01"):
        name, _, rest = entry.partition("\x02")
        key, _, value = rest.partition("\x03")
        column = columns[name]
        number = int(key)
        column.ids.append(number)
        if column.weighted:
            column.weights.append(float(value))
        if counts is not None:
            seen = counts[name]
            seen[number] = seen.get(number, 0) + times
    for column in columns.values():
        column.offsets.append(len(column.ids))


def columns(data: Path, out: Path) -> None:
    """Parse line by line, count ids by impression, encode the known ones; a common row is stored once."""
    counts: dict[str, dict[int, int]] = {name: {} for name in (*COMMON, *SKELETON)}
    known: dict[str, dict[int, int]] = {}
    for split in ("train", "test"):
        tally = counts if split == "train" else None
        columns = {name: Column(name in WEIGHTED) for name in (*COMMON, *SKELETON)}
        skeleton, common = ({name: columns[name] for name in names} for names in (SKELETON, COMMON))
        labels, keys = array("b"), []
        uses: dict[str, int] = {}
        with (data / f"sample_skeleton_{split}.csv").open(encoding="ascii") as file:
            for line in file:
                _, click, conversion, key, _, text = line.rstrip("\n").split(",")
                if click == "0" and conversion == "1":
                    continue
                labels.append(int(click))
                labels.append(int(conversion))
                keys.append(key)
                uses[key] = uses.get(key, 0) + 1
                parse_entries(text, skeleton, tally, 1)
        row_of_key: dict[str, int] = {}
        with (data / f"common_features_{split}.csv").open(encoding="ascii") as file:
            for line in file:
                key, _, text = line.rstrip("\n").split(",")
                row_of_key[key] = len(row_of_key)
                parse_entries(text, common, tally, uses.get(key, 0))
        if split == "train":
            for name, seen in counts.items():
                often = (number for number, count in seen.items() if count >= MIN_COUNT)
                chosen = sorted(often, key=seen.__getitem__, reverse=True)
                known[name] = {number: row for row, number in enumerate(chosen, FIRST)}
        folder = out / split
        folder.mkdir(parents=True)
        np.save(folder / "labels.npy", np.asarray(labels, np.int8).reshape(-1, 2))
        np.save(folder / "common_row.npy", np.fromiter((row_of_key[key] for key in keys), np.int32, len(keys)))
        for name, column in columns.items():
            lookup = known[name].get
            encoded = np.fromiter((lookup(number, OOV) for number in column.ids), np.int32, len(column.ids))
            np.save(folder / f"{name}_ids.npy", encoded)
            np.save(folder / f"{name}_offsets.npy", np.asarray(column.offsets, np.int32))
            if column.weighted:
                np.save(folder / f"{name}_weights.npy", np.asarray(column.weights, np.float32))


def per_row(data: Path, out: Path) -> None:
    """A dictionary a row, as public pre-processing scripts do, here with every entry and weight; counted, then encoded."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    known: dict[str, dict[str, int]] = {}
    out.mkdir(parents=True)
    for split in ("train", "test"):
        common: dict[str, Row] = {}
        with (data / f"common_features_{split}.csv").open(encoding="ascii") as file:
            for line in file:
                key, _, text = line.rstrip("\n").split(",")
                common[key] = parse_row(text)
        facts = read_facts(data / f"sample_skeleton_{split}.csv")
        if split == "train":
            uses = Counter(fact[2] for fact in facts)
            used = ((common[key], times) for key, times in uses.items())
            for row, times in chain(((fact[3], 1) for fact in facts), used):
                for name, (ids, _) in row.items():
                    for number in ids:
                        counts[name][number] += times
            for name, seen in counts.items():
                often = (number for number, count in seen.most_common() if count >= MIN_COUNT)
                known[name] = {number: place for place, number in enumerate(often, FIRST)}
        with (out / f"{split}.pickle").open("wb") as file:
            pickle.dump({key: encoded(row, known) for key, row in common.items()}, file)
            for click, conversion, key, row in facts:
                pickle.dump((click, conversion, key, encoded(row, known)), file)


def read_facts(path: Path) -> list[tuple[int, int, str, Row]]:
    """The labels, the common row's key and the parsed row of each line that is sound."""
    facts = []
    with path.open(encoding="ascii") as file:
        for line in file:
            _, click, conversion, key, _, text = line.rstrip("\n").split(",")
            if click == "1" or conversion == "0":
                facts.append((int(click), int(conversion), key, parse_row(text)))
    return facts


def parse_row(text: str) -> Row:
    """The ids and the weights of each field of one row."""
    parts = re.split("[\x01\x02\x03]", text)
    row: defaultdict[str, tuple[list[str], list[float]]] = defaultdict(lambda: ([], []))
    for name, number, value in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        ids, weights = row[name]
        ids.append(number)
        weights.append(float(value))
    return dict(row)


def encoded(row: Row, known: dict[str, dict[str, int]]) -> dict[str, tuple[Any, Any]]:
    """The rows of ids and the weights of each field, as arrays."""
    return {
        name: (np.array([known[name].get(number, OOV) for number in ids], np.int32), np.array(weights, np.float32))
        for name, (ids, weights) in row.items()
    }


def parse_features(text: str) -> dict[str, Any]:
    """Read the feature list of one row into a dictionary: a list for a list field, else one id; weights beside them."""
    features: dict[str, Any] = {}
    for entry in text.split("\x01"):
        name, rest = entry.split("\x02")
        key, value = rest.split("\x03")
        if name not in LISTS:
            features[name] = key
            if name in WEIGHTED:
                features[f"{name}_weights"] = float(value)
            continue
        features.setdefault(name, []).append(key)
        if name in WEIGHTED:
            features.setdefault(f"{name}_weights", []).append(float(value))
    return features


def pad(rows: list[list[Any]], kind: type[np.generic], index: pd.Index) -> pd.Series:
    """Fill up rows to the longest of them with 0, and cut what is longer than `LONGEST`."""
    padded = np.zeros((len(rows), min(LONGEST, max(map(len, rows), default=0))), kind)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row[:LONGEST]
    return pd.Series(list(padded), index, dtype=object)


def as_lists(values: pd.Series) -> list[list[Any]]:
    """Empty lists where a row has none."""
    return [value if isinstance(value, list) else [] for value in values]


def encode_frame(frame: pd.DataFrame, names: tuple[str, ...], indices: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Replace the column `features` by one column per field, and one for its weights; lists are padded.

    Args:
        frame: One of the two files.
        names: The fields it has.
        indices: From id to row, by field; a field that has none yet gets one here.
    """
    parsed = pd.DataFrame(list(map(parse_features, frame.pop("features"))), index=frame.index)
    for name in names:
        weights = parsed.get(f"{name}_weights")
        if name in LISTS:
            lists = as_lists(parsed[name])
            if name not in indices:
                indices[name] = {key: row for row, key in enumerate(dict.fromkeys(chain.from_iterable(lists)), FIRST)}
            index = indices[name]
            frame[name] = pad([[index.get(key, OOV) for key in row] for row in lists], np.int32, frame.index)
            if weights is not None:
                frame[f"{name}_weights"] = pad(as_lists(weights), np.float32, frame.index)
            continue
        values = parsed[name]
        if name not in indices:
            indices[name] = {key: row for row, key in enumerate(values.dropna().unique(), FIRST)}
        frame[name] = values.map(indices[name]).fillna(OOV).where(values.notna(), 0).astype(np.int32)
        if weights is not None:
            frame[f"{name}_weights"] = weights.fillna(0).astype(np.float32)
    return frame


def guide(data: Path, out: Path, fields: Sequence[str] = (*SKELETON, *COMMON)) -> None:
    """Read both files with pandas, parse with a function, pad the lists, merge: the way of the notebooks on ESMM.

    Args:
        data: Folder with the four files.
        out: Folder to make.
        fields: Those that are kept.
    """
    indices: dict[str, dict[str, int]] = {}
    skeleton_fields, common_fields = (tuple(name for name in names if name in fields) for names in (SKELETON, COMMON))
    head = ["sample_id", "click", "conversion", "common_index", "feature_num", "features"]
    for split in ("train", "test"):
        skeleton = pd.read_csv(data / f"sample_skeleton_{split}.csv", header=None, names=head)
        common = pd.read_csv(data / f"common_features_{split}.csv", header=None, names=head[3:])
        skeleton = skeleton[(skeleton["click"] == 1) | (skeleton["conversion"] == 0)]
        skeleton = encode_frame(skeleton.drop(columns=["sample_id", "feature_num"]), skeleton_fields, indices)
        common = encode_frame(common.drop(columns="feature_num"), common_fields, indices)
        merged = skeleton.merge(common, on="common_index", how="left").drop(columns="common_index")
        folder = out / split
        folder.mkdir(parents=True)
        for name in merged:
            values = merged[name]
            np.save(folder / f"{name}.npy", np.stack(values.to_list()) if values.dtype == object else values.to_numpy())
    with (out / "indices.pkl").open("wb") as file:
        pickle.dump(indices, file)


WAYS = {"per_row": per_row, "columns": columns, "pandas": guide}


def main(argv: list[str] | None = None) -> None:
    """Read the flags, and go one of the ways."""
    parser = argparse.ArgumentParser(description="Turn raw Ali-CCP text into arrays of ids, in a usual way.")
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("data", type=Path, help="folder with the four files")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--fields", nargs="+", help="that are kept, of `pandas` (all)")
    flags = parser.parse_args(argv)
    if flags.fields:
        if flags.way != "pandas":
            parser.error("argument --fields: expected the way `pandas`")
        guide(flags.data, flags.out, flags.fields)
    else:
        WAYS[flags.way](flags.data, flags.out)


if __name__ == "__main__":
    main()
