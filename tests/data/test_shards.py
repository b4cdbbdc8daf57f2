from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.origin import Origin
from funnel.data.reading import POSITION, row_role
from funnel.data.shards import build, condense, encode, ranges, rows_of, uses_of
from funnel.data.spill import BUCKETS
from funnel.data.vocabulary import Vocabulary
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema

X = {"name": "x", "kind": "categorical", "min_count": 1}
CITY = {"name": "city", "kind": "categorical", "source": "user", "min_count": 1}
USERS = {"user_id": list("abcd"), "city": list("ABCD")}


def encoded_x(values, missing="own", vocabulary=None):
    schema, reading = oracle.small([X | {"missing": missing}], {"x": values})
    vocabulary = vocabulary or oracle.learn(schema, reading)[1]
    return oracle.encoded(schema, reading, vocabulary).sources["facts"]["x"].tolist()


def terms(*ids):
    return Vocabulary({"x": pl.Series("x", ids, dtype=pl.String)})


@pytest.mark.parametrize(("missing", "rows"), [("own", [2, 0, 2]), ("oov", [2, 1, 2]), ({"fill": "b"}, [2, 3, 2])])
def test_missing_ids_are_what_is_declared(missing, rows):
    assert encoded_x(["a", None, "a"], missing) == rows


def test_an_empty_text_is_a_missing_id():
    assert encoded_x(["a", ""]) == [2, 0]


def test_a_filled_number_is_an_id():
    assert encoded_x([7, None], {"fill": 7}) == [2, 2]


def test_unknown_ids_share_a_row():
    assert encoded_x(["a", "b", None], vocabulary=terms("c", "b")) == [1, 3, 0]


def test_numbers_and_texts_are_the_same_id_and_other_spellings_are_not():
    known = terms("7", "007", "-7")
    assert encoded_x([7, -7, 8], vocabulary=known) == encoded_x(["7", "-7", "8"], vocabulary=known) == [2, 4, 1]
    assert encoded_x(["007", "+7", "7 ", "\uff17", "07"], vocabulary=known) == [3, 1, 1, 1, 1]


def test_a_table_without_ids_knows_none():
    assert encoded_x(["a", None], vocabulary=terms()) == [1, 0]


def test_a_column_of_nulls_is_missing_everywhere():
    features = [{"name": "x", "kind": "categorical"}, {"name": "h", "kind": "categorical", "buckets": 3}]
    schema, reading = oracle.small(features, {"x": [None, None], "h": [None, None]})
    facts = oracle.encoded(schema, reading, oracle.learn(schema, reading)[1]).sources["facts"]
    assert (facts["x"].tolist(), facts["h"].tolist()) == ([0, 0], [0, 0])


def test_unweighted_bags_have_no_weights():
    schema, reading = oracle.small([{"name": "x", "kind": "bag", "min_count": 1}], {"x": [["b", "a", "b"], [], None, ["a"]]})
    star = oracle.encoded(schema, reading, oracle.learn(schema, reading)[1])
    assert oracle.joined(star) == [{"facts/x": ids, "labels": [0]} for ids in ([3, 2, 3], [], [], [2])]
    assert "x/weights" not in star.sources["facts"]


def test_encoded_columns_have_the_types_that_the_network_takes():
    features = [X, {"name": "n", "kind": "numeric"}, {"name": "b", "kind": "bag", "weighted": True, "weights": "w"}]
    facts = {"x": ["a"], "n": [1e300 * 0 + 0.1], "b": [["p"]], "w": [[0.1]]}
    schema, reading = oracle.small([*features, {"name": "h", "kind": "categorical", "column": "x", "buckets": 9}], facts)
    columns = oracle.encoded(schema, reading, oracle.learn(schema, reading)[1]).sources["facts"]
    kinds = {name: array.dtype for name, array in columns.items()}
    assert kinds.pop("b/offsets") in (np.int32, np.int64)
    assert kinds == {"x": np.int32, "h": np.int32, "n": np.float32, "b": np.int32, "b/weights": np.float32}
    assert columns["n"].tolist() == [np.float32(0.1)]


def test_each_fact_is_led_to_its_own_dimension_row_and_unused_rows_are_left_out():
    schema, reading = oracle.small([X, CITY], {"x": list("12345"), "user_id": list("dbdab")}, dimension=USERS)
    star = oracle.built(schema, reading)
    assert len(star.sources["user"]["city"]) == 3
    order = np.argsort(star.position)
    cities = oracle.ids_of(reading, star.sources["user"]["city"][star.index["user"][order]], "city")
    assert cities == ["D", "B", "D", "A", "B"]


@given(st.data())
def test_any_keys_are_joined_as_a_dictionary_would(data):
    keys = data.draw(
        st.lists(st.text(min_size=1, max_size=3) | st.integers(0, 30).map(str), min_size=1, max_size=8, unique=True)
    )
    used = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=12))
    users = {"user_id": keys, "city": [f"city of {key}" for key in keys]}
    schema, reading = oracle.small([X, CITY], {"x": ["1"] * len(used), "user_id": used}, dimension=users)
    star = oracle.built(schema, reading)
    assert len(star.sources["user"]["city"]) == len(set(used))
    cities = oracle.ids_of(reading, star.sources["user"]["city"], "city")
    # Facts of one row together, where the row is first used; within it, as they came.
    wanted = [at for key in dict.fromkeys(used) for at, other in enumerate(used) if other == key]
    assert star.position.tolist() == wanted
    assert [cities[row] for row in star.index["user"]] == [f"city of {used[at]}" for at in wanted]
    assert cities == [f"city of {key}" for key in dict.fromkeys(used)]
    assert star.group_starts().tolist() == np.cumsum([0, *(used.count(key) for key in dict.fromkeys(used))]).tolist()


def two_dimensions(facts):
    """Facts with a user and a shop each."""
    tree = {"name": "a", "stages": [{"name": "s", "label": "y"}], "evaluate": {"group_by": "u"}}
    tree["features"] = [
        {"name": "u", "kind": "categorical", "source": "user", "column": "user_id", "min_count": 1},
        {"name": "s2", "kind": "categorical", "source": "shop", "column": "shop_id", "min_count": 1},
        {"name": "us", "kind": "cross", "of": ["u", "s2"], "buckets": 1000},
    ]
    dimensions = [{"name": name, "key": f"{name}_id", "format": "parquet", "files": name} for name in ("user", "shop")]
    tree["data"] = {"facts": {"format": "parquet", "train": "x"}, "dimensions": dimensions, "validation": None}
    frames = {
        "facts": pl.DataFrame({"user_id": [u for u, _ in facts], "shop_id": [s for _, s in facts], "y": [1] * len(facts)}),
        "user": pl.DataFrame({"user_id": sorted({u for u, _ in facts})}),
        "shop": pl.DataFrame({"shop_id": sorted({s for _, s in facts})}),
    }
    schema = load_schema(tree)
    return schema, oracle.read(schema, Origin(frames=frames))


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["p", "q", "7"])), min_size=1, max_size=15))
def test_of_two_dimensions_the_first_says_which_facts_stand_together(facts):
    schema, reading = two_dimensions(facts)
    star = oracle.built(schema, reading)
    assert list(star.index) == ["user", "shop"]
    users = star.sources["user"]["u"][star.index["user"]].tolist()
    assert users == [facts[at][0] for at in star.position]
    assert len(list(dict.fromkeys(users))) == 1 + sum(one != other for one, other in pairwise(users))
    shops = oracle.ids_of(reading, star.sources["shop"]["s2"][star.index["shop"]], "s2")
    assert shops == [facts[at][1] for at in star.position]
    assert star.sources["facts"]["us"].tolist() == [oracle.farm(f"{u}\x1f{s}", 1000) for u, s in zip(users, shops, strict=True)]
    assert star.grouped_by == "user"
    assert star.fact_groups.tolist() == users


def test_a_cross_of_one_source_stays_there_and_one_of_two_is_the_facts():
    tree = oracle.mapping("parquet")
    tree["features"] += [
        {"name": "job", "column": "user_id", "kind": "categorical", "source": "user"},
        {"name": "city_job", "kind": "cross", "of": ["city", "job"], "buckets": 1000},
        {"name": "job_city", "kind": "cross", "of": ["job", "city"], "buckets": 1000},
    ]
    frames = {"facts": oracle.polars_frame(oracle.FACTS), "user": oracle.polars_frame(oracle.USERS)}
    schema = load_schema(tree)
    star = oracle.built(schema, oracle.read(schema, Origin(frames=frames)))
    assert "city_item" in star.sources["facts"]
    assert {"city_job", "job_city"}.isdisjoint(star.sources["facts"])
    used = [("rome", "7"), ("oslo", "9"), ("", "8")]
    assert star.sources["user"]["city_job"].tolist() == [oracle.farm(f"{a}\x1f{b}", 1000) for a, b in used]
    assert star.sources["user"]["job_city"].tolist() == [oracle.farm(f"{b}\x1f{a}", 1000) for a, b in used]


def test_a_cross_takes_what_is_filled_in_and_ids_of_any_spelling():
    features = [X | {"missing": {"fill": "z"}}, {"name": "h", "kind": "categorical", "buckets": 3}]
    features.append({"name": "xh", "kind": "cross", "of": ["x", "h"], "buckets": 10**6})
    facts = {"x": ["7", "007", None, "é"], "h": [None, "-1", "5", "5"]}
    schema, reading = oracle.small(features, facts)
    texts = ["7\x1f", "007\x1f-1", "z\x1f5", "é\x1f5"]
    assert oracle.built(schema, reading).sources["facts"]["xh"].tolist() == [oracle.farm(text, 10**6) for text in texts]


def test_groups_are_equal_where_the_feature_is(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    star = oracle.built(schema, oracle.read(schema, origin))
    groups = star.fact_groups[np.argsort(star.position)]
    cities = ["rome", "oslo", None, "rome", "rome"]
    for a in range(5):
        for b in range(5):
            assert (groups[a] == groups[b]) == (cities[a] == cities[b])


def test_groups_of_a_feature_of_the_facts():
    schema, reading = oracle.small([X], {"x": ["a", "b", None, "a"]}, evaluate={"group_by": "x"})
    star = oracle.built(schema, reading)
    assert star.grouped_by == "facts"
    assert star.fact_groups[0] == star.fact_groups[3]
    assert len(set(star.fact_groups.tolist())) == 3


def test_nothing_but_features_is_left_in_a_star():
    schema, reading = oracle.small(
        [X, CITY], {"x": list("ab"), "user_id": list("ab")}, dimension=USERS, evaluate={"group_by": "x"}
    )
    star = oracle.built(schema, reading)
    assert {source: set(columns) for source, columns in star.sources.items()} == {"facts": {"x"}, "user": {"city"}}


def with_data(schema, **data):
    return FunnelSchema.model_validate(schema.model_dump() | {"data": schema.data.model_dump() | data})


def many(users=50, facts=400, seed=0):
    random = np.random.default_rng(seed)
    rows = [
        {**oracle.FACTS[row % 5], "user_id": f"u{u}" if u % 2 else str(u)}
        for row, u in enumerate(random.integers(0, users, facts))
    ]
    return rows, [{**oracle.USERS[u % 3], "user_id": f"u{u}" if u % 2 else str(u)} for u in range(users + 3)]


@pytest.mark.parametrize("shard_rows", [1, 40, 1000, 10**6])
def test_ranges_do_not_depend_on_the_format_or_the_pieces(tmp_path, monkeypatch, shard_rows):
    facts, users = many()
    found = []
    for form in oracle.FORMS:
        monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", 1000 if form in ("csv.gz", "pandas", "feature_list") else 1 << 24)
        folder = tmp_path / form
        folder.mkdir()
        schema, origin = oracle.placed(form, folder, facts, users)
        schema = with_data(schema, shard_rows=shard_rows)
        found.append(ranges(schema, oracle.read(schema, origin)))
    assert all(other == found[0] for other in found)


@pytest.mark.parametrize("shard_rows", [1, 40, 1000, 10**6])
def test_ranges_hold_all_facts_those_of_a_row_together_and_about_as_many_each(tmp_path, shard_rows):
    facts, users = many()
    schema, origin = oracle.placed("polars", tmp_path, facts, users)
    schema = with_data(schema, shard_rows=shard_rows)
    reading = oracle.read(schema, origin)
    found = ranges(schema, reading)
    assert all(one.last <= other.first for one, other in pairwise(found))
    assert found[0].first >= 0
    assert found[-1].last <= BUCKETS
    seen, shards_of_row, sizes = [], {}, []
    for number, one in enumerate(found):
        for part in reading.facts.read(one.first, one.last, one.most):
            seen += part[POSITION].tolist()
            sizes.append(len(part[POSITION]))
            for row in part[row_role("user")].tolist():
                shards_of_row.setdefault(row, set()).add(number)
    assert sorted(seen) == list(range(400))
    assert all(len(numbers) == 1 for numbers in shards_of_row.values())
    assert max(sizes) <= max(shard_rows, 40)
    # 400 facts, and 50 rows of 20 each.
    work = 400 + 20 * len({fact["user_id"] for fact in facts})
    assert len(found) <= max(1, -(-work // shard_rows)) + 2 * int((reading.facts.sizes > shard_rows).sum())


def test_a_group_larger_than_a_shard_is_cut(tmp_path):
    facts = [{**oracle.FACTS[0], "user_id": "7"}] * 95 + [{**oracle.FACTS[0], "user_id": "9"}] * 5
    schema, origin = oracle.placed("polars", tmp_path, facts, oracle.USERS)
    schema = with_data(schema, shard_rows=30)
    store = oracle.store_of(schema, origin, tmp_path)
    sizes = store.shards("train").sizes.tolist()
    assert sorted(sizes) == [5, 5, 30, 30, 30]
    for star in store.shards("train"):
        assert len(star.group_starts()) == 2
    assert oracle.joined(*store.shards("train")) == oracle.expected(facts, oracle.USERS)


def test_without_dimensions_facts_are_shared_out_evenly():
    schema, reading = oracle.small([X], {"x": ["a"] * 3000}, data={"shard_rows": 100})
    sizes = [int(reading.facts.sizes[one.first : one.last].sum()) for one in ranges(schema, reading)]
    assert sum(sizes) == 3000
    assert len(sizes) == 30
    assert min(sizes) > 90
    assert max(sizes) < 110


ids = st.lists(st.none() | st.sampled_from(["a", "b", "1", "2", "é"]), min_size=1, max_size=8)


@given(st.data())
def test_condensed_ids_are_places_in_a_list_with_the_uses_of_a_joined_table(data):
    users = {
        "user_id": ["p", "q", "r"],
        "city": data.draw(st.lists(st.none() | st.sampled_from("ab1"), min_size=3, max_size=3)),
        "tags": data.draw(st.lists(st.lists(st.sampled_from("ab2"), max_size=3), min_size=3, max_size=3)),
    }
    keys = data.draw(st.lists(st.sampled_from("pqr"), min_size=1, max_size=8))
    x = data.draw(st.lists(st.none() | st.sampled_from("ab1"), min_size=len(keys), max_size=len(keys)))
    features = [
        {"name": "x", "kind": "categorical", "table": "t"},
        {"name": "city", "kind": "categorical", "source": "user", "table": "t"},
        {"name": "tags", "kind": "bag", "source": "user", "table": "t"},
        {"name": "own", "kind": "categorical", "column": "x"},
    ]
    schema, reading = oracle.small(features, {"x": x, "user_id": keys}, dimension=users, tables={"t": {"min_count": 1}})
    star = oracle.built(schema, reading)
    condensed = condense(schema, star, count=True)
    place = {key: at for at, key in enumerate(users["user_id"])}
    wanted = Counter(x) + Counter(users["city"][place[key]] for key in keys)
    wanted += Counter(tag for key in keys for tag in users["tags"][place[key]])
    spelt = oracle.ids_of(reading, condensed.codes["t"], "t")
    assert condensed.codes["t"].tolist() == sorted(set(condensed.codes["t"].tolist()))
    assert dict(zip(spelt, condensed.counts["t"].tolist(), strict=True)) == dict(wanted)
    assert condensed.counts["own"].sum() == len(keys)
    for source, names in (("facts", ["x"]), ("user", ["city", "tags"])):
        for name in names:
            assert (condensed.codes["t"][condensed.star.sources[source][name]] == star.sources[source][name]).all()
    assert condense(schema, star, count=False).counts == {}
    assert uses_of(star, "facts") is None
    assert uses_of(star, "user").tolist() == [keys.count(key) for key in dict.fromkeys(keys)]
    assert (rows_of(star, "facts"), rows_of(star, "user")) == (len(keys), len(set(keys)))


def test_positions_of_all_shards_have_one_type():
    schema, reading = oracle.small([X], {"x": ["a", "b"]})
    condensed = condense(schema, oracle.built(schema, reading), count=False)
    rows = {"x": np.array([2, 3], np.int32)}
    assert encode(schema, condensed, rows, 2**32 - 1).position.dtype == np.uint32
    assert encode(schema, condensed, rows, 2**32).position.dtype == np.int64


def test_building_leaves_the_facts_as_they_are():
    schema, reading = oracle.small([X, CITY], {"x": list("ab"), "user_id": list("ba")}, dimension=USERS)
    facts = oracle.facts_of(reading)
    before = {name: array.copy() for name, array in facts.items()}
    build(schema, reading, facts, {})
    assert facts.keys() == before.keys()
    assert all((facts[name] == array).all() for name, array in before.items())
