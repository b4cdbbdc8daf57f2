"""Which rows are ranked together: those that agree in all that is given once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.data.origin import Origin
from funnel.data.raw_rows import RawRows, raw_rows
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.verification import requests
from funnel.verification.requests import rank_requests
from tests import shop
from tests.serving.exports import columns_of, frames


def read(once: list[str]) -> tuple[FunnelSchema, RawRows, dict[str, list[Any]]]:
    schema, data = load_schema(shop.tree() | {"serving": {"once": once}}), frames(5, 300)
    (raw,) = raw_rows(schema, Origin(frames={source: data[source] for source in schema.sources}), "train")
    return schema, raw, columns_of(schema, data)


@pytest.mark.parametrize("once", [["user"], ["user", "hour", "price"], ["hour", "seen"], ["city", "item"]])
def test_rows_of_a_request_agree_and_each_row_is_in_one(once: list[str]) -> None:
    schema, raw, columns = read(once)
    facts = np.arange(10, 300)
    found = rank_requests(schema, raw, facts, 1.0)
    assert np.sort(np.concatenate(found)).tolist() == facts.tolist()
    assert [len(one) for one in found] == sorted((len(one) for one in found), reverse=True)
    for one in found:
        for name in schema.given_once:
            assert len({str(columns[name][place]) for place in raw.position[one]}) == 1
    if "user" not in once:
        return
    # As few requests as there can be.
    keys = {str([columns[name][place] for name in schema.given_once]) for place in raw.position[facts]}
    assert len(found) == len(keys)


def test_there_are_so_many_requests_at_most_those_with_the_most_rows_first(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, raw, _ = read(["user"])
    every = rank_requests(schema, raw, np.arange(300), 1.0)
    monkeypatch.setattr(requests, "REQUESTS", 10)
    few = rank_requests(schema, raw, np.arange(300), 0.5)
    assert [one.tolist() for one in few] == [one.tolist() for one in every[:5]]
    monkeypatch.setattr(requests, "CANDIDATES", 3)
    assert {len(one) for one in rank_requests(schema, raw, np.arange(300), 0.5)} == {3}
    assert len(rank_requests(schema, raw, np.arange(300), 0.0)) == 1


def test_there_are_none_where_nothing_is_given_once() -> None:
    schema, raw, _ = read([])
    assert rank_requests(schema, raw, np.arange(300), 1.0) == []
