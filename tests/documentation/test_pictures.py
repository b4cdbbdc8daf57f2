"""The picture of the selection is what its script draws, and what its page says of it."""

from __future__ import annotations

import sys

import numpy as np

from tests.documentation.pages import ROOT

sys.path.insert(0, str(ROOT / "docs" / "pictures"))
import selection_bias

FOUND = selection_bias.selected()


def test_it_is_drawn_again_as_it_is() -> None:
    assert selection_bias.svg(FOUND) == selection_bias.SVG.read_text(encoding="utf-8")


def test_shares_are_of_all_rows() -> None:
    np.testing.assert_allclose([FOUND.impressions.sum(), FOUND.clicked.sum()], 1)


def test_the_page_has_its_numbers() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    assert f"after {FOUND.mean_clicked:.1%}".replace("%", " %") in page
    assert f"after {FOUND.mean_impressions:.1%}".replace("%", " %") in page
    assert f"{selection_bias.ROWS:,} impressions" in page
