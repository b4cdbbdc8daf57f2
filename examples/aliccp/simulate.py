"""Write simulated data in the exact raw format of Ali-CCP, with the true probabilities beside them.

    python simulate.py --out data --impressions 1000000

Every random number is a hash of (seed, its name, the row it belongs to). So any row can be made alone and in any order:
memory stays bounded, the same seed gives the same bytes, and the two files of a split agree without either being kept.
"""

import argparse
import gzip
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import polars as pl

# The first id of each field, and how many ids it has: one global id space without overlap, ending at 10,091,378.
# 509 and 702 have fewer ids than there are shops and brands, as in the real data: here some of these share an id.
BLOCKS = {
    "101": (16, 444_836), "109_14": (449_089, 12_223), "110_14": (461_312, 2_977_346), "121": (3_438_658, 97),
    "122": (3_438_755, 13), "124": (3_438_768, 2), "125": (3_438_770, 7), "126": (3_438_777, 3), "127": (3_438_780, 3),
    "127_14": (3_438_783, 426_102), "128": (3_864_885, 2), "129": (3_864_887, 4), "150_14": (3_864_891, 99_226),
    "205": (3_964_117, 4_349_000), "206": (8_313_117, 8_627), "207": (8_321_744, 700_000), "210": (9_021_744, 98_714),
    "216": (9_120_458, 231_207), "301": (9_351_665, 3), "508": (9_351_668, 8_627), "509": (9_360_295, 440_000),
    "702": (9_800_295, 190_000), "853": (9_990_295, 101_084),
}  # fmt: skip
# How often each id of a small field is seen, in the order of the ids.
SHARES = {
    "121": [0.591, *(0.0292 * 0.93 ** np.arange(96))], "124": [0.697, 0.303], "126": [0.317, 0.603, 0.080],
    "122": [0.02, 0.03, 0.04, 0.05, 0.06, 0.131, 0.213, 0.179, 0.126, 0.06, 0.04, 0.031, 0.02],
    "125": [0.010, 0.035, 0.171, 0.293, 0.270, 0.198, 0.023], "127": [0.064, 0.115, 0.821],
    "128": [0.954, 0.046], "129": [0.112, 0.444, 0.246, 0.198], "301": [0.3755, 0.0075, 0.617],
}  # fmt: skip
# The profile fields, and how much each counts in the truth.
PROFILE = {"121": 0.4, "122": 1.0, "124": 1.0, "125": 1.0, "126": 0.7, "127": 0.7, "128": 0.5, "129": 0.7}
PRESENT = {"126": 0.4756, "129": 0.725}  # given a profile; the other six come together
NO_PROFILE, NO_USER, NO_LISTS, NO_BRANDS = 0.1341, 0.0032, 0.0072, 0.0014  # shares of common rows
BRANDED, NO_NODES = 0.7115, 1e-4  # share of the items with a brand, and of the impressions without intention nodes
NO_ITEM = {"train": 79 / 42_300_135, "test": 218 / 43_016_840}  # shares of impressions
BUY_WITHOUT_CLICK = {"train": 230 / 42_300_135, "test": 226 / 43_016_840}
# Impressions per common row: shares of the rows and sizes, for a mean of 57.9.
SIZE_SHARES = [0, 0.012, 0.05, 0.25, 0.5, 0.75, 0.87, 0.9732, 0.9933, 0.9995, 1]
SIZES = [1, 1.5, 4, 20, 42, 72, 100, 200, 300, 500, 900]

# The catalogue is a tree: department > category > brand > shop > item. Lists reach further than the items on show.
DEPARTMENTS = 32
CATEGORIES, LIST_CATEGORIES = 269 * DEPARTMENTS, 381 * DEPARTMENTS
BRANDS, SHOPS, ITEMS = 24, 72, 7  # per category, per category, per shop
NODES = 11  # intention nodes per category
TOP = 3_585  # the greatest count in a list: ln(1 + 3585) = 8.1848
# What is shown comes from one of these lists of the person in so many cases, else from a department by taste.
CAUSES = {"110_14": 0.32, "127_14": 0.315, "150_14": 0.215}


@dataclass(frozen=True)
class ListField:
    """One of the lists of a common row."""

    draws: float  # per common row, before the repeated ones are merged
    things: int  # per category
    reach: float  # of the person's categories, the share that it draws from
    head: tuple[float, float, float, float]  # the shares of the values 1, 2, 3, 4


LISTS = {
    "109_14": ListField(54.0, 1, 1.0, (0.337, 0.128, 0.076, 0.052)),
    "110_14": ListField(187.7, 295, 1.0, (0.566, 0.135, 0.070, 0.042)),
    "127_14": ListField(120.0, 49, 1.0, (0.540, 0.137, 0.070, 0.047)),
    "150_14": ListField(157.0, NODES, 0.27, (0.300, 0.120, 0.080, 0.060)),
}
# The standard deviation that each part of the truth adds to the logit of click, and of buy given click.
WEIGHTS = {
    "user": (0.30, 0.25), "item": (0.45, 0.35), "cross": (0.50, 0.30), "scene": (0.05, 0.10), "taste": (0.35, 0.25),
}  # fmt: skip
ROW_WORK = 40  # a common row is as much work as this many impressions
CHUNK = 60_000  # work done at a time: this bounds the memory
CALIBRATION = 160_000  # work for the sample that sets the scales and the intercepts

# The values by code: 0 is 1.0, then come ln(1 + n), then ln(1 + n / 12), as numbers and as text.
COUNTS = np.arange(1, TOP + 1)
WORTH = np.round(np.concatenate([[1.0], np.log(1 + COUNTS), np.log(np.round(1 + COUNTS / 12, 3))]), 5)
VALUES = pl.Series([repr(float(value)) for value in WORTH])


@dataclass(frozen=True)
class Dice:
    """Random numbers by name: a pure function of the seed, the name and the indices, whatever was drawn before."""

    seed: int

    def bits(self, name: str, *index: np.ndarray) -> np.ndarray:
        """64 random bits for each row of the broadcast indices (splitmix64, once per index)."""
        state = np.full(1, (self.seed * 0x1_0000_0001 + zlib.crc32(name.encode())) & (2**64 - 1), np.uint64)
        for part in index:
            state = state ^ (np.asarray(part).astype(np.uint64) * np.uint64(0xD6E8_FEB8_6659_FD93))
            state = state + np.uint64(0x9E37_79B9_7F4A_7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
            state = state ^ (state >> np.uint64(31))
        return state

    def uniform(self, name: str, *index: np.ndarray) -> np.ndarray:
        """Uniform numbers in [0, 1)."""
        return (self.bits(name, *index) >> np.uint64(11)) * 2.0**-53

    def below(self, name: str, count: int | np.ndarray, power: float, *index: np.ndarray) -> np.ndarray:
        """Integers in [0, count), more of the small ones the greater the power; a power of 1 is uniform."""
        return (self.uniform(name, *index) ** power * count).astype(np.int64)

    def normal(self, name: str, *index: np.ndarray) -> np.ndarray:
        """Standard normal numbers (Box-Muller)."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(name + " radius", *index)))
        return radius * np.cos(2 * np.pi * self.uniform(name + " angle", *index))

    def level(self, field: str, *index: np.ndarray) -> np.ndarray:
        """A value of a small field, as a rank."""
        return np.searchsorted(np.cumsum(SHARES[field])[:-1], self.uniform(field, *index), side="right")

    def spread(self, name: str, count: int, share: float, least: int) -> np.ndarray:
        """Positions of a rare defect: `share` of [0, count), evenly spread, and not fewer than `least`."""
        wanted = np.arange(min(count, max(least, round(count * share))))
        return ((wanted + self.uniform(name, wanted)) * count / max(len(wanted), 1)).astype(np.int64)


@dataclass(frozen=True)
class Split:
    """One of train and test: how many impressions each common row has, and where the rare defects are."""

    name: str
    dice: Dice
    sizes: np.ndarray
    users: tuple[int, int]  # the first user, and how many
    no_user: np.ndarray
    no_item: np.ndarray
    buy_without_click: np.ndarray

    @classmethod
    def plan(cls, name: str, seed: int, impressions: int, per_row: float, known: int = 0) -> "Split":
        """Share the impressions out over common rows. 60 % of the users come from the last of the `known` ones."""
        dice = Dice(seed * 2 + (name == "test") + (1 << 40))
        rows = np.arange(int(impressions / per_row * 1.2) + 1_000)
        sizes = 1 + (np.interp(dice.uniform("size", rows), SIZE_SHARES, SIZES) - 1) * (per_row - 1) / 56.9
        sizes = np.floor(sizes + 0.5).astype(np.int64)
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), impressions)) + 1]
        sizes[-1] -= sizes.sum() - impressions
        count = max(1, round(len(sizes) / 2.2))  # some users get no row: those who do have 2.47
        least = int(impressions >= 5_000)
        return cls(
            name,
            dice,
            sizes,
            users=(max(0, known - int(0.6 * count)), count),
            no_user=dice.spread("no user", len(sizes), NO_USER, least),
            no_item=dice.spread("no item", impressions, NO_ITEM[name], least),
            buy_without_click=dice.spread("buy without click", impressions, BUY_WITHOUT_CLICK[name], least),
        )

    def index(self, rows: np.ndarray) -> np.ndarray:
        """The common_feature_index of rows, as 64 bits."""
        return self.dice.bits("index", rows)

    def common_order(self) -> np.ndarray:
        """Rows in the order of the common file: one alone, then six runs ascending by index."""
        rows = np.argsort(self.dice.bits("order", np.arange(len(self.sizes))), kind="stable")
        runs = [rows[:1], *np.array_split(rows[1:], 6)]
        return np.concatenate([run[np.argsort(self.index(run))] for run in runs])

    def chunks(self, order: np.ndarray, work: int) -> Iterator[tuple[int, np.ndarray]]:
        """Cut rows into pieces of about so much work: the number of impressions before, and the rows."""
        ends = np.cumsum(self.sizes[order] + ROW_WORK)
        start = done = 0
        while start < len(order):
            stop = max(start + 1, int(np.searchsorted(ends, done + work, side="right")))
            yield done - start * ROW_WORK, order[start:stop]
            start, done = stop, int(ends[stop - 1])


@dataclass(frozen=True)
class Bag:
    """The entries of one list field for some rows, sorted by row and rank; the rank says which thing it is."""

    keys: np.ndarray  # row * 2^32 + rank
    code: np.ndarray  # of the value
    offsets: np.ndarray  # where each row begins

    @property
    def owner(self) -> np.ndarray:
        """The row of each entry."""
        return self.keys >> 32

    @property
    def rank(self) -> np.ndarray:
        """The thing of each entry."""
        return self.keys & 0xFFFF_FFFF

    def only(self, rows: np.ndarray) -> "Bag":
        """Empty the lists of all rows but these."""
        kept = rows[self.owner]
        offsets = np.concatenate([[0], np.cumsum(np.where(rows, np.diff(self.offsets), 0))])
        return Bag(self.keys[kept], self.code[kept], offsets)

    def find(self, owner: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """The value codes of things in their rows' lists; 0 where a list does not have them."""
        wanted = (owner << 32) + rank
        place = np.searchsorted(self.keys, wanted)
        return np.where(np.append(self.keys, -1)[place] == wanted, np.append(self.code, 0)[place], 0)

    def pick(self, owner: np.ndarray, *uniforms: np.ndarray) -> np.ndarray:
        """A thing from each row's list: of those picked by uniform numbers the weightiest; -1 if the list is empty."""
        size = np.diff(self.offsets)[owner]
        places = np.stack([self.offsets[owner] + (uniform * size).astype(np.int64) for uniform in uniforms])
        best = np.argmax(np.append(self.code, 0)[places], axis=0)
        return np.where(size > 0, np.append(self.rank, -1)[places[best, np.arange(len(owner))]], -1)


@dataclass(frozen=True)
class People:
    """Some common rows: who it is, what the profile says, and the four lists."""

    user: np.ndarray
    has_user: np.ndarray
    profile: dict[str, np.ndarray]  # ranks, -1 where absent
    favourites: np.ndarray  # departments [rows, 3]
    bags: dict[str, Bag]


@dataclass(frozen=True)
class Impressions:
    """Some skeleton rows: the common row of each, what is shown (ranks, -1 where absent), and how it meets the lists."""

    number: np.ndarray
    owner: np.ndarray
    has_item: np.ndarray
    item: np.ndarray
    category: np.ndarray
    shop: np.ndarray
    brand: np.ndarray
    nodes: np.ndarray  # [rows, 1 + NODES]
    scene: np.ndarray
    cross: dict[str, np.ndarray]  # value codes, 0 where absent


def draw_codes(uniform: np.ndarray, field: str) -> np.ndarray:
    """Value codes of a list field: the documented head, then a power tail."""
    head = np.cumsum(LISTS[field].head)
    tail = 4.5 * ((1 - uniform) / (1 - head[-1])).clip(1e-9, 1) ** -1.25 + 0.5
    counts = np.searchsorted(head, uniform, side="right") + 1
    counts = np.where(uniform < head[-1], counts, np.minimum(tail, TOP)).astype(np.int64)
    return counts + TOP * (field == "150_14")


@dataclass(frozen=True)
class World:
    """What train and test share: people, things, tastes, and what makes a person click and buy."""

    dice: Dice
    scale: float  # of the list lengths

    def taste(self, favourites: np.ndarray, name: str, dice: Dice, *index: np.ndarray) -> np.ndarray:
        """A department by taste: mostly one of three favourites."""
        slot = np.searchsorted([0.42, 0.64, 0.80], dice.uniform(name + " taste", *index), side="right")
        chosen = favourites[np.arange(len(favourites)), np.minimum(slot, 2)]
        return np.where(slot == 3, dice.below(name + " any", DEPARTMENTS, 1.5, *index), chosen)

    def people(self, split: Split, rows: np.ndarray) -> People:
        """Make common rows, in any order."""
        dice, own = self.dice, split.dice
        user = (split.users[0] + own.below("user", split.users[1], 1, rows)) % BLOCKS["101"][1]
        has_user = ~np.isin(rows, split.no_user)
        # A row without a user has a profile and nothing else.
        known = (dice.uniform("profile", user) >= NO_PROFILE) | ~has_user
        profile = {
            field: np.where(known & (dice.uniform("has " + field, user) < PRESENT.get(field, 1)), dice.level(field, user), -1)
            for field in PROFILE
        }
        favourites = np.stack([dice.below(f"favourite {k}", DEPARTMENTS, 1.5, user) for k in range(3)], axis=1)
        bags = self.bags(split, rows, favourites)
        lists = has_user & (own.uniform("no lists", rows) >= NO_LISTS)
        brands = lists & (own.uniform("no brands", rows) >= NO_BRANDS)
        shown = {"109_14": lists, "110_14": lists, "127_14": brands, "150_14": has_user}
        return People(user, has_user, profile, favourites, {field: bag.only(shown[field]) for field, bag in bags.items()})

    def bags(self, split: Split, rows: np.ndarray, favourites: np.ndarray) -> dict[str, Bag]:
        """The four lists of common rows: categories by taste; shops, brands and intention nodes of these categories."""
        dice = split.dice
        # Who has looked at more is shown more: lists are 1.2 times longer per impression than per row.
        busy = np.exp(0.72 * dice.normal("busy", rows).clip(-6, 2.1)) * (split.sizes[rows] / split.sizes.mean()) ** 0.17
        bags: dict[str, Bag] = {}
        for field, like in LISTS.items():
            wanted = np.round(busy * like.draws * self.scale + dice.uniform("length " + field, rows) - 0.5)
            wanted = np.maximum(1, wanted).astype(np.int64)
            owner = np.repeat(np.arange(len(rows)), wanted)
            at = (rows[owner], np.arange(len(owner)) - np.repeat(np.cumsum(wanted) - wanted, wanted))
            if field == "109_14":
                department = self.taste(favourites[owner], field, dice, *at)
                rank = dice.below(field, LIST_CATEGORIES // DEPARTMENTS, 1.7, *at) * DEPARTMENTS + department
            else:
                begin, size = bags["109_14"].offsets[owner], np.diff(bags["109_14"].offsets)[owner]
                place = dice.below("reach", size, 1, at[0]) + dice.below(field + " of", np.ceil(size * like.reach), 1, *at)
                category = bags["109_14"].rank[begin + place % size] % CATEGORIES
                rank = category + CATEGORIES * dice.below(field, like.things, 1 if field == "150_14" else 2.5, *at)
            keys = np.unique((owner << 32) + rank)
            owner, rank = keys >> 32, keys & 0xFFFF_FFFF
            codes = draw_codes(dice.uniform("value " + field, rows[owner], rank), field)
            bags[field] = Bag(keys, codes, np.searchsorted(owner, np.arange(len(rows) + 1)))
        return bags

    def impressions(self, split: Split, first: int, rows: np.ndarray, people: People) -> Impressions:
        """Make the impressions of consecutive common rows; `first` is the number of the first one."""
        dice, own = self.dice, split.dice
        owner = np.repeat(np.arange(len(rows)), split.sizes[rows])
        number = first + np.arange(len(owner))
        has_item = ~np.isin(number, split.no_item)
        category, shop = self.choose(own, number, owner, people)
        item = shop + CATEGORIES * SHOPS * own.below("item", ITEMS, 2.5, number)
        brand = category + CATEGORIES * (shop // CATEGORIES * BRANDS // SHOPS)
        brand = np.where(dice.uniform("branded", item) < BRANDED, brand, -1)
        # An item shows its department's node, its category's first, and each of the others with the same chance.
        chances = dice.bits("nodes", item)[:, None] >> (np.uint64(6) * np.arange(NODES - 1, dtype=np.uint64))
        others = (chances & np.uint64(63)) < round(26 * min(self.scale, 2.4))
        shown = np.hstack([np.ones((len(item), 2), bool), others]) & (own.uniform("nodes", number) >= NO_NODES)[:, None]
        nodes = category[:, None] + CATEGORIES * np.arange(NODES)
        nodes = np.hstack([CATEGORIES * NODES + category[:, None] % DEPARTMENTS, nodes])
        bags = people.bags
        cross = {
            "508": np.where(has_item, bags["109_14"].find(owner, category), 0),
            "509": np.where(has_item, bags["110_14"].find(owner, shop), 0),
            "702": np.where(brand >= 0, bags["127_14"].find(owner, brand), 0),
            "853": np.where(shown, bags["150_14"].find(owner[:, None], nodes), 0),
        }
        nodes = np.where(shown, nodes, -1)
        scene = own.level("301", number)
        return Impressions(number, owner, has_item, item, category, shop, brand, nodes, scene, cross)

    def choose(self, dice: Dice, number: np.ndarray, owner: np.ndarray, people: People) -> tuple[np.ndarray, np.ndarray]:
        """The category and shop shown: of a shop, brand or intention in the lists, or in a department by taste."""
        cause = np.searchsorted(np.cumsum(list(CAUSES.values())), dice.uniform("cause", number), side="right")
        uniforms = dice.uniform("pick one", number), dice.uniform("pick two", number)
        picked = np.select([cause == k for k in range(3)], [people.bags[f].pick(owner, *uniforms) for f in CAUSES], -1)
        department = self.taste(people.favourites[owner], "item", dice, number)
        by_taste = dice.below("item category", CATEGORIES // DEPARTMENTS, 2.5, number) * DEPARTMENTS + department
        category = np.where(picked >= 0, picked % CATEGORIES, by_taste)
        shop, per_brand = dice.below("item shop", SHOPS, 2.5, number), SHOPS // BRANDS
        of_shop = picked // CATEGORIES % SHOPS
        of_brand = picked // CATEGORIES % BRANDS * per_brand + shop % per_brand
        shop = np.select([(picked >= 0) & (cause == 0), (picked >= 0) & (cause == 1)], [of_shop, of_brand], shop)
        return category, category + CATEGORIES * shop

    def parts(self, people: People, shown: Impressions) -> dict[str, np.ndarray]:
        """The parts of both logits, not yet scaled: [rows, 2] for click and for buy given click."""

        def effect(name: str, *index: np.ndarray) -> np.ndarray:
            # Half of what makes people buy is what makes them click: this is what learning both together can use.
            click, buy = self.dice.normal(name + " click", *index), self.dice.normal(name + " buy", *index)
            return np.where(np.min(index, axis=0) < 0, 0.0, np.stack([click, 0.7 * click + 0.7 * buy])).T

        user = sum(weight * effect(field, people.profile[field]) for field, weight in PROFILE.items())
        user = user + 0.5 * effect("101", people.user)
        department = shown.category % DEPARTMENTS
        item = effect("department", department) + 0.5 * effect("206", shown.category)
        item = item + 0.3 * effect("207", shown.shop) + 0.3 * effect("216", shown.brand) + 0.2 * effect("205", shown.item)
        strength = {name: np.where(code > 0, 0.5 + WORTH[code], 0).clip(0, 4.5) for name, code in shown.cross.items()}
        cross = 0.5 * strength["508"] + 0.8 * strength["509"] + 0.7 * strength["702"]
        cross = cross + 0.6 * strength["853"].max(axis=1)
        taste = 0.8 * (department[:, None] == people.favourites[shown.owner]).any(axis=1)[:, None]
        for field in ("124", "125"):
            taste = taste + effect(field + " and department", people.profile[field][shown.owner], department)
        return {
            "user": user[shown.owner], "item": item, "cross": np.stack([cross, cross], axis=1),
            "scene": effect("301", shown.scene), "taste": taste,
        }  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """The parts of the world, scaled so that every seed is about as hard, and moved so that the rates come out."""

    mean: dict[str, np.ndarray]
    scale: dict[str, np.ndarray]
    bias: np.ndarray

    @classmethod
    def calibrate(cls, parts: dict[str, np.ndarray], click_rate: float, buy_rate: float) -> "Truth":
        """Fit to the parts of a sample of impressions."""
        mean = {name: part.mean(axis=0) for name, part in parts.items()}
        scale = {name: np.array(WEIGHTS[name]) / part.std(axis=0) for name, part in parts.items()}
        logits = cls(mean, scale, np.zeros(2)).logits(parts)
        click = solve(logits[:, 0], np.ones(len(logits)), click_rate)
        buy = solve(logits[:, 1], sigmoid(logits[:, 0] + click), buy_rate)
        return cls(mean, scale, np.array([click, buy]))

    def logits(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """The logits of click, and of buy given click: [rows, 2]."""
        return self.bias + sum((part - self.mean[name]) * self.scale[name] for name, part in parts.items())


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-logit))


def solve(logit: np.ndarray, weight: np.ndarray, rate: float) -> float:
    """The intercept that makes the weighted mean probability equal the rate (bisection)."""
    low, high = -60.0, 60.0
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if np.average(sigmoid(logit + middle), weights=weight) < rate else (low, middle)
    return low


# One field of some rows: its name, the row of each entry (ascending), the ranks, and the value codes.
Column = tuple[str, np.ndarray, np.ndarray, np.ndarray]


def column(field: str, rank: np.ndarray, present: np.ndarray, code: np.ndarray | None = None) -> Column:
    """A field given by row, or by row and place; without codes its values are 1.0."""
    code = np.zeros_like(rank) if code is None else code
    return field, np.nonzero(present)[0], rank[present], code[present]


def common_columns(people: People) -> list[Column]:
    """The fields of common rows."""
    columns = [column("101", people.user, people.has_user)]
    columns += [column(field, rank, rank >= 0) for field, rank in people.profile.items()]
    return columns + [(field, bag.owner, bag.rank, bag.code) for field, bag in people.bags.items()]


def skeleton_columns(shown: Impressions) -> list[Column]:
    """The fields of skeleton rows."""
    met = {"508": shown.category, "509": shown.shop, "702": shown.brand, "853": shown.nodes}
    return [
        column("205", shown.item, shown.has_item),
        column("206", shown.category, shown.has_item),
        column("207", shown.shop, shown.has_item),
        column("210", shown.nodes, shown.nodes >= 0),
        column("216", shown.brand, shown.brand >= 0),
        column("301", shown.scene, shown.scene >= 0),
        *[column(field, rank, shown.cross[field] > 0, shown.cross[field]) for field, rank in met.items()],
    ]


def feature_ids(field: str, rank: np.ndarray) -> np.ndarray:
    """Global ids. In the large fields the popular ones are scattered over the block (7,368,787 is prime)."""
    first, count = BLOCKS[field]
    return first + (rank if field in SHARES else rank * 7_368_787 % count)


def lines(heads: pl.Series, columns: list[Column], order_bits: np.ndarray) -> bytes:
    """The text of some rows: `head,feature_num,feature_list`, the fields in an order of their own in each row.

    Args:
        heads: What comes before feature_num, one per row.
        columns: The fields.
        order_bits: Random numbers [rows, fields] that say in which order the fields come.
    """
    counts = np.stack([np.bincount(owner, minlength=len(heads)) for _, owner, _, _ in columns], axis=1)
    order = np.argsort(order_bits, axis=1, kind="stable")
    sizes = np.take_along_axis(counts, order, axis=1)
    begins = np.empty_like(counts)  # where the entries of each row and field begin
    np.put_along_axis(begins, order, (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape), axis=1)
    total = counts.sum(axis=1)
    ids, field, code = (np.empty(total.sum(), np.int64) for _ in range(3))
    for k, (name, owner, rank, codes) in enumerate(columns):
        earlier = np.cumsum(counts[:, k]) - counts[:, k]
        place = begins[owner, k] + np.arange(len(owner)) - earlier[owner]
        ids[place], field[place], code[place] = feature_ids(name, rank), k, codes
    # A line break and a head open the first entry of a row, byte 1 opens the others: the text is one join of entries.
    opening = np.zeros(len(ids), np.int64)
    opening[np.cumsum(total) - total] = np.arange(1, len(heads) + 1)
    row = pl.select(pl.concat_str(pl.lit("\n"), heads, pl.lit(","), pl.Series(total), pl.lit(","))).to_series()
    openings = pl.concat([pl.Series(["\x01"]), row]).gather(opening)
    names = pl.Series([name + "\x02" for name, *_ in columns]).gather(field)
    entries = pl.concat_str(openings, names, pl.Series(ids), pl.lit("\x03"), VALUES.gather(code))
    return (pl.select(entries.str.join("")).item()[1:] + "\n").encode()


def hexadecimal(index: np.ndarray) -> pl.Series:
    """16 lower-case digits per index."""
    text = index.astype(">u8").tobytes().hex()
    return pl.Series([text[k : k + 16] for k in range(0, len(text), 16)])


def create(path: Path, *, compress: bool) -> BinaryIO | gzip.GzipFile:
    """Open a file for bytes; compressed, it holds no time, so that equal seeds give equal bytes."""
    return gzip.GzipFile(f"{path}.gz", "wb", compresslevel=6, mtime=0) if compress else path.open("wb")


def write_split(world: World, truth: Truth, split: Split, folder: Path, *, compress: bool) -> str:
    """Write the files of a split, and say what is in them."""
    fields = np.arange(len(BLOCKS))
    with create(folder / f"common_features_{split.name}.csv", compress=compress) as file:
        for _, rows in split.chunks(split.common_order(), CHUNK):
            columns = common_columns(world.people(split, rows))
            order_bits = split.dice.bits("common fields", rows[:, None], fields[None, : len(columns)])
            file.write(lines(hexadecimal(split.index(rows)), columns, order_bits))
    impressions, clicks, buys = int(split.sizes.sum()), 0, 0
    parts: list[Path] = []  # of the truth: parquet files to be joined, since all rows at once may be too many
    with create(folder / f"sample_skeleton_{split.name}.csv", compress=compress) as file:
        for first, rows in split.chunks(np.arange(len(split.sizes)), CHUNK):
            people = world.people(split, rows)
            shown = world.impressions(split, first, rows, people)
            chance = sigmoid(truth.logits(world.parts(people, shown)))
            defect = np.isin(shown.number, split.buy_without_click)
            click = (split.dice.uniform("click", shown.number) < chance[:, 0]) & ~defect
            buy = click & (split.dice.uniform("buy", shown.number) < chance[:, 1])
            clicks, buys = clicks + int(click.sum()), buys + int(buy.sum())
            labels = [pl.Series(x.astype(np.int64)) for x in (shown.number + 1, click, buy | defect)]
            index = hexadecimal(split.index(rows)).gather(shown.owner)
            heads = pl.select(pl.concat_str(*labels, index, separator=",")).to_series()
            columns = skeleton_columns(shown)
            order_bits = split.dice.bits("skeleton fields", shown.number[:, None], fields[None, : len(columns)])
            file.write(lines(heads, columns, order_bits))
            frame = {"sample_id": shown.number + 1, "click": chance[:, 0], "buy_given_click": chance[:, 1]}
            parts.append(folder / "truth" / f"{split.name}-{len(parts):06d}.parquet")
            pl.DataFrame(frame | {"buy": chance.prod(axis=1)}).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(folder / "truth" / f"{split.name}.parquet", row_group_size=1 << 18)
    for part in parts:
        part.unlink()
    return (
        f"{split.name}: {impressions:,} impressions in {len(split.sizes):,} common rows; "
        f"{clicks:,} clicks ({clicks / impressions:.4%}), {buys:,} buys ({buys / max(clicks, 1):.4%} of clicks)"
    )


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with 2."""
        self.exit(2, f"simulate.py: {message}. See --help.\n")


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """A flag's type: a number from low to high."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a {what} from {low} to {high}")
        return value

    return parse


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags, and refuse to write over files that this script did not make."""
    parser = Parser(description="Write simulated data in the raw format of Ali-CCP, and their truth.")
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder for the data, their truth and a README.txt")
    flag("--impressions", type=number(int, 1, 10**9), default=100_000, help="of train (%(default)s)")
    flag("--test-impressions", type=number(int, 1, 10**9), help="of test (a quarter of train)")
    flag("--seed", type=number(int, 0, 2**31), default=0, help="(%(default)s)")
    flag("--list-scale", type=number(float, 1e-3, 5), default=1.0, help="times the real list lengths (%(default)s)")
    flag("--click-rate", type=number(float, 1e-4, 0.9), default=0.038871, help="clicks per impression (%(default)s)")
    flag("--buy-rate", type=number(float, 1e-4, 0.9), default=0.005353, help="buys per click (%(default)s)")
    flag("--impressions-per-row", type=number(float, 1, 1e5), default=57.9, help="per train common row (%(default)s)")
    flag("--gzip", action="store_true", help="write .csv.gz")
    flags = parser.parse_args(argv)
    flags.test_impressions = flags.test_impressions or max(1, flags.impressions // 4)
    if flags.out.exists() and not flags.out.is_dir():
        parser.error(f"argument --out: {flags.out} is a file, expected a folder")
    there = earlier(flags.out)
    if there and not (there[-1].name == "README.txt" and there[-1].read_bytes().startswith(b"SIMULATED")):
        parser.error(f"argument --out: {there[0]} was not made here; choose another folder")
    return flags


def earlier(folder: Path) -> list[Path]:
    """The files of an earlier run, compressed or not: a reader would take both. README.txt comes last."""
    patterns = ("common_features_*.csv*", "sample_skeleton_*.csv*", "truth/t*.parquet", "README.txt")
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def main(argv: list[str] | None = None) -> None:
    """Make the data set in a temporary folder, and move it into place when it is whole."""
    flags = parse(argv)
    begun = time.perf_counter()
    per_row = flags.impressions_per_row
    world = World(Dice(flags.seed * 2), flags.list_scale)
    # The truth does not depend on how many impressions are asked for. Its sample needs more than one or two common rows.
    sample = Split.plan("train", flags.seed, CALIBRATION, min(per_row, 57.9))
    _, rows = next(sample.chunks(np.arange(len(sample.sizes)), CALIBRATION))
    people = world.people(sample, rows)
    parts = world.parts(people, world.impressions(sample, 0, rows, people))
    truth = Truth.calibrate(parts, flags.click_rate, flags.buy_rate)
    train = Split.plan("train", flags.seed, flags.impressions, per_row)
    # A test row has fewer impressions than a train row: 48.65 against 57.90.
    test = Split.plan("test", flags.seed, flags.test_impressions, max(1.0, per_row * 48.65 / 57.90), train.users[1])
    flags.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".simulating-", dir=flags.out) as name:
        folder = Path(name)
        (folder / "truth").mkdir()
        report = [write_split(world, truth, split, folder, compress=flags.gzip) for split in (train, test)]
        (folder / "README.txt").write_text(readme(flags, report), encoding="utf-8", newline="\n")
        for path in earlier(flags.out):
            path.unlink()
        (flags.out / "truth").mkdir(exist_ok=True)
        for path in earlier(folder):
            report.append(f"{flags.out / path.relative_to(folder)}: {path.stat().st_size:,} bytes")
            path.replace(flags.out / path.relative_to(folder))
    seconds = time.perf_counter() - begun
    print(*report, f"{seconds:.1f} s, {(flags.impressions + flags.test_impressions) / seconds:,.0f} impressions/s", sep="\n")


def readme(flags: argparse.Namespace, report: list[str]) -> str:
    """What the data are, and how to make them again."""
    given = [f"--{name.replace('_', '-')} {value}" for name, value in vars(flags).items() if name not in ("out", "gzip")]
    command = " ".join(["python examples/aliccp/simulate.py --out FOLDER", *given, *["--gzip"] * flags.gzip])
    return "\n".join(
        [
            "SIMULATED data in the raw format of Ali-CCP. They hold nothing of the real data: no person, no item, no click.",
            "The folder truth has the probabilities that the labels were drawn with, one row per line of the skeleton file.",
            "",
            "Made from the root of the repository with",
            f"    {command}",
            "",
            *report,
            "",
        ]
    )


if __name__ == "__main__":
    main()
