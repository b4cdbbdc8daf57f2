from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.summary import QUANTILES, FeatureSummary, summarise

FEATURES = [
    {"name": "x", "kind": "categorical", "min_count": 2},
    {"name": "n", "kind": "numeric"},
    {"name": "tags", "kind": "bag", "min_count": 2},
    {"name": "city", "kind": "categorical", "source": "user", "min_count": 2},
    {"name": "age", "kind": "numeric", "source": "user"},
    {"name": "liked", "kind": "bag", "source": "user", "table": "tags_of_users"},
]
TABLES = {"tags_of_users": {"min_count": 3}}


def summed(facts, users, cuts=()):
    schema, reading = oracle.small(FEATURES, facts, dimension=users, tables=TABLES)
    vocabulary = oracle.learn(schema, reading)[1]
    total = {}
    for rows in np.split(np.arange(len(facts["x"])), cuts):
        if len(rows):
            for name, one in summarise(schema, oracle.encoded(schema, reading, vocabulary, rows)).items():
                total.setdefault(name, FeatureSummary()).add(one)
    return {name: one.as_dict(schema.feature(name)) for name, one in total.items()}


def test_a_hand_worked_summary():
    facts = {"x": ["a", "a", None, "b"], "n": [1.0, None, None, 2.0], "tags": [["t"], [], None, ["t", "u", "t"]]}
    users = {"user_id": ["p", "q"], "city": ["A", None], "age": [None, 3.0], "liked": [["g", "h"], []]}
    found = summed(facts | {"user_id": ["p", "p", "q", "p"]}, users)
    assert found == {
        "x": {"missing": 0.25, "oov": 1 / 3},
        "n": {"missing": 0.5},
        "tags": {"missing": 0.5, "oov": 0.25, "entries": 4, "lengths": {"p50": 0, "p90": 3, "p99": 3, "p100": 3}},
        "city": {"missing": 0.25, "oov": 0.0},
        "age": {"missing": 0.75},
        "liked": {"missing": 0.25, "oov": 0.0, "entries": 6, "lengths": {"p50": 2, "p90": 2, "p99": 2, "p100": 2}},
    }


cities = st.none() | st.sampled_from("ABC")
lists = st.lists(st.sampled_from("pqrs"), max_size=4)


@given(st.data())
def test_dimension_rows_count_as_often_as_they_are_used(data):
    """As a slow reader counts on the joined rows; and however the facts are cut."""
    users = {
        "user_id": ["p", "q", "r"],
        "city": data.draw(st.lists(cities, min_size=3, max_size=3)),
        "age": [1.0, *data.draw(st.lists(st.none() | st.just(2.0), min_size=2, max_size=2))],
        "liked": data.draw(st.lists(lists, min_size=3, max_size=3)),
    }
    keys = ["p", *data.draw(st.lists(st.sampled_from("pqr"), max_size=8))]
    count = len(keys)
    facts = {
        "x": data.draw(st.lists(cities, min_size=count, max_size=count)),
        "n": [1.0, *data.draw(st.lists(st.none() | st.just(2.0), min_size=count - 1, max_size=count - 1))],
        "tags": data.draw(st.lists(lists, min_size=count, max_size=count)),
    }
    cuts = data.draw(st.lists(st.integers(0, count), max_size=2).map(sorted))
    found = summed(facts | {"user_id": keys}, users, cuts)
    joined = dict(facts) | {
        name: [column["pqr".index(key)] for key in keys] for name, column in users.items() if name != "user_id"
    }
    for name, least in (("x", 2), ("city", 2), ("tags", 2), ("liked", 3)):
        rows = [row if isinstance(row, list) else [] if row is None else [row] for row in joined[name]]
        entries = [one for row in rows for one in row]
        rare = sum(entries.count(one) < least for one in entries)
        assert found[name]["missing"] == sum(not row for row in rows) / count
        assert found[name]["oov"] == pytest.approx(rare / max(1, len(entries)))
        if name in ("tags", "liked"):
            assert found[name]["entries"] == len(entries)
            lengths = sorted(map(len, rows))
            for q in QUANTILES:
                least_enough = next(length for length in lengths if sum(other <= length for other in lengths) >= q * count)
                assert found[name]["lengths"][f"p{100 * q:g}"] == least_enough
    for name in ("n", "age"):
        assert found[name] == {"missing": sum(value is None for value in joined[name]) / count}


def test_adding_up_pads_the_shorter_list_of_lengths():
    total = FeatureSummary()
    total.add(FeatureSummary(2, 3, 1, 0, np.array([1, 0, 0, 1])))
    total.add(FeatureSummary(1, 1, 0, 1, np.array([0, 1])))
    assert (total.rows, total.entries, total.missing, total.oov, total.lengths.tolist()) == (3, 4, 1, 1, [1, 1, 0, 1])


def test_a_crosss_ids_are_never_missing_or_unknown():
    features = [
        FEATURES[0],
        {"name": "h", "kind": "categorical", "buckets": 3},
        {"name": "xh", "kind": "cross", "of": ["x", "h"], "buckets": 5},
    ]
    schema, reading = oracle.small(features, {"x": ["a", None], "h": [None, None]})
    found = summarise(schema, oracle.encoded(schema, reading, oracle.learn(schema, reading)[1]))
    assert found["xh"].as_dict(schema.feature("xh")) == {"missing": 0.0, "oov": 0.0}
    assert found["h"].as_dict(schema.feature("h")) == {"missing": 1.0, "oov": 0.0}


def test_a_store_says_it_of_every_split(tmp_path):
    schema, _ = oracle.small([FEATURES[0]], {"x": ["a", "a", None, "b"]})
    frames = {"facts": pl.DataFrame({"x": ["a", "a", None, "b"], "click": [0, 1, 0, 1]})}
    store = oracle.store_of(schema, oracle.Origin(frames=frames), tmp_path)
    assert store.manifest["splits"]["train"]["features"] == {"x": {"missing": 0.25, "oov": 1 / 3}}
