"""The page of a comparison, without a browser."""

from pathlib import Path

import pytest

from funnel.reporting.changes import verdict
from funnel.reporting.figures import MINUS, difference, signed
from tests.reporting import compared, made
from tests.reporting.test_report import Page


def change(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("measure", "found", "said"),
    [
        ("auc", change(0.02, 0.01, 0.03), "better"),
        ("auc", change(-0.02, -0.03, -0.01), "worse"),
        ("auc", change(0.02, -0.01, 0.05), "unsure"),
        ("log_loss", change(-0.02, -0.03, -0.01), "better"),
        ("calibration_error", change(0.02, 0.01, 0.03), "worse"),
        ("predicted_over_observed", change(0.02, 0.01, 0.03), "unsure"),  # nearer to 1 or further: its sign does not tell
        ("auc", None, "unsure"),
        ("auc", change(0, 0, 0), "unsure"),
    ],
)
def test_a_difference_is_better_or_worse_only_where_that_is_sure(measure: str, found, said: str) -> None:
    assert verdict(measure, found) == said


def test_differences_have_signs_and_as_many_digits_as_their_intervals_bear() -> None:
    assert difference(change(-0.0331, -0.0414, -0.025)) == f"{MINUS}0.0331 ({MINUS}0.0414 to {MINUS}0.0250)"
    assert difference(change(0.217, -0.7, 0.4)) == f"+0.217 ({MINUS}0.700 to +0.400)"
    assert difference(change(0, 0, 0)) == "0 (0 to 0)"
    assert signed(0.00001234, 3) == "0"


def test_the_page_is_whole_and_says_what_differs(tmp_path: Path) -> None:
    text = compared.page(tmp_path, made.shipped("aliccp"), ["a", "<b>b</b>", "$x_1$"], 0.15).read_text()
    page = Page(text)
    assert page.open == []
    assert page.tags.count("b") == 1  # the page's own
    assert len(set(page.ids)) == len(page.ids)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    for said in (
        "<b>b</b>",
        "$x_1$",
        "Their schemas say the same",
        "3 more that a run cannot use",
        "Not compared",
        "surely worse",
    ):
        assert said in page.text, said
    assert "nan" not in page.text.lower()


def test_where_nothing_was_reached_figures_are_dashes(tmp_path: Path) -> None:
    schema = made.small([{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}])
    page = Page(compared.page(tmp_path, schema, ["a", "b"], rate=1e-9).read_text())
    assert "AUC: not known" in page.text
    assert "nan" not in page.text.lower()


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (
        compared.page(tmp_path / name, made.shipped("aliccp"), ["a", "b"], 0.15, plots=tmp_path / name / "charts")
        for name in ("x", "y")
    )
    same = one.read_text().replace(str(tmp_path / "x"), "") == other.read_text().replace(str(tmp_path / "y"), "")
    assert same
    names = sorted(path.name for path in (tmp_path / "x" / "charts").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "y" / "charts").iterdir())
    assert {"levels-buy.svg", "changes-buy_given_click.png", "slices-1-buy-1.svg"} <= set(names)
