from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.shards import condense
from funnel.data.statistics import Learner, Spread
from funnel.errors import DataError
from funnel.schema.learnt import Scale

X = {"name": "x", "kind": "categorical", "min_count": 1}
CITY = {"name": "city", "kind": "categorical", "source": "user", "min_count": 2}


def learnt(features, facts, rows=None, cuts=(), **parts):
    schema, reading = oracle.small(features, facts, **parts)
    found, vocabulary = oracle.learn(schema, reading, rows, cuts)
    return found, {table: terms.to_list() for table, terms in vocabulary.terms.items()}


def test_ids_of_training_rows_alone_are_learnt():
    found, terms = learnt([X], {"x": list("abcb")}, rows=[0, 1])
    assert terms == {"x": ["a", "b"]}
    assert found.rows == {"x": 4}


def test_ids_of_validation_rows_are_unknown():
    validation = {"kind": "fraction", "fraction": 0.3, "by": "row"}
    schema, reading = oracle.small([X], {"x": [f"train{row}" for row in range(20)]}, validation=validation)
    held = reading.held_out(oracle.facts_of(reading))
    vocabulary = oracle.learn(schema, reading, np.flatnonzero(~held))[1]
    assert sorted(vocabulary.terms["x"]) == sorted(f"train{row}" for row in range(20) if not held[row])


def test_a_dimension_row_counts_as_often_as_training_facts_use_it():
    users = {"user_id": list("abc"), "city": ["A", "B", "C"]}
    facts = {"x": list("11111"), "user_id": list("aabcc")}
    assert learnt([X, CITY], facts, dimension=users)[1]["city"] == ["A", "C"]
    assert learnt([X, CITY], facts, rows=[0, 2, 3, 4], dimension=users)[1]["city"] == ["C"]


@given(st.data())
def test_a_star_teaches_what_the_joined_table_does(data):
    users = {
        "user_id": ["a", "b", "c"],
        "city": data.draw(st.lists(st.none() | st.sampled_from("XYZ"), min_size=3, max_size=3)),
        "age": [*data.draw(st.lists(st.none() | st.integers(-5, 5).map(float), min_size=2, max_size=2)), 1.0],
        "tags": data.draw(st.lists(st.lists(st.sampled_from("pqr"), max_size=3), min_size=3, max_size=3)),
    }
    keys = ["c", *data.draw(st.lists(st.sampled_from("abc"), max_size=10))]
    rows = sorted({0, *data.draw(st.sets(st.integers(0, len(keys) - 1)))})
    bins = {"kind": "piecewise_linear", "bins": 3}
    features = [
        CITY,
        {"name": "tags", "kind": "bag", "source": "user", "min_count": 2},
        {"name": "age", "kind": "numeric", "source": "user", "transform": "log1p"},
        {"name": "cut", "kind": "numeric", "source": "user", "column": "age", "transform": {"kind": "bucketize", "buckets": 3}},
        {"name": "bins", "kind": "numeric", "source": "user", "column": "age", "transform": bins},
    ]
    cuts = data.draw(st.lists(st.integers(1, len(rows)), max_size=3).map(sorted))
    star = learnt(features, {"user_id": keys}, rows, cuts, dimension=users)
    place = {key: at for at, key in enumerate(users["user_id"])}
    wide = {name: [column[place[key]] for key in keys] for name, column in users.items() if name != "user_id"}
    joined = learnt([{k: v for k, v in f.items() if k != "source"} for f in features], wide, rows)
    assert star[1] == joined[1]
    assert star[0].rows == joined[0].rows
    assert star[0].scales["cut"] == joined[0].scales["cut"]
    assert star[0].scales["bins"] == joined[0].scales["bins"]
    assert star[0].scales["age"].mean == pytest.approx(joined[0].scales["age"].mean, abs=1e-12)
    assert star[0].scales["age"].std == pytest.approx(joined[0].scales["age"].std, abs=1e-12)


def test_features_that_share_a_table_share_its_counts():
    tables = {"t": {"min_count": 3, "max_rows": 1}}
    features = [{"name": "x", "kind": "categorical", "table": "t"}, {"name": "y", "kind": "bag", "table": "t"}]
    facts = {"x": ["a", "b", "a"], "y": [["a", "b"], ["b", "c"], ["b"]]}
    found, terms = learnt(features, facts, tables=tables)
    assert terms == {"t": ["b"]}  # four times; a is there three times, c once
    assert found.rows == {"t": 3}


def test_without_a_declared_count_an_id_must_be_seen_twice():
    assert learnt([{"name": "x", "kind": "categorical"}], {"x": list("aab")})[1] == {"x": ["a"]}


def test_tables_of_buckets_and_crosses_learn_nothing():
    features = [
        {"name": "x", "kind": "categorical", "buckets": 5},
        {"name": "y", "kind": "categorical", "buckets": 6},
        {"name": "xy", "kind": "cross", "of": ["x", "y"], "buckets": 7},
    ]
    found, terms = learnt(features, {"x": ["a"], "y": ["b"]})
    assert (found.rows, terms) == ({"x": 7, "y": 8, "xy": 9}, {})


def scale_of(values, transform, rows=None):
    return learnt([{"name": "n", "kind": "numeric", "transform": transform}], {"n": values}, rows)[0].scales["n"]


def test_mean_and_deviation_are_those_of_training_rows_that_have_a_number():
    scale = scale_of([1.0, 2.0, None, 6.0, 100.0], "standardize", [0, 1, 2, 3])
    assert scale.mean == pytest.approx(3)
    assert scale.std == pytest.approx(math.sqrt((4 + 1 + 9) / 3))


def test_a_logarithm_keeps_the_sign():
    scale = scale_of([math.e - 1, -(math.e**3 - 1), 0.0], "log1p")
    assert scale.mean == pytest.approx((1 - 3 + 0) / 3)
    assert scale.std == pytest.approx(np.std([1, -3, 0]))


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 1e30, -1e-30])
def test_a_constant_is_divided_by_one(value):
    scale = scale_of([value] * 7, "standardize")
    assert scale.mean == pytest.approx(value)
    assert scale.std == 1


@pytest.mark.parametrize(
    ("transform", "scale"),
    [
        ("none", Scale()),
        ({"kind": "standardize", "mean": 7}, Scale(mean=7, std=1)),
        ({"kind": "standardize", "std": 7}, Scale(mean=2, std=7)),
        ({"kind": "log1p", "mean": 7, "std": 8}, Scale(mean=7, std=8)),
        ({"kind": "bucketize", "boundaries": [0.5]}, Scale(boundaries=(0.5,))),
        ({"kind": "piecewise_linear", "boundaries": [0.5, 9]}, Scale(boundaries=(0.5, 9))),
        ({"kind": "periodic", "mean": 7}, Scale(mean=7, std=1)),
    ],
)
def test_what_is_declared_is_not_learnt(transform, scale):
    assert scale_of([1.0, 3.0], transform) == scale


@pytest.mark.parametrize("transform", ["standardize", "log1p", "bucketize", "piecewise_linear", "periodic"])
def test_a_column_without_numbers_is_refused(transform):
    with pytest.raises(DataError, match="column 'n': no training row has a number for the feature 'n'"):
        scale_of([None, 1.0], transform, [0])


def test_a_bucketized_constant_has_one_bucket():
    found, _ = learnt([{"name": "n", "kind": "numeric", "transform": "bucketize"}], {"n": [3.0, 3.0, None]})
    assert found.scales["n"].boundaries == ()
    assert found.rows == {"n": 3}  # missing, unknown, and the bucket


def test_bins_are_quantiles_of_training_rows_from_the_least_to_the_greatest():
    transform = {"kind": "piecewise_linear", "bins": 2}
    assert scale_of([4.0, 1.0, None, 3.0, 2.0, 99.0], transform, [0, 1, 2, 3, 4]).boundaries == (1.0, 3.0, 4.0)
    assert scale_of([3.0, 3.0, None], transform).boundaries == (3.0,)
    found, _ = learnt([{"name": "n", "kind": "numeric", "transform": transform}], {"n": [1.0, 2.0]})
    assert found.rows == {}


def test_waves_are_of_standardised_numbers():
    assert scale_of([1.0, 2.0, None, 6.0], "periodic") == scale_of([1.0, 2.0, None, 6.0], "standardize")


def test_priors_are_declared_or_the_training_rows():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "prior": 0.25}]
    facts = {"click": [1, 0, 1, 1], "buy": [0, 0, 1, 0], "x": list("aaaa")}
    assert learnt([X], facts, rows=[0, 1, 2], stages=stages)[0].priors == (2.5 / 4, 0.25)


def test_without_training_rows_nothing_is_learnt():
    schema, reading = oracle.small([X], {"x": ["a"]})
    with pytest.raises(DataError, match="every training row is held out or left out, expected some"):
        Learner(schema, oracle.NOWHERE).learnt(reading.texts, list, lambda *_: None)


def test_priors_of_a_tree_are_given_the_parent():
    stages = [
        {"name": "click", "label": "click"},
        {"name": "buy", "label": "buy"},
        {"name": "share", "label": "share", "given": "click"},
    ]
    facts = {"click": [1, 0, 1, 1], "buy": [0, 0, 1, 0], "share": [1, 0, 1, 0], "x": list("aaaa")}
    for cuts in ((), (1,), (2, 3)):
        assert learnt([X], facts, cuts=cuts, stages=stages)[0].priors == (3.5 / 5, 1.5 / 4, 2.5 / 4)


def test_several_stars_teach_what_one_does():
    random = np.random.default_rng(0)
    facts = {
        "x": [None if r < 0.1 else f"i{int(60 * r * r)}" for r in random.random(500)],
        "n": [None if r < 0.2 else float(r) for r in random.lognormal(size=500)],
        "user_id": [f"u{u}" for u in random.integers(0, 30, 500)],
        "bag": [[f"i{i}" for i in random.integers(0, 50, k)] for k in random.integers(0, 4, 500)],
    }
    users = {
        "user_id": [f"u{u}" for u in range(30)],
        "city": [f"c{u % 7}" for u in range(30)],
        "age": random.normal(size=30).tolist(),
    }
    features = [
        {"name": "x", "kind": "categorical", "table": "t"},
        {"name": "bag", "kind": "bag", "table": "t"},
        CITY,
        {"name": "n", "kind": "numeric", "transform": "log1p"},
        {"name": "age", "kind": "numeric", "source": "user"},
        {"name": "cut", "kind": "numeric", "column": "n", "transform": {"kind": "bucketize", "buckets": 9}},
        {"name": "old", "kind": "numeric", "source": "user", "column": "age", "transform": {"kind": "bucketize", "buckets": 5}},
    ]
    found = [
        learnt(features, facts, cuts=cuts, dimension=users, tables={"t": {"min_count": 3}}) for cuts in ((), (7, 50, 51, 300))
    ]
    (one, terms), (many, same_terms) = found
    assert terms == same_terms
    assert one.rows == many.rows
    assert one.priors == many.priors
    for name, scale in one.scales.items():
        assert scale.boundaries == many.scales[name].boundaries
        assert scale.mean == pytest.approx(many.scales[name].mean, rel=1e-12, abs=1e-12)
        assert scale.std == pytest.approx(many.scales[name].std, rel=1e-12)
    values = np.array([v for v in facts["n"] if v is not None])
    assert one.scales["n"].mean == pytest.approx(np.log1p(values).mean())
    assert one.scales["n"].std == pytest.approx(np.log1p(values).std())
    ages = np.array([users["age"][int(u[1:])] for u in facts["user_id"]])
    assert one.scales["age"].mean == pytest.approx(ages.mean())
    assert one.scales["age"].std == pytest.approx(ages.std())


def test_seeing_a_star_says_what_it_adds():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 1, 0], "buy": [1, 0, 0], "n": [1.0, None, 3.0]}
    schema, reading = oracle.small([{"name": "n", "kind": "numeric"}], facts, stages=stages)
    seen = Learner(schema, oracle.NOWHERE).see(condense(schema, oracle.built(schema, reading), count=True))
    assert (seen.rows, seen.stages.reached.tolist(), seen.stages.given.tolist()) == (3, [2, 1], [3, 2])
    assert seen.spreads == {"n": Spread(2.0, 2.0, 2.0)}


CLICK_BUY = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]


def test_where_all_is_known_all_rows_count_once():
    found, _ = learnt([X], {"x": list("abcd"), "click": [1, 1, 1, 0], "buy": [1, 0, 0, 0]}, stages=CLICK_BUY)
    assert (found.known_inside, found.known_elsewhere) == ((1.0, 1.0), (1.0, 1.0))
    assert (found.given, found.weight) == ((1.0, 0.75), 1.0)
    assert found.priors == (3.5 / 5, 1.5 / 4)


def test_shares_and_rates_are_those_of_what_is_known():
    facts = {"x": list("abcdef"), "click": [1, 1, 1, 0, None, None], "buy": [1, 0, None, None, 1, None]}
    for cuts in ((), (1, 4)):
        found, _ = learnt([X], facts, cuts=cuts, stages=CLICK_BUY)
        # Known are four clicks; of the three rows with one, two buys; of the two of which no click is known, one.
        assert (found.known_inside, found.known_elsewhere) == ((4 / 6, 2 / 3), (1.0, 1 / 2))
        assert found.given == (4 / 6, 2 / 6)
        assert found.priors == (3.5 / 5, 1.5 / 3)
        assert found.weight == 1.0


def test_rows_count_by_their_weights():
    facts = {"x": list("abcd"), "click": [1, 1, 0, None], "buy": [1, 0, None, None], "w": [2.0, 0.5, 1.0, 0.5]}
    found, _ = learnt([X], facts, stages=CLICK_BUY, data={"weight": "w"})
    assert (found.weight, found.given) == (1.0, (3.5 / 4, 2.5 / 4))
    assert (found.known_inside, found.known_elsewhere) == ((3.5 / 4, 1.0), (1.0, 0.0))
    assert found.priors == (3.0 / 4.5, 2.5 / 3.5)


def test_sampled_rows_count_for_all_that_they_stand_for_where_weights_undo_it():
    facts = {"x": list("abcd"), "click": [1, 1, 0, 0], "buy": [1, 0, 0, 0]}
    sampling = {"rates": {"impression": 0.25, "click": 0.5}, "correction": "weights"}
    found, _ = learnt([X], facts, stages=CLICK_BUY, sampling=sampling)
    # Of weights 1, 2, 4 and 4.
    assert (found.weight, found.known_inside, found.given) == (11 / 4, (1.0, 1.0), (1.0, 3 / 11))
    assert found.priors == (3.5 / 12, 1.5 / 4)
    found, _ = learnt([X], facts, stages=CLICK_BUY, sampling=sampling | {"correction": "inverse"})
    assert (found.weight, found.priors) == (1.0, (2.5 / 5, 1.5 / 3))


def test_a_declared_rate_stays():
    stages = [CLICK_BUY[0], CLICK_BUY[1] | {"prior": 0.125}]
    found, _ = learnt([X], {"x": list("ab"), "click": [1, 0], "buy": [None, None]}, stages=stages)
    assert (found.priors, found.given) == ((0.5, 0.125), (1.0, 0.0))


def test_rows_that_all_weigh_nothing_are_refused():
    with pytest.raises(DataError, match=r"column 'w': all 2 training rows have the weight 0, expected some that count"):
        learnt([X], {"x": list("ab"), "w": [0, 0]}, data={"weight": "w"})


numbers = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 5)), max_size=8)


def spread_of(pairs, *, weighted=True):
    weights = np.array([w for _, w in pairs], np.int64) if weighted else None
    return Spread.of(np.array([x for x, _ in pairs], np.float64), weights)


@given(st.lists(numbers, min_size=1, max_size=5))
def test_spreads_add_up(parts):
    total = Spread()
    for part in parts:
        total += spread_of(part)
    every = np.array([x for part in parts for x, w in part for _ in range(w)])
    assert total.count == len(every)
    if len(every):
        assert total.mean == pytest.approx(every.mean(), rel=1e-9, abs=1e-9)
        assert total.squares == pytest.approx(((every - every.mean()) ** 2).sum(), rel=1e-9, abs=1e-3)


def test_a_spread_keeps_its_digits_far_from_zero():
    """Sums of squares would not."""
    values = 1e9 + np.arange(1000) % 2
    parts = [Spread.of(part, None) for part in np.split(values, 10)]
    total = sum(parts, Spread())
    assert total.mean == pytest.approx(1e9 + 0.5, rel=1e-15)
    assert total.squares / total.count == pytest.approx(0.25, rel=1e-9)


def test_nothing_adds_nothing():
    some = Spread.of(np.array([1.0, 2.0]), None)
    assert some + Spread() == Spread() + some == some
    assert Spread.of(np.zeros(0), None) == Spread.of(np.zeros(0), np.zeros(0, np.int64)) == Spread()
