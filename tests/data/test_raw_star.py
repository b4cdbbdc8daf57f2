from __future__ import annotations

import oracle
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.raw_star import Origin, read_star
from funnel.errors import DataError
from funnel.schema.reader import load_schema

X = {"name": "x", "kind": "categorical"}
CITY = {"name": "city", "kind": "categorical", "source": "user"}


def test_each_fact_is_led_to_its_own_dimension_row():
    users = {"user_id": ["a", "b", "c", "d"], "city": ["A", "B", "C", "D"]}
    _, raw = oracle.small([X, CITY], {"x": list("12345"), "user_id": ["d", "b", "d", "a", "b"]}, dimension=users)
    assert raw.dimensions["user"].rows == 3
    assert raw.dimensions["user"].ids["city"].gather(raw.index["user"]).to_list() == ["D", "B", "D", "A", "B"]


@given(st.data())
def test_any_keys_are_joined_as_a_dictionary_would(data):
    keys = data.draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=8, unique=True))
    used = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=12))
    users = {"user_id": keys, "city": [f"city of {key}" for key in keys]}
    _, raw = oracle.small([X, CITY], {"x": ["1"] * len(used), "user_id": used}, dimension=users)
    assert raw.dimensions["user"].rows == len(set(used))
    assert raw.dimensions["user"].ids["city"].gather(raw.index["user"]).to_list() == [f"city of {key}" for key in used]


def test_numbers_and_texts_are_the_same_key():
    _, raw = oracle.small([X, CITY], {"x": ["1"], "user_id": ["7"]}, dimension={"user_id": [7], "city": ["A"]})
    assert raw.index["user"].tolist() == [0]


def test_a_key_that_the_dimension_lacks_is_refused():
    facts = {"x": list("123"), "user_id": ["a", "zz", "zz"]}
    said = r"2 of 3 facts have a key that the dimension 'user' lacks, the first is 'zz' in row 2"
    with pytest.raises(DataError, match=said):
        oracle.small([X, CITY], facts, dimension={"user_id": ["a"], "city": ["A"]})


def test_a_key_that_the_dimension_has_twice_is_refused():
    users = {"user_id": ["a", "b", "b", "b"], "city": list("ABCD")}
    with pytest.raises(DataError, match=r"^dimension 'user': got the key 'b' more than once \(3 rows share a key"):
        oracle.small([X, CITY], {"x": ["1"], "user_id": ["a"]}, dimension=users)


def test_dropped_facts_take_their_features_and_keys_along():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 0, 1], "buy": [0, 1, 1], "x": list("123"), "user_id": list("aba"), "p": [1.0, 2.0, 3.0]}
    features = [X, CITY, {"name": "p", "kind": "numeric"}, {"name": "tags", "kind": "bag"}]
    _, raw = oracle.small(
        features,
        facts | {"tags": [["t", "u"], ["v"], ["w"]]},
        dimension={"user_id": ["b", "a"], "city": ["B", "A"]},
        stages=stages,
        inconsistent_labels="drop",
    )
    assert raw.labels.tolist() == [[1, 0], [1, 1]]
    assert raw.violations == {"buy": 1}
    assert raw.facts.ids["x"].to_list() == ["1", "3"]
    assert raw.facts.numbers["p"].tolist() == [1.0, 3.0]
    assert raw.facts.lists["tags"].values.to_list() == ["t", "u", "w"]
    assert raw.facts.lists["tags"].offsets.tolist() == [0, 2, 3]
    assert raw.dimensions["user"].ids["city"].to_list() == ["A"]


def test_contradictions_are_refused_unless_a_policy_is_declared(tmp_path):
    facts = [*oracle.FACTS, {**oracle.FACTS[1], "bought": 1}]
    schema, origin = oracle.placed("csv", tmp_path, facts, oracle.USERS)
    with pytest.raises(DataError, match=r"\(train rows\): got bought = 1 with click = 0 \(row 6 is the first"):
        read_star(schema, origin, "train")


def test_splits_are_read_from_their_own_files(tmp_path):
    tree = oracle.mapping("csv")
    for number, split in enumerate(("train", "test", "held")):
        rows = [{**oracle.FACTS[0], "item_id": split}] * (number + 1)
        oracle.write(tmp_path, f"{split}.csv", oracle.csv_text(rows))
    oracle.write(tmp_path, "users.csv", oracle.csv_text(oracle.USERS))
    tree["data"]["facts"] |= {"train": "train.csv", "test": ["test.csv"]}
    tree["data"]["dimensions"][0].pop("train")
    tree["data"]["dimensions"][0]["files"] = "users.csv"
    tree["data"]["validation"] = {"kind": "file", "files": "held.csv"}
    schema = load_schema(tree)
    for rows, (split, name) in enumerate((("train", "train"), ("test", "test"), ("validation", "held")), 1):
        star = read_star(schema, Origin(root=tmp_path), split)
        assert star.facts.ids["item_id"].to_list() == [name] * rows


def test_a_split_without_files_is_refused(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    with pytest.raises(DataError, match=r"data\.facts: declares no test files, expected `test` or `files`"):
        read_star(schema, origin, "test")


def test_a_frame_that_is_not_given_is_named(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {"facts": origin.frames["facts"], "users": origin.frames["user"]}
    with pytest.raises(DataError, match=r"got no frame for 'user' .*Did you mean 'users'"):
        read_star(schema, Origin(frames=frames), "train")


@pytest.mark.parametrize(
    ("column", "nearest"), [("user_id", "user_ids"), ("click", "clicks"), ("item_id", "itemid"), ("tags_w", "tag_w")]
)
def test_a_missing_column_is_named_with_the_nearest(tmp_path, column, nearest):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {**origin.frames, "facts": origin.frames["facts"].rename({column: nearest})}
    with pytest.raises(DataError, match=rf"frame 'facts': has no column '{column}' .*Did you mean '{nearest}'"):
        read_star(schema, Origin(frames=frames), "train")


def test_labels_are_not_needed_to_predict(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {**origin.frames, "facts": origin.frames["facts"].drop("click", "bought")}
    star = read_star(schema, Origin(frames=frames), "train", labels=False)
    assert (star.labels, star.violations, star.facts.rows) == (None, {}, 5)


def test_an_empty_file_is_refused(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    (tmp_path / "facts_2.csv").write_text("")
    with pytest.raises(DataError, match=r"facts_2\.csv: got an empty file"):
        read_star(schema, origin, "train")


def test_a_file_with_a_header_alone_is_no_rows(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    header = (tmp_path / "facts_2.csv").read_text().splitlines()[0]
    (tmp_path / "facts_2.csv").write_text(header + "\n")
    assert read_star(schema, origin, "train").facts.rows == 3
    (tmp_path / "facts_1.csv").write_text(header + "\n")
    with pytest.raises(DataError, match="got no rows, expected some"):
        read_star(schema, origin, "train")


def test_files_of_one_source_may_differ_in_the_types_of_their_columns(tmp_path):
    first = pl.DataFrame({"x": [1, 2], "click": [0, 1], "p": [1, 2], "ts": [1, 2]})
    second = pl.DataFrame({"x": ["3"], "click": [True], "p": ["2.5"], "ts": pl.Series([3], dtype=pl.Int32)})
    first.write_parquet(tmp_path / "1.parquet")
    second.write_parquet(tmp_path / "2.parquet")
    schema = load_schema(
        {
            "name": "a",
            "stages": [{"name": "click", "label": "click"}],
            "data": {
                "facts": {"format": "parquet", "train": "*.parquet"},
                "validation": {"kind": "time", "column": "ts"},
            },
            "features": [X, {"name": "p", "kind": "numeric"}],
        }
    )
    star = read_star(schema, Origin(root=tmp_path), "train")
    assert star.facts.ids["x"].to_list() == ["1", "2", "3"]
    assert star.facts.numbers["p"].tolist() == [1, 2, 2.5]
    assert star.facts.plain["time"].to_list() == [1, 2, 3]
