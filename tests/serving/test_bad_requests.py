"""Requests that are not right, sent to a loaded export: a defined result, or TensorFlow's error that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from funnel.model._keras import tf
from funnel.run import Run
from tests import shop
from tests.serving.exports import answer, columns_of, frames, ranked, repeated, run_of, serialised, signatures, taken, tensors

Rows = dict[str, Any]
Refused = tf.errors.InvalidArgumentError
SCORES = {"gmv": "buy * price_band", "old": "log(age) * buy"}


def declared() -> dict[str, Any]:
    tree = shop.tree() | {"scores": SCORES}
    changed = {
        "hour": {"missing": "error"},
        "age": {"missing": "error", "transform": "log1p"},
        "item": {"serving_default": 7},
        "price_band": {"serving_default": 2.5},
    }
    return tree | {"features": [feature | changed.get(feature["name"], {}) for feature in tree["features"]]}


def of_known_age(seed: int, rows: int) -> dict[str, pl.DataFrame]:
    made = frames(seed, rows)
    return made | {"user": made["user"].with_columns(pl.col("age").fill_null(33.0))}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of(declared(), of_known_age(0, 900))


@pytest.fixture(scope="module")
def served(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    return signatures(run.export(tmp_path_factory.mktemp("bad") / "shop"))


@pytest.fixture(scope="module")
def whole(run: Run) -> Rows:
    """Six rows, no value of which is missing."""
    rows = columns_of(run.schema, frames(1, 300))
    good = [
        place
        for place in range(300)
        if rows["item"][place] and rows["city"][place] and rows["liked"][place][0] and np.isfinite(rows["age"][place])
        and np.isfinite(rows["price"][place])
    ]  # fmt: skip
    return taken(rows, good[:6])


@pytest.fixture
def rows(whole: Rows) -> Rows:
    return {name: [list(value) if isinstance(value, list) else value for value in column] for name, column in whole.items()}


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["predict", "rank"])
def test_an_input_that_is_not_there_or_misnamed_is_refused(run: Run, served, rows: Rows, name: str) -> None:
    given = tensors(served[name], ranked(run.schema, rows) if name == "rank" else rows)
    lacking = {key: value for key, value in given.items() if key != "price"}
    for request in (lacking, lacking | {"prize": given["price"]}, given | {"prize": given["price"]}):
        with pytest.raises(TypeError, match=r"pri[cz]e"):
            served[name](**request)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("price", ["1.5"] * 6), ("item", [1.0] * 6), ("hour", [3] * 6), ("liked", [[1, 2]] * 6), ("liked_weights", [["1"]] * 6)],
)
def test_another_type_is_refused(served, rows: Rows, name: str, wrong: list[Any]) -> None:
    given = tensors(served["predict"], rows)
    with pytest.raises(Refused, match=r"was expected to be a (string|float) tensor but is a"):
        served["predict"](**given | {name: tf.constant(wrong)})


@pytest.mark.parametrize("name", ["price", "liked"])
def test_another_rank_is_refused(served, rows: Rows, name: str) -> None:
    given = tensors(served["predict"], rows)
    with pytest.raises((Refused, TypeError, ValueError)):
        served["predict"](**given | {name: tf.expand_dims(given[name], 0)})


@pytest.mark.parametrize("name", ["item", "price", "seen", "city", "liked"])
@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_inputs_that_differ_in_their_rows_are_refused_and_never_repeated(served, rows: Rows, name: str, count: int) -> None:
    changed = (rows[name] * 2)[:count]
    with pytest.raises(Refused, match=rf"got another number of rows than user_id has.*{name} {count}"):
        answer(served["predict"], rows | {name: changed})


def test_all_inputs_that_differ_are_named(served, rows: Rows) -> None:
    with pytest.raises(Refused, match=r"input and rows:\] \[ city 2 hour 3\]"):
        answer(served["predict"], rows | {"city": rows["city"][:2], "hour": rows["hour"][:3]})


def test_ids_and_weights_of_different_lengths_are_refused(run: Run, served, rows: Rows) -> None:
    short = [weights[:-1] for weights in rows["liked_weights"]]
    with pytest.raises(Refused, match=r"weights: got another number than there are ids.*liked_weights"):
        answer(served["predict"], rows | {"liked_weights": short})
    once = ranked(run.schema, rows)
    with pytest.raises(Refused, match=r"weights: got another number than there are ids.*liked_weights"):
        answer(served["rank"], once | {"liked_weights": [once["liked_weights"][0][:-1]]})


def test_ids_and_weights_of_examples_have_the_same_lengths_row_by_row(run: Run, served, rows: Rows) -> None:
    examples = [tf.train.Example.FromString(one) for one in serialised(run.schema, rows)]
    moved = examples[0].features.feature["liked_weights"].float_list.value.pop()
    with pytest.raises(Refused, match=r"weights: got another number than there are ids.*liked_weights"):
        served["examples"](examples=tf.constant([one.SerializeToString() for one in examples]))
    # As many in all, but not in each.
    examples[1].features.feature["liked_weights"].float_list.value.append(moved)
    with pytest.raises(Refused, match=r"weights: got another number than there are ids.*liked_weights"):
        served["examples"](examples=tf.constant([one.SerializeToString() for one in examples]))


def test_an_empty_batch_has_empty_outputs(run: Run, served, rows: Rows) -> None:
    names = {*run.schema.probability_names, *SCORES}
    none = {name: [] for name in rows}
    found = [
        answer(served["predict"], none),
        {k: v.numpy() for k, v in served["examples"](examples=tf.zeros([0], tf.string)).items()},
    ]
    found.append(
        answer(
            served["rank"],
            ranked(run.schema, rows) | {name: [] for name in ("item", "seen", "also_seen", "price", "price_band", "hour")},
        )
    )
    for columns in found:
        assert set(columns) == names
        assert all(column.shape == (0,) for column in columns.values())


def test_ten_thousand_candidates_are_ranked_as_one_by_one(run: Run, served, rows: Rows) -> None:
    many = {name: [column[place % 6] for place in range(10_000)] for name, column in rows.items()}
    found = answer(served["rank"], ranked(run.schema, many, user=2))
    expected = answer(served["predict"], repeated(run.schema, rows, user=2))
    for name, column in found.items():
        assert column.shape == (10_000,)
        np.testing.assert_allclose(column, np.resize(expected[name], 10_000), atol=1e-6)


def test_lists_of_no_ids_and_of_no_width_are_the_same(served, rows: Rows) -> None:
    bags = ("liked", "seen", "also_seen")
    blank = {name: [["", ""]] * 6 for name in bags} | {"liked_weights": [[1.0, 2.0]] * 6}
    bare = {name: [[]] * 6 for name in (*bags, "liked_weights")}
    assert_same(answer(served["predict"], rows | bare), answer(served["predict"], rows | blank))


def test_padding_may_stand_anywhere_and_its_weight_is_not_looked_at(served, rows: Rows) -> None:
    expected = answer(served["predict"], rows)
    wider = {
        "liked": [["", *ids, ""] for ids in rows["liked"]],
        "liked_weights": [[np.nan, *weights, np.inf] for weights in rows["liked_weights"]],
        "seen": [["", "", *ids] for ids in rows["seen"]],
    }
    assert_same(answer(served["predict"], rows | wider), expected)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_refused(run: Run, served, rows: Rows, wrong: float) -> None:
    rows["liked_weights"][0][0] = wrong
    for name, request in (("predict", rows), ("rank", ranked(run.schema, rows))):
        with pytest.raises(Refused, match=r"weights: got NaN or infinity.*liked_weights"):
            answer(served[name], request)
    with pytest.raises(Refused, match=r"weights: got NaN or infinity.*liked_weights"):
        answer(served["examples"], {"examples": serialised(run.schema, rows)})


def test_an_infinite_number_is_refused(served, rows: Rows) -> None:
    rows["price"][3] = np.inf
    with pytest.raises(Refused, match=r"numbers: got an infinite one.*input:\] \[ price\]"):
        answer(served["predict"], rows)


def test_ids_never_seen_take_the_row_of_unknown_ones(served, rows: Rows) -> None:
    one, other = (rows | {"user_id": [name] * 6, "item": ["987654" + name] * 6} for name in ("nobody", "no\x00one é"))
    found = answer(served["predict"], one)
    assert all(np.isfinite(column).all() for column in found.values())
    assert_same(answer(served["predict"], other | {"item": one["item"]}), found)


def test_ids_that_are_no_text_at_all_are_unknown(served, rows: Rows) -> None:
    given = tensors(served["predict"], rows)
    broken = {name: tf.constant([b"\xff\xfe"] * 6) for name in ("user_id", "hour")}
    assert all(np.isfinite(column).all() for column in served["predict"](**given | broken).values())


@pytest.mark.parametrize(("name", "nothing"), [("hour", ""), ("age", np.nan)])
def test_a_missing_value_where_the_schema_allows_none_is_refused(
    run: Run, served, rows: Rows, name: str, nothing: object
) -> None:
    rows[name][0] = nothing
    said = rf"got a missing value, expected none: the schema says `missing: error`.*{name}"
    for signature, request in (("predict", rows), ("rank", ranked(run.schema, rows))):
        with pytest.raises(Refused, match=said):
            answer(served[signature], request)
    with pytest.raises(Refused, match=said):
        answer(served["examples"], {"examples": serialised(run.schema, rows)})
    with pytest.raises(Refused, match=rf"{name}.*is required but could not be found"):
        answer(served["examples"], {"examples": serialised(run.schema, rows, missing=False)})


def test_a_default_of_serving_stands_for_what_is_missing_in_every_signature(run: Run, served, rows: Rows) -> None:
    lacking = rows | {"item": ["", *rows["item"][1:]], "price_band": [*rows["price_band"][:5], np.nan]}
    stated = rows | {"item": ["7", *rows["item"][1:]], "price_band": [*rows["price_band"][:5], 2.5]}
    expected = answer(served["predict"], stated)
    assert np.isfinite(expected["gmv"]).all()
    assert_same(answer(served["predict"], lacking), expected)
    for missing in (True, False):
        assert_same(answer(served["examples"], {"examples": serialised(run.schema, lacking, missing=missing)}), expected)
    assert_same(answer(served["rank"], ranked(run.schema, lacking)), answer(served["rank"], ranked(run.schema, stated)))


def test_a_default_of_serving_is_no_part_of_the_run(run: Run) -> None:
    data = of_known_age(1, 300)
    rows = {source: data[source] for source in run.schema.sources}
    tree = declared()
    tree["features"] = [{key: value for key, value in f.items() if key != "serving_default"} for f in tree["features"]]
    found, expected = run.predict(rows), run_of(tree, of_known_age(0, 900)).predict(rows)
    for name in run.schema.probability_names:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("name", ["user_id", "liked", "age"])
@pytest.mark.parametrize("users", [0, 2, 6])
def test_a_request_that_ranks_has_one_user(run: Run, served, rows: Rows, name: str, users: int) -> None:
    request = ranked(run.schema, rows) | {name: rows[name][:users]}
    if name == "liked":
        request["liked_weights"] = rows["liked_weights"][:users]
    with pytest.raises(Refused, match=rf"given once: got another number of rows, expected 1 in each.* {name} {users}"):
        answer(served["rank"], request)


def test_candidates_that_differ_in_number_are_refused(run: Run, served, rows: Rows) -> None:
    request = ranked(run.schema, rows) | {"hour": rows["hour"][:1]}
    with pytest.raises(Refused, match=r"got another number of rows than item has.* hour 1"):
        answer(served["rank"], request)


def test_what_is_no_example_is_refused_and_one_with_other_types_too(run: Run, served, rows: Rows) -> None:
    with pytest.raises(Refused, match="Could not parse example"):
        answer(served["examples"], {"examples": [b"no example"]})
    example = tf.train.Example.FromString(serialised(run.schema, rows)[0])
    example.features.feature["item"].int64_list.value.append(7)
    with pytest.raises(Refused, match=r"item.*Data types don't match"):
        answer(served["examples"], {"examples": [example.SerializeToString()]})


def test_examples_may_hold_more_than_is_read(run: Run, served, rows: Rows) -> None:
    found = []
    for one in serialised(run.schema, rows):
        example = tf.train.Example.FromString(one)
        example.features.feature["label"].int64_list.value.append(1)
        found.append(example.SerializeToString())
    assert_same(answer(served["examples"], {"examples": found}), answer(served["predict"], rows))


def test_a_score_whose_number_is_missing_is_not_a_number(tmp_path: Path) -> None:
    tree = shop.tree() | {"scores": {"gmv": "buy * price", "banded": "max(buy, price_band) ** 0", "plain": "2 * buy"}}
    run = run_of(tree)
    rows = columns_of(run.schema, frames(1, 8))
    found = answer(signatures(run.export(tmp_path))["predict"], rows | {"price": [np.nan] * 8, "price_band": [np.nan] * 8})
    np.testing.assert_allclose(found["gmv"], 1.5 * found["buy"], rtol=1e-6)  # as the schema fills it
    assert np.isnan(found["banded"]).all()
    np.testing.assert_allclose(found["plain"], 2 * found["buy"])
