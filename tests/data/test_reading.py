from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pytest

from funnel.data.codes import CollisionError
from funnel.data.origin import Origin, patterns_of
from funnel.data.reading import LABELS, POSITION, row_role
from funnel.errors import DataError
from funnel.schema.reader import load_schema

X = {"name": "x", "kind": "categorical"}
CITY = {"name": "city", "kind": "categorical", "source": "user"}
USERS = {"user_id": ["a", "b", "c"], "city": ["A", "B", "C"]}
SKIP = {"bad_rows": {"kind": "skip", "max_share": 0.5}}


def xs(reading):
    return oracle.ids_of(reading, oracle.facts_of(reading)["x"], "x")


def test_each_fact_knows_its_row_of_the_dimension():
    facts = {"x": list("12345"), "user_id": list("cbcab")}
    _, reading = oracle.small([X, CITY], facts, dimension=USERS)
    found = oracle.facts_of(reading)
    assert found[row_role("user")].tolist() == [2, 1, 2, 0, 1]
    assert found[row_role("user")].dtype == np.int32
    assert found[POSITION].tolist() == [0, 1, 2, 3, 4]
    assert reading.rows == reading.facts.rows == 5


def test_numbers_and_texts_are_the_same_key():
    for of_facts, of_users in ((["7"], [7]), ([7], ["7"]), ([-7], ["-7"]), (pl.Series([7], dtype=pl.UInt8), [7])):
        _, reading = oracle.small([X], {"x": ["1"], "user_id": of_facts}, dimension={"user_id": of_users})
        assert oracle.facts_of(reading)[row_role("user")].tolist() == [0]
    with pytest.raises(DataError, match="got the key '07', which the dimension 'user' lacks"):
        oracle.small([X], {"x": ["1"], "user_id": ["07"]}, dimension={"user_id": [7]})


LACKS = {"x": list("1234"), "user_id": ["a", "zz", "b", "zz"]}


def test_a_key_that_the_dimension_lacks_is_refused_where_it_is():
    with pytest.raises(DataError) as caught:
        oracle.small([X, CITY], LACKS, dimension=USERS)
    assert str(caught.value) == (
        "frame 'facts', row 2 column 'user_id': got the key 'zz', which the dimension 'user' lacks (as do 2 of 4 facts read "
        "with this one), expected each to be there. Add the rows, or drop the facts."
    )


def test_facts_whose_key_the_dimension_lacks_are_skipped_and_counted():
    _, reading = oracle.small([X, CITY], LACKS, dimension=USERS, data=SKIP)
    assert xs(reading) == ["1", "3"]
    assert oracle.facts_of(reading)[POSITION].tolist() == [0, 2]
    assert (reading.rows, reading.facts.rows) == (4, 2)
    faults = reading.faults["facts"]
    assert (faults.read, faults.rows, faults.reasons) == (4, 2, {"a key that dimension 'user' lacks": 2})
    assert faults.examples["a key that dimension 'user' lacks"][1].startswith("frame 'facts', row 4 column 'user_id'")


TWICE = {"user_id": ["a", "b", "c", "b", "b"], "city": list("ABCDE")}


def test_a_key_that_the_dimension_has_twice_is_refused_where_it_is():
    with pytest.raises(DataError) as caught:
        oracle.small([X, CITY], {"x": ["1"], "user_id": ["a"]}, dimension=TWICE)
    assert str(caught.value) == (
        "frame 'user', row 4 column 'user_id': got the key 'b' of dimension 'user' more than once (2 rows repeat a key), "
        "expected one row for each key. Keep one of them."
    )


def test_of_rows_that_repeat_a_key_the_first_is_kept():
    schema, reading = oracle.small([X, CITY], {"x": list("12"), "user_id": list("bc")}, dimension=TWICE, data=SKIP)
    star = oracle.built(schema, reading)
    assert oracle.ids_of(reading, star.sources["user"]["city"][star.index["user"]], "city") == ["B", "C"]
    faults = reading.faults["user"]
    assert (faults.read, faults.rows, faults.reasons) == (5, 2, {"a key that was there before": 2})


def test_dropped_facts_take_their_features_and_keys_along():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 0, 1], "buy": [0, 1, 1], "x": list("123"), "user_id": list("aba"), "p": [1.0, 2.0, 3.0]}
    features = [X, CITY, {"name": "p", "kind": "numeric"}, {"name": "tags", "kind": "bag"}]
    schema, reading = oracle.small(
        features,
        facts | {"tags": [["t", "u"], ["v"], ["w"]]},
        dimension={"user_id": ["b", "a"], "city": ["B", "A"]},
        stages=stages,
        inconsistent_labels="drop",
    )
    found = oracle.facts_of(reading)
    assert found[LABELS].tolist() == [[1, 0], [1, 1]]
    assert found[LABELS].dtype == np.uint8
    assert reading.violations == {"buy": 1}
    assert (reading.rows, reading.facts.rows) == (3, 2)
    assert found[POSITION].tolist() == [0, 2]
    assert xs(reading) == ["1", "3"]
    assert found["p"].tolist() == [1.0, 3.0]
    assert oracle.ids_of(reading, found["tags"], "tags") == ["t", "u", "w"]
    assert found["tags/offsets"].tolist() == [0, 2, 3]
    star = oracle.built(schema, reading)
    assert oracle.ids_of(reading, star.sources["user"]["city"], "city") == ["A"]
    assert reading.faults["facts"].rows == 0  # a policy for labels is no fault of rows


@pytest.mark.parametrize("policy", ["and", "promote"])
def test_facts_lost_and_labels_mended_do_not_get_in_each_others_way(policy):
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    facts = {"click": [1, 0, 0, 1], "buy": [1, 1, 1, 0], "x": list("1234"), "user_id": ["zz", "a", "b", "c"]}
    _, reading = oracle.small([X, CITY], facts, dimension=USERS, stages=stages, inconsistent_labels=policy, data=SKIP)
    mended = [0, 0] if policy == "and" else [1, 1]
    assert oracle.facts_of(reading)[LABELS].tolist() == [mended, mended, [1, 0]]
    assert reading.violations == {"buy": 2}
    assert xs(reading) == ["2", "3", "4"]


def test_where_every_fact_is_dropped_nothing_can_be_used():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
    with pytest.raises(
        DataError, match=r"^the frames given \(train rows\): no row can be used, expected some\. Correct the data"
    ):
        oracle.small([X], {"click": [0], "buy": [1], "x": ["a"]}, stages=stages, inconsistent_labels="drop")


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "polars"])
def test_contradictions_are_refused_where_they_are_unless_a_policy_is_declared(tmp_path, form):
    facts = [*oracle.FACTS, {**oracle.FACTS[1], "bought": 1}]
    schema, origin = oracle.placed(form, tmp_path, facts, oracle.USERS)
    # The second file holds the last three; its header is a line of text.
    place = {"parquet": r"facts_2\.parquet, row 3", "polars": "frame 'facts', row 6"}.get(form, rf"facts_2\.{form}:4")
    with pytest.raises(DataError, match=rf"{place}: got bought = 1 with click = 0 \(without the earlier stage: 1 buy of"):
        oracle.read(schema, origin)


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
        reading = oracle.read(schema, Origin(root=tmp_path), split)
        assert oracle.ids_of(reading, oracle.facts_of(reading)["item_id"], "item") == [name] * rows
        assert patterns_of(schema, "facts", split) == (f"{name}.csv",)
        assert patterns_of(schema, "user", split) == ("users.csv",)
        assert not reading.held_out(oracle.facts_of(reading)).any()


def test_a_split_without_files_is_refused(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    tree = oracle.mapping("csv")
    tree["data"]["dimensions"][0] = {**tree["data"]["dimensions"][0], "test": "users.csv"}
    with pytest.raises(DataError, match=r"data\.facts: declares no test files, expected `test` or `files`"):
        oracle.read(load_schema(tree), origin, "test")
    with pytest.raises(DataError, match=r"data\.dimensions\.user: declares no test files, expected `test` or `files`"):
        oracle.read(schema, origin, "test")


def test_a_frame_that_is_not_given_is_named(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {"facts": origin.frames["facts"], "users": origin.frames["user"]}
    with pytest.raises(DataError, match=r"got no frame for 'user' .*Did you mean 'users'"):
        oracle.read(schema, Origin(frames=frames))


@pytest.mark.parametrize(
    ("column", "nearest"), [("user_id", "user_ids"), ("click", "clicks"), ("item_id", "itemid"), ("tags_w", "tag_w")]
)
def test_a_missing_column_is_named_with_the_nearest(tmp_path, column, nearest):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {**origin.frames, "facts": origin.frames["facts"].rename({column: nearest})}
    with pytest.raises(DataError, match=rf"frame 'facts': has no column '{column}' .*Did you mean '{nearest}'"):
        oracle.read(schema, Origin(frames=frames))


def test_labels_are_not_needed_to_predict(tmp_path):
    schema, origin = oracle.placed("polars", tmp_path, oracle.FACTS, oracle.USERS)
    frames = {**origin.frames, "facts": origin.frames["facts"].drop("click", "bought")}
    reading = oracle.read(schema, Origin(frames=frames), labels=False)
    assert LABELS not in oracle.facts_of(reading)
    assert (reading.violations, reading.facts.rows) == ({}, 5)


def test_an_empty_file_is_refused(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    (tmp_path / "facts_2.csv").write_text("")
    with pytest.raises(DataError, match=r"facts_2\.csv: got an empty file"):
        oracle.read(schema, origin)


def test_a_file_with_a_header_alone_is_no_rows(tmp_path):
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    header = (tmp_path / "facts_2.csv").read_text().splitlines()[0]
    (tmp_path / "facts_2.csv").write_text(header + "\n")
    assert oracle.read(schema, origin).facts.rows == 3
    (tmp_path / "facts_1.csv").write_text(header + "\n")
    with pytest.raises(DataError, match=r"facts_1\.csv'.*: got no rows, expected some\. Is the file whole\?"):
        oracle.read(schema, origin)


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
                "validation": {"kind": "time", "column": "ts", "fraction": 0.3},
            },
            "features": [X, {"name": "p", "kind": "numeric"}],
        }
    )
    reading = oracle.read(schema, Origin(root=tmp_path))
    found = oracle.facts_of(reading)
    assert found["x"].tolist() == [1, 2, 3]
    assert found["p"].tolist() == [1, 2, 2.5]
    assert found[LABELS].tolist() == [[0], [1], [1]]
    assert reading.held_out(found).tolist() == [False, False, True]


def test_more_bad_rows_than_declared_are_an_error_with_counts_and_examples():
    facts = {"n": ["1", "z", "3", "y"], "x": list("abcd")}
    features = [X, {"name": "n", "kind": "numeric"}]
    with pytest.raises(DataError) as caught:
        oracle.small(features, facts, data={"bad_rows": {"kind": "skip", "max_share": 0.4}})
    assert str(caught.value) == (
        "the frames given (facts): 2 of 4 rows cannot be used, expected at most 40.000% (data.bad_rows.max_share): "
        "not a number (2). For example: frame 'facts', row 2 column 'n': got 'z', expected a finite number. Mend the row, or "
        "declare the feature categorical."
    )
    _, reading = oracle.small(features, facts, data={"bad_rows": {"kind": "skip", "max_share": 0.5}})
    assert xs(reading) == ["a", "c"]
    assert reading.rows == 4


@pytest.mark.parametrize("size", [1, 30, 1 << 20])
def test_positions_and_places_run_on_over_pieces_and_files(tmp_path, monkeypatch, size):
    monkeypatch.setattr("funnel.data.pieces.PIECE_BYTES", size)
    facts = [{**oracle.FACTS[row % 5], "price": float(row)} for row in range(20)]
    facts[13]["price"] = "z"
    schema, origin = oracle.placed("csv", tmp_path, facts, oracle.USERS)
    with pytest.raises(DataError, match=r"facts_2\.csv:5 column 'price': got 'z'"):
        oracle.read(schema, origin)
    tree = schema.model_dump()
    tree["data"]["bad_rows"] = {"kind": "skip", "max_share": 0.1}
    reading = oracle.read(load_schema(tree), origin)
    found = oracle.facts_of(reading)
    assert found[POSITION].tolist() == [row for row in range(20) if row != 13]
    assert found["price"].tolist() == [float(row) for row in range(20) if row != 13]
    assert reading.rows == 20


def test_two_texts_with_one_code_are_found_out(monkeypatch):
    _, reading = oracle.small([X], {"x": ["a", "b", "1"]})
    reading.require_injective({})
    own = oracle.spellings(reading, "x")
    code = own.filter(pl.col("text") == "a")["code"]
    reading.require_injective({"x": pl.DataFrame({"code": code, "text": ["a"]})})
    with pytest.raises(CollisionError):
        reading.require_injective({"x": pl.DataFrame({"code": code, "text": ["another"]})})


def test_keys_with_one_code_are_no_key_that_repeats(monkeypatch):
    monkeypatch.setattr("funnel.data.codes.hashed_text", lambda text, _: np.full(len(text), -5))
    with pytest.raises(CollisionError):
        oracle.small([X, CITY], {"x": ["1"], "user_id": ["a"]}, dimension=USERS)


def test_lines_that_were_cut_have_a_position_too(tmp_path):
    """Predictions are told apart by the positions of rows in their files: a line left out is one of them."""
    schema, origin = oracle.placed("csv", tmp_path, oracle.FACTS, oracle.USERS)
    lines = (tmp_path / "facts_1.csv").read_text().splitlines()
    (tmp_path / "facts_1.csv").write_text("\n".join([*lines[:2], "1,2", *lines[2:]]) + "\n")
    tree = schema.model_dump()
    tree["data"]["bad_rows"] = {"kind": "skip", "max_share": 0.5}
    reading = oracle.read(load_schema(tree), origin)
    assert reading.faults["facts"].reasons == {"a wrong number of columns": 1}
    assert reading.faults["facts"].read == 6
    assert oracle.facts_of(reading)[POSITION].tolist() == [0, 2, 3, 4, 5]
    assert reading.rows == 6
