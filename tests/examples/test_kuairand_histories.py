"""Histories of KuaiRand: what was known when the day began, against a reader that looks at one row after another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples.scripts import loaded

job = loaded(Path(__file__).parents[2] / "examples" / "kuairand" / "histories.py")
ROW = st.fixed_dictionaries(
    {
        "user_id": st.integers(0, 2), "video_id": st.integers(0, 2), "author_id": st.integers(0, 1),
        "tag": st.sampled_from(["1", "1,2", None]), "tab": st.integers(0, 1),
        "is_click": st.integers(0, 1), "long_view": st.integers(0, 1),
    }
)  # fmt: skip


def frame(rows: list[dict[str, Any]], dates: list[int]) -> pl.DataFrame:
    types = {name: pl.String if name == "tag" else pl.Int64 for name in sorted(rows[0] | {"date": 0})}
    return pl.DataFrame([row | {"date": date} for row, date in zip(rows, dates, strict=True)], schema=types)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ROW, st.integers(25, 30)), min_size=3, max_size=20), st.lists(st.tuples(ROW, st.integers(31, 33))))
def test_a_row_knows_its_keys_clicks_and_views_of_earlier_days(
    train: list[tuple[dict[str, Any], int]], test: list[tuple[dict[str, Any], int]]
) -> None:
    # A click and a view, that there are shares of all.
    train = [(train[0][0] | {"is_click": 1, "long_view": 1}, train[0][1]), *train[1:]]
    test = test or train[:1]
    frames = [frame([row for row, _ in rows], [date for _, date in rows]) for rows in (train, test)]
    clicks = sum(row["is_click"] for row, _ in train)
    views = sum(row["is_click"] * row["long_view"] for row, _ in train)
    for before, after in zip(frames, job.histories(*frames), strict=True):
        assert after.select(before.columns).equals(before)
        for row in after.iter_rows(named=True):
            for name, key in job.KEYS.items():
                seen = [one for one, date in train if date < row["date"] and all(one[column] == row[column] for column in key)]
                clicked = sum(one["is_click"] for one in seen)
                viewed = sum(one["is_click"] * one["long_view"] for one in seen)
                assert row[f"{name}_shown"] == pytest.approx(math.log1p(len(seen)), rel=1e-6)
                rate = (clicked + job.PRIOR * clicks / len(train)) / (len(seen) + job.PRIOR)
                assert row[f"{name}_click_rate"] == pytest.approx(rate, rel=1e-6)
                rate = (viewed + job.PRIOR * views / clicks) / (clicked + job.PRIOR)
                assert row[f"{name}_view_rate"] == pytest.approx(rate, rel=1e-6)
