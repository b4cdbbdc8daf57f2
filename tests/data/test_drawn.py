from __future__ import annotations

import numpy as np
import pytest

from funnel.data.batches import star_batch
from funnel.data.drawn import dealt, drawn
from funnel.data.star import Star


def star() -> Star:
    """Five facts of three users, with a list and its weights."""
    facts = {
        "item": np.array([10, 11, 12, 13, 14], np.int32),
        "seen": np.array([1, 2, 3, 4, 5, 6], np.int32),
        "seen/offsets": np.array([0, 2, 2, 3, 6, 6], np.int32),
        "seen/weights": np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], np.float32),
    }
    users = {"age": np.array([30, 40, 50], np.float32), "city": np.array([7, 8, 9], np.int32)}
    index = {"user": np.array([0, 0, 0, 1, 2], np.int32)}
    labels = np.array([[0], [1], [0], [1], [0]], np.uint8)
    return Star({"facts": facts, "user": users}, index, np.array([4, 0, 1, 2, 3]), labels, np.array([5, 6, 7]), "user")


def batch(found: Star) -> dict[str, list[float]]:
    made = star_batch([(found, np.arange(found.rows))])
    return {key: [round(float(value), 5) for value in array] for key, array in made.items()}


ORDER = np.array([3, 0, 4, 1, 2])


def test_a_fact_gets_the_value_of_another_and_keeps_its_own_of_the_rest() -> None:
    found = batch(dealt(star(), {"item"}, np.arange(5), ORDER))
    assert found == batch(star()) | {"facts/item": [13, 10, 14, 11, 12]}


def test_a_list_goes_whole_and_with_its_weights() -> None:
    found = batch(dealt(star(), {"seen"}, np.arange(5), ORDER))
    assert found["facts/seen/offsets"] == [0, 3, 5, 5, 5, 6]
    assert found["facts/seen"] == [4, 5, 6, 1, 2, 3]
    assert found["facts/seen/weights"] == [0.4, 0.5, 0.6, 0.1, 0.2, 0.3]
    assert found["facts/item"] == [10, 11, 12, 13, 14]


def test_a_dimension_s_value_is_drawn_as_often_as_facts_use_it_and_facts_of_one_row_part() -> None:
    found = batch(dealt(star(), {"age"}, np.arange(5), ORDER))
    by_fact = [int(place) for place in found["index/user"]]
    assert [found["user/age"][place] for place in by_fact] == [40, 30, 50, 30, 30]
    assert [found["user/city"][place] for place in by_fact] == [7, 7, 7, 8, 9]


def test_several_features_of_any_sources_move_as_one_and_some_facts_are_those_of_all() -> None:
    whole = batch(dealt(star(), {"age", "item"}, np.arange(5), ORDER))
    assert whole["facts/item"] == [13, 10, 14, 11, 12]
    assert whole["user/age"] == [40, 30, 50, 30, 30]
    part = batch(dealt(star(), {"age", "item"}, np.array([1, 2]), ORDER[1:3]))
    assert (part["facts/item"], part["user/age"], part["user/city"]) == ([10, 14], [30, 50], [7, 7])


class Kept:
    """Shards that are in memory."""

    def __init__(self, *stars: Star) -> None:
        self._stars = stars
        self.sizes = np.array([one.rows for one in stars])
        self.rows = int(self.sizes.sum())

    def once(self):
        yield from self._stars


def test_all_rows_of_all_shards_where_there_are_no_more_than_wanted() -> None:
    shards = Kept(star(), star())
    found = drawn(shards, 10)
    assert found.rows == 10
    assert batch(found) == {key: [float(value) for value in array] for key, array in _twice().items()}
    assert found.position.tolist() == [4, 0, 1, 2, 3] * 2
    assert found.labels is not None
    assert found.labels[:, 0].tolist() == [0, 1, 0, 1, 0] * 2
    assert found.fact_groups is not None
    assert found.fact_groups.tolist() == [5, 5, 5, 6, 7] * 2
    assert found.weights is None


def _twice() -> dict[str, list[float]]:
    made = star_batch([(star(), np.arange(5)), (star(), np.arange(5))])
    return {key: [round(float(value), 5) for value in array] for key, array in made.items()}


@pytest.mark.parametrize("most", [1, 3, 9])
def test_some_are_drawn_once_each_in_their_order_and_with_what_is_theirs(most: int) -> None:
    shards = Kept(*(star() for _ in range(20)))
    found = drawn(shards, most, seed=3)
    assert found.rows == most
    by_position = {4: (10, 30, 0, 5), 0: (11, 30, 1, 5), 1: (12, 30, 0, 5), 2: (13, 40, 1, 6), 3: (14, 50, 0, 7)}
    made = batch(found)
    assert found.labels is not None
    assert found.fact_groups is not None
    for fact in range(most):
        user = int(made["index/user"][fact])
        seen = made["facts/item"][fact], made["user/age"][user], found.labels[fact, 0], found.fact_groups[fact]
        assert seen == by_position[int(found.position[fact])]
    assert batch(drawn(shards, most, seed=3)) == made


def test_each_row_is_as_likely_as_another() -> None:
    shards = Kept(star(), star())
    counts = np.zeros(10)
    for seed in range(600):
        found = drawn(shards, 4, seed)
        assert found.rows == 4
        counts += np.bincount(np.searchsorted([10, 11, 12, 13, 14], found.sources["facts"]["item"]), minlength=10)[:10]
    # Each of the five items stands twice: drawn 600 * 4 * 2 / 10 times, give or take.
    assert np.abs(counts[:5] - 480).max() < 75
