"""Raw batches encoded: joined, and with what all facts share given once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.model._keras import tf
from funnel.model.raw import RawEncoder
from funnel.schema.reader import load_schema

ROWS = 5
TREE: dict[str, Any] = {
    "name": "shop",
    "stages": [{"name": "click", "label": "click"}],
    "data": {
        "facts": {"format": "parquet", "train": "a"},
        "dimensions": [
            {"name": "user", "key": "u", "format": "parquet", "files": "b"},
            {"name": "item", "key": "i", "format": "parquet", "files": "c"},
            {"name": "bare", "key": "x", "format": "parquet", "files": "d"},
        ],
    },
    "features": [
        {"name": "seen", "kind": "bag", "buckets": 9, "weighted": True, "weights": "w"},
        {"name": "hour", "kind": "categorical", "buckets": 9},
        {"name": "city", "kind": "categorical", "source": "user"},
        {"name": "liked", "kind": "bag", "source": "user", "table": "ids"},
        {"name": "age", "kind": "numeric", "source": "user", "missing": {"fill": 30}},
        {"name": "brand", "kind": "categorical", "source": "item", "table": "ids", "missing": "oov"},
        {"name": "price", "kind": "numeric", "source": "item"},
        {"name": "city_hour", "kind": "cross", "of": ["city", "hour"], "buckets": 50},
        {"name": "city_city", "kind": "cross", "of": ["city", "city"], "buckets": 50},
        {"name": "brand_hour", "kind": "cross", "of": ["brand", "hour"], "buckets": 50},
    ],
    "tables": {"ids": {"dim": 4}},
}
TERMS = {"ids": ["a", "b"], "city": ["rome"]}


@pytest.fixture(scope="module")
def encoder() -> RawEncoder:
    return RawEncoder(load_schema(TREE), TERMS)


def joined() -> dict[str, Any]:
    return {
        "seen": [["1", "", "2"], ["", "", ""], ["3", "3", "3"], ["", "4", ""], ["5", "", ""]],
        "seen_weights": np.arange(15, dtype=np.float32).reshape(5, 3),
        "hour": ["7", "8", "", "7", "1"],
        "city": ["rome", "oslo", "", "rome", "rome"],
        "liked": [["a", "zz"], ["", ""], ["b", ""], ["", "a"], ["a", "b"]],
        "age": np.array([1, np.nan, 3, 4, 5], np.float32),
        "brand": ["a", "", "c", "b", "b"],
        "price": np.array([1, 2, np.nan, 4, 5], np.float32),
    }


BAGS = (("facts", "seen"), ("user", "liked"))


def name_of(key: str) -> str:
    return key.split("/")[1]


def as_numbers(star: dict[str, tf.Tensor]) -> dict[str, list[Any]]:
    """None for NaN, which equals nothing."""
    return {key: [None if one != one else one for one in value.numpy().tolist()] for key, value in star.items()}  # noqa: PLR0124


def test_a_joined_batch_is_a_star_of_a_row_per_fact(encoder: RawEncoder) -> None:
    found = as_numbers(encoder(joined()))
    assert found["user/city"] == [2, 1, 0, 2, 2]
    assert found["item/brand"] == [2, 1, 1, 3, 3]
    assert (found["user/liked"], found["user/liked/offsets"]) == ([2, 1, 3, 2, 2, 3], [0, 2, 2, 3, 4, 6])
    assert (found["facts/seen/weights"], found["facts/seen/offsets"]) == ([0, 2, 6, 7, 8, 10, 12], [0, 2, 2, 5, 6, 7])
    assert found["user/age"] == [1, 30, 3, 4, 5]
    assert found["index/user"] == found["index/item"] == found["index/bare"] == list(range(5))


def test_lists_in_any_form_are_the_same(encoder: RawEncoder) -> None:
    plain = as_numbers(encoder(joined()))
    dense, weights = tf.constant(joined()["seen"]), tf.constant(joined()["seen_weights"])
    as_ragged = {"seen": tf.RaggedTensor.from_tensor(dense), "seen_weights": tf.RaggedTensor.from_tensor(weights)}
    as_sparse = {name: ragged.to_sparse() for name, ragged in as_ragged.items()}
    for form in (as_ragged, as_sparse):
        assert as_numbers(encoder(joined() | form)) == plain


@pytest.mark.parametrize(
    ("once", "single"),
    [
        (("city", "liked", "age"), {"user"}),
        (("city", "liked", "age", "hour", "seen"), {"user"}),
        (("city", "liked"), set()),
        (("seen", "price"), set()),
        (("brand", "price", "hour"), {"item"}),
        (("city", "liked", "age", "brand", "price", "hour"), {"user", "item"}),
    ],
)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_what_is_given_once_means_what_it_means_in_each_row(
    encoder: RawEncoder, once: tuple[str, ...], single: set[str], row: int
) -> None:
    rows = {name: tf.constant(column) for name, column in joined().items()}
    one, each = dict(rows), dict(rows)
    for name in rows:
        if name.removesuffix("_weights") in once:
            one[name] = rows[name][row : row + 1]
            each[name] = tf.repeat(one[name], ROWS, axis=0)
    found, plain = encoder(one, once), encoder(each)
    assert {key for key in found if not key.endswith("/once")} == plain.keys()
    repeated = [key for key in found if key.endswith("/once")]
    assert repeated == [f"{source}/{name}/once" for source, name in BAGS if name in once and source not in single]
    for key, expected in plain.items():
        source = key.split("/")[0]
        if key.startswith("index/"):
            assert found[key].numpy().tolist() == ([0] * ROWS if key.removeprefix("index/") in single else list(range(ROWS)))
        elif source not in single and name_of(key) in once and f"{source}/{name_of(key)}/offsets" in plain:
            # A list of all rows stands in the first.
            count = int(plain[f"{source}/{name_of(key)}/offsets"][1])
            kept = [0] + [count] * ROWS if key.endswith("/offsets") else expected[:count]
            np.testing.assert_array_equal(found[key], kept, err_msg=key)
        elif source not in single:
            np.testing.assert_array_equal(found[key], expected, err_msg=key)
        elif f"{key}/offsets" in plain:
            np.testing.assert_array_equal(np.tile(found[key], ROWS), expected, err_msg=key)
        elif key.endswith("/offsets"):
            assert found[key].numpy().tolist() == expected.numpy()[:2].tolist()
        else:
            assert len(found[key]) == 1, key
            np.testing.assert_array_equal(np.repeat(found[key], ROWS), expected, err_msg=key)


def test_no_facts_are_no_rows(encoder: RawEncoder) -> None:
    none = {name: tf.constant(column)[:0] for name, column in joined().items()}
    once = ("city", "liked", "age")
    users = {name: tf.constant(joined()[name])[:1] for name in (*once, "seen", "seen_weights")}
    assert encoder(none | users, (*once, "seen"))["facts/seen"].shape == (0,)
    for found in (encoder(none), encoder(none | users | {"seen": none["seen"], "seen_weights": none["seen_weights"]}, once)):
        assert found["facts/hour"].shape == found["index/user"].shape == found["facts/city_hour"].shape == (0,)
    assert found["user/city"].shape == (1,)


def test_a_vocabulary_may_have_no_ids(tmp_path: Path) -> None:
    (tmp_path / "none.txt").touch()
    for none in ((), str(tmp_path / "none.txt")):
        found = RawEncoder(load_schema(TREE), TERMS | {"city": none})(joined() | {"city": ["rome", "", "\n", "x", "y"]})
        assert found["user/city"].numpy().tolist() == [1, 0, 1, 1, 1]


def test_a_batch_without_a_feature_is_refused(encoder: RawEncoder) -> None:
    with pytest.raises(ValueError, match=r"batch: has no \['seen_weights', 'hour'\]"):
        encoder({name: column for name, column in joined().items() if name not in ("seen_weights", "hour")})
