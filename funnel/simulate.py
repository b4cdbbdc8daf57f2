"""Files for any schema, drawn from a known truth: to try a schema before there are data, and to measure what a model recovers.

A stage's conditional logit is the sum of the features' effects: one per id, a smooth one per number, the mean over a bag, and
products of the latent factors of two ids. Half of an effect's variance is common to all stages, as who clicks also buys.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from funnel.data.normalise import features_of
from funnel.data.readers import find_files
from funnel.errors import DataError, listed
from funnel.schema.data import FeatureList, Held, Parquet, Source, Time
from funnel.schema.features import Bag, Bucketize, Categorical, Cross, Log1p, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEFAULT_PRIOR = 0.2
MISSING_SHARE = 0.03
MOST_IDS = 2000
FEW_IDS = 60  # so many ids of one feature are learnt even from the few rows of a late stage
COMMON = np.sqrt(0.5)  # of an effect that all stages share, and as much is a stage's own
RANK = 3


@dataclass(frozen=True)
class Simulated:
    """What was written."""

    out: Path
    files: tuple[Path, ...]  # relative to the folder
    impressions: dict[str, int]  # by split
    positives: dict[str, dict[str, int]]  # by split and stage


@dataclass(frozen=True)
class _Column:
    """A column: as it is written, and as the truth sees it."""

    series: pl.Series  # ids as text, lists of them, or numbers: [rows]
    codes: Ints | None = None  # each id's position among `size`, -1 where missing: [rows], or [entries] of lists
    size: int = 0  # how many ids there are
    latent: Floats | None = None  # what stands behind a number, 0 where missing: [rows]
    rows: Ints | None = None  # each entry's row, where there are lists: [entries]
    weights: Floats | None = None  # each entry's weight, where there are lists: [entries]
    separator: str | None = None  # between the entries, where a list is one text
    key: bool = False  # whether the ids are a dimension's


Columns = dict[str, _Column]
Layout = dict[tuple[str, str], tuple[Path, ...]]  # by table and split


def simulate(
    schema: FunnelSchema, out: Path, impressions: int, test_impressions: int | None = None, seed: int = 0
) -> Simulated:
    """Write files that the schema's patterns match, and their truth to `truth/train.parquet` and `truth/test.parquet`.

    A pure function of schema, sizes and seed. The folder appears whole or not at all; a former simulation is replaced.

    Args:
        schema: The declaration.
        out: The folder to write.
        impressions: Training facts.
        test_impressions: Test facts. Default: a fifth of the training facts.
        seed: Another one is another truth.

    Raises:
        DataError: The folder holds something else, or the patterns cannot be told apart.
    """
    test_impressions = max(1, impressions // 5) if test_impressions is None else test_impressions
    if min(impressions, test_impressions) < 1:
        raise DataError(f"impressions: got {min(impressions, test_impressions):,}, expected 1 or more. Ask for some rows.")
    out = out.resolve()
    _refuse_foreign(out)
    partial = out.parent / f".{out.name}.{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        written = _write_all(schema, partial, impressions, test_impressions, seed)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Simulated(out, *written)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: got a file, expected a folder or nothing. Name another folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / "truth" / "train.parquet").is_file():
        found = listed(sorted(path.name for path in out.iterdir()), 3)
        raise DataError(f"{out}: got a folder with other files ({found}), expected a former simulation. Name another folder.")


def _write_all(
    schema: FunnelSchema, folder: Path, impressions: int, test_impressions: int, seed: int
) -> tuple[tuple[Path, ...], dict[str, int], dict[str, dict[str, int]]]:
    layout = _layout(schema, folder)
    sizes = {"train": impressions, "validation": max(1, impressions // 10), "test": test_impressions}
    # Splits that read the same files have the same rows.
    owner = {s: next(o for o in sizes if layout.get((FACTS, o)) == layout[FACTS, s]) for s in sizes if (FACTS, s) in layout}
    rows: dict[str, Ints] = {}
    for split, first in owner.items():
        begin = sum(len(rows[other]) for other in rows if owner[other] == other)
        rows[split] = rows[first] if first in rows else np.arange(begin, begin + sizes[split])
    world = _World(schema, seed, impressions, 1 + max(int(positions[-1]) for positions in rows.values()))
    truth, labels = world.label()
    (folder / "truth").mkdir()
    for split in rows.keys() & {"train", "test"}:
        truth[rows[split]].write_parquet(folder / "truth" / f"{split}.parquet")
    for (home, split), paths in layout.items():
        files = schema.files_of(_sources(schema)[home][0])
        frame = _frame(files, world.tables[home])
        if home == FACTS:
            frame = frame[rows[split]]
        elif layout[home, "train"] != layout.get((home, "test"), ()):
            # Validation facts look their dimensions up in the training rows' files.
            frame = frame[world.used(home, [rows[name] for name in rows if (name == "test") == (split == "test")])]
        _write(frame, files, paths)
    positives = {split: {name: int(labels[name][rows[split]].sum()) for name in schema.stage_names} for split in rows}
    found = sorted({path.relative_to(folder) for paths in layout.values() for path in paths})
    return tuple(found), {split: len(positions) for split, positions in rows.items()}, positives


def _sources(schema: FunnelSchema) -> dict[str, list[str]]:
    """The sources of each table: dimensions that read the same files are one."""
    found: dict[str, list[str]] = {FACTS: [FACTS]}
    for dimension in schema.data.dimensions:
        patterns = (*dimension.patterns("train"), "", *dimension.patterns("test"))
        found.setdefault("\n".join(patterns), []).append(dimension.name)
    return found


def _layout(schema: FunnelSchema, folder: Path) -> Layout:
    """Make an empty file for every pattern, and find which ones each table's split will read."""
    patterns: dict[tuple[str, str], tuple[str, ...]] = {}
    for home, (source, *_) in _sources(schema).items():
        files = schema.files_of(source)
        patterns |= {(home, "train"): files.patterns("train"), (home, "test"): files.patterns("test")}
        if not files.patterns("train"):
            raise DataError(f"data: {source!r} declares no train files, expected `train` or `files`. Name them in the schema.")
    if isinstance(held := schema.data.validation, Held):
        patterns[FACTS, "validation"] = (held.files,) if isinstance(held.files, str) else tuple(held.files)
    for pattern in (pattern for several in patterns.values() for pattern in several):
        path = (folder / _named(pattern)).resolve()
        if not path.is_relative_to(folder) or path.is_relative_to(folder / "truth"):
            raise DataError(f"data: got the pattern {pattern!r}, expected one inside the folder and not in `truth`. Change it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    layout = {key: tuple(find_files(folder, several, key[0])) for key, several in patterns.items() if several}
    owner: dict[Path, tuple[str, tuple[Path, ...]]] = {}
    for (home, _), paths in layout.items():
        for path in paths:
            if owner.setdefault(path, (home, paths)) != (home, paths):
                name = str(path.relative_to(folder))
                raise DataError(f"data: two patterns match {name!r}, expected each file to have one use. Make one narrower.")
    return layout


def _named(pattern: str) -> str:
    """A file name that a pattern matches."""

    def one(group: re.Match[str]) -> str:
        return next((c for c in string.digits + string.ascii_letters + "_-." if fnmatchcase(c, group[0])), group[0][1])

    parts = []
    for part in pattern.split("/"):
        plain = re.sub(r"\[!?\]?[^\]]*\]", one, part).replace("?", "0").replace("*", "")
        # A pattern's star does not match the dot of a hidden file.
        parts.append("part" + plain if plain[:1] in ("", ".") and part[:1] == "*" else plain)
    return "/".join(parts)


class _World:
    """All tables, and the effects behind the labels."""

    def __init__(self, schema: FunnelSchema, seed: int, impressions: int, facts: int) -> None:
        self._schema, self._seed, self._impressions = schema, seed, impressions
        homes = _sources(schema)
        sizes = {home: max(4, impressions // (10 * 2**place)) for place, home in enumerate(homes)} | {FACTS: facts}
        self._facts = facts
        self._home = {source: home for home, sources in homes.items() for source in sources}
        self.index: dict[str, Ints] = {}
        keys: dict[str, Columns] = {home: {} for home in homes}
        for column in dict.fromkeys(dimension.key_in_facts for dimension in schema.data.dimensions):
            there = [d for d in schema.data.dimensions if d.key_in_facts == column]
            count = min(sizes[self._home[d.name]] for d in there)
            rng = self._rng("key", column)
            # Some are seen far more often than others, and their keys do not tell.
            picked = rng.permutation(count)[rng.choice(count, facts, p=_zipf(count, 10.0, 0.8))]
            keys[FACTS][column] = _Column(_text(picked + 1), picked, count, key=True)
            for dimension in there:
                home = self._home[dimension.name]
                self.index[dimension.name] = picked
                every = np.arange(sizes[home])
                keys[home][dimension.key] = _Column(_text(every + 1), every, len(every), key=True)
        if isinstance(schema.data.validation, Time):
            keys[FACTS][schema.data.validation.column] = _Column(pl.Series(1_700_000_000 + 10 * np.arange(facts)))
        self.tables = {home: keys[home] | self._table(home, homes[home], sizes[home]) | keys[home] for home in homes}

    def used(self, home: str, facts: list[Ints]) -> Ints:
        """The rows of a dimension that facts use."""
        names = [name for name, own in self._home.items() if own == home]
        return np.unique(np.concatenate([self.index[name][rows] for name in names for rows in facts]))

    def label(self) -> tuple[pl.DataFrame, dict[str, NDArray[np.uint8]]]:
        """The truth, and labels drawn from it along the tree; they become columns of the facts."""
        schema = self._schema
        probabilities: dict[str, Floats] = {}
        labels: dict[str, NDArray[np.uint8]] = {}
        depths: list[int] = []
        for stage, parent, name in zip(schema.stages, schema.parents, schema.conditional_names, strict=True):
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
            above = schema.stages[parent].name if parent >= 0 else ""
            reached = probabilities[above] if above else np.ones(self._facts)
            # Later stages have fewer rows to learn from: they vary less.
            logits = self._effects(stage.name) / np.sqrt(depths[-1])
            conditional = _sigmoid(logits + _intercept(logits, reached, stage.prior or DEFAULT_PRIOR))
            happens = self._rng("label", stage.name).random(len(logits)) < conditional
            probabilities |= {stage.name: reached * conditional, name: conditional}
            labels[stage.name] = (happens & (labels[above] == 1) if above else happens).astype(np.uint8)
            self.tables[FACTS][stage.label] = _Column(pl.Series(labels[stage.name]))
        return pl.DataFrame(probabilities), labels

    def _rng(self, *parts: str) -> np.random.Generator:
        digest = hashlib.blake2b("\x1f".join((self._schema.name, *parts)).encode(), digest_size=8).digest()
        return np.random.default_rng([self._seed, int.from_bytes(digest, "little")])

    def _normals(self, stage: str, what: str, *shape: int) -> Floats:
        """Standard normals of which half the variance is common to all stages."""
        return COMMON * (self._rng("common", what).normal(size=shape) + self._rng("own", what, stage).normal(size=shape))

    def _table(self, home: str, sources: Sequence[str], rows: int) -> Columns:
        features = [feature for source in sources for feature in features_of(self._schema, source)]
        columns: Columns = {}
        for name in dict.fromkeys(feature.column_name for feature in features):
            readers = [feature for feature in features if feature.column_name == name]
            rng = self._rng("column", home, name)
            required = any(feature.missing == "error" for feature in readers)
            numeric = [feature for feature in readers if isinstance(feature, Numeric)]
            bags = [feature for feature in readers if isinstance(feature, Bag)]
            size = min([self._ids(feature) for feature in readers if not isinstance(feature, Numeric)], default=0)
            missing = np.zeros(rows, bool) if required else rng.random(rows) < MISSING_SHARE
            if len(numeric) == len(readers):
                columns[name] = _number(rng, numeric[0], missing)
            elif len(bags) == len(readers):
                # Bags that share a column of weights have to be of the same lengths.
                shape = self._rng("shape", home, bags[0].weights or name)
                columns |= _bag(rng, shape, bags[0], size=size, rows=rows, required=required)
            else:
                # Text of digits: whoever reads the column as a number, or a list of one, can.
                codes = np.where(missing, -1, rng.choice(size, rows, p=_zipf(size, 3.0, 0.9)))
                latent = np.where(missing, 0.0, codes / size) if numeric else None
                columns[name] = _Column(_text(codes + 1, missing), codes, size, latent)
        return columns

    def _ids(self, feature: Categorical | Bag) -> int:
        """How many ids a feature has: as many as it is declared to hold, within reason, or else a few."""
        declared = self._schema.tables.get(feature.table_name, feature)
        few = (8, 16, 32)[int(self._rng("ids", feature.table_name).integers(3))]
        return min(declared.max_rows or declared.buckets or few, max(few, min(MOST_IDS, self._impressions // 100)))

    def _effects(self, stage: str) -> Floats:
        """The logits but for their intercept, of standard deviation 1 unless nothing varies: [facts]."""
        total = np.zeros(self._facts)
        for feature in self._schema.features:
            if isinstance(feature, Cross):
                continue
            source = self._schema.source_of(feature)
            column = self.tables[self._home[source]][feature.column_name]
            scaled = _scaled(self._effect(feature, column, stage)) * _weight(feature, column)
            total += scaled if source == FACTS else scaled[self.index[source]]
        for names in self._pairs():
            total += 0.35 * _scaled(self._interaction(names, stage))
        return _scaled(total)

    def _effect(self, feature: Categorical | Bag | Numeric, column: _Column, stage: str) -> Floats:
        """What a feature adds to a stage's logits: [rows of its source]."""
        if isinstance(feature, Numeric):
            if column.latent is None:
                return np.zeros(column.series.len())
            slope, wave = self._normals(stage, f"number {feature.name}", 2)
            # Gentle enough that few buckets catch most of it.
            return slope * column.latent + 0.5 * wave * np.sin(2 * column.latent)
        if column.codes is None:
            return np.zeros(column.series.len())
        # A missing id, the last one, has no effect.
        effects = np.append(self._normals(stage, f"table {feature.table_name}", column.size), 0.0)[column.codes]
        if column.rows is None or column.weights is None:
            return effects
        weights = column.weights if isinstance(feature, Bag) and feature.weighted else np.ones(len(effects))
        sums = np.bincount(column.rows, weights * effects, minlength=column.series.len())
        return sums / np.maximum(np.bincount(column.rows, weights, minlength=column.series.len()), 1e-9)

    def _pairs(self) -> list[tuple[str, ...]]:
        """The features that act together: those of crosses, or else two pairs of few ids, of different sources first."""
        schema = self._schema
        if crosses := [feature.of for feature in schema.features if isinstance(feature, Cross)]:
            return crosses
        few = [f for f in schema.features if isinstance(f, Categorical) and self._codes(f.name)[1] <= FEW_IDS]
        pairs = sorted(combinations(few, 2), key=lambda pair: schema.source_of(pair[0]) == schema.source_of(pair[1]))
        return [(one.name, other.name) for one, other in pairs[:2]]

    def _codes(self, name: str) -> tuple[Ints, int]:
        """Each fact's id of a categorical feature, and how many there are."""
        feature = self._schema.feature(name)
        source = self._schema.source_of(feature)
        column = self.tables[self._home[source]][feature.column_name]
        codes = np.full(column.series.len(), -1) if column.codes is None or column.rows is not None else column.codes
        return (codes if source == FACTS else codes[self.index[source]]), column.size

    def _interaction(self, names: Sequence[str], stage: str) -> Floats:
        """The product of the ids' latent factors, each of which weighs on a stage in its own way: [facts]."""
        product = np.repeat(self._normals(stage, f"rank {' '.join(names)}", RANK, 1), self._facts, axis=1)
        for name in names:
            codes, size = self._codes(name)
            factors = self._rng("factors", name).normal(size=(RANK, size))
            product *= np.pad(factors, ((0, 0), (0, 1)))[:, codes]
        return product.sum(axis=0)


def _weight(feature: Categorical | Bag | Numeric, column: _Column) -> float:
    """How much of the logits a feature moves: little where there are many ids, each with few rows to learn it from."""
    if column.key:
        return 0.1
    share = 1.0 if isinstance(feature, Numeric) else min(1.0, np.sqrt(FEW_IDS / max(1, column.size)))
    return 0.7 * share if isinstance(feature, Bag) else float(share)


def _zipf(count: int, shift: float, exponent: float) -> Floats:
    weights = (np.arange(count) + shift) ** -exponent
    return weights / weights.sum()


def _scaled(effects: Floats) -> Floats:
    deviation = effects.std()
    return (effects - effects.mean()) / deviation if deviation > 1e-9 else np.zeros_like(effects)


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-logits))


def _intercept(logits: Floats, reached: Floats, rate: float) -> float:
    """What to add to the logits, so that `rate` of the facts that reach the stage pass it."""
    low, high = -40.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.average(_sigmoid(logits + middle), weights=reached) < rate else (low, middle)
    return (low + high) / 2


def _text(values: Ints, missing: NDArray[np.bool_] | None = None) -> pl.Series:
    text = pl.Series(values).cast(pl.String)
    return text if missing is None else text.set(pl.Series(missing), None)


def _number(rng: np.random.Generator, feature: Numeric, missing: NDArray[np.bool_]) -> _Column:
    """Numbers where the transform expects them."""
    latent, transform = rng.normal(size=len(missing)), feature.transform
    bounds = (transform.boundaries or ()) if isinstance(transform, Bucketize) else ()
    declared = [getattr(transform, key, None) for key in ("mean", "std")]
    default = (3.0, 0.8) if isinstance(transform, Log1p) else (0.0, 1.0) if transform.kind == "none" else (40.0, 12.0)
    mean, std = (given if given is not None else usual for given, usual in zip(declared, default, strict=True))
    if bounds:
        mean, std = (bounds[0] + bounds[-1]) / 2, (bounds[-1] - bounds[0]) / 3 or max(1.0, abs(bounds[0]))
    numbers = mean + std * latent
    numbers = np.sign(numbers) * np.expm1(np.abs(numbers)) if isinstance(transform, Log1p) else numbers
    digits = max(2, 3 - int(np.floor(np.log10(std))))
    series = pl.Series(np.round(numbers, min(digits, 12))).set(pl.Series(missing), None)
    return _Column(series, latent=np.where(missing, 0.0, latent))


def _bag(rng: np.random.Generator, shape: np.random.Generator, bag: Bag, *, size: int, rows: int, required: bool) -> Columns:
    """Lists of up to eight ids, and the column of their weights where there is one."""
    missing = np.zeros(rows, bool) if required else shape.random(rows) < MISSING_SHARE
    lengths = np.where(missing, 0, shape.integers(1 if required else 0, 9, rows))
    weights = shape.integers(1, 9, int(lengths.sum())) / 2.0
    codes = rng.choice(size, len(weights), p=_zipf(size, 3.0, 0.9))
    of = np.repeat(np.arange(rows), lengths)
    column = _Column(_listed(_text(codes + 1), lengths, missing), codes, size, None, of, weights, bag.separator)
    if bag.weights is None:
        return {bag.column_name: column}
    return {
        bag.weights: _Column(_listed(pl.Series(weights), lengths, missing), separator=bag.separator),
        bag.column_name: column,
    }


def _listed(values: pl.Series, lengths: Ints, missing: NDArray[np.bool_]) -> pl.Series:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values.to_arrow(), mask=pa.array(missing))
    return pl.Series(pl.from_arrow(lists))


def _frame(files: Source, columns: Columns) -> pl.DataFrame:
    """A table as it is written."""
    if isinstance(files, Parquet):
        return pl.DataFrame({name: column.series for name, column in columns.items()})
    plain = {name: _as_text(column) for name, column in columns.items()}
    rows = len(next(iter(plain.values())))
    if isinstance(files, FeatureList):
        fields = [_entries(files, name, column) for name, column in columns.items() if name not in files.columns]
        texts = fields or [pl.repeat("", rows, eager=True)]
        lists = pl.select(pl.concat_str(*texts, separator=files.entry_separator, ignore_nulls=True)).to_series()
        plain[files.list] = lists
        if files.count is not None:
            plain[files.count] = (lists.str.count_matches(files.entry_separator, literal=True) + (lists != "")).cast(pl.String)
    names = getattr(files, "columns", None) or tuple(plain)
    return pl.DataFrame({name: plain.get(name, pl.repeat("0", rows, eager=True)) for name in names})


def _as_text(column: _Column) -> pl.Series:
    if column.series.dtype != pl.List:
        return column.series.cast(pl.String)
    if column.separator is None:
        return pl.repeat(None, len(column.series), dtype=pl.String, eager=True)
    return column.series.cast(pl.List(pl.String)).list.join(column.separator).replace("", None)


def _entries(files: FeatureList, field: str, column: _Column) -> pl.Series:
    """A field's entries as one text a row, null where it has none."""
    before = field + files.field_separator
    if column.rows is None or column.weights is None or column.codes is None:
        text = _as_text(column)
        return before + text + files.value_separator + (text if column.latent is not None else "1")
    flat = before + _text(column.codes + 1) + files.value_separator + pl.Series(column.weights).cast(pl.String)
    lengths = np.bincount(column.rows, minlength=len(column.series))
    return _listed(flat, lengths, lengths == 0).list.join(files.entry_separator)


def _write(frame: pl.DataFrame, files: Source, paths: Sequence[Path]) -> None:
    """Share rows out among files, in the order in which they will be read."""
    bounds = np.linspace(0, frame.height, len(paths) + 1).astype(int)
    for path, begin, end in zip(paths, bounds[:-1], bounds[1:], strict=True):
        part = frame[begin:end]
        if isinstance(files, Parquet):
            part.write_parquet(path)
            continue
        quote: Literal["never", "necessary"] = "never" if isinstance(files, FeatureList) else "necessary"
        with pa.output_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}.get(path.suffix)) as file:
            header = getattr(files, "columns", None) is None
            part.write_csv(file, separator=files.separator, include_header=header, quote_style=quote)
