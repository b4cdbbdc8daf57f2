from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.data.star import Star, smallest


def star_of(index, *, labels=True, weights=False, groups="facts", names=("user", "item")):
    facts, random = len(index), np.random.default_rng(len(index))
    rows = max(index, default=-1) + 1

    def columns(count):
        lengths = random.integers(0, 3, count)
        values = np.arange(lengths.sum(), dtype=np.int32)
        bag = {
            "bag": values,
            "bag/offsets": np.cumsum([0, *lengths]).astype(np.int32),
            "bag/weights": values.astype(np.float32),
        }
        return {"id": np.arange(count, dtype=np.int32), "number": random.random(count).astype(np.float32), **bag}

    return Star(
        {"facts": columns(facts), names[0]: columns(rows), names[1]: columns(facts)},
        {names[0]: np.array(index, np.int32), names[1]: np.arange(facts, dtype=np.int32)[::-1]},
        np.arange(facts, dtype=np.uint32) * 2,
        random.integers(0, 2, [facts, 2]).astype(np.uint8) if labels else None,
        {"facts": np.arange(facts) % 3, names[0]: np.arange(rows) % 2, None: None}[groups],
        groups or "facts",
        random.random(facts).astype(np.float32) if weights else None,
    )


def same(first, second):
    assert list(first.sources) == list(second.sources)
    assert list(first.index) == list(second.index)
    for source, columns in first.sources.items():
        assert columns.keys() == second.sources[source].keys()
        for name, array in columns.items():
            assert array.dtype == second.sources[source][name].dtype
            np.testing.assert_array_equal(array, second.sources[source][name])
    for name, array in first.index.items():
        np.testing.assert_array_equal(array, second.index[name])
    for name in ("position", "labels", "groups", "weights"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert first.grouped_by == second.grouped_by


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("grouped", ["facts", "first", None])
@pytest.mark.parametrize("index", [[0, 0, 1, 2, 2, 2], [0], []])
@pytest.mark.parametrize("names", [("user", "item"), ("labels", "position"), ("groups", "labels"), ("weights", "groups")])
def test_what_is_saved_is_loaded_whatever_the_dimensions_are_called(tmp_path, labels, grouped, index, names):
    star = star_of(index, labels=labels, weights=labels, groups=names[0] if grouped == "first" else grouped, names=names)
    others = {"codes of labels": np.arange(3), "codes of user": np.arange(2, dtype=np.int64)}
    star.save(tmp_path / "x", **others)
    loaded, found = Star.load(tmp_path / "x", ("facts", *names))
    same(star, loaded)
    assert {name: array.tolist() for name, array in found.items()} == {name: array.tolist() for name, array in others.items()}
    assert loaded.rows == len(index)


def test_the_first_dimension_stays_the_first(tmp_path):
    star = star_of([0, 1], names=("z", "a"))
    star.save(tmp_path / "x")
    assert list(Star.load(tmp_path / "x", ("facts", "z", "a"))[0].index) == ["z", "a"]


def test_groups_of_facts_and_of_dimension_rows():
    assert star_of([0, 0, 1, 2]).fact_groups.tolist() == [0, 1, 2, 0]
    assert star_of([0, 0, 1, 2], groups="user").fact_groups.tolist() == [0, 0, 1, 0]
    assert star_of([0, 0, 1, 2], groups=None).fact_groups is None


@given(st.lists(st.integers(1, 4), max_size=6))
def test_facts_of_one_row_begin_where_the_row_changes(sizes):
    index = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    star = star_of(index.tolist())
    if sizes:
        assert star.group_starts().tolist() == np.cumsum([0, *sizes]).tolist()
    bare = Star({"facts": {}}, {}, np.arange(len(index)))
    assert bare.group_starts().tolist() == list(range(len(index) + 1))


@pytest.mark.parametrize(("most", "kind"), [(0, np.uint32), (2**32 - 1, np.uint32), (2**32, np.int64), (2**40, np.int64)])
def test_positions_have_the_type_that_holds_the_last_one(most, kind):
    found = smallest(np.array([0, min(most, 5), most]), most)
    assert found.dtype == kind
    assert found.tolist() == [0, min(most, 5), most]
