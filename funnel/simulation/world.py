"""The simulated world: all tables, and the effects behind the labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.labels import in_space
from funnel.data.wanted import features_of
from funnel.schema.data import FACTS, Time
from funnel.schema.features import Bag, Categorical, Cross, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.ordered import beside, leader_of
from funnel.schema.transforms import Bucketize, Log1p, PiecewiseLinear
from funnel.simulation.clock import clock_of, number_column
from funnel.simulation.column import Column, Columns, Floats, Ints, listed, text
from funnel.simulation.domains import domain_ids
from funnel.simulation.draws import Draws
from funnel.simulation.files import sources

DEFAULT_PRIOR = 0.2
MISSING_SHARE = 0.03
MOST_IDS = 2000
FEW_IDS = 60  # so many ids of one feature are learnt even from the few rows of a late stage
RANK = 3


class World:
    """All tables, and the effects behind the labels.

    Args:
        schema: The declaration.
        draws: Everything is a pure function of this, too.
        impressions: Training facts: the more, the more ids.
        facts: Of all splits.
        selection: How many times the variance of a stage's own effects is that of the effects that all stages have in common.
        later: Facts whose labels are read later than the others'.
    """

    def __init__(
        self, schema: FunnelSchema, draws: Draws, impressions: int, facts: int, *, selection: float, later: Ints
    ) -> None:
        self._schema, self._rng, self._impressions = schema, draws.of, impressions
        own = 1 / (1 + selection)
        self._common, self._own = np.sqrt(2 * (1 - own)), np.sqrt(2 * own)  # both 1 where half of the variance is common
        homes = sources(schema)
        sizes = {home: max(4, impressions // (10 * 2**place)) for place, home in enumerate(homes)} | {FACTS: facts}
        self._facts, self._domains = facts, domain_ids(schema)
        self._home = {source: home for home, sources in homes.items() for source in sources}
        self.index: dict[str, Ints] = {}
        keys: dict[str, Columns] = {home: {} for home in homes}
        for column in dict.fromkeys(dimension.key_in_facts for dimension in schema.data.dimensions):
            there = [d for d in schema.data.dimensions if d.key_in_facts == column]
            count = min(sizes[self._home[d.name]] for d in there)
            rng = self._rng("key", column)
            # Some are seen far more often than others, and their keys do not tell.
            picked = rng.permutation(count)[rng.choice(count, facts, p=_zipf(count, 10.0, 0.8))]
            keys[FACTS][column] = Column(text(picked + 1), picked, count, key=True)
            for dimension in there:
                home = self._home[dimension.name]
                self.index[dimension.name] = picked
                every = np.arange(sizes[home])
                keys[home][dimension.key] = Column(text(every + 1), every, len(every), key=True)
        if isinstance(schema.data.validation, Time):
            keys[FACTS][schema.data.validation.column] = Column(pl.Series(1_700_000_000 + 10 * np.arange(facts)))
        self.clock = clock_of(schema, draws, facts, later)
        keys[FACTS] |= self.clock.columns
        if schema.data.weight is not None:
            keys[FACTS][schema.data.weight] = number_column(np.round(self._rng("weight").uniform(0.5, 2, facts), 4))
        self.tables = {home: keys[home] | self._table(home, homes[home], sizes[home]) | keys[home] for home in homes}

    def used(self, home: str, facts: list[Ints]) -> Ints:
        """The rows of a dimension that facts use."""
        names = [name for name, own in self._home.items() if own == home]
        return np.unique(np.concatenate([self.index[name][rows] for name in names for rows in facts]))

    def label(self) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
        """The truth, and labels drawn from it along the tree: uint8 [facts, stages]."""
        schema = self._schema
        probabilities: dict[str, Floats] = {}
        labels = np.zeros([self._facts, len(schema.stages)], np.uint8)
        conditional: list[Floats] = []
        reached: list[Floats] = []
        depths: list[int] = []
        for position, (stage, place) in enumerate(zip(schema.stages, schema.topology, strict=True)):
            above = reached[place.parent] if place.parent >= 0 else np.ones(self._facts)
            depths.append(1 + (depths[place.parent] if place.parent >= 0 else 0))
            if place.is_join:
                reached.append(np.sum([reached[branch] for branch in place.branches], axis=0))
                conditional.append(reached[-1] / above)
                labels[:, position] = labels[:, place.branches].any(axis=1)
            else:
                for other in place.excluded:
                    above = above * (1 - conditional[other])
                # Later stages have fewer rows to learn from: they vary less.
                logits = self._effects(stage.name) / np.sqrt(depths[-1])
                conditional.append(_sigmoid(logits + _intercept(logits, above, stage.prior or DEFAULT_PRIOR)))
                reached.append(above * conditional[-1])
                happens = self._rng("label", stage.name).random(len(logits)) < conditional[-1]
                labels[:, position] = happens & in_space(labels, place)
            probabilities |= {stage.name: reached[-1], schema.conditional_names[position]: conditional[-1]}
        return pl.DataFrame(probabilities), labels

    def _normals(self, stage: str, what: str, *shape: int) -> Floats:
        """Standard normals of which a share of the variance is common to all stages."""
        common, own = self._rng("common", what).normal(size=shape), self._rng("own", what, stage).normal(size=shape)
        return np.sqrt(0.5) * (self._common * common + self._own * own)

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
            domains = self._domains if any(feature.name == self._schema.domain_feature for feature in readers) else ()
            size = len(domains) or size
            missing = np.zeros(rows, bool) if required else rng.random(rows) < MISSING_SHARE
            if len(numeric) == len(readers):
                columns[name] = _number(rng, numeric[0], missing)
            elif len(bags) == len(readers):
                # Bags that share a column of weights, or say more of one another, have to be of the same lengths.
                leader = leader_of(
                    self._schema, next((one for one in bags if leader_of(self._schema, one) is not one), bags[0])
                )
                shape = self._rng("shape", home, leader.numbers or leader.column_name)
                required = required or any(one.missing == "error" for one in (leader, *beside(self._schema, leader)))
                columns |= _bag(rng, shape, bags, size=size, rows=rows, required=required)
            else:
                # Text of digits: whoever reads the column as a number, or a list of one, can.
                codes = np.where(missing, -1, rng.choice(size, rows, p=_zipf(size, 3.0, 0.9)))
                latent = np.where(missing, 0.0, codes / size) if numeric else None
                series = text(codes + 1, missing)
                if domains:
                    series = pl.Series(domains).gather(pl.Series(codes).clip(0)).set(pl.Series(missing), None)
                columns[name] = Column(series, codes, size, latent)
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

    def _effect(self, feature: Categorical | Bag | Numeric, column: Column, stage: str) -> Floats:
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


def _weight(feature: Categorical | Bag | Numeric, column: Column) -> float:
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


def _number(rng: np.random.Generator, feature: Numeric, missing: NDArray[np.bool_]) -> Column:
    """Numbers where the transform expects them."""
    latent, transform = rng.normal(size=len(missing)), feature.transform
    bounds = (transform.boundaries or ()) if isinstance(transform, Bucketize | PiecewiseLinear) else ()
    declared = [getattr(transform, key, None) for key in ("mean", "std")]
    default = (3.0, 0.8) if isinstance(transform, Log1p) else (0.0, 1.0) if transform.kind == "none" else (40.0, 12.0)
    mean, std = (given if given is not None else usual for given, usual in zip(declared, default, strict=True))
    if bounds:
        mean, std = (bounds[0] + bounds[-1]) / 2, (bounds[-1] - bounds[0]) / 3 or max(1.0, abs(bounds[0]))
    numbers = mean + std * latent
    numbers = np.sign(numbers) * np.expm1(np.abs(numbers)) if isinstance(transform, Log1p) else numbers
    digits = max(2, 3 - int(np.floor(np.log10(std))))
    series = pl.Series(np.round(numbers, min(digits, 12))).set(pl.Series(missing), None)
    return Column(series, latent=np.where(missing, 0.0, latent))


def _bag(
    rng: np.random.Generator, shape: np.random.Generator, bags: Sequence[Bag], *, size: int, rows: int, required: bool
) -> Columns:
    """Lists of up to eight ids, for bags that read one column, and the columns of their weights or times."""
    missing = np.zeros(rows, bool) if required else shape.random(rows) < MISSING_SHARE
    lengths = np.where(missing, 0, shape.integers(1 if required else 0, 9, rows))
    weights = shape.integers(1, 9, int(lengths.sum())) / 2.0
    codes = rng.choice(size, len(weights), p=_zipf(size, 3.0, 0.9))
    of = np.repeat(np.arange(rows), lengths)
    name, separator = bags[0].column_name, bags[0].separator
    numbers = Column(listed(pl.Series(weights), lengths, missing), separator=separator)
    columns = {bag.numbers: numbers for bag in bags if bag.numbers is not None}
    return columns | {name: Column(listed(text(codes + 1), lengths, missing), codes, size, None, of, weights, separator)}
