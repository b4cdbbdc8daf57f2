"""Lanes: each row once over all replicas, and the same rows in a step whoever reads them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from funnel.data.lanes import Lanes
from funnel.data.order import Epoch
from funnel.schema.training import Train
from tests.data.test_order import SHARDS, Some, facts_of, shards_of, shuffles


def train(shuffle, batch_size: int, seed: int = 0) -> Train:
    return Train(batch_size=batch_size, seed=seed).model_copy(update={"shuffle": shuffle})


def taken(lanes: Lanes, number: int) -> list[tuple[int, int]]:
    """The facts of a step, over all replicas."""
    return [fact for replica in range(lanes.replicas) for fact in facts_of(lanes.step(number, replica))]


lanes_of = st.builds(
    lambda shards, shuffle, count, more, epoch: Lanes.of(shards, train(shuffle, count + more), epoch, count),
    shards_of,
    shuffles,
    st.integers(1, 5),
    st.integers(0, 9),
    st.integers(0, 3),
)


@given(lanes_of, st.integers(1, 6))
def test_every_fact_comes_once_over_all_replicas(lanes: Lanes, replicas: int) -> None:
    made = replace(lanes, replicas=replicas)
    seen: list[tuple[int, int]] = []
    for number in range(made.steps):
        facts = taken(made, number)
        assert len(facts) == made.rows_of(number)
        seen += facts
    assert sorted(seen) == sorted(made.shards.facts)  # type: ignore[attr-defined]
    assert len(seen) == made.rows
    assert made.rows_of(made.steps) == 0


@given(lanes_of, st.integers(2, 6))
def test_a_step_has_the_same_facts_for_any_number_of_replicas(lanes: Lanes, replicas: int) -> None:
    for number in range(lanes.steps):
        assert sorted(taken(lanes, number)) == sorted(taken(replace(lanes, replicas=replicas), number))


@given(shards_of, shuffles, st.integers(1, 5), st.integers(1, 9))
def test_lanes_are_equally_long_and_every_step_but_the_last_is_whole(shards: Some, shuffle, lanes: int, each: int) -> None:
    made = Lanes.of(shards, train(shuffle, lanes * each), 0, lanes)
    rows = [lane.rows for lane in made.epochs]
    assert max(rows) - min(rows) <= 1
    # Where a lane is longer by a row, that may be a step more.
    assert all(made.rows_of(number) == lanes * each for number in range(max(0, made.steps - 2)))


@given(shards_of, shuffles, st.integers(1, 20), st.integers(0, 3))
def test_one_lane_is_the_epoch(shards, shuffle, batch_size, epoch) -> None:
    made, plain = Lanes.of(shards, train(shuffle, batch_size, 7), epoch, 1), Epoch(shards, batch_size, shuffle, 7, epoch)
    assert made.steps == plain.steps
    assert all(facts_of(made.step(number)) == facts_of(plain.step(number)) for number in range(made.steps))


def test_a_lane_takes_shards_that_follow_each_other() -> None:
    halves = Lanes.of(SHARDS, train(None, 4), 0, 2).epochs
    first, second = ([fact for number in range(lane.steps) for fact in facts_of(lane.step(number))] for lane in halves)
    assert first + second == sorted(SHARDS.facts)
