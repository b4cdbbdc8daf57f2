from __future__ import annotations

import pytest
import slow_labels
from test_labels import declared

from funnel.data.one_sided import one_sided


def said(name, *, stages=slow_labels.CHAIN, **counts):
    wide = {"rows": 9, "positives": 4, "unknown": 3}
    return one_sided(declared(stages), {stage["name"]: wide for stage in stages} | {name: counts})


@pytest.mark.parametrize("counts", [(9, 9, 0), (9, 0, 0), (9, 4, 3), (0, 0, 0)])
def test_both_kinds_or_no_unknown_labels_say_nothing(counts):
    rows, positives, unknown = counts
    assert said("buy", rows=rows, positives=positives, unknown=unknown) == {}
    assert one_sided(declared(slow_labels.CHAIN), {}) == {}  # rows without labels


def test_a_null_for_every_0_is_asked_about():
    assert said("buy", rows=1234, positives=1234, unknown=5678) == {
        "buy": "all 1,234 known labels of its rows (cart) are 1, and 5,678 labels are not known, expected some 0s: is a null "
        "in the column 'buy' a 0 there? Fill it, or add rows with a 0."
    }


def test_a_null_for_every_1_is_asked_about():
    found = said("click", rows=7, positives=0, unknown=1)
    assert found["click"].startswith("all 7 known labels of its rows (impression) are 0, and 1 labels are not known")
    assert "is a null in the column 'click' a 1 there?" in found["click"]


def test_a_stage_of_which_nothing_is_known_is_told():
    assert said("cart", rows=0, positives=0, unknown=5)["cart"].startswith("no row of click has a known label, and 5 labels")


def test_young_rows_may_be_why():
    maturity = {"period": 7, "event": "t", "snapshot_at": 9}
    stages = [*slow_labels.CHAIN[:2], slow_labels.CHAIN[2] | {"matures_after": maturity}]
    assert "Or are all rows too young (matures_after)?" in said("buy", stages=stages, rows=7, positives=7, unknown=1)["buy"]


def test_of_a_join_its_branches_tell():
    assert said("buy", stages=slow_labels.ESM2, rows=7, positives=7, unknown=1) == {}
