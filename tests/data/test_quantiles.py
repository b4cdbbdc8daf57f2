from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from funnel.data.quantiles import Quantiles


def quantile_boundaries(values, weights, buckets):
    """Both passes over one piece."""
    quantiles = Quantiles(buckets)
    quantiles.see(values, weights)
    return quantiles.boundaries([(values, weights)])


def plain(values: np.ndarray, weights: np.ndarray, buckets: int) -> tuple[float, ...]:
    """The definition in one go, in float32 as the network compares."""
    distinct, place = np.unique(values.astype(np.float32) + np.float32(0), return_inverse=True)
    below = np.cumsum(np.bincount(place, weights=weights))
    wanted = below[-1] * np.arange(1, buckets) / buckets
    first = np.minimum(np.searchsorted(below, wanted, side="left") + 1, len(distinct) - 1)
    return tuple(float(value) for value in distinct[np.unique(first[first > 0])])


def in_pieces(values, weights, buckets, cuts):
    pieces = list(
        zip(
            np.split(np.asarray(values), cuts),
            [None] * (len(cuts) + 1) if weights is None else np.split(weights, cuts),
            strict=True,
        )
    )
    quantiles = Quantiles(buckets)
    for piece in pieces:
        quantiles.see(*piece)
    return quantiles.boundaries(iter(pieces))


@pytest.mark.parametrize(
    ("values", "weights", "buckets", "boundaries"),
    [
        ([1, 2, 3, 4], [1, 1, 1, 1], 2, (3.0,)),
        ([1, 2, 3, 4], [1, 1, 1, 1], 4, (2.0, 3.0, 4.0)),
        ([1, 2, 3, 4], [1, 1, 1, 1], 100, (2.0, 3.0, 4.0)),
        ([4, 3, 2, 1], [1, 1, 1, 5], 2, (2.0,)),
        ([1, 1, 1, 1, 2], [1] * 5, 4, (2.0,)),
        ([1, 2, 2, 2, 2], [1] * 5, 4, (2,)),
        ([0, 1], [20, 80], 3, (1,)),
        ([5, 5, 5], [1] * 3, 4, ()),
        ([1, 1 + 1e-12], [1, 1], 2, ()),
        ([0, 1], [1, 9], 10, (1.0,)),
        ([-0.0, 0.0], [1, 1], 2, ()),
        ([-1, -0.0, 0.0, 1], [1, 1, 1, 1], 4, (0.0, 1.0)),
        ([0.0, 1e-45], [1, 1], 2, (1.401298464324817e-45,)),
        ([-1e-45, 0.0], [1, 1], 2, (0.0,)),
        ([7], [1], 10_000, ()),
    ],
)
def test_boundaries_are_quantiles_as_far_as_ties_allow(values, weights, buckets, boundaries):
    assert quantile_boundaries(np.array(values, float), np.array(weights), buckets) == boundaries


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 4)), min_size=1, max_size=12), st.integers(2, 6))
def test_boundaries_part_the_weight_as_the_slow_way_does(pairs, buckets):
    found = quantile_boundaries(np.array([v for v, _ in pairs], float), np.array([w for _, w in pairs]), buckets)
    everything = sorted(value for value, weight in pairs for _ in range(weight))
    wanted = set()
    for number in range(1, buckets):
        # The least value above the first one that has its share of the rows at or below it.
        share = len(everything) * number / buckets
        low = next(value for value in everything if sum(other <= value for other in everything) >= share)
        above = [other for other in everything if other > low]
        # The greatest value, where it alone has the rest, is cut from those below it.
        wanted |= {min(above, default=everything[-1])}
    wanted -= {everything[0]}
    assert found == tuple(sorted(wanted))
    assert len(found) < buckets
    cut = np.digitize(everything, found)
    assert set(cut) == set(range(len(found) + 1))  # no bucket is empty


LARGEST = float(np.finfo(np.float32).max)
NEXT = float(np.nextafter(np.float32(1), np.float32(2)))
odd = st.sampled_from(
    [0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1.0, NEXT, 1 + 1e-9, -1.0, -NEXT, LARGEST, -LARGEST, 65536.0, 65537.0]
)
numbers = st.one_of(odd, st.floats(-LARGEST, LARGEST), st.integers(-5, 5).map(float))


@given(
    st.lists(numbers, min_size=1, max_size=60),
    st.one_of(st.none(), st.integers(0, 2**32)),
    st.integers(2, 40),
    st.lists(st.integers(0, 60), max_size=5).map(sorted),
)
@example([0.0, -0.0, 0.0], None, 3, [1])
@example([1.0, NEXT, NEXT, 1.0, 2.0], None, 4, [2])
def test_many_pieces_give_what_the_definition_gives_in_one_go(values, seed, buckets, cuts):
    values = np.array(values)
    weights = None if seed is None else np.random.default_rng(seed).integers(1, 10, len(values))
    found = in_pieces(values, weights, buckets, np.minimum(cuts, len(values)))
    assert found == plain(values, np.ones(len(values)) if weights is None else weights, buckets)


def shape(name, random, count):  # noqa: PLR0911  # one for each
    match name:
        case "normal":
            return random.normal(size=count)
        case "heavy greatest":
            return np.where(random.random(count) < 0.6, 100.0, random.random(count) * 100)
        case "heavy least":
            return np.where(random.random(count) < 0.6, 0.0, random.lognormal(size=count))
        case "ties":
            return random.integers(0, 50, count).astype(float)
        case "neighbours":
            return (np.float32(1) + np.arange(count, dtype=np.float32) % 300 * np.float32(2.0**-23)).astype(float)
        case "subnormal":
            return random.integers(-1000, 1000, count) * 1.4e-45
        case "wide":
            return np.sign(random.normal(size=count)) * 10.0 ** random.uniform(-44, 38, count)
        case "integers":
            return random.integers(0, 10**6, count).astype(float)
        case _:
            return np.full(count, 3.25)


@pytest.mark.parametrize("buckets", [2, 3, 32, 1000, 10_000])
@pytest.mark.parametrize(
    "name", ["normal", "heavy greatest", "heavy least", "ties", "neighbours", "subnormal", "wide", "integers", "one"]
)
def test_shapes_of_all_kinds_and_many_buckets(name, buckets):
    random = np.random.default_rng(buckets)
    values = shape(name, random, 30_000)
    weights = random.integers(1, 100, len(values))
    cuts = np.sort(random.integers(0, len(values), 9))
    for some in (None, weights):
        found = in_pieces(values, some, buckets, cuts)
        assert found == plain(values, np.ones(len(values)) if some is None else some, buckets)
        assert list(found) == sorted(set(found))
        assert len(found) < buckets
        # Every bucket that the network will see has rows.
        cut = np.searchsorted(np.array(found, np.float32), values.astype(np.float32), side="right")
        assert len(np.unique(cut)) == len(found) + 1


def test_the_order_of_pieces_does_not_matter():
    random = np.random.default_rng(0)
    values = random.lognormal(size=1000)
    wanted = in_pieces(values, None, 20, [])
    for _ in range(5):
        assert in_pieces(random.permutation(values), None, 20, np.sort(random.integers(0, 1000, 4))) == wanted


def test_pieces_without_numbers_add_nothing():
    pieces = [(np.zeros(0), None), (np.array([1.0, 2.0]), None), (np.zeros(0), np.zeros(0, np.int64))]
    quantiles = Quantiles(2)
    for piece in pieces:
        quantiles.see(*piece)
    assert quantiles.boundaries(pieces) == (2.0,)


def test_weights_far_beyond_int32_are_exact():
    # Half of the weight is reached by the first value, or only just not.
    assert quantile_boundaries(np.array([1.0, 2.0, 3.0]), np.array([2**50, 2**49, 2**49]), 2) == (2.0,)
    assert quantile_boundaries(np.array([1.0, 2.0, 3.0]), np.array([2**50 - 1, 2**49 + 1, 2**49]), 2) == (3.0,)


@given(
    st.lists(numbers, min_size=1, max_size=60),
    st.integers(1, 40),
    st.lists(st.integers(0, 60), max_size=5).map(sorted),
)
def test_with_their_ends_they_are_the_same_between_the_least_and_the_greatest(values, buckets, cuts):
    values = np.array(values)
    quantiles = Quantiles(buckets)
    pieces = [(piece, None) for piece in np.split(values, np.minimum(cuts, len(values)))]
    for piece in pieces:
        quantiles.see(*piece)
    found = quantiles.boundaries(iter(pieces), ends=True)
    stored = values.astype(np.float32) + np.float32(0)
    inside = plain(values, np.ones(len(values)), buckets)
    assert found == tuple(sorted({float(stored.min()), *inside, float(stored.max())}))
    assert len(found) <= buckets + 1
