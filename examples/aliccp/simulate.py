"""Write a synthetic data set in the exact raw format of Ali-CCP, with the true probabilities beside it.

    python simulate.py --out data --impressions 1000000

Every random number is a hash of (seed, its name, the row it belongs to). So any row can be made alone and in any order: memory
stays bounded, the same seed gives the same bytes, and the two files of a split agree without either being kept.
"""

import argparse
import gzip
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

# The first id of each field, and how many ids it has: one global id space without overlap, ending at 10,091,378.
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
PROFILE = ["121", "122", "124", "125", "126", "127", "128", "129"]
PRESENT = {"126": 0.4756, "129": 0.725}  # given a profile; the other six come together
NO_PROFILE, NO_USER, NO_LISTS, NO_BRANDS, NO_NODES = 0.1341, 0.0032, 0.0072, 0.0014, 0.0002  # shares of common rows
NO_ITEM = {"train": 79 / 42_300_135, "test": 218 / 43_016_840}  # shares of impressions
BUY_WITHOUT_CLICK = {"train": 230 / 42_300_135, "test": 226 / 43_016_840}
# Draws per common row, before the repeated ones are merged, and how the shares of the values 1, 2, 3, 4 begin.
DRAWS = {"109_14": 82.0, "110_14": 272.0, "127_14": 174.0, "150_14": 220.0}
HEADS = {
    "109_14": [0.337, 0.128, 0.076, 0.052], "110_14": [0.566, 0.135, 0.070, 0.042],
    "127_14": [0.540, 0.137, 0.070, 0.047], "150_14": [0.300, 0.120, 0.080, 0.060],
}  # fmt: skip
# Impressions per common row: shares of the rows and sizes, for a mean of 57.9.
SIZE_SHARES = [0, 0.012, 0.05, 0.25, 0.5, 0.75, 0.87, 0.9732, 0.9933, 0.9995, 1]
SIZES = [1, 1.5, 4, 20, 42, 72, 100, 200, 300, 500, 900]

# The catalogue is a tree: department > category > brand > shop > item. Lists reach further than the items on show.
DEPARTMENTS, CATEGORIES, LIST_CATEGORIES = 32, 269 * 32, 381 * 32
BRANDS, SHOPS, ITEMS = 24, 72, 7  # per category, per category, per shop
LIST_BRANDS, LIST_SHOPS, NODES = 49, 295, 11  # per category
CAUSES = (0.31, 0.57, 0.77, 0.77)  # why something is shown: a shop, a brand, an intention, a category of the lists, up to here
RANK = 4  # of the interaction of user and department
TOP = 3_585  # the greatest count in a list; ln(1 + 3585) = 8.1848
# Standard deviation that each part of the truth adds to the logit, for click and for buy given click.
WEIGHTS = {"user": (0.30, 0.42), "item": (0.40, 0.50), "cross": (0.50, 0.55), "scene": (0.05, 0.10), "taste": (0.38, 0.40)}
CHUNK = 40_000  # impressions made at a time
CALIBRATION = 200_000  # impressions that set the intercepts
MASK, ODD = 0xFFFF_FFFF, 0x9E37_79B1
INVERSE = pow(ODD, -1, 1 << 32)


def value_table() -> pl.Series:
    """The text of all values: code 0 is 1.0, then ln(1 + n), then ln(1 + n / 12); at most five decimals, shortest form."""
    n = np.arange(1, TOP + 1)
    logs = np.concatenate([[1.0], np.log(1 + n), np.log(np.round(1 + n / 12, 3))])
    return pl.Series([repr(float(value)) for value in np.round(logs, 5)])


VALUES = value_table()
WORTH = VALUES.cast(pl.Float64).to_numpy()


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

    def spread(self, name: str, count: int, share: float, least: int) -> np.ndarray:
        """Positions of a rare defect: `share` of [0, count), evenly spread, and not fewer than `least`."""
        wanted = min(count, max(least, round(count * share)))
        return ((np.arange(wanted) + self.uniform(name, np.arange(wanted))) * count / max(wanted, 1)).astype(np.int64)


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
        rows = np.arange(int(impressions / per_row * 1.2) + 1_000 if per_row > 1 else impressions)
        sizes = 1 + (np.interp(dice.uniform("size", rows), SIZE_SHARES, SIZES) - 1) * (per_row - 1) / 56.9
        sizes = np.floor(sizes + 0.5).astype(np.int64)
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), impressions)) + 1]
        sizes[-1] -= sizes.sum() - impressions
        count = max(1, round(len(sizes) / 2.2))  # some users get no row: those who do have 2.47
        least = int(impressions >= 5_000)
        return cls(
            name, dice, sizes, (max(0, known - int(0.6 * count)), count),
            no_user=dice.spread("no user", len(sizes), NO_USER, least),
            no_item=dice.spread("no item", impressions, NO_ITEM[name], least),
            buy_without_click=dice.spread("buy without click", impressions, BUY_WITHOUT_CLICK[name], least),
        )  # fmt: skip

    def index(self, rows: np.ndarray) -> np.ndarray:
        """The common_feature_index of rows, as 64 bits."""
        return self.dice.bits("index", rows)

    def common_order(self) -> np.ndarray:
        """Rows in the order of the common file: one alone, then six runs ascending by index."""
        rows = np.argsort(self.dice.bits("order", np.arange(len(self.sizes))), kind="stable")
        runs = [rows[:1], *np.array_split(rows[1:], 6)]
        return np.concatenate([run[np.argsort(self.index(run))] for run in runs])


@dataclass(frozen=True)
class Bag:
    """The entries of one list field for some rows: sorted by key, which finds them again; a rank names a thing."""

    keys: np.ndarray
    salt: np.ndarray  # per row: makes the order of the entries differ from row to row
    offsets: np.ndarray
    rank: np.ndarray
    code: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """The row of each entry."""
        return (self.keys >> np.uint64(32)).astype(np.int64)

    def find(self, owner: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """The value code of things in their rows' lists; 0 where a list does not have them."""
        if not len(self.keys):
            return np.zeros(len(rank), np.int64)
        keys = pack(owner, rank, self.salt)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.code[place], 0)

    def pick(self, owner: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """A thing from each row's list: the weightier of two picked by uniform numbers; -1 where the list is empty."""
        size = np.diff(self.offsets)[owner]
        if not len(self.keys):
            return np.full(len(owner), -1)
        one, two = (np.minimum(self.offsets[owner] + (u * size).astype(np.int64), len(self.keys) - 1) for u in (first, second))
        return np.where(size > 0, self.rank[np.where(self.code[one] >= self.code[two], one, two)], -1)


def pack(owner: np.ndarray, rank: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """One sortable key for (row, thing). Within a row it is a bijection that looks random."""
    return (owner.astype(np.uint64) << np.uint64(32)) | ((rank.astype(np.uint64) * np.uint64(ODD)) & np.uint64(MASK)) ^ salt[owner]


@dataclass(frozen=True)
class Snapshot:
    """Some common rows: who it is, what the profile says, and the four lists."""

    user: np.ndarray
    has_user: np.ndarray
    profile: dict[str, np.ndarray]  # -1 where absent
    favourites: np.ndarray  # departments [rows, 3]
    bags: dict[str, Bag]


@dataclass(frozen=True)
class Impressions:
    """Some skeleton rows: the common row of each, what is shown, and how it meets the lists (codes, 0 is absent)."""

    number: np.ndarray
    owner: np.ndarray
    item: np.ndarray
    shop: np.ndarray
    brand: np.ndarray  # -1 where absent
    category: np.ndarray
    scene: np.ndarray
    nodes: np.ndarray  # [rows, NODES + 1], -1 where absent
    cross: dict[str, np.ndarray]
    has_item: np.ndarray


def draw_code(uniform: np.ndarray, field: str) -> np.ndarray:
    """Value codes of a list field: the documented head, then a power tail."""
    head = np.cumsum(HEADS[field])
    tail = 4.5 * ((1 - uniform) / (1 - head[-1])).clip(1e-9, 1) ** -1.25 + 0.5
    n = np.where(uniform < head[-1], np.searchsorted(head, uniform, side="right") + 1, np.minimum(tail, TOP)).astype(np.int64)
    return n + TOP * (field == "150_14")


@dataclass(frozen=True)
class World:
    """What train and test share: people, things, tastes, and the truth about both."""

    seed: int
    scale: float

    @property
    def dice(self) -> Dice:
        """The dice of everything that does not belong to one split."""
        return Dice(self.seed * 2)

    def department(self, favourites: np.ndarray, name: str, dice: Dice, *index: np.ndarray) -> np.ndarray:
        """A department by taste: mostly one of three favourites."""
        u = dice.uniform(name + " taste", *index)
        slot = np.searchsorted([0.42, 0.64, 0.80], u, side="right")
        chosen = np.take_along_axis(favourites, np.minimum(slot, 2)[:, None], axis=1)[:, 0]
        return np.where(slot == 3, dice.below(name + " any", DEPARTMENTS, 1.5, *index), chosen)

    def snapshot(self, split: Split, rows: np.ndarray) -> Snapshot:
        """Make common rows, in any order."""
        dice, own = self.dice, split.dice
        pool = BLOCKS["101"][1]
        user = (split.users[0] + own.below("user", split.users[1], 1, rows)) % pool
        has_user = ~np.isin(rows, split.no_user)
        known = (dice.uniform("profile", user) >= NO_PROFILE) | ~has_user
        profile = {}
        for field in PROFILE:
            value = np.searchsorted(np.cumsum(SHARES[field])[:-1], dice.uniform(field, user), side="right")
            profile[field] = np.where(known & (dice.uniform("has " + field, user) < PRESENT.get(field, 1)), value, -1)
        favourites = np.stack([dice.below(f"favourite {k}", DEPARTMENTS, 1.5, user) for k in range(3)], axis=1)
        bags = self.bags(split, rows, favourites)
        lists = has_user & (own.uniform("no lists", rows) >= NO_LISTS)
        shown = {
            "109_14": lists, "110_14": lists, "127_14": lists & (own.uniform("no brands", rows) >= NO_BRANDS),
            "150_14": has_user & (own.uniform("no nodes", rows) >= NO_NODES),
        }  # fmt: skip
        return Snapshot(user, has_user, profile, favourites, {field: keep(bags[field], shown[field]) for field in bags})

    def bags(self, split: Split, rows: np.ndarray, favourites: np.ndarray) -> dict[str, Bag]:
        """The four lists of common rows: categories by taste; shops, brands and intention nodes of these categories."""
        dice = split.dice
        salt = dice.bits("salt", rows) & np.uint64(MASK)
        # The more a person has looked at, the more impressions there are: lists are 1.2 x longer per impression than per row.
        busy = np.exp(0.72 * dice.normal("busy", rows).clip(-6, 2.1)) * (split.sizes[rows] / split.sizes.mean()) ** 0.17
        bags: dict[str, Bag] = {}
        for field, mean in DRAWS.items():
            wanted = np.maximum(1, np.round(busy * mean * self.scale * 0.69 + dice.uniform("length " + field, rows) - 0.5))
            owner = np.repeat(np.arange(len(rows)), wanted.astype(np.int64))
            slot = np.arange(len(owner)) - np.repeat(np.cumsum(wanted) - wanted, wanted.astype(np.int64)).astype(np.int64)
            at = (rows[owner], slot)
            if field == "109_14":
                department = self.department(favourites[owner], field, dice, *at)
                rank = dice.below(field, LIST_CATEGORIES // DEPARTMENTS, 2.5, *at) * DEPARTMENTS + department
            else:
                source = bags["109_14"]
                share = 0.30 if field == "150_14" else 1.0  # nodes come in clusters, from some of the categories
                size = np.ceil(np.diff(source.offsets) * share)[owner]
                category = source.rank[source.offsets[owner] + dice.below(field + " of", size, 1, *at)] % CATEGORIES
                if field == "150_14":
                    rank = DEPARTMENTS + category + CATEGORIES * dice.below(field, NODES, 1, *at)
                else:
                    rank = category + CATEGORIES * dice.below(field, LIST_SHOPS if field == "110_14" else LIST_BRANDS, 2.5, *at)
            bags[field] = make_bag(split, rows, field, owner, rank, salt)
        return bags

    def impressions(self, split: Split, first: int, rows: np.ndarray, people: Snapshot) -> Impressions:
        """Make the impressions of consecutive common rows; `first` is the number of the first one."""
        dice, own = self.dice, split.dice
        owner = np.repeat(np.arange(len(rows)), split.sizes[rows])
        number = first + np.arange(len(owner))
        category, shop = self.choose(own, number, owner, people)
        item = shop + CATEGORIES * SHOPS * own.below("item", ITEMS, 2.5, number)
        brand = category + CATEGORIES * (shop // CATEGORIES // (SHOPS // BRANDS))
        brand = np.where(dice.uniform("branded", item) < 0.7115, brand, -1)
        has_item = ~np.isin(number, split.no_item)
        # An item shows its department's node, its category's, and each of ten more with the same chance.
        extra = (dice.bits("nodes", item)[:, None] >> (np.uint64(6) * np.arange(NODES - 1, dtype=np.uint64))) & np.uint64(63)
        extra = extra < round(26 * min(self.scale, 2.4))
        shown = np.concatenate([np.ones((len(item), 2), bool), extra], axis=1) & (own.uniform("no nodes shown", number) >= 1e-4)[:, None]
        nodes = np.concatenate(
            [(category % DEPARTMENTS)[:, None], DEPARTMENTS + category[:, None] + CATEGORIES * np.arange(NODES)], axis=1
        )
        nodes = np.where(shown, nodes, -1)
        bags = people.bags
        cross = {
            "508": np.where(has_item, bags["109_14"].find(owner, category), 0),
            "509": np.where(has_item, bags["110_14"].find(owner, shop), 0),
            "702": np.where(brand >= 0, bags["127_14"].find(owner, brand.clip(0)), 0),
            "853": np.where(shown, bags["150_14"].find(np.repeat(owner, NODES + 1), nodes.clip(0).ravel()).reshape(nodes.shape), 0),
        }  # fmt: skip
        scene = np.searchsorted(np.cumsum(SHARES["301"])[:-1], own.uniform("301", number), side="right")
        return Impressions(number, owner, item, shop, brand, category, scene, nodes, cross, has_item)

    def choose(self, dice: Dice, number: np.ndarray, owner: np.ndarray, people: Snapshot) -> tuple[np.ndarray, np.ndarray]:
        """What is shown: something of a shop, brand, intention or category of the lists, or of a department by taste."""
        first, second = dice.uniform("pick one", number), dice.uniform("pick two", number)
        shop, brand, node, category = (people.bags[f].pick(owner, first, second) for f in ("110_14", "127_14", "150_14", "109_14"))
        department = self.department(people.favourites[owner], "item", dice, number)
        by_taste = dice.below("item category", CATEGORIES // DEPARTMENTS, 2.5, number) * DEPARTMENTS + department
        within = dice.below("item shop", SHOPS, 2.5, number)
        cause = dice.uniform("cause", number)
        cases = [
            (cause < CAUSES[0]) & (shop >= 0), (cause >= CAUSES[0]) & (cause < CAUSES[1]) & (brand >= 0),
            (cause >= CAUSES[1]) & (cause < CAUSES[2]) & (node >= 0), (cause >= CAUSES[2]) & (cause < CAUSES[3]) & (category >= 0),
        ]  # fmt: skip
        per_brand = SHOPS // BRANDS
        category = np.select(
            cases, [shop % CATEGORIES, brand % CATEGORIES, (node - DEPARTMENTS) % CATEGORIES, category % CATEGORIES], by_taste
        )
        by_brand = brand // CATEGORIES % BRANDS * per_brand + within % per_brand
        return category, category + CATEGORIES * np.select(cases[:2], [shop // CATEGORIES % SHOPS, by_brand], within)

    def parts(self, people: Snapshot, shown: Impressions) -> dict[str, np.ndarray]:
        """The parts of both logits, not yet scaled: [rows, 2] for click and for buy given click."""

        def effect(name: str, index: np.ndarray) -> np.ndarray:
            # Half of what makes people buy is what makes them click: this is what learning both together can use.
            click, buy = self.dice.normal(name + " click", index), self.dice.normal(name + " buy", index)
            return np.where(index < 0, 0.0, np.stack([click, 0.7 * click + 0.7 * buy])).T

        user = sum(weight * effect(f, people.profile[f]) for f, weight in zip(PROFILE, (0.4, 1, 1, 1, 0.7, 0.7, 0.5, 0.7), strict=True))
        user = user + 0.5 * effect("101", people.user)
        department = shown.category % DEPARTMENTS
        item = effect("department", department) + 0.5 * effect("206", shown.category) + 0.3 * effect("207", shown.shop)
        item = item + 0.3 * effect("216", shown.brand) + 0.2 * effect("205", shown.item)
        strength = {field: np.minimum(np.where(code > 0, 0.5 + WORTH[code], 0), 4.5) for field, code in shown.cross.items()}
        cross = 0.5 * strength["508"] + 0.8 * strength["509"] + 0.7 * strength["702"] + 0.6 * strength["853"].max(axis=1)
        likes = np.stack([self.dice.normal(f"latent {k}", np.arange(DEPARTMENTS)) for k in range(RANK)], axis=1)
        taste = likes[people.favourites].sum(axis=1)
        for field in ("124", "125"):
            taste = taste + np.stack([effect(f"{field} latent {k}", people.profile[field])[:, 0] for k in range(RANK)], axis=1)
        taste = np.einsum("nk,nk->n", taste[shown.owner], likes[department])
        both = {"cross": cross, "taste": taste}
        return {"user": user[shown.owner], "item": item, "scene": effect("301", shown.scene)} | {
            name: np.stack([part, part], axis=1) for name, part in both.items()
        }


def make_bag(split: Split, rows: np.ndarray, field: str, owner: np.ndarray, rank: np.ndarray, salt: np.ndarray) -> Bag:
    """Merge repeated things, and give each a value."""
    keys = np.sort(pack(owner, rank, salt))
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    owner = (keys >> np.uint64(32)).astype(np.int64)
    rank = ((((keys & np.uint64(MASK)) ^ salt[owner]) * np.uint64(INVERSE)) & np.uint64(MASK)).astype(np.int64)
    offsets = np.searchsorted(owner, np.arange(len(rows) + 1))
    return Bag(keys, salt, offsets, rank, draw_code(split.dice.uniform("value " + field, rows[owner], rank), field))


def keep(bag: Bag, shown: np.ndarray) -> Bag:
    """Empty the lists of the rows that are not shown."""
    mask = shown[bag.owner]
    offsets = np.concatenate([[0], np.cumsum(np.where(shown, np.diff(bag.offsets), 0))])
    return Bag(bag.keys[mask], bag.salt, offsets, bag.rank[mask], bag.code[mask])


@dataclass(frozen=True)
class Truth:
    """The parts of the world, scaled and centred so that every seed is about as hard, and the wanted rates come out."""

    mean: dict[str, np.ndarray]
    scale: dict[str, np.ndarray]
    bias: np.ndarray

    @classmethod
    def calibrate(cls, parts: dict[str, np.ndarray], click_rate: float, buy_rate: float) -> "Truth":
        """Fit to the parts of a sample of impressions."""
        mean = {name: part.mean(axis=0) for name, part in parts.items()}
        scale = {name: np.array(WEIGHTS[name]) / np.maximum(part.std(axis=0), 1e-9) for name, part in parts.items()}
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


# One field of some rows: its name, the row of each entry (ascending), the ids' ranks, and the value codes.
Column = tuple[str, np.ndarray, np.ndarray, np.ndarray]


def single(field: str, rank: np.ndarray, present: np.ndarray, code: np.ndarray | None = None) -> Column:
    """A field with at most one entry per row."""
    owner = np.flatnonzero(present)
    return field, owner, rank[owner], np.zeros(len(owner), np.int64) if code is None else code[owner]


def many(field: str, rank: np.ndarray, present: np.ndarray, code: np.ndarray) -> Column:
    """A field with the entries of a matrix [rows, places]."""
    return field, np.nonzero(present)[0], rank[present], code[present]


def common_columns(people: Snapshot) -> list[Column]:
    """The fields of common rows."""
    columns = [single("101", people.user, people.has_user)]
    columns += [single(field, value, value >= 0) for field, value in people.profile.items()]
    return columns + [(field, bag.owner, bag.rank, bag.code) for field, bag in people.bags.items()]


def skeleton_columns(shown: Impressions) -> list[Column]:
    """The fields of skeleton rows."""
    cross = shown.cross
    return [
        single("205", shown.item, shown.has_item), single("206", shown.category, shown.has_item),
        single("207", shown.shop, shown.has_item), single("216", shown.brand, shown.brand >= 0),
        single("301", shown.scene, shown.scene >= 0), single("508", shown.category, cross["508"] > 0, cross["508"]),
        single("509", shown.shop, cross["509"] > 0, cross["509"]), single("702", shown.brand, cross["702"] > 0, cross["702"]),
        many("210", shown.nodes, shown.nodes >= 0, np.zeros_like(shown.nodes)),
        many("853", shown.nodes, cross["853"] > 0, cross["853"]),
    ]  # fmt: skip


def feature_ids(field: str, rank: np.ndarray) -> np.ndarray:
    """Global ids. In the large fields the popular ones are scattered over the block (7,368,787 is prime)."""
    first, count = BLOCKS[field]
    return first + (rank if field in SHARES else rank * 7_368_787 % count)


def lines(heads: pl.Series, columns: list[Column], shuffle: np.ndarray) -> str:
    """The text of some rows: `head,feature_num,feature_list`, the fields in an order of their own in each row.

    Args:
        heads: What comes before feature_num, one per row.
        columns: The fields.
        shuffle: Random numbers [rows, fields] that say in which order the fields come.
    """
    counts = np.stack([np.bincount(owner, minlength=len(heads)) for _, owner, _, _ in columns], axis=1)
    order = np.argsort(shuffle, axis=1, kind="stable")
    sizes = np.take_along_axis(counts, order, axis=1)
    begins = np.empty_like(counts)  # where the entries of each row and field begin
    np.put_along_axis(begins, order, (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape), axis=1)
    total = counts.sum(axis=1)
    ids, field, code = (np.empty(total.sum(), kind) for kind in (np.int64, np.int64, np.int64))
    for k, (name, owner, rank, codes) in enumerate(columns):
        earlier = np.cumsum(counts[:, k]) - counts[:, k]
        place = begins[owner, k] + np.arange(len(owner)) - earlier[owner]
        ids[place], field[place], code[place] = feature_ids(name, rank), k, codes
    # A line break and a head open the first entry of a row, byte 1 opens the others: the file is one long join of entries.
    opening = np.zeros(len(ids), np.int64)
    opening[np.cumsum(total) - total] = np.arange(1, len(heads) + 1)
    row = pl.select(pl.concat_str(pl.lit("\n"), heads, pl.lit(","), pl.Series(total), pl.lit(","))).to_series()
    openings = pl.concat([pl.Series(["\x01"]), row])
    names = pl.Series([name + "\x02" for name, *_ in columns])
    entries = pl.concat_str(openings.gather(opening), names.gather(field), pl.Series(ids), pl.lit("\x03"), VALUES.gather(code))
    return pl.select(entries.str.join("")).item()[1:] + "\n"


def hexadecimal(index: np.ndarray) -> pl.Series:
    """16 lower-case digits per index."""
    text = index.astype(">u8").tobytes().hex()
    return pl.Series([text[k : k + 16] for k in range(0, len(text), 16)], dtype=pl.String)


def chunks(split: Split, order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Cut rows into pieces of about CHUNK impressions: the number of impressions before, and the rows."""
    ends = np.cumsum(split.sizes[order])
    start = 0
    while start < len(order):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHUNK, side="right")))
        yield before, order[start:stop]
        start = stop


def write_split(world: World, truth: Truth, split: Split, folder: Path, *, compress: bool) -> tuple[int, int]:
    """Write the files of a split.

    Returns:
        How many clicks, and how many clicks that bought.
    """
    fields = np.arange(13)
    with create(folder / f"common_features_{split.name}.csv", compress=compress) as file:
        for _, rows in chunks(split, split.common_order()):
            columns = common_columns(world.snapshot(split, rows))
            shuffle = split.dice.bits("common fields", rows[:, None], fields[None, : len(columns)])
            file.write(lines(hexadecimal(split.index(rows)), columns, shuffle).encode())
    clicks = buys = 0
    parts = []
    with create(folder / f"sample_skeleton_{split.name}.csv", compress=compress) as file:
        for first, rows in chunks(split, np.arange(len(split.sizes))):
            people = world.snapshot(split, rows)
            shown = world.impressions(split, first, rows, people)
            chance = sigmoid(truth.logits(world.parts(people, shown)))
            defect = np.isin(shown.number, split.buy_without_click)
            click = (split.dice.uniform("click", shown.number) < chance[:, 0]) & ~defect
            buy = click & (split.dice.uniform("buy", shown.number) < chance[:, 1])
            clicks, buys = clicks + int(click.sum()), buys + int(buy.sum())
            index = hexadecimal(split.index(rows)).gather(shown.owner)
            ints = [pl.Series(x.astype(np.int64)) for x in (shown.number + 1, click, buy | defect)]
            columns = skeleton_columns(shown)
            shuffle = split.dice.bits("skeleton fields", shown.number[:, None], fields[None, : len(columns)])
            heads = pl.select(pl.concat_str(*ints, index, separator=",")).to_series()
            file.write(lines(heads, columns, shuffle).encode())
            parts.append(folder / f"part-{len(parts):06d}.parquet")
            frame = {"sample_id": shown.number + 1, "click": chance[:, 0], "buy_given_click": chance[:, 1]}
            pl.DataFrame(frame).with_columns(buy=pl.col("click") * pl.col("buy_given_click")).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(folder / f"truth_{split.name}.parquet", row_group_size=1 << 18)
    for part in parts:
        part.unlink()
    return clicks, buys


def create(path: Path, *, compress: bool):
    """Open a file for bytes; compressed, it holds neither a name nor a time, so that equal seeds give equal bytes."""
    if compress:
        return gzip.GzipFile(path.with_name(path.name + ".gz"), "wb", compresslevel=6, mtime=0)
    return path.open("wb")


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> None:
        """Print the line and leave with 2."""
        self.exit(2, f"simulate.py: {message}. See --help.\n")


def number(kind: type, low: float, high: float):
    """A flag's type: a number in [low, high]."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {kind.__name__} in [{low}, {high}]")
        return value

    return parse


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the flags, and refuse to write over files that this script did not make."""
    parser = Parser(description="Write a synthetic data set in the raw format of Ali-CCP, and its truth.")
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder for the four files and the truth")
    flag("--impressions", type=number(int, 1, 10**9), default=100_000, help="of train (%(default)s)")
    flag("--test-impressions", type=number(int, 1, 10**9), help="of test (a quarter of train)")
    flag("--seed", type=number(int, 0, 2**31), default=0, help="(%(default)s)")
    flag("--list-scale", type=number(float, 1e-3, 5), default=1.0, help="multiplies the mean list lengths (%(default)s)")
    flag("--click-rate", type=number(float, 1e-4, 0.9), default=0.038871, help="clicks per impression (%(default)s)")
    flag("--buy-rate", type=number(float, 1e-4, 0.9), default=0.005353, help="buys per click (%(default)s)")
    flag("--impressions-per-row", type=number(float, 1, 1e5), default=57.9, help="mean per common row (%(default)s)")
    flag("--gzip", action="store_true", help="write .csv.gz")
    flags = parser.parse_args(argv)
    flags.test_impressions = flags.test_impressions or max(1, flags.impressions // 4)
    if flags.out.exists() and not flags.out.is_dir():
        parser.error(f"argument --out: {flags.out} is a file, expected a folder")
    if (there := leftovers(flags.out)) and not (flags.out / "truth_train.parquet").exists():
        parser.error(f"argument --out: {there[0]} has no truth beside it, so it was not made here; choose another folder")
    return flags


def leftovers(folder: Path) -> list[Path]:
    """The raw files in a folder, compressed or not: a reader's pattern would take both."""
    kinds = ("common_features_train", "common_features_test", "sample_skeleton_train", "sample_skeleton_test")
    return [path for kind in kinds for path in sorted(folder.glob(kind + ".csv*"))]


def main(argv: list[str] | None = None) -> None:
    """Make the data set in a temporary folder, and move it into place when it is whole."""
    flags = parse(argv)
    begun = time.perf_counter()
    world = World(flags.seed, flags.list_scale)
    train = Split.plan("train", flags.seed, flags.impressions, flags.impressions_per_row)
    # A test row has fewer impressions than a train row: 48.65 against 57.90.
    per_row = max(1.0, flags.impressions_per_row * 48.65 / 57.90)
    test = Split.plan("test", flags.seed, flags.test_impressions, per_row, known=train.users[1])
    rows = np.arange(int(np.searchsorted(np.cumsum(train.sizes), CALIBRATION)) + 1)[: len(train.sizes)]
    people = world.snapshot(train, rows)
    parts = world.parts(people, world.impressions(train, 0, rows, people))
    truth = Truth.calibrate(parts, flags.click_rate, flags.buy_rate)
    flags.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".simulating-", dir=flags.out) as name:
        for split in (train, test):
            clicks, buys = write_split(world, truth, split, Path(name), compress=flags.gzip)
            impressions = int(split.sizes.sum())
            print(
                f"{split.name}: {impressions:,} impressions in {len(split.sizes):,} common rows; "
                f"{clicks:,} clicks ({clicks / impressions:.4%}), {buys:,} buys ({buys / max(clicks, 1):.4%} of clicks)"
            )
        for path in leftovers(flags.out):
            path.unlink()
        for path in sorted(Path(name).iterdir()):
            print(f"{flags.out / path.name}: {path.stat().st_size:,} bytes")
            path.replace(flags.out / path.name)
    seconds = time.perf_counter() - begun
    print(f"{seconds:.1f} s, {(flags.impressions + flags.test_impressions) / seconds:,.0f} impressions/s")


if __name__ == "__main__":
    main()
