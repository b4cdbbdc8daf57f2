from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.data.order import Epoch, permuted
from funnel.schema.training import ByGroup, ByRow, ByWindow


class Some:
    """Shards of which only the sizes, and where groups begin, matter."""

    def __init__(self, groups: list[list[int]]) -> None:
        self.groups = [shard for shard in groups if sum(shard)]
        self.sizes = np.array([sum(shard) for shard in self.groups], np.int64)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int):
        starts = np.cumsum([0, *self.groups[number]])

        class Star:
            def group_starts(self) -> np.ndarray:
                return starts

        return Star()

    def group_of(self, fact: tuple[int, int]) -> tuple[int, int]:
        return fact[0], int(np.searchsorted(np.cumsum(self.groups[fact[0]]), fact[1], side="right"))

    @property
    def facts(self) -> set[tuple[int, int]]:
        return {(shard, row) for shard, size in enumerate(self.sizes) for row in range(size)}


GROUP, ROW = ByGroup(kind="group"), ByRow(kind="row")


def window(rows):
    return ByWindow(kind="window", rows=rows)


shards_of = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=6).map(Some)
shuffles = st.one_of(st.none(), st.just(GROUP), st.just(ROW), st.integers(1, 5).map(window))
SHARDS = Some([[3, 1, 2], [1, 1], [5], [2, 2, 2, 2], [1], [4, 3]])
SHUFFLES = [None, GROUP, ROW, window(1), window(8), window(1000)]


def facts_of(step):
    return [(shard, int(row)) for shard, rows in step for row in rows]


def steps_of(epoch):
    return [facts_of(epoch.step(number)) for number in range(epoch.steps)]


@given(shards_of, shuffles, st.integers(1, 20), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**31 - 1))
def test_every_fact_comes_once_over_all_lanes(shards, shuffle, batch_size, lanes, number, seed):  # noqa: PLR0917  # all are drawn
    seen = []
    for lane in range(lanes):
        epoch = Epoch(shards, batch_size, shuffle, seed, number, lane, lanes)
        steps = steps_of(epoch)
        assert [len(step) for step in steps[:-1]] == [batch_size] * (len(steps) - 1)
        assert all(0 < len(step) <= batch_size for step in steps)
        assert sum(map(len, steps)) == epoch.rows
        seen += [fact for step in steps for fact in step]
    assert len(seen) == len(set(seen))
    assert set(seen) == shards.facts


@given(shards_of, shuffles, st.integers(1, 9), st.integers(0, 3), st.data())
def test_a_step_asked_alone_is_that_of_the_sequence(shards, shuffle, batch_size, number, data):
    steps = steps_of(Epoch(shards, batch_size, shuffle, 5, number))
    asked = data.draw(st.lists(st.integers(0, len(steps) - 1), max_size=6))
    again = Epoch(shards, batch_size, shuffle, 5, number)
    for step in asked:
        assert facts_of(again.step(step)) == steps[step]
        assert facts_of(Epoch(shards, batch_size, shuffle, 5, number).step(step)) == steps[step]


@pytest.mark.parametrize("shuffle", SHUFFLES[1:])
def test_an_order_is_a_pure_function_of_seed_and_epoch(shuffle):
    many = Some([[2, 1, 3, 1]] * 12)
    orders = {}
    for seed in range(3):
        for number in range(3):
            orders[seed, number] = [tuple(step) for step in steps_of(Epoch(many, 7, shuffle, seed, number))]
            assert [tuple(step) for step in steps_of(Epoch(many, 7, shuffle, seed, number))] == orders[seed, number]
    assert len({tuple(order) for order in orders.values()}) == 9


def test_without_shuffling_facts_come_as_they_stand():
    for number in range(3):
        steps = steps_of(Epoch(SHARDS, 4, None, 1, number))
        assert [fact for step in steps for fact in step] == sorted(SHARDS.facts)


@given(shards_of, st.integers(1, 9), st.integers(0, 5))
def test_by_group_the_facts_of_a_group_are_in_one_step_or_in_steps_that_follow_each_other(shards, batch_size, number):
    steps = steps_of(Epoch(shards, batch_size, GROUP, 3, number))
    met: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for place, step in enumerate(steps):
        for fact in step:
            met.setdefault(shards.group_of(fact), []).append((place, fact[1]))
    for found in met.values():
        rows = [row for _, row in found]
        assert rows == list(range(rows[0], rows[0] + len(rows)))  # as they stand
        places = sorted({place for place, _ in found})
        assert places == list(range(places[0], places[-1] + 1))
        # One that begins in a step and goes on in the next is all that the next begins with.
        assert len(places) <= 2 + (len(rows) - 2) // batch_size


@given(shards_of, st.sampled_from(SHUFFLES), st.integers(1, 9), st.integers(0, 5))
def test_within_a_step_facts_stand_as_on_disk(shards, shuffle, batch_size, number):
    for step in (Epoch(shards, batch_size, shuffle, 3, number).step(n) for n in range(2)) if shards.facts else ():
        for _, rows in step:
            assert (np.diff(rows) > 0).all()


@given(shards_of, st.integers(1, 12), st.integers(1, 9), st.integers(0, 5))
def test_windows_hold_the_facts_that_groups_in_order_would(shards, rows, batch_size, number):
    size = -(-rows // batch_size) * batch_size  # whole batches
    by_group = [fact for step in steps_of(Epoch(shards, batch_size, GROUP, 3, number)) for fact in step]
    mixed = [fact for step in steps_of(Epoch(shards, batch_size, window(rows), 3, number)) for fact in step]
    for begin in range(0, len(mixed), size):
        assert sorted(mixed[begin : begin + size]) == sorted(by_group[begin : begin + size])


def test_a_window_mixes_what_groups_keep_together():
    many = Some([[100] * 10])
    order = [fact for step in steps_of(Epoch(many, 50, window(1000), 0, 0)) for fact in step]
    first = {many.group_of(fact) for fact in order[:50]}
    assert len(first) == 10


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_facts_of_a_step_lie_in_order_within_each_shard_unless_grouped(shuffle):
    for number in range(4):
        epoch = Epoch(SHARDS, 5, shuffle, 2, number)
        for step in range(epoch.steps):
            places = epoch.step(step)
            assert len({shard for shard, _ in places}) == len(places)
            assert all(len(rows) for _, rows in places)
            if shuffle is not GROUP:
                assert all((np.diff(rows) > 0).all() for _, rows in places)


@given(shards_of, shuffles, st.integers(1, 5))
def test_lanes_share_no_shard_but_those_at_their_ends(shards, shuffle, lanes):
    taken = []
    for lane in range(lanes):
        epoch = Epoch(shards, 3, shuffle, 1, 2, lane, lanes)
        taken.append({shard for step in steps_of(epoch) for shard, _ in step})
    # In the line of all shards, a lane begins where the one before it ends.
    assert sum(map(len, taken)) <= len(shards) + lanes - 1
    assert set().union(*taken) == set(range(len(shards)))


def test_more_lanes_than_facts_leave_some_without_steps():
    lanes = [Epoch(Some([[3]]), 2, ROW, 0, 0, lane, 5) for lane in range(5)]
    assert sum(lane.rows for lane in lanes) == 3
    assert {lane.steps for lane in lanes} == {0, 1}
    assert [lane.step(0) for lane in lanes if not lane.rows] == [[], []]
    assert Epoch(Some([]), 2, GROUP).steps == 0


@pytest.mark.parametrize(("lane", "lanes"), [(2, 2), (-1, 2), (0, 0)])
def test_a_lane_that_is_none_is_refused(lane, lanes):
    with pytest.raises(ValueError, match=f"got lane {lane} of {lanes}"):
        Epoch(SHARDS, 2, None, lane=lane, lanes=lanes)


@pytest.mark.parametrize("count", range(1, 301))
def test_a_permutation_takes_each_thing_once(count):
    for epoch in range(3):
        found = permuted(np.arange(count), count, 7, epoch)
        assert sorted(found.tolist()) == list(range(count))
        assert found.dtype == np.int64


@pytest.mark.parametrize("count", [10_000, 65_536, 65_537, 1_000_003])
def test_a_permutation_of_many_takes_each_once(count):
    assert (np.bincount(permuted(np.arange(count), count, 1, 2), minlength=count) == 1).all()


@settings(max_examples=30)
@given(st.integers(1, 2**40), st.integers(0, 2**31 - 1), st.integers(0, 1000), st.data())
def test_a_permutation_is_asked_for_a_part_at_a_time(count, seed, epoch, data):
    numbers = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=8, unique=True)), np.int64)
    before = numbers.copy()
    found = permuted(numbers, count, seed, epoch)
    assert (numbers == before).all()
    assert ((found >= 0) & (found < count)).all()
    assert len(set(found.tolist())) == len(numbers)
    for number, place in zip(numbers.tolist(), found.tolist(), strict=True):
        assert permuted(np.array([number]), count, seed, epoch).tolist() == [place]


def chi_square(table):
    expected = table.sum() / table.size
    return ((table - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("count", [5, 8, 16, 30])
def test_each_thing_goes_everywhere_about_as_often(count):
    epochs = 200 * count
    table = np.zeros([count, count])
    for epoch in range(epochs):
        table[np.arange(count), permuted(np.arange(count), count, 11, epoch)] += 1
    # Rows and columns have fixed sums: (count - 1)^2 degrees of freedom. Five standard deviations.
    free = (count - 1) ** 2
    assert chi_square(table) < free + 5 * np.sqrt(2 * free)


@pytest.mark.parametrize("count", [8, 16, 64])
def test_neighbours_do_not_stay_neighbours(count):
    """Where the second lands, seen from where the first does, is anywhere; also where they stood far apart."""
    epochs = 100 * count
    for other in (1, count // 2):
        gaps = np.zeros(count - 1)
        for epoch in range(epochs):
            first, second = permuted(np.array([0, other]), count, 3, epoch)
            gaps[(second - first) % count - 1] += 1
        assert chi_square(gaps) < (count - 2) + 5 * np.sqrt(2 * (count - 2))


@pytest.mark.parametrize("shuffle", [GROUP, ROW, window(2)])
def test_each_fact_is_in_the_first_step_about_as_often(shuffle):
    shards = Some([[2, 2], [2, 2], [2, 2], [2, 2]])
    counts, epochs = dict.fromkeys(sorted(shards.facts), 0), 2000
    for number in range(epochs):
        for fact in facts_of(Epoch(shards, 4, shuffle, 9, number).step(0)):
            counts[fact] += 1
    assert all(abs(seen - epochs / 4) < 5 * np.sqrt(epochs * 3 / 16) for seen in counts.values())
